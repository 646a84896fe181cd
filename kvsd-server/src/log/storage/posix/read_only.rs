//! The real disk, only looked at.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::descriptors::Descriptors;
use super::file::PosixFile;
use super::system::{self, Mode};
use super::{list, lock};
use crate::log::storage::disk::{Disk, DiskFile, Lock};

/// The file system of this machine, of which nothing is changed, whatever is asked: for a folder that
/// is only looked at, perhaps on a disk that the system has made read-only.
#[derive(Debug)]
pub(crate) struct ReadOnlyDisk {
    descriptors: Arc<Descriptors>,
}

impl ReadOnlyDisk {
    /// At most so many files that nobody uses stay open.
    pub(crate) fn new(open_files: usize) -> Self {
        Self { descriptors: Arc::new(Descriptors::new(open_files)) }
    }
}

impl Disk for ReadOnlyDisk {
    fn create(&self, _: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(PosixFile::open(&self.descriptors, path, Mode::Read)?)
    }

    fn create_folder(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn is_folder(&self, path: &Path) -> io::Result<bool> {
        Ok(std::fs::symlink_metadata(path)?.is_dir())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        list(&self.descriptors, folder)
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn link(&self, _: &Path, _: &Path) -> io::Result<()> {
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
        lock(system::open(path, Mode::Read)?)
    }
}
