//! The audit log: a file of JSON objects, one a line, that only its owner may read.
//!
//! Each entry is one write at the file's end, so that two who write to it never mix their lines. A
//! disk that refuses entries stops nothing: the log says so, once until an entry is written again. What
//! was written of the last one then stands on a line of its own.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;
use tracing::{error, info};

use crate::secret_file::{self, SecretFileError};

/// Why the audit log cannot be written.
#[derive(Debug, Error)]
#[error("the audit log is not opened")]
pub struct AuditError(#[from] SecretFileError);

/// The file, opened.
#[derive(Debug)]
pub(super) struct AuditFile {
    path: PathBuf,
    file: File,
    /// Whether the last entry could not be written.
    is_failing: bool,
}

impl AuditFile {
    pub(super) fn open(path: &Path) -> Result<Self, AuditError> {
        let file = secret_file::open_to_append(path)?;
        Ok(Self { path: path.to_owned(), file, is_failing: false })
    }

    /// Adds a line.
    pub(super) fn append(&mut self, entry: &impl Serialize) {
        match self.write(entry) {
            Ok(()) if self.is_failing => {
                self.is_failing = false;
                info!(file = %self.path.display(), "the audit log is written again");
            }
            Err(error) if !self.is_failing => {
                self.is_failing = true;
                error!(
                    file = %self.path.display(), %error,
                    "the audit log cannot be written; entries are in this log only"
                );
            }
            Ok(()) | Err(_) => {}
        }
    }

    fn write(&mut self, entry: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        if self.is_failing {
            // The last one may stand there in part.
            line.insert(0, b'\n');
        }
        self.file.write_all(&line)
    }
}
