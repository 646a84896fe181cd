use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::*;
use crate::log::storage::disk::{CachedRead, read_full};

/// A disk on a folder of its own.
struct Fixture {
    folder: TempDir,
    disk: PosixDisk,
}

impl Fixture {
    /// At most so many open files; what is unsynced is synced as soon as it may be.
    fn new(open_files: usize) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), disk: PosixDisk::impatient(open_files) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn create(&self, name: &str, content: &[u8]) -> Arc<dyn DiskFile> {
        let file = self.disk.create(&self.path(name)).unwrap();
        assert_eq!(file.write_at(content, 0).unwrap(), content.len());
        file
    }

    /// Makes a file, syncs it, and has its descriptor closed.
    fn closed(&self, name: &str, content: &[u8]) -> Arc<dyn DiskFile> {
        let file = self.create(name, content);
        file.sync_data().unwrap();
        self.close_all();
        file
    }

    /// Closes whatever may be closed.
    fn close_all(&self) {
        let _: io::Result<()> =
            self.disk.descriptors.with_room(|| Err(rustix::io::Errno::MFILE.into()));
    }

    fn open_files(&self) -> usize {
        self.disk.descriptors.open()
    }

    /// How many files of this folder the process has open, by the system's word.
    #[cfg(target_os = "linux")]
    fn descriptors(&self) -> usize {
        let links = fs::read_dir("/proc/self/fd").unwrap();
        let targets = links.filter_map(|link| fs::read_link(link.unwrap().path()).ok());
        targets.filter(|target| target.starts_with(self.folder.path())).count()
    }
}

fn content(file: &dyn DiskFile) -> Vec<u8> {
    let mut buffer = vec![0; 64];
    let filled = read_full(file, &mut buffer, 0).unwrap();
    buffer.truncate(filled);
    buffer
}

#[cfg(target_os = "linux")]
#[test]
fn a_hundred_files_are_written_and_read_back_with_four_descriptors() {
    let fixture = Fixture::new(4);
    let name = |number: usize| format!("file {number}");
    let files: Vec<_> = (0..100).map(|n| fixture.create(&name(n), name(n).as_bytes())).collect();
    assert_eq!(fixture.descriptors(), 100, "none is synced: none may be closed");

    for file in &files {
        file.sync_data().unwrap();
    }
    for round in 0..3 {
        for (number, file) in files.iter().enumerate() {
            assert_eq!(content(&**file), name(number).as_bytes(), "round {round}");
        }
    }
    assert_eq!(fixture.descriptors(), 4);

    for (number, file) in files.iter().enumerate() {
        assert_eq!(file.write_at(b"FILE", 0).unwrap(), 4);
        file.sync_data().unwrap();
        assert_eq!(content(&**file), name(number).replace("file", "FILE").as_bytes());
    }
    assert!(fixture.descriptors() <= 6, "{}", fixture.descriptors());
    drop(files);
    assert_eq!((fixture.descriptors(), fixture.open_files()), (0, 0));
}

#[test]
fn where_descriptors_run_out_no_more_files_are_closed_than_need_be() {
    let fixture = Fixture::new(1000);
    let files: Vec<_> = (0..100).map(|n| fixture.create(&format!("{n}"), b"1")).collect();
    for file in &files {
        file.sync_data().unwrap();
    }
    let had = fixture.open_files();
    assert_eq!(had, 100);
    let open = || match fixture.open_files() < had {
        true => Ok(()),
        false => Err(rustix::io::Errno::MFILE.into()),
    };
    fixture.disk.descriptors.with_room(open).unwrap();
    assert!(fixture.open_files() >= had - 16, "{} are left open", fixture.open_files());
}

#[test]
fn an_unsynced_file_stays_open_whatever_was_changed_and_others_come_and_go() {
    let fixture = Fixture::new(1);
    let written = fixture.closed("written", b"1");
    let cut = fixture.closed("cut", b"1");
    let grown = fixture.closed("grown", b"1");
    assert_eq!(fixture.open_files(), 0);
    written.write_at(b"2", 0).unwrap();
    cut.truncate(0).unwrap();
    // A file system that cannot reserve room may have changed something all the same.
    let _ = grown.allocate(4096);
    let created = fixture.disk.create(&fixture.path("created")).unwrap();
    fixture.close_all();
    assert_eq!(fixture.open_files(), 4);
    for file in [written, cut, grown, created] {
        file.sync_data().unwrap();
    }
    fixture.close_all();
    assert_eq!(fixture.open_files(), 0);
}

#[test]
fn files_left_unsynced_are_synced_by_those_who_sync_anyway_and_then_closed() {
    let fixture = Fixture::new(4);
    let left: Vec<_> = (0..20).map(|n| fixture.create(&format!("left {n}"), b"1")).collect();
    let busy = fixture.create("busy", b"1");
    for _ in 0..100 {
        busy.sync_data().unwrap();
    }
    assert!(fixture.open_files() <= 4, "{}", fixture.open_files());
    for file in &left {
        assert_eq!(content(&**file), b"1");
    }
}

#[test]
fn a_closed_file_is_not_opened_by_a_read_that_must_not_wait() {
    let fixture = Fixture::new(1);
    let file = fixture.closed("file", b"content");
    let mut buffer = [0; 7];
    assert_eq!(file.read_at_cached(&mut buffer, 0).unwrap(), CachedRead::NotCached);
    assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 7);
    assert_eq!(file.length().unwrap(), 7);
    assert_eq!(fixture.open_files(), 1);
}

#[test]
fn a_file_that_is_removed_or_replaced_stays_readable_for_whoever_holds_it() {
    let fixture = Fixture::new(1);
    for is_closed in [true, false] {
        let removed = fixture.closed("removed", b"removed");
        let replaced = fixture.closed("replaced", b"old");
        let renamed = fixture.closed("new", b"new");
        if !is_closed {
            assert_eq!(content(&*removed), b"removed");
        }
        fixture.disk.remove(&fixture.path("removed")).unwrap();
        fixture.disk.rename(&fixture.path("new"), &fixture.path("replaced")).unwrap();
        // Its name has another file, and perhaps its number too.
        let other = fixture.closed("removed", b"other");
        for _ in 0..2 {
            fixture.close_all();
            assert_eq!(content(&*removed), b"removed");
            assert_eq!(content(&*replaced), b"old");
            assert_eq!(content(&*renamed), b"new");
            assert_eq!(content(&*other), b"other");
        }
        drop((removed, replaced, renamed, other));
        fixture.disk.remove(&fixture.path("removed")).unwrap();
        fixture.disk.remove(&fixture.path("replaced")).unwrap();
    }
}

#[test]
fn another_file_in_its_place_is_refused_and_never_read() {
    let fixture = Fixture::new(1);
    let file = fixture.closed("file", b"mine");
    let path = fixture.path("file");
    // Behind our back: the system may give the new file the old one's number.
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"others").unwrap();
    let error = file.read_at(&mut [0; 8], 0).unwrap_err();
    assert_eq!(error.to_string(), "another file has taken its place");
    assert!(file.write_at(b"x", 0).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"others");

    fs::remove_file(&path).unwrap();
    assert_eq!(file.read_at(&mut [0; 8], 0).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(!path.exists(), "nothing is made in place of what is gone");
}

#[test]
fn no_symbolic_link_is_followed() {
    let fixture = Fixture::new(1);
    let (target, link) = (fixture.path("target"), fixture.path("link"));
    fs::write(&target, b"target").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let errors = [
        fixture.disk.open(&link).map(drop).unwrap_err(),
        fixture.disk.lock(&link).map(drop).unwrap_err(),
        #[cfg(feature = "cli")]
        ReadOnlyDisk::new(1).open(&link).map(drop).unwrap_err(),
        #[cfg(feature = "cli")]
        ReadOnlyDisk::new(1).lock(&link).map(drop).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.to_string(), "it is a symbolic link, which is not followed");
    }
    let error = fixture.disk.create(&link).map(drop).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    let dangling = fixture.path("dangling");
    std::os::unix::fs::symlink(fixture.path("nowhere"), &dangling).unwrap();
    assert!(fixture.disk.lock(&dangling).is_err());
    assert!(!fixture.path("nowhere").exists());

    // Nor one that takes a file's place later.
    let file = fixture.closed("file", b"mine");
    fs::remove_file(fixture.path("file")).unwrap();
    std::os::unix::fs::symlink(&target, fixture.path("file")).unwrap();
    assert!(file.read_at(&mut [0; 8], 0).is_err());
}

#[test]
fn readers_of_many_files_get_their_own_content_while_descriptors_come_and_go() {
    let fixture = Fixture::new(4);
    let files: Vec<_> = (0..40_u8).map(|n| fixture.closed(&format!("{n}"), &[n; 64])).collect();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (files, ended) = (&files, &ended);
        let readers: Vec<_> = (0..4_usize)
            .map(|reader| {
                scope.spawn(move || {
                    let mut cached = 0;
                    for step in 0..5_000_usize {
                        let number = (step * (reader + 1)) % files.len();
                        let file = &files[number];
                        let mut buffer = [0xff; 64];
                        match file.read_at_cached(&mut buffer, 0).unwrap() {
                            CachedRead::Read(64) => cached += 1,
                            _ => assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 64),
                        }
                        assert!(buffer.iter().all(|byte| usize::from(*byte) == number));
                    }
                    cached
                })
            })
            .collect();
        // One more writes, so that files become unsynced and synced between.
        let writer = scope.spawn(move || {
            for (number, file) in (0..40_u8).zip(files).cycle() {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                assert_eq!(file.write_at(&[number; 64], 0).unwrap(), 64);
                file.sync_data().unwrap();
            }
        });
        let cached: Vec<u32> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        ended.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        assert!(cached.iter().sum::<u32>() > 0, "no read found a descriptor open");
    });
}

#[cfg(feature = "cli")]
#[test]
fn a_folder_that_is_only_looked_at_cannot_be_changed_and_can_be_locked() {
    let fixture = Fixture::new(1);
    let read_only = ReadOnlyDisk::new(1);
    let path = fixture.path("file");
    fs::write(&path, b"content").unwrap();

    let file = read_only.open(&path).unwrap();
    assert_eq!(file.length().unwrap(), 7);
    assert!(file.write_at(b"x", 0).is_err());
    assert!(file.truncate(0).is_err());
    assert!(read_only.remove(&path).is_err());
    assert!(read_only.create(&fixture.path("new")).is_err());
    assert_eq!(read_only.list(fixture.folder.path()).unwrap(), ["file"]);
    assert_eq!(fs::read(&path).unwrap(), b"content");

    let lock = read_only.lock(&path).unwrap();
    assert_eq!(fixture.disk.lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(lock);
    let _lock = fixture.disk.lock(&path).unwrap();
    assert_eq!(read_only.lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}
