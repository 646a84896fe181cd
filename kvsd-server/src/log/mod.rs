//! The log engine: tables on this machine's disk, each an append-only log with an index in memory.
//!
//! One actor per table owns the table's order and is the only one that writes; readers never go
//! through it. What is acknowledged, and when, is the [`SyncPolicy`]'s promise. The engine never
//! sees a connection, a frame or a user.
//!
//! Reading order: `storage` (bytes and files, with an order of its own), `turn` (a batch of
//! writes), `actor` and `pool` (when and where it runs), `table` and `tables` (handles), and the
//! engine itself, here.

mod actor;
mod clock;
mod config;
mod convert;
mod error;
mod pool;
mod storage;
mod table;
mod tables;
mod turn;

#[cfg(test)]
mod tests;

pub use clock::{Clock, SystemClock};
pub use config::{LogConfig, SyncPolicy};
pub use error::OpenError;
#[cfg(feature = "cli")]
pub(crate) use storage::offline;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use kvsd::TableName;

use crate::engine::{
    ChangePage, Changes, Description, Engine, EngineError, PageLimits, Position, ReadNow, Record,
    Scan, ScanPage, Write, WriteResult,
};
use actor::Shared;
use pool::Pool;
use storage::disk::Disk;
use storage::load::TableOptions;
use storage::posix::PosixDisk;
use storage::store::Store;
use tables::Tables;

/// The engine that keeps tables in a folder of this machine.
#[derive(Debug)]
pub struct LogEngine {
    tables: Tables,
    policy: SyncPolicy,
    closed: AtomicBool,
}

impl LogEngine {
    /// Opens a data folder, and makes it if there is none. Reads the hints of all segments, and
    /// repairs what an unclean end has left. Blocks while it does; its tasks belong to the tokio runtime
    /// (with time enabled) that it is called in.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says what is wrong with the folder. Damage to what was durable is never
    /// repaired silently.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn open(config: LogConfig) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(PosixDisk), config, TableOptions::default())
    }

    fn open_on(
        disk: Arc<dyn Disk>,
        config: LogConfig,
        options: TableOptions,
    ) -> Result<Self, OpenError> {
        let runtime = tokio::runtime::Handle::current();
        let policy = config.sync;
        let store = Store::open(disk, &config.data_dir, options)
            .map_err(|error| OpenError::from_store(error, config.data_dir.clone()))?;
        let shared = Arc::new(Shared {
            policy,
            sync_pool: Pool::new("kvsd-sync", config.sync_threads),
            read_pool: Pool::new("kvsd-read", config.read_threads),
            chore_pool: Pool::new("kvsd-chore", 1),
        });
        let tables = Tables::open(store, shared, config.clock, runtime, config.max_tables)?;
        Ok(Self { tables, policy, closed: AtomicBool::new(false) })
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

#[async_trait]
impl Engine for LogEngine {
    fn description(&self) -> Description {
        Description { name: "log", durability: self.policy.name() }
    }

    fn read_now<'b>(&self, table: &str, key: &[u8], buffer: &'b mut Vec<u8>) -> ReadNow<'b> {
        if self.is_closed() {
            return ReadNow::Ready(Err(EngineError::Closed));
        }
        match self.tables.find(table) {
            Some(table) => table.read_now(key, buffer),
            None => ReadNow::Ready(Ok(None)),
        }
    }

    async fn read(&self, table: &str, key: &[u8]) -> Result<Option<Record>, EngineError> {
        if self.is_closed() {
            return Err(EngineError::Closed);
        }
        match self.tables.find(table) {
            Some(table) => table.read(key).await,
            None => Ok(None),
        }
    }

    async fn scan(&self, table: &str, scan: &Scan) -> Result<ScanPage, EngineError> {
        if self.is_closed() {
            return Err(EngineError::Closed);
        }
        match self.tables.find(table) {
            Some(table) => table.scan(scan).await,
            None => Ok(ScanPage::default()),
        }
    }

    async fn changes(
        &self,
        table: &str,
        since: Position,
        limits: PageLimits,
    ) -> Result<Changes, EngineError> {
        if self.is_closed() {
            return Err(EngineError::Closed);
        }
        match self.tables.find(table) {
            Some(table) => table.changes(since, limits).await,
            // Nothing is where every table begins.
            None if since == NOTHING => Ok(Changes::Page(ChangePage::empty(NOTHING))),
            None => Ok(Changes::Gap { now: NOTHING }),
        }
    }

    async fn write(&self, table: &TableName, writes: Vec<Write>) -> Vec<WriteResult> {
        if self.is_closed() {
            return vec![Err(EngineError::Closed); writes.len()];
        }
        match self.tables.find_or_create(table).await {
            Ok(table) => table.write(writes).await,
            Err(error) => vec![Err(error); writes.len()],
        }
    }

    async fn close(&self) -> Result<(), EngineError> {
        self.closed.store(true, Ordering::Release);
        self.tables.close().await
    }
}

/// Where a table is that does not exist.
const NOTHING: Position = Position { incarnation: None, version: 0 };
