//! The seam between sessions and storage.
//!
//! A session knows tables, keys and batches of writes; an engine knows how they are kept. Whatever
//! a session does to data goes through [`Engine`], and everything that changes data goes through
//! its one atomic primitive, [`Engine::write`]. The engine never sees a connection, a frame or a
//! user. Next file to read: [`crate::log`], the engine that ships.

mod backup;
mod changes;
mod compact;
#[cfg(test)]
pub(crate) mod conformance;
mod error;
mod figures;
mod health;
mod scan;
mod shown;
mod table;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use kvsd::{TableName, UnixMillis, Version};

pub use backup::{BackupError, BackupName, BackupProgress, BackupSummary, InvalidBackupName};
pub use changes::{ChangePage, Changed, Changes, Position};
pub use compact::{CompactError, CompactSummary};
pub use error::EngineError;
pub use figures::{
    CacheFigures, CompactionFigures, Distribution, Figures, RemoteFigures, TableFigures,
};
pub use health::Health;
pub use scan::{Order, PageLimits, Scan, ScanDetail, ScanPage, ScanRecord};
pub use table::TableStatistics;
pub use write::{
    Action, Before, BeforeDetail, Change, Condition, Few, Write, WriteResult, Written,
};

/// Where tables live.
#[async_trait]
pub trait Engine: std::fmt::Debug + Send + Sync + 'static {
    /// What the engine is and promises; the hello announces it.
    fn description(&self) -> Description;

    /// The time that expiry in a table goes by: a record has ended if it ends then or before.
    fn time(&self, table: &str) -> UnixMillis;

    /// Reads a key without waiting, into `buffer` (which only grows; what it held is lost): the fast
    /// path of a point read. An expired record is not found.
    fn read_now<'b>(&self, table: &str, key: &[u8], buffer: &'b mut Vec<u8>) -> ReadNow<'b>;

    /// Says that [`Engine::read_now`] is about to be asked for these keys, best for some dozens of
    /// them. No answer depends on it: what the answers are made of may be fetched together. Does
    /// nothing where an engine has no use for it.
    fn look_ahead(&self, table: &str, keys: &mut dyn Iterator<Item = &[u8]>) {
        let _ = (table, keys);
    }

    /// Reads a key, waiting for whoever keeps it where [`Engine::read_now`] would not.
    async fn read(
        &self,
        table: &str,
        key: &[u8],
        freshness: Freshness,
    ) -> Result<Option<Record>, EngineError>;

    /// Reads keys of a table, as [`Engine::read`] would one after the other; the answers are in the
    /// order of the keys.
    async fn read_several(
        &self,
        table: &str,
        keys: &[Bytes],
        freshness: Freshness,
    ) -> Vec<Result<Option<Record>, EngineError>> {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.push(self.read(table, key, freshness).await);
        }
        found
    }

    /// As [`Engine::read_now`], without the value, however large that is: `buffer` is room to look
    /// for it. `None` if only the disk knows: ask [`Engine::find`].
    fn find_now(
        &self,
        table: &str,
        key: &[u8],
        buffer: &mut Vec<u8>,
    ) -> Option<Result<Option<Head>, EngineError>>;

    /// As [`Engine::read`], without the value.
    async fn find(
        &self,
        table: &str,
        key: &[u8],
        freshness: Freshness,
    ) -> Result<Option<Head>, EngineError>;

    /// Reads a page of a table in the order of its keys: what stands at one moment, later than
    /// every write that was answered before, unless the scan asks for another. A table that does not
    /// exist has no records.
    ///
    /// # Errors
    ///
    /// [`EngineError::ScanExpired`] if the moment that [`Scan::at`] names cannot be read any more.
    async fn scan(&self, table: &str, scan: &Scan) -> Result<ScanPage, EngineError>;

    /// Reads what has changed in a table since a position, at most some of it; answers at once,
    /// even if that is nothing. A table that does not exist has not changed.
    async fn changes(
        &self,
        table: &str,
        since: Position,
        limits: PageLimits,
    ) -> Result<Changes, EngineError>;

    /// Waits until [`Engine::changes`] may have something to tell behind a position: a write that
    /// readers see, another table of the name, or none any more. Resolves at once if it has, now
    /// and then for nothing, and always when the engine closes.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost and nothing is left behind.
    async fn changed(&self, table: &str, since: Position);

    /// Carries out writes in their order, each of them atomically and on its own, and answers all
    /// of them together once the durability that the engine promises is reached. A table comes
    /// into being with its first write that writes something, unless the engine is set up to refuse
    /// that with [`EngineError::UnknownTable`]. What one task hands in for a table is carried out in
    /// the order in which it does so, even before the answers; what other tasks hand in may come in
    /// between, but for parts of a write.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the writes may be carried out even if the future is dropped.
    async fn write(&self, table: &TableName, writes: Vec<Write>) -> Vec<WriteResult>;

    /// Makes a table without records. The answer is whether it was made now: `false` if it was
    /// there.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the table may be made even if the future is dropped.
    async fn create_table(&self, table: &TableName) -> Result<bool, EngineError>;

    /// Removes a table and all that is in it, for good. The answer is whether there was one. Writes
    /// that are under way meanwhile are carried out before the drop or after it, on a table that
    /// comes into being with them.
    ///
    /// # Errors
    ///
    /// After [`EngineError::UnknownOutcome`] the table is there until the engine is closed, and
    /// takes no more writes. Dropping it can be tried again.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the table may be removed even if the future is dropped.
    async fn drop_table(&self, table: &TableName) -> Result<bool, EngineError>;

    /// The names of all tables, in order.
    async fn tables(&self) -> Result<Vec<TableName>, EngineError>;

    /// How much a table holds; `None` if there is none of this name. Waits for no write.
    async fn table_statistics(&self, table: &str) -> Result<Option<TableStatistics>, EngineError>;

    /// How the engine stands, and what it has done since it was opened. Waits for no write and no
    /// disk; where nothing else is said, it knows nothing.
    fn figures(&self) -> Figures {
        Figures::default()
    }

    /// Whether the engine can serve, and if not, what is wrong. Asks nobody: it is what was known
    /// last.
    fn health(&self) -> Health {
        Health::Ready
    }

    /// Makes a backup of all tables that there are now, under a name that no other has. Each table
    /// is as it stood at one moment between the call and the answer, all that was answered before
    /// the call included; the moments of two tables differ. Writes go on meanwhile.
    ///
    /// # Errors
    ///
    /// [`BackupError`]; where nothing else is said, [`BackupError::Unsupported`].
    ///
    /// # Cancel safety
    ///
    /// Once polled, the backup may be made even if the future is dropped.
    async fn backup(
        &self,
        name: &BackupName,
        progress: &Arc<BackupProgress>,
    ) -> Result<BackupSummary, BackupError> {
        let _ = (name, progress);
        Err(BackupError::Unsupported)
    }

    /// Frees all of a table's garbage that may go, and answers when it is done; what watches may
    /// still ask for stays. `None` if there is no table of this name. Reads and writes go on
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// [`CompactError`]; where nothing else is said, [`CompactError::Unsupported`].
    ///
    /// # Cancel safety
    ///
    /// Once polled, the garbage may be freed even if the future is dropped.
    async fn compact(&self, table: &str) -> Result<Option<CompactSummary>, CompactError> {
        let _ = table;
        Err(CompactError::Unsupported)
    }

    /// Stops taking work, makes everything durable and lets go of the files. Calling it again does
    /// nothing.
    async fn close(&self) -> Result<(), EngineError>;
}

/// What an engine is and promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// The engine's name: `log`, `etcd`.
    pub name: &'static str,
    /// When a write is acknowledged: `always`, `interval` or `never` synced, or `replicated`.
    pub durability: &'static str,
    /// What it takes at most, where that is less than the server does.
    pub limits: Limits,
    /// How many reads it is best asked for together, with [`Engine::read_several`]; 1 where that
    /// gains nothing.
    pub reads_at_once: usize,
}

/// What an engine takes at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The changes of one write.
    pub max_batch: usize,
    /// The bytes of a value.
    pub max_value_bytes: usize,
    /// The bytes of the keys and values of one write.
    pub max_write_bytes: usize,
}

impl Limits {
    /// No limits but the server's.
    pub const NONE: Self =
        Self { max_batch: usize::MAX, max_value_bytes: usize::MAX, max_write_bytes: usize::MAX };
}

/// How old what a read finds may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Freshness {
    /// Every write that was answered before is seen.
    #[default]
    Latest,
    /// What stood some time ago will do, if it is had more cheaply or while the latest cannot be
    /// had.
    Stale,
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
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Found<'b> {
    /// The write that made it.
    pub version: Version,
    /// When it ends.
    pub expires_at: Option<UnixMillis>,
    /// The value.
    pub value: &'b [u8],
}

/// A record without its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The write that made it.
    pub version: Version,
    /// When it ends.
    pub expires_at: Option<UnixMillis>,
}

/// A record that owns its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The write that made it.
    pub version: Version,
    /// When it ends.
    pub expires_at: Option<UnixMillis>,
    /// The value.
    pub value: Bytes,
}
