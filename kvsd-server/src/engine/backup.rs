//! Backups as an engine makes them: their names, how far one is, and why there is none.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use super::EngineError;

/// What a backup is called: 1 to 64 bytes of letters, digits, `.`, `_` and `-`, that do not begin
/// with `.` and do not end with `.partial`. Never a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BackupName(String);

impl BackupName {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`InvalidBackupName`] if the text is none.
    pub fn parse(text: &str) -> Result<Self, InvalidBackupName> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fits = (1..=Self::MAX_BYTES).contains(&text.len())
            && text.bytes().all(is_allowed)
            && !text.starts_with('.')
            && !text.ends_with(".partial");
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidBackupName) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BackupName {
    type Err = InvalidBackupName;

    fn from_str(text: &str) -> Result<Self, InvalidBackupName> {
        Self::parse(text)
    }
}

impl fmt::Display for BackupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text is not the name of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a backup's name has 1 to 64 letters, digits, `.`, `_` and `-`, does not begin with `.` and \
     does not end with `.partial`"
)]
pub struct InvalidBackupName;

/// How far a backup is, for whoever else looks.
#[derive(Debug, Default)]
pub struct BackupProgress {
    done: AtomicU64,
    total: AtomicU64,
}

impl BackupProgress {
    /// The bytes that are in the backup, and those that there will be, as far as that is known: at
    /// first it is not, and both are zero.
    #[must_use]
    pub fn get(&self) -> (u64, u64) {
        let done = self.done.load(Ordering::Relaxed);
        (done, self.total.load(Ordering::Relaxed).max(done))
    }

    /// Says how many bytes there will be.
    pub fn expect(&self, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
    }

    /// Adds bytes that are in the backup.
    pub fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A backup that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupSummary {
    /// How many tables it holds.
    pub tables: u64,
    /// In how many files.
    pub files: u64,
    /// How many bytes these have.
    pub bytes: u64,
}

/// Why a backup was not made. What there is of it is removed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The engine makes none.
    #[error(
        "this engine makes no backups by itself; of a cluster, `etcdctl snapshot save` makes one"
    )]
    Unsupported,
    /// It does not know where to.
    #[error("no folder for backups is configured: start the server with `--backups DIR`")]
    NotConfigured,
    /// There is one of this name, which is left as it is.
    #[error("there is a backup called {name} already")]
    Exists {
        /// The name.
        name: BackupName,
    },
    /// Another one is being made.
    #[error("another backup is being made; try again when it is done")]
    Busy,
    /// The disk has no room for it.
    #[error("the disk is full; no backup was made")]
    DiskFull,
    /// Something else is in the way: a table that takes no more writes, damage, a disk that fails,
    /// or the engine is closing.
    #[error("no backup was made: {0}")]
    Engine(EngineError),
}

impl From<EngineError> for BackupError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::DiskFull => Self::DiskFull,
            error => Self::Engine(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_a_path_nor_that_of_a_backup_half_made() {
        for name in ["a", "2026-11-22", "before_upgrade.2", "-", "a..b", &"x".repeat(64)] {
            assert_eq!(BackupName::parse(name).unwrap().as_str(), name);
        }
        for name in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "/a",
            "../a",
            "a\\b",
            "a b",
            "a\0",
            "\u{e4}",
            "a.partial",
            &"x".repeat(65),
        ] {
            assert_eq!(BackupName::parse(name), Err(InvalidBackupName), "{name:?}");
        }
    }
}
