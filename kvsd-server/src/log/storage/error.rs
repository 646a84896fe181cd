//! What can go wrong below a table.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use thiserror::Error;

/// Why storage did not do what was asked.
#[derive(Debug, Error)]
pub(crate) enum StorageError {
    /// Stored bytes are not what was written.
    #[error("{} is damaged at byte {offset}: {what}", file.display())]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A file of a later kvsd.
    #[error("{} has format {found}, and this version reads up to {supported}", file.display())]
    NewerFormat {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// The latest format that is read here.
        supported: u32,
    },
    /// The operating system refused.
    #[error("cannot {action} {}", file.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// With which file or folder.
        file: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl StorageError {
    pub(super) fn corrupt(file: &Path, offset: u64, what: &'static str) -> Self {
        Self::Corrupt { file: file.to_owned(), offset, what }
    }

    /// Turns an error of the system into one that says what was being done.
    pub(super) fn io(action: &'static str, file: &Path) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_owned();
        move |source| Self::Io { action, file, source }
    }

    /// The file that it is about.
    pub(super) fn file(&self) -> &Path {
        match self {
            Self::Corrupt { file, .. } | Self::NewerFormat { file, .. } | Self::Io { file, .. } => {
                file
            }
        }
    }

    /// Whether the disk has no room; everything else is worse.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_full(source))
    }
}

/// Whether the disk, or the user's share of it, has no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether there was no descriptor to open the file with: then nothing was done with it.
pub(super) fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}
