//! The real disk: files of the operating system.
//!
//! Next file to read: [`super::record`].

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use super::disk::{CachedRead, Disk, DiskFile, Lock};

/// The file system of this machine.
#[derive(Debug)]
pub(crate) struct PosixDisk;

impl Disk for PosixDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        Ok(Arc::new(PosixFile::new(options.open(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Arc::new(PosixFile::new(file)))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn is_folder(&self, path: &Path) -> io::Result<bool> {
        Ok(fs::symlink_metadata(path)?.is_dir())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            // A name that is no UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Arc<dyn Lock>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        lock(options.open(path)?)
    }
}

/// The file system of this machine, of which nothing is changed, whatever is asked: for a folder that
/// is only looked at, perhaps on a disk that the system has made read-only.
#[cfg(feature = "cli")]
#[derive(Debug)]
pub(crate) struct ReadOnlyDisk;

#[cfg(feature = "cli")]
impl Disk for ReadOnlyDisk {
    fn create(&self, _: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(PosixFile::new(File::open(path)?)))
    }

    fn create_folder(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn is_folder(&self, path: &Path) -> io::Result<bool> {
        PosixDisk.is_folder(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        PosixDisk.list(folder)
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove_folder(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn lock(&self, path: &Path) -> io::Result<Arc<dyn Lock>> {
        lock(File::open(path)?)
    }
}

fn lock(file: File) -> io::Result<Arc<dyn Lock>> {
    match file.try_lock() {
        Ok(()) => Ok(Arc::new(PosixLock { _file: file })),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The lock ends when its file is closed, by us or by the end of the process.
#[derive(Debug)]
struct PosixLock {
    _file: File,
}

impl Lock for PosixLock {}

#[derive(Debug)]
struct PosixFile {
    file: File,
    /// The file system has no device below it, so that no read waits.
    in_memory: bool,
}

impl PosixFile {
    fn new(file: File) -> Self {
        let in_memory = is_in_memory(&file);
        Self { file, in_memory }
    }
}

impl DiskFile for PosixFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn read_at_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<CachedRead> {
        if self.in_memory {
            return self.file.read_at(buffer, offset).map(CachedRead::Read);
        }
        read_without_waiting(&self.file, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        reserve(&self.file, length)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

#[cfg(target_os = "linux")]
fn read_without_waiting(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<CachedRead> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    let mut buffers = [io::IoSliceMut::new(buffer)];
    match preadv2(file, &mut buffers, offset, ReadWriteFlags::NOWAIT) {
        Ok(read) => Ok(CachedRead::Read(read)),
        // Refused, not at hand, or a file system that cannot say: the pool reads it.
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR | Errno::NOSYS) => {
            Ok(CachedRead::NotCached)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn read_without_waiting(_: &File, _: &mut [u8], _: u64) -> io::Result<CachedRead> {
    Ok(CachedRead::NotCached)
}

#[cfg(target_os = "linux")]
fn reserve(file: &File, length: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};

    fallocate(file, FallocateFlags::empty(), 0, length).map_err(|error| match error {
        rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS => {
            io::ErrorKind::Unsupported.into()
        }
        error => error.into(),
    })
}

#[cfg(not(target_os = "linux"))]
fn reserve(_: &File, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn is_in_memory(file: &File) -> bool {
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    const RAMFS_MAGIC: u64 = 0x8584_58f6;
    // The width of the field differs between machines.
    let kind = rustix::fs::fstatfs(file).map(|stat| stat.f_type as u64);
    matches!(kind, Ok(TMPFS_MAGIC | RAMFS_MAGIC))
}

#[cfg(not(target_os = "linux"))]
fn is_in_memory(_: &File) -> bool {
    false
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_only_looked_at_cannot_be_changed_and_can_be_locked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"content").unwrap();

        let file = ReadOnlyDisk.open(&path).unwrap();
        assert_eq!(file.length().unwrap(), 7);
        assert!(file.write_at(b"x", 0).is_err());
        assert!(file.truncate(0).is_err());
        assert!(ReadOnlyDisk.remove(&path).is_err());
        assert!(ReadOnlyDisk.create(&folder.path().join("new")).is_err());
        assert_eq!(ReadOnlyDisk.list(folder.path()).unwrap(), ["file"]);
        assert_eq!(fs::read(&path).unwrap(), b"content");

        let lock = ReadOnlyDisk.lock(&path).unwrap();
        assert_eq!(PosixDisk.lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        let _lock = PosixDisk.lock(&path).unwrap();
        assert_eq!(ReadOnlyDisk.lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
