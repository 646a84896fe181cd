//! Data folders written by earlier versions, which this and every later one must open.
//!
//! They stand in `tests/fixtures` of this crate, one folder for each set of formats: `log-1` has
//! catalog, manifest, segment and hint of format 1. When a format changes, give its folder a name
//! in [`FIXTURES`], change [`write_folder`] so that it has what is new, and run this once:
//!
//! ```text
//! KVSD_TEST_MAKE_FIXTURES=1 cargo test -p kvsd-server --lib log::tests::fixtures
//! ```
//!
//! That writes the last of them and refuses to touch one that is there already: what an earlier
//! version has written is never made again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use kvsd::{TableName, UnixMillis};

use super::model::told;
use super::{ManualClock, delete, drops, one, set};
use crate::engine::{Action, BeforeDetail, Condition, Write, Written};
use crate::log::storage::disk::Disk;
use crate::log::storage::entry::{KeyRange, Order};
use crate::log::storage::error::StorageError;
use crate::log::storage::load::TableOptions;
use crate::log::storage::page::{Detail, PageRequest};
use crate::log::storage::reader::{Access, Reader};
use crate::log::storage::record::NEVER;
use crate::log::storage::rotation::{Demand, Retention};
use crate::log::storage::sim::SimDisk;
use crate::log::storage::store::{Store, StoreError};
use crate::log::turn::{Taken, Turn};

/// Every set of formats that was ever released, and the one that is written now.
const FIXTURES: [&str; 1] = ["log-1"];
const LATEST: &str = FIXTURES[FIXTURES.len() - 1];

/// A table that was cleanly closed, with a compacted segment, and one with a torn tail.
const CLOSED: &str = "/data/tables/00000001";
const TORN: &str = "/data/tables/00000002";

const FAR: u64 = 1 << 45;

fn folder_of(fixture: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(fixture)
}

fn open(disk: &SimDisk) -> Result<Store, StoreError> {
    let retention = Retention { bytes: 0, millis: 0 };
    let options = TableOptions { retention, ..TableOptions::default() };
    Store::open(Arc::new(disk.clone()), Path::new("/data"), options)
}

/// Carries out a write that takes this version.
fn write(turn: &mut Turn, version: u64, write: Write) {
    let batch = vec![vec![write]];
    turn.prepare(&batch, &Demand::default()).ok().unwrap();
    assert_eq!(turn.take(&batch, Access::Wait), Taken::Written);
    let sync = turn.sync();
    let result = sync.run();
    turn.synced(&sync, result);
    turn.settle();
    let result = turn.results().next().unwrap().remove(0);
    let Ok(Written::Applied { version: Some(given), .. }) = result else {
        panic!("{result:?}");
    };
    assert_eq!(given.get(), version);
}

fn rotate(turn: &mut Turn) {
    let demand = Demand { bytes: 1 << 40, ..Demand::default() };
    turn.prepare(&Vec::<Vec<Write>>::new(), &demand).ok().unwrap();
}

fn set_until(key: &[u8], value: &'static [u8], end: u64) -> Write {
    let value = Bytes::from_static(value);
    one(key, Condition::Any, Action::Set { value, expires_at: UnixMillis::new(end) })
}

/// Both, in one write.
fn and(first: Write, second: Write) -> Write {
    let changes = first.changes.into_iter().chain(second.changes).collect();
    Write { changes, before: BeforeDetail::Presence }
}

/// Writes what the fixtures of the present formats hold.
fn write_folder(disk: &SimDisk) {
    let mut store = open(disk).unwrap();
    let (mut turn, _) = drops::create(&mut store, "closed").unwrap();
    write(&mut turn, 1, set(b"alice", b"1"));
    write(&mut turn, 2, set_until(b"bob", b"goes", FAR));
    write(&mut turn, 3, and(set(b"carol", b"c"), set(b"dave", b"")));
    write(&mut turn, 4, delete(b"bob"));
    write(&mut turn, 5, one(b"alice", Condition::Any, Action::Increment { by: 41 }));
    rotate(&mut turn);
    write(&mut turn, 6, set(b"carol", &[b'c'; 300]));
    let at = UnixMillis::new(FAR + 1);
    write(&mut turn, 7, one(b"dave", Condition::Present, Action::Expire { at }));
    rotate(&mut turn);
    write(&mut turn, 8, and(set(b"erin", b"e"), set_until(b"zoe", b"soon", 2_000)));
    rotate(&mut turn);
    write(&mut turn, 9, delete(b"carol"));
    turn.idle();
    while let Some(chore) = turn.next_chore() {
        turn.chore_done(chore.run());
        while turn.is_adopting() {
            turn.adopt_more();
        }
    }
    turn.close().unwrap();

    let (mut turn, _) = drops::create(&mut store, "torn").unwrap();
    write(&mut turn, 1, set(b"a", b"1"));
    write(&mut turn, 2, delete(b"a"));
    write(&mut turn, 3, and(set(b"b", b"2"), set_until(b"c", b"3", FAR)));
    write(&mut turn, 4, set(b"d", b"torn off"));
    drop((turn, store));
    let segment = Path::new(TORN).join("00000001.seg");
    let mut content = disk.content(&segment);
    // Not the room that was reserved, and not the whole of the last commit.
    let end = content.iter().rposition(|byte| *byte != 0).unwrap();
    content.truncate(end - 10);
    disk.put(&segment, &content);
}

/// A disk with a copy of a fixture.
fn load(fixture: &str) -> SimDisk {
    fn copy(disk: &SimDisk, from: &Path, to: &Path) {
        disk.create_folder(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            match entry.file_type().unwrap().is_dir() {
                true => copy(disk, &entry.path(), &to),
                false => disk.put(&to, &fs::read(entry.path()).unwrap()),
            }
        }
        disk.sync_folder(to).unwrap();
    }
    let disk = SimDisk::new(1);
    copy(&disk, &folder_of(fixture), Path::new("/data"));
    disk.sync_folder(Path::new("/")).unwrap();
    disk
}

/// A key, its version, its end, its value.
type Row = (&'static str, u64, u64, &'static str);

/// What the tables hold, what has expired included.
const CLOSED_ROWS: [Row; 4] = [
    ("alice", 5, NEVER, "42"),
    ("dave", 7, FAR + 1, ""),
    ("erin", 8, NEVER, "e"),
    ("zoe", 8, 2_000, "soon"),
];
const TORN_ROWS: [Row; 2] = [("b", 3, NEVER, "2"), ("c", 3, FAR, "3")];

/// A table holds these records, by key and in order, and no others.
fn assert_holds(reader: &Reader, rows: &[Row]) {
    let mut buffer = Vec::new();
    for (key, version, expires, value) in rows {
        let hit = reader.find(key.as_bytes(), &mut buffer, Access::Wait).unwrap().unwrap();
        assert_eq!((hit.version, hit.expires), (*version, *expires), "{key}");
        assert_eq!(buffer[hit.value], *value.as_bytes(), "{key}");
    }
    for gone in ["bob", "carol", "a", "d"] {
        assert_eq!(reader.find(gone.as_bytes(), &mut buffer, Access::Wait).unwrap(), None);
    }
    assert_eq!(reader.keys(), rows.len() as u64);
    for (now, order) in [(1_000, Order::Ascending), (2_000, Order::Descending)] {
        let range = KeyRange { from: std::ops::Bound::Unbounded, to: std::ops::Bound::Unbounded };
        let detail = Detail::Records;
        let page = PageRequest { range, order, detail, records: 100, bytes: 10_000, now };
        let page = reader.page(&page).unwrap();
        let mut expected: Vec<_> = rows.iter().filter(|row| row.2 > now).collect();
        if order == Order::Descending {
            expected.reverse();
        }
        let told = |row: &&Row| (row.1, UnixMillis::new(row.2));
        let found: Vec<_> =
            page.records.iter().map(|row| (row.version.get(), row.expires_at)).collect();
        assert_eq!(found, expected.iter().map(told).collect::<Vec<_>>());
        let bytes: String = expected.iter().map(|row| [row.0, row.3].concat()).collect();
        assert_eq!(page.bytes, bytes.as_bytes());
    }
}

/// The versions and keys of the changes since a version; `None` for a gap.
fn changes(reader: &Reader, since: u64) -> Option<Vec<(u64, String)>> {
    let (told, _) = told(reader, since, 2, usize::MAX).unwrap();
    let change = |key: &Bytes| String::from_utf8(key.to_vec()).unwrap();
    told.map(|told| told.iter().map(|it| (it.version, change(&it.key))).collect())
}

fn told_as(changes: &[(u64, &str)]) -> Option<Vec<(u64, String)>> {
    Some(changes.iter().map(|(version, key)| (*version, (*key).to_owned())).collect())
}

#[test]
fn a_folder_of_any_earlier_version_opens_and_holds_what_was_written() {
    for fixture in FIXTURES {
        let disk = load(fixture);
        let hints: Vec<_> = disk
            .paths()
            .into_iter()
            .filter(|path| path.extension().is_some_and(|end| end == "hint"))
            .map(|path| (disk.content(&path), path))
            .collect();
        let store = open(&disk).unwrap();
        let names: Vec<&TableName> = store.tables().iter().map(|entry| &entry.name).collect();
        assert_eq!(names, [&drops::name("closed"), &drops::name("torn")], "{fixture}");
        let (closed, recovery) = store.open_table(&store.tables()[0]).unwrap();
        assert_eq!(recovery, None, "{fixture}");
        let reader = Arc::clone(closed.reader());
        assert_holds(&reader, &CLOSED_ROWS);
        assert_eq!(changes(&reader, 0), None);
        assert_eq!(changes(&reader, 8), told_as(&[(9, "carol")]));
        assert_eq!(hints.len(), 2, "{fixture}");
        for (content, path) in hints {
            assert_eq!(disk.content(&path), content, "{fixture} {}", path.display());
        }

        let (torn, recovery) = store.open_table(&store.tables()[1]).unwrap();
        let recovery = recovery.unwrap();
        assert!(recovery.torn_bytes > 40, "{fixture} {recovery:?}");
        assert_holds(torn.reader(), &TORN_ROWS);
        assert_eq!(torn.version(), 3 + (1 << 32));
        let all = told_as(&[(1, "a"), (2, "a"), (3, "b"), (3, "c")]);
        assert_eq!(changes(torn.reader(), 0), all);
        assert_eq!(changes(torn.reader(), 4), None);

        // It goes on from there.
        let clock = Arc::new(ManualClock::at(1_000));
        let mut turn = Turn::new(drops::name("closed"), clock, closed, usize::MAX);
        write(&mut turn, 10, set(b"frank", b"later"));
        turn.close().unwrap();
        drop((turn, torn, store));
        let store = open(&disk).unwrap();
        let reader = Arc::clone(store.open_table(&store.tables()[0]).unwrap().0.reader());
        let rows = [&CLOSED_ROWS[..3], &[("frank", 10, NEVER, "later")], &CLOSED_ROWS[3..]];
        assert_holds(&reader, &rows.concat());
    }
}

/// Opens a copy with this file in the format after the latest, its checksum right.
fn open_with_newer(path: &Path, header_bytes: usize) -> Result<SimDisk, StorageError> {
    let disk = load(LATEST);
    let mut content = disk.content(path);
    content[8] += 1;
    let crc = crc32c::crc32c(&content[..header_bytes - 4]);
    content[header_bytes - 4..header_bytes].copy_from_slice(&crc.to_le_bytes());
    disk.put(path, &content);
    let store = match open(&disk) {
        Ok(store) => store,
        Err(StoreError::Storage(error)) => return Err(error),
        Err(error @ (StoreError::Locked | StoreError::Backup)) => panic!("{error:?}"),
    };
    for entry in store.tables() {
        store.open_table(entry)?;
    }
    Ok(disk)
}

#[test]
fn a_file_of_a_later_format_is_refused_by_name_and_a_hint_is_made_again() {
    let newer = load(LATEST).paths().into_iter().filter_map(|path| {
        let header_bytes = match path.extension().and_then(|end| end.to_str()) {
            Some("seg") => 64,
            Some("hint") => return None,
            _ => 24,
        };
        Some((path, header_bytes))
    });
    let mut count = 0;
    for (path, header_bytes) in newer.filter(|(path, _)| !path.ends_with("LOCK")) {
        match open_with_newer(&path, header_bytes) {
            Err(StorageError::NewerFormat { file, found, supported }) => {
                assert_eq!((file, found), (path, supported + 1));
                count += 1;
            }
            other => panic!("{}: {other:?}", path.display()),
        }
    }
    // The catalog, two manifests, and the segments of both tables.
    assert_eq!(count, 6);

    let whole = load(LATEST);
    let is_hint = |path: &PathBuf| path.extension().is_some_and(|end| end == "hint");
    for path in whole.paths().into_iter().filter(is_hint) {
        let disk = open_with_newer(&path, 88).unwrap();
        let store = open(&disk).unwrap();
        assert_holds(store.open_table(&store.tables()[0]).unwrap().0.reader(), &CLOSED_ROWS);
        let is_last = path.ends_with("00000004.hint");
        // That of the segment that goes on growing is made again by the next clean close.
        assert_eq!(disk.content(&path) == whole.content(&path), !is_last, "{}", path.display());
    }
}

#[test]
fn fixtures_are_made_on_request_and_never_made_again() {
    let disk = SimDisk::new(1);
    write_folder(&disk);
    let folder = folder_of(LATEST);
    let written = disk.paths().into_iter().filter(|path| !path.ends_with("LOCK"));
    let relative = |path: &Path| path.strip_prefix("/data").unwrap().to_owned();
    if std::env::var_os("KVSD_TEST_MAKE_FIXTURES").is_some() {
        assert!(!folder.exists(), "{} is there already", folder.display());
        for path in written {
            let to = folder.join(relative(&path));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::write(to, disk.content(&path)).unwrap();
        }
        return;
    }
    // What is written now has the files and the lengths of the latest fixture.
    let lengths = |disk: &SimDisk| {
        let paths = disk.paths().into_iter().filter(|path| !path.ends_with("LOCK"));
        paths.map(|path| (relative(&path), disk.content(&path).len())).collect::<Vec<_>>()
    };
    assert_eq!(lengths(&disk), lengths(&load(LATEST)));
    assert!(disk.paths().iter().any(|path| path.starts_with(CLOSED)));
}
