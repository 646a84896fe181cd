//! Why a data folder does not open.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::storage::error::StorageError;
use super::storage::store::StoreError;

/// Why a data folder does not open.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another engine of this one, has it open.
    #[error("the data folder {} is in use by another process", folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// It is a backup, and opening it would change it.
    #[error(
        "{folder} is a backup, not a data folder; \
         make one of it with `kvsd-server restore {folder} --data-dir NEWDIR`",
        folder = folder.display()
    )]
    Backup {
        /// The folder.
        folder: PathBuf,
    },
    /// Something that was durable is damaged. Nothing has been changed.
    #[error("{} is damaged at byte {offset}: {what}; run `kvsd-server verify`", file.display())]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A later kvsd has written it.
    #[error(
        "{} has format {found}, and this version reads up to {supported}: use a newer kvsd-server",
        file.display()
    )]
    NewerFormat {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// The latest format that this version reads.
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

impl OpenError {
    pub(crate) fn from_storage(error: StorageError) -> Self {
        match error {
            StorageError::Corrupt { file, offset, what } => Self::Corrupt { file, offset, what },
            StorageError::NewerFormat { file, found, supported } => {
                Self::NewerFormat { file, found, supported }
            }
            StorageError::Io { action, file, source } => Self::Io { action, file, source },
        }
    }

    pub(crate) fn from_store(error: StoreError, folder: PathBuf) -> Self {
        match error {
            StoreError::Locked => Self::Locked { folder },
            StoreError::Backup => Self::Backup { folder },
            StoreError::Storage(error) => Self::from_storage(error),
        }
    }
}
