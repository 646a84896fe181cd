//! The real disk: files of the operating system.
//!
//! A data folder may have far more files than a process may have descriptors, so a file that nobody
//! uses gives its descriptor back and is opened again when it is needed ([`descriptors`]). Nothing
//! here follows a symbolic link in the place of a file, and nothing opens another file than the one
//! that was meant: an error is the answer to both.
//!
//! Reading order: [`descriptors`], [`mod@file`], [`identity`], [`system`], [`read_only`]. Next file
//! to read: [`super::record`].

mod descriptors;
mod file;
mod identity;
#[cfg(feature = "cli")]
mod read_only;
mod system;

#[cfg(test)]
mod tests;

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use super::disk::{Disk, DiskFile, Lock};
use descriptors::Descriptors;
use file::PosixFile;
#[cfg(feature = "cli")]
pub(crate) use read_only::ReadOnlyDisk;
use system::Mode;

/// The file system of this machine.
#[derive(Debug)]
pub(crate) struct PosixDisk {
    descriptors: Arc<Descriptors>,
}

impl PosixDisk {
    /// At most so many files that nobody uses stay open.
    pub(crate) fn new(open_files: usize) -> Self {
        Self { descriptors: Arc::new(Descriptors::new(open_files)) }
    }

    /// As [`PosixDisk::new`], but that what is unsynced is not left so for a while before it is
    /// synced and closed.
    #[cfg(test)]
    pub(crate) fn impatient(open_files: usize) -> Self {
        let descriptors = Descriptors::with_idle(open_files, std::time::Duration::ZERO);
        Self { descriptors: Arc::new(descriptors) }
    }
}

impl Disk for PosixDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(PosixFile::open(&self.descriptors, path, Mode::Create)?)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(PosixFile::open(&self.descriptors, path, Mode::ReadWrite)?)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn is_folder(&self, path: &Path) -> io::Result<bool> {
        Ok(fs::symlink_metadata(path)?.is_dir())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        list(&self.descriptors, folder)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.descriptors.with_names_changing(&[from, to], || fs::rename(from, to))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.descriptors.with_names_changing(&[path], || fs::remove_file(path))
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.descriptors.with_room(|| File::open(folder))?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Arc<dyn Lock>> {
        lock(self.descriptors.with_room(|| system::open(path, Mode::CreateOrOpen))?)
    }
}

fn list(descriptors: &Descriptors, folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in descriptors.with_room(|| fs::read_dir(folder))? {
        // A name that is no UTF-8 is none of ours.
        if let Ok(name) = entry?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
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
