//! The engine that keeps its data in an etcd cluster: a front end has nothing of its own.
//!
//! Every call goes to etcd; several front ends on one cluster serve the same tables. It gives
//! availability and many front ends, not capacity: what etcd can hold and write is the limit.
//! docs/etcd.md is for who runs it.
//!
//! | file | owns |
//! |---|---|
//! | `config` | what it is opened with |
//! | `layout` | keys and values as bytes |
//! | `link` | calls to the members, their time, their faults |
//! | `once` | changes that are made once, however often they are sent |
//! | `directory` | tables and their names |
//! | `read`, `reply` | point reads, together |
//! | `scan` | pages |
//! | `migrate` | another engine's tables, moved here |
//! | `users` | who may log in, for all front ends |
//! | `changes` | watches |
//! | `presence`, `health`, `pulse` | who else is there, and what is wrong |
//! | `lease`, `caretaker` | what no request does: expiry, dropped tables, history |
//! | `write` | writes, in groups |
//!
//! Next file to read: `config`.

mod caretaker;
mod changes;
#[cfg(test)]
#[path = "../../tests/etcd/cluster.rs"]
pub(crate) mod cluster;
mod config;
mod directory;
mod error;
mod health;
mod layout;
mod lease;
mod link;
#[cfg(test)]
mod lossy;
mod migrate;
mod once;
mod presence;
mod pulse;
mod read;
#[cfg(test)]
mod read_tests;
mod reply;
mod scan;
mod users;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use kvsd::{TableName, UnixMillis};

pub use config::{Credentials, EtcdConfig, Identity};
pub use error::EtcdError;
pub use migrate::{MigrateError, MigratedTable, MigrationProgress, migrate};
pub(crate) use users::EtcdUsers;

use crate::engine::{
    Changes, Description, Engine, EngineError, Figures, Freshness, Head, Health, Limits,
    PageLimits, Position, ReadNow, Record, RemoteFigures, Scan, ScanPage, TableStatistics, Write,
    WriteResult,
};
use caretaker::Caretaker;
use changes::{FollowerLimits, Followers};
use directory::Directory;
use health::Watchman;
use layout::Layout;
use link::Link;
use presence::Presence;
use read::Reader;
use scan::Scanner;
use write::{Writer, WriterConfig};

/// The engine on an etcd cluster.
#[derive(Debug)]
pub struct EtcdEngine {
    config: EtcdConfig,
    link: Arc<Link>,
    layout: Layout,
    directory: Arc<Directory>,
    reader: Reader,
    scanner: Scanner,
    followers: Followers,
    caretaker: Caretaker,
    presence: Presence,
    watchman: Watchman,
    writer: Writer,
    closed: AtomicBool,
}

impl EtcdEngine {
    /// Connects to a cluster.
    ///
    /// # Errors
    ///
    /// [`EtcdError`], the first time that no member has answered within the timeout.
    pub async fn open(config: EtcdConfig) -> Result<Self, EtcdError> {
        let link = Arc::new(Link::open(&config).await?);
        let layout = Layout::new(&config.prefix);
        let directory =
            Arc::new(Directory::new(Arc::clone(&link), layout.clone(), config.max_tables));
        let reader = Reader::start(&link, &layout, &directory, &config.clock);
        let scanner = Scanner {
            link: Arc::clone(&link),
            layout: layout.clone(),
            directory: Arc::clone(&directory),
            clock: Arc::clone(&config.clock),
        };
        let followers =
            Followers::new(Arc::clone(&link), layout.clone(), FollowerLimits::default());
        let front_end = getrandom::u64().map_err(|_| EtcdError::NoRandomNumbers)?;
        let caretaker = Caretaker::start(caretaker::Parts {
            link: Arc::clone(&link),
            layout: layout.clone(),
            clock: Arc::clone(&config.clock),
            front_end,
            history: config.history,
        });
        let presence = Presence::start(presence::Parts {
            link: Arc::clone(&link),
            layout: layout.clone(),
            clock: Arc::clone(&config.clock),
            front_end,
            address: config.address.clone(),
        });
        let others = Arc::clone(presence.others());
        let watchman = Watchman::start(Arc::clone(&link), layout.clone(), others);
        let writer = WriterConfig {
            front_end,
            timeout: config.timeout,
            max_value_bytes: config.max_value_bytes,
            max_tables: config.max_tables,
            clock: Arc::clone(&config.clock),
        };
        let writer =
            Writer::start(Arc::clone(&link), layout.clone(), Arc::clone(&directory), writer);
        let closed = AtomicBool::new(false);
        Ok(Self {
            config,
            link,
            layout,
            directory,
            reader,
            scanner,
            followers,
            caretaker,
            presence,
            watchman,
            writer,
            closed,
        })
    }

    /// That the engine is not closed.
    fn admit(&self) -> Result<(), EngineError> {
        if self.closed.load(Ordering::Acquire) { Err(EngineError::Closed) } else { Ok(()) }
    }

    /// A position as it is told outside, of one from here, and the other way round: with the cluster
    /// in it, for the revisions of a restored one come again.
    fn beyond(&self, position: Position) -> Position {
        let incarnation = position.incarnation.map(|id| id ^ self.link.cluster());
        Position { incarnation, ..position }
    }

    /// Who may log in.
    pub(crate) fn users(&self) -> EtcdUsers {
        EtcdUsers::new(Arc::clone(&self.link), self.layout.clone())
    }
}

#[async_trait]
impl Engine for EtcdEngine {
    fn description(&self) -> Description {
        Description {
            name: "etcd",
            durability: "replicated",
            limits: Limits {
                max_batch: EtcdConfig::MAX_BATCH,
                max_value_bytes: self.config.max_value_bytes,
                max_write_bytes: EtcdConfig::MAX_WRITE_BYTES,
            },
            reads_at_once: read::MOST_READS,
        }
    }

    fn time(&self, _: &str) -> UnixMillis {
        self.config.clock.now()
    }

    /// etcd is asked for everything.
    fn read_now<'b>(&self, _: &str, _: &[u8], _: &'b mut Vec<u8>) -> ReadNow<'b> {
        ReadNow::WouldBlock
    }

    async fn read(
        &self,
        table: &str,
        key: &[u8],
        freshness: Freshness,
    ) -> Result<Option<Record>, EngineError> {
        self.admit()?;
        self.reader.read(table, key, freshness).await
    }

    async fn read_several(
        &self,
        table: &str,
        keys: &[Bytes],
        freshness: Freshness,
    ) -> Vec<Result<Option<Record>, EngineError>> {
        if let Err(closed) = self.admit() {
            return vec![Err(closed); keys.len()];
        }
        self.reader.read_several(table, keys, freshness).await
    }

    fn find_now(
        &self,
        _: &str,
        _: &[u8],
        _: &mut Vec<u8>,
    ) -> Option<Result<Option<Head>, EngineError>> {
        None
    }

    async fn find(
        &self,
        table: &str,
        key: &[u8],
        freshness: Freshness,
    ) -> Result<Option<Head>, EngineError> {
        self.admit()?;
        let found = self.reader.read(table, key, freshness).await?;
        Ok(found.map(|Record { version, expires_at, .. }| Head { version, expires_at }))
    }

    async fn scan(&self, table: &str, scan: &Scan) -> Result<ScanPage, EngineError> {
        self.admit()?;
        self.scanner.scan(table, scan).await
    }

    async fn changes(
        &self,
        table: &str,
        since: Position,
        limits: PageLimits,
    ) -> Result<Changes, EngineError> {
        self.admit()?;
        let since = self.beyond(since);
        Ok(match self.followers.changes(table, since, limits).await? {
            Changes::Page(page) => {
                let until = self.beyond(page.until());
                Changes::Page(page.named(until))
            }
            Changes::Gap { now } => Changes::Gap { now: self.beyond(now) },
        })
    }

    async fn changed(&self, table: &str, since: Position) {
        self.followers.changed(table, self.beyond(since)).await;
    }

    async fn write(&self, table: &TableName, writes: Vec<Write>) -> Vec<WriteResult> {
        self.writer.write(table, writes).await
    }

    async fn create_table(&self, table: &TableName) -> Result<bool, EngineError> {
        self.admit()?;
        self.directory.create(table).await
    }

    async fn drop_table(&self, table: &TableName) -> Result<bool, EngineError> {
        self.admit()?;
        self.directory.drop_table(table).await
    }

    async fn tables(&self) -> Result<Vec<TableName>, EngineError> {
        self.admit()?;
        self.directory.names().await
    }

    async fn table_statistics(&self, table: &str) -> Result<Option<TableStatistics>, EngineError> {
        self.admit()?;
        let statistics = self.directory.statistics(table).await?;
        Ok(statistics
            .map(|of| TableStatistics { incarnation: of.incarnation ^ self.link.cluster(), ..of }))
    }

    fn figures(&self) -> Figures {
        let (survey, others) = (self.watchman.survey(), self.presence.others());
        let calls = self.link.pulse().counts();
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let done = self.caretaker.counts();
        let remote = RemoteFigures {
            members: self.link.members() as u64,
            reachable: survey.reachable() as u64,
            knows_leader: survey.knows_leader(),
            bytes: survey.bytes(),
            calls_answered: calls.answered,
            calls_failed: calls.failed,
            calls_retried: calls.retried,
            front_ends: others.count() as u64 + 1,
            skew_millis: others.farthest_millis(),
            is_caretaker: done.is_caretaker.load(Ordering::Relaxed),
            swept: count(&done.swept),
            cleared: count(&done.cleared),
            compactions: count(&done.compactions),
        };
        Figures { remote: Some(remote), ..Figures::default() }
    }

    fn health(&self) -> Health {
        if self.writer.has_failed() {
            let reason =
                "the task that writes has failed; restart this server, and tell us".to_owned();
            return Health::NotReady { reason };
        }
        self.watchman.health()
    }

    async fn close(&self) -> Result<(), EngineError> {
        self.closed.store(true, Ordering::Release);
        self.followers.close();
        self.writer.close().await;
        self.watchman.close();
        tokio::join!(self.caretaker.close(), self.presence.close());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::changes::tests::fixture::{NO_LIMITS, Store, gap, page};
    use super::*;

    #[tokio::test]
    async fn a_position_of_another_cluster_is_a_gap_although_its_revision_was_passed() {
        let mut before: Option<Position> = None;
        for writes in [1, 5] {
            let Some(mut store) = Store::start().await else { return };
            // As in a restored cluster, the table has the same id.
            store.make_table("t", 7).await;
            for _ in 0..writes {
                store.set(7, "k", b"v").await;
            }
            let endpoint = format!("http://{}", store.cluster.endpoint(0));
            let engine = EtcdEngine::open(EtcdConfig::new(vec![endpoint])).await.unwrap();
            let start = Position { incarnation: None, version: 0 };
            let here = page(engine.changes("t", start, NO_LIMITS).await.unwrap()).until();
            let incarnation = engine.table_statistics("t").await.unwrap().unwrap().incarnation;
            assert_eq!(here.incarnation, Some(incarnation));
            let next = page(engine.changes("t", here, NO_LIMITS).await.unwrap()).until();
            assert_eq!(next.incarnation, here.incarnation);
            if let Some(before) = before {
                assert!(before.version < here.version && before.incarnation != here.incarnation);
                let now = gap(engine.changes("t", before, NO_LIMITS).await.unwrap());
                assert_eq!(now.incarnation, here.incarnation);
            }
            before = Some(here);
        }
    }
}
