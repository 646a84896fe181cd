//! Compaction on request: what it has freed, and why it has not.

use thiserror::Error;

use super::EngineError;

/// A table that was compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactSummary {
    /// By how many bytes its files are shorter.
    pub freed_bytes: u64,
    /// The dead bytes that had to stay: what watches may still ask for, and what holds the records
    /// together.
    pub dead_bytes: u64,
}

/// Why a table was not compacted, or not as far as it could be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CompactError {
    /// The engine does not do it on request.
    #[error("this engine compacts nothing on request")]
    Unsupported,
    /// It is doing so already.
    #[error("a table is being compacted on request; try again when that is done")]
    Busy,
    /// The disk has no room for a copy of what is still needed.
    #[error("the disk is full: not all of the garbage could be freed; make some room first")]
    DiskFull,
    /// Something else is in the way: a table that takes no more writes, damage, a disk that fails,
    /// or the engine is closing. What could be freed is free.
    #[error("not all of the garbage could be freed: {0}")]
    Engine(EngineError),
}

impl From<EngineError> for CompactError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::DiskFull => Self::DiskFull,
            error => Self::Engine(error),
        }
    }
}
