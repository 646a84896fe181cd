//! The log engine: tables on this machine's disk, each an append-only log with an index in memory.
//!
//! One actor per table owns the table's order and is the only one that writes; readers never go
//! through it. What is acknowledged, and when, is the [`SyncPolicy`]'s promise. The engine never
//! sees a connection, a frame or a user.
//!
//! Reading order: `storage` (bytes and files, with an order of its own), `turn` and `check` (a batch
//! of writes), `submission`, `actor` and `pool` (when and where it runs), `table`, `opening` and
//! `tables` (handles), `firsts`, `backup`, and the engine itself, here.

mod actor;
mod backup;
mod check;
mod clock;
mod config;
mod convert;
mod counts;
mod error;
mod firsts;
mod opening;
mod pool;
mod storage;
mod submission;
mod table;
mod tables;
mod turn;

#[cfg(test)]
mod tests;

pub use clock::{Clock, SystemClock};
pub use config::{LogConfig, SyncPolicy, TableCreation};
pub use error::OpenError;
pub use opening::OpenProgress;
#[cfg(feature = "cli")]
pub(crate) use storage::offline;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use kvsd::{TableName, UnixMillis};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use crate::engine::{
    BackupError, BackupName, BackupProgress, BackupSummary, CacheFigures, ChangePage, Changes,
    CompactError, CompactSummary, Description, Engine, EngineError, Figures, Freshness, Head,
    Limits, PageLimits, Position, ReadNow, Record, Scan, ScanPage, TableStatistics, Write,
    WriteResult,
};
use actor::Shared;
use backup::Backups;
use convert::on_nothing;
use firsts::Firsts;
use pool::Pool;
use storage::cache::{Cache, CacheTally};
use storage::disk::Disk;
use storage::load::TableOptions;
use storage::posix::PosixDisk;
use storage::store::Store;
use storage::writer::Room;
use submission::{Answer, HandedIn};
use table::Table;
use tables::Tables;

/// The engine that keeps tables in a folder of this machine.
pub struct LogEngine {
    tables: Tables,
    backups: Backups,
    cache: Arc<Cache>,
    policy: SyncPolicy,
    creation: TableCreation,
    firsts: Firsts,
    /// Held by the compaction that somebody has asked for.
    compaction: Arc<Mutex<()>>,
    runtime: Handle,
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
        let disk = PosixDisk::new(config.open_files);
        let options = TableOptions {
            retention: config.retention(),
            cache: Arc::new(Cache::new(config.cache_bytes)),
            ..TableOptions::default()
        };
        Self::open_on(Arc::new(disk), config, options)
    }

    fn open_on(
        disk: Arc<dyn Disk>,
        config: LogConfig,
        options: TableOptions,
    ) -> Result<Self, OpenError> {
        let runtime = Handle::current();
        let policy = config.sync;
        let room = match policy {
            SyncPolicy::Always => Room::Zeroed,
            SyncPolicy::Interval(_) | SyncPolicy::Never => Room::Reserved,
        };
        let options = TableOptions { room, ..options };
        let cache = Arc::clone(&options.cache);
        let store = Store::open(Arc::clone(&disk), &config.data_dir, options)
            .map_err(|error| OpenError::from_store(error, config.data_dir.clone()))?;
        let shared = Arc::new(Shared {
            policy,
            most_write_bytes: config.most_write_bytes(),
            counts: Arc::default(),
            sync_pool: Pool::new("kvsd-sync", config.sync_threads),
            read_pool: Pool::new("kvsd-read", config.read_threads),
            chore_pool: Pool::new("kvsd-chore", 1),
            catalog_pool: Pool::new("kvsd-catalog", 1),
        });
        let tables = Tables::open(store, shared, &config, runtime.clone())?;
        let backups = Backups::new(disk, config.backups, tables.clone(), runtime.clone());
        Ok(Self {
            tables,
            backups,
            cache,
            policy,
            creation: config.table_creation,
            firsts: Firsts::default(),
            compaction: Arc::default(),
            runtime,
            closed: AtomicBool::new(false),
        })
    }

    /// Hands in writes for a table, in the order in which a task does so.
    async fn hand_in(&self, name: &TableName, writes: Vec<Write>) -> HandedIn {
        if self.is_closed() {
            return HandedIn::Answered(Answer::all(&EngineError::Closed, writes.len()));
        }
        // Whoever was here before, and has not handed in yet, comes first.
        if !self.firsts.has(name)
            && let Some(table) = self.tables.find(name.as_str())
        {
            return table.hand_in(writes).await;
        }
        let _turn = self.firsts.turn(name).await;
        match self.table_for(name, &writes).await {
            Ok(Some(table)) => table.hand_in(writes).await,
            Ok(None) => HandedIn::Answered(Answer {
                results: writes.iter().filter_map(on_nothing).map(Ok).collect(),
                left: Vec::new(),
            }),
            Err(error) => HandedIn::Answered(Answer::all(&error, writes.len())),
        }
    }

    /// The table that these writes are for, which was not there; `None` if it still is not and they
    /// write nothing.
    async fn table_for(
        &self,
        name: &TableName,
        writes: &[Write],
    ) -> Result<Option<Arc<Table>>, EngineError> {
        if let Some(table) = self.tables.find(name.as_str()) {
            return Ok(Some(table));
        }
        match self.creation {
            TableCreation::OnWrite if writes.iter().all(|write| on_nothing(write).is_some()) => {
                Ok(None)
            }
            TableCreation::OnWrite => self.tables.find_or_create(name).await.map(Some),
            TableCreation::OnRequest => Err(EngineError::UnknownTable { table: name.to_string() }),
        }
    }

    /// Waits until there is a table of this name.
    async fn made(&self, name: &str) {
        loop {
            let woken = self.tables.made().notified();
            // After the line above, so that nothing happens unseen between the look and the wait.
            if self.is_closed() || self.tables.find(name).is_some() {
                return;
            }
            woken.await;
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// Shows how it is set up, never what it holds: that may end up in a log.
impl fmt::Debug for LogEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogEngine")
            .field("policy", &self.policy)
            .field("creation", &self.creation)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Engine for LogEngine {
    fn description(&self) -> Description {
        Description {
            name: "log",
            durability: self.policy.name(),
            limits: Limits::NONE,
            reads_at_once: 1,
        }
    }

    fn time(&self, table: &str) -> UnixMillis {
        self.tables.time(table)
    }

    fn read_now<'b>(&self, table: &str, key: &[u8], buffer: &'b mut Vec<u8>) -> ReadNow<'b> {
        if self.is_closed() {
            return ReadNow::Ready(Err(EngineError::Closed));
        }
        let found = self.tables.look(table, |table| table.read_now(key, buffer));
        found.unwrap_or(ReadNow::Ready(Ok(None)))
    }

    fn look_ahead(&self, table: &str, keys: &mut dyn Iterator<Item = &[u8]>) {
        self.tables.look(table, |table| table.look_ahead(keys));
    }

    /// The latest is always at hand.
    async fn read(
        &self,
        table: &str,
        key: &[u8],
        _: Freshness,
    ) -> Result<Option<Record>, EngineError> {
        if self.is_closed() {
            return Err(EngineError::Closed);
        }
        match self.tables.find(table) {
            Some(table) => table.read(key).await,
            None => Ok(None),
        }
    }

    fn find_now(
        &self,
        table: &str,
        key: &[u8],
        buffer: &mut Vec<u8>,
    ) -> Option<Result<Option<Head>, EngineError>> {
        if self.is_closed() {
            return Some(Err(EngineError::Closed));
        }
        let found = self.tables.look(table, |table| table.find_now(key, buffer));
        found.unwrap_or(Some(Ok(None)))
    }

    async fn find(
        &self,
        table: &str,
        key: &[u8],
        _: Freshness,
    ) -> Result<Option<Head>, EngineError> {
        if self.is_closed() {
            return Err(EngineError::Closed);
        }
        match self.tables.find(table) {
            Some(table) => table.find(key).await,
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

    async fn changed(&self, table: &str, since: Position) {
        // Who writes is answered before those who wait are woken, and they may have come in between.
        loop {
            let Some(table) = self.tables.find(table) else {
                if since == NOTHING {
                    self.made(table).await;
                }
                return;
            };
            let published = Arc::clone(table.published());
            let woken = published.notified();
            // After the line above, so that nothing happens unseen between the look and the wait.
            if self.is_closed() || table.has_changed(since) {
                return;
            }
            // Its files must be free to go if it is dropped meanwhile.
            drop(table);
            woken.await;
        }
    }

    async fn write(&self, table: &TableName, writes: Vec<Write>) -> Vec<WriteResult> {
        let mut results = Vec::new();
        let mut left = writes;
        loop {
            let answer = self.hand_in(table, left).await.answer().await;
            results.extend(answer.results);
            // What a table has left when it was dropped is carried out on the next of its name.
            left = answer.left;
            if left.is_empty() {
                return results;
            }
        }
    }

    async fn create_table(&self, table: &TableName) -> Result<bool, EngineError> {
        if self.is_closed() {
            return Err(EngineError::Closed);
        }
        let (_, found) = self.tables.create(table).await?;
        Ok(found == tables::Found::Now)
    }

    async fn drop_table(&self, table: &TableName) -> Result<bool, EngineError> {
        if self.is_closed() {
            return Err(EngineError::Closed);
        }
        self.tables.drop_table(table).await
    }

    async fn tables(&self) -> Result<Vec<TableName>, EngineError> {
        if self.is_closed() {
            return Err(EngineError::Closed);
        }
        Ok(self.tables.names())
    }

    async fn table_statistics(&self, table: &str) -> Result<Option<TableStatistics>, EngineError> {
        if self.is_closed() {
            return Err(EngineError::Closed);
        }
        Ok(self.tables.find(table).map(|table| table.statistics()))
    }

    fn figures(&self) -> Figures {
        let CacheTally { hits, misses, bytes } = self.cache.tally();
        Figures { cache: CacheFigures { hits, misses, bytes }, ..self.tables.figures() }
    }

    async fn backup(
        &self,
        name: &BackupName,
        progress: &Arc<BackupProgress>,
    ) -> Result<BackupSummary, BackupError> {
        if self.is_closed() {
            return Err(EngineError::Closed.into());
        }
        self.backups.make(name, progress).await
    }

    async fn compact(&self, table: &str) -> Result<Option<CompactSummary>, CompactError> {
        if self.is_closed() {
            return Err(EngineError::Closed.into());
        }
        let turn = Arc::clone(&self.compaction);
        let turn = turn.try_lock_owned().map_err(|_| CompactError::Busy)?;
        let Some(table) = self.tables.find(table) else {
            return Ok(None);
        };
        // A task, so that there is no second one beside it if the caller goes away.
        let cleared = self.runtime.spawn(async move {
            let cleared = table.clear().await;
            drop(turn);
            cleared
        });
        cleared.await.unwrap_or(Err(EngineError::Closed)).map_err(CompactError::from)
    }

    async fn close(&self) -> Result<(), EngineError> {
        self.closed.store(true, Ordering::Release);
        self.tables.wake_all();
        self.backups.close().await;
        self.tables.close().await
    }
}

/// Where a table is that does not exist.
const NOTHING: Position = Position { incarnation: None, version: 0 };
