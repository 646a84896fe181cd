//! The seam between sessions and storage.
//!
//! A session knows tables, keys and batches of writes; an engine knows how they are kept. Whatever
//! a session does to data goes through [`Engine`], and everything that changes data goes through
//! its one atomic primitive, [`Engine::write`]. The engine never sees a connection, a frame or a
//! user. Next file to read: [`crate::log`], the engine that ships.

use async_trait::async_trait;
use bytes::Bytes;
use kvsd::{TableName, UnixMillis, Version};
use thiserror::Error;

/// Where tables live.
#[async_trait]
pub trait Engine: std::fmt::Debug + Send + Sync + 'static {
    /// What the engine is and promises; the hello announces it.
    fn description(&self) -> Description;

    /// Reads a key without waiting, into `buffer` (which is cleared first): the fast path of a
    /// point read. An expired record is not found.
    fn read_now<'b>(&self, table: &str, key: &[u8], buffer: &'b mut Vec<u8>) -> ReadNow<'b>;

    /// Reads a key, waiting for the disk where [`Engine::read_now`] would not.
    async fn read(&self, table: &str, key: &[u8]) -> Result<Option<Record>, EngineError>;

    /// Carries out writes in their order, each of them atomically and on its own, and answers all
    /// of them together once the durability that the engine promises is reached. A table comes
    /// into being with its first write.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the writes may be carried out even if the future is dropped.
    async fn write(&self, table: &TableName, writes: Vec<Write>) -> Vec<WriteResult>;

    /// Stops taking work, makes everything durable and lets go of the files. Calling it again does
    /// nothing.
    async fn close(&self) -> Result<(), EngineError>;
}

/// What an engine is and promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// The engine's name: `log`.
    pub name: &'static str,
    /// When a write is acknowledged: `always`, `interval` or `never` synced.
    pub durability: &'static str,
}

/// What a read without waiting found.
#[derive(Debug)]
pub enum ReadNow<'b> {
    /// The answer.
    Ready(Result<Option<Found<'b>>, EngineError>),
    /// Only the disk knows: ask [`Engine::read`].
    WouldBlock,
}

/// A record whose value stands in the caller's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'b> {
    /// The write that made it.
    pub version: Version,
    /// When it ends.
    pub expires_at: Option<UnixMillis>,
    /// The value.
    pub value: &'b [u8],
}

/// A record that owns its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The write that made it.
    pub version: Version,
    /// When it ends.
    pub expires_at: Option<UnixMillis>,
    /// The value.
    pub value: Bytes,
}

/// One atomic write: every condition holds and every action is carried out under one version, or
/// nothing happens. Names a key at most once.
#[derive(Debug, Clone)]
pub struct Write {
    /// What changes, at least one entry.
    pub changes: Vec<Change>,
    /// What the answer tells of the records before.
    pub before: BeforeDetail,
}

/// One key's part of a write.
#[derive(Debug, Clone)]
pub struct Change {
    /// The key, checked by [`kvsd::types::check_key`].
    pub key: Bytes,
    /// What must hold for the write to happen.
    pub condition: Condition,
    /// What to do.
    pub action: Action,
}

/// What must hold of a key. An expired record counts as absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Any,
    /// There is no record.
    Absent,
    /// There is a record.
    Present,
    /// The record is the one that this write made.
    Version(Version),
}

/// What to do with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Store a value, which ends at `expires_at` if that is given.
    Set {
        /// The value, at most the server's limit.
        value: Bytes,
        /// When it ends.
        expires_at: Option<UnixMillis>,
    },
    /// Remove the record. Without one, nothing is written.
    Delete,
}

/// How much a write's answer tells of the records before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeforeDetail {
    /// Whether there was one.
    Presence,
    /// The whole record.
    Record,
}

/// What stood at a key before a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// No record.
    Absent,
    /// A record ([`BeforeDetail::Presence`]).
    Present,
    /// This record ([`BeforeDetail::Record`]).
    Record(Record),
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It happened.
    Applied {
        /// The version it got; `None` if nothing had to be written (a delete without a record).
        version: Option<Version>,
        /// What stood there before, in the order of the changes.
        before: Vec<Before>,
    },
    /// A condition does not hold; nothing happened.
    Conflict {
        /// Which change, by its place.
        change: usize,
        /// The version of that key's record; `None` if there is none.
        current: Option<Version>,
    },
}

/// The answer to one write.
pub type WriteResult = Result<Written, EngineError>;

/// Why an engine did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Stored bytes are damaged. Never read as "not found".
    #[error("table {table}: stored data is damaged at {place}; run `kvsd-server verify`")]
    Corrupt {
        /// The table.
        table: String,
        /// File and offset.
        place: String,
    },
    /// No room; nothing was written. Deletes still work.
    #[error("the disk is full; nothing was written; free some space or delete keys")]
    DiskFull,
    /// A failed sync or write has stopped all writing to the table; reads go on.
    #[error("table {table} takes no writes since an I/O error ({cause}); restart the server")]
    ReadOnly {
        /// The table.
        table: String,
        /// The error that stopped it.
        cause: String,
    },
    /// The write was sent to the disk and its sync failed: it may or may not survive.
    #[error("the write's outcome is unknown: {cause}")]
    UnknownOutcome {
        /// What failed.
        cause: String,
    },
    /// There is no room for another table; nothing was written.
    #[error("there are {limit} tables already, and no more are allowed")]
    TooManyTables {
        /// The most tables there may be.
        limit: usize,
    },
    /// The engine is closed or closing; nothing was done.
    #[error("the server is shutting down")]
    Closed,
    /// Another I/O error; nothing was written.
    #[error("{context}: {cause}")]
    Io {
        /// What was being done.
        context: String,
        /// The system's error.
        cause: String,
    },
}
