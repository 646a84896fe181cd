//! The seam between sessions and storage.
//!
//! A session knows tables, keys and batches of writes; an engine knows how they are kept. Whatever
//! a session does to data goes through [`Engine`], and everything that changes data goes through
//! its one atomic primitive, [`Engine::write`]. The engine never sees a connection, a frame or a
//! user. Next file to read: [`crate::log`], the engine that ships.

mod changes;
mod error;
mod scan;
mod write;

use async_trait::async_trait;
use bytes::Bytes;
use kvsd::{TableName, UnixMillis, Version};

pub use changes::{ChangePage, Changed, Changes, Position};
pub use error::EngineError;
pub use scan::{Order, PageLimits, Scan, ScanDetail, ScanPage, ScanRecord};
pub use write::{Action, Before, BeforeDetail, Change, Condition, Write, WriteResult, Written};

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

    /// Reads a page of a table in the order of its keys: what stands at one moment, later than
    /// every write that was answered before. A table that does not exist has no records.
    async fn scan(&self, table: &str, scan: &Scan) -> Result<ScanPage, EngineError>;

    /// Reads what has changed in a table since a position, at most some of it; answers at once,
    /// even if that is nothing. A table that does not exist has not changed.
    async fn changes(
        &self,
        table: &str,
        since: Position,
        limits: PageLimits,
    ) -> Result<Changes, EngineError>;

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
