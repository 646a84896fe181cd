//! The file layer: everything that storage asks of the operating system, and nothing more.
//!
//! It is narrow so that a simulated disk can stand in for the real one and make every crash and
//! every failed call a test. What storage may assume of a disk is written here:
//!
//! - What was written to a file is there after a crash once [`DiskFile::sync_data`] has returned
//!   without an error, the file's length included. Before that any part of it may be missing, zero
//!   or garbage, in any order.
//! - An entry of a folder (created, renamed, removed) is there after a crash once
//!   [`Disk::sync_folder`] has returned. Before that each entry may be old or new.
//! - After a failed sync the file's cached content says nothing about the disk.
//!
//! What a disk owes to whoever holds a file:
//!
//! - It stays readable, and the same file, when its name is removed or given to another one.
//! - It is no system resource by itself: any number may be held.
//!
//! Next file to read: [`super::posix`].

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Folders and the files in them.
pub(crate) trait Disk: Debug + Send + Sync {
    /// Makes a new file, which only its owner may open; an error if there is one.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes a folder, which only its owner may enter, unless there is one.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Whether this is a folder, and no link to one.
    fn is_folder(&self, path: &Path) -> io::Result<bool>;

    /// The names in a folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Gives a file another name, in place of the file that had it; or a folder, in place of an empty
    /// one.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name, which nothing has yet; [`io::ErrorKind::CrossesDevices`],
    /// [`io::ErrorKind::PermissionDenied`], [`io::ErrorKind::TooManyLinks`] or
    /// [`io::ErrorKind::Unsupported`] where that cannot be.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty folder.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes a folder's entries durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Locks a file, which is made if there is none, until the answer is dropped;
    /// [`io::ErrorKind::WouldBlock`] if another holds it.
    fn lock(&self, path: &Path) -> io::Result<Arc<dyn Lock>>;
}

/// A held lock.
pub(crate) trait Lock: Debug + Send + Sync {}

/// A file that can be read and written; the disk may open it only when it is needed.
pub(crate) trait DiskFile: Debug + Send + Sync {
    /// Reads up to a buffer of bytes; fewer at the file's end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// As [`DiskFile::read_at`], but never waits for a device; may read less than there is.
    fn read_at_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<CachedRead>;

    /// Writes, perhaps not all of it; says how many bytes.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes the file's content and length durable.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts the file.
    fn truncate(&self, length: u64) -> io::Result<()>;

    /// Makes the file at least this long, its room reserved;
    /// [`io::ErrorKind::Unsupported`] where that cannot be done.
    fn allocate(&self, length: u64) -> io::Result<()>;

    /// The file's length.
    fn length(&self) -> io::Result<u64>;
}

/// The answer to a read that must not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CachedRead {
    /// So many bytes were at hand.
    Read(usize),
    /// None were: ask again with [`DiskFile::read_at`].
    NotCached,
}

/// Writes all bytes, with as many calls as that takes.
pub(crate) fn write_all(file: &dyn DiskFile, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = bytes.get(written..).unwrap_or_default();
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Fills a buffer as far as the file goes; says how far.
pub(crate) fn read_full(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..)
        && !rest.is_empty()
    {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
