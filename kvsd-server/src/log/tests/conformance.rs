//! The cases that every engine passes, on a real folder and on the simulated disk.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kvsd::TableName;
use tempfile::TempDir;

use crate::engine::Engine;
use crate::engine::conformance::{
    Bytes, Creation, Differences, Ending, Fixture, History, Pages, Setup, TestClock, Versions,
    conformance,
};
use crate::log::storage::cache::Cache;
use crate::log::storage::index::HashBits;
use crate::log::storage::load::TableOptions;
use crate::log::storage::rotation::{Limits, Retention};
use crate::log::storage::sim::SimDisk;
use crate::log::{LogConfig, LogEngine, OpenError};

mod on_a_folder {
    super::conformance!();

    async fn open() -> Option<Box<dyn super::Fixture>> {
        let folder = tempfile::tempdir().unwrap();
        Some(super::Opened::on(super::Ground::Folder(folder)).await)
    }
}

mod on_the_simulated_disk {
    super::conformance!();

    async fn open() -> Option<Box<dyn super::Fixture>> {
        let disk = super::SimDisk::new(1);
        // Some reads find what they look for in memory, and some must wait.
        disk.set_uncached_percent(30);
        Some(super::Opened::on(super::Ground::Simulated(disk)).await)
    }
}

/// An engine that is open, unless it is on its way from one end to the next beginning.
struct Opened {
    engine: Option<Arc<LogEngine>>,
    ground: Ground,
    clock: TestClock,
}

/// What the engine stands on.
enum Ground {
    /// The engine is set up as it is for a server.
    Folder(TempDir),
    /// Its segments are small, and its hashes collide.
    Simulated(SimDisk),
}

impl Opened {
    async fn on(ground: Ground) -> Box<dyn Fixture> {
        let mut opened = Self { engine: None, ground, clock: TestClock::default() };
        opened.open(Setup::default()).await;
        Box::new(opened)
    }

    fn engine(&self) -> Arc<LogEngine> {
        Arc::clone(self.engine.as_ref().expect("it is open between calls"))
    }

    async fn open(&mut self, setup: Setup) {
        let engine = loop {
            match self.try_open(setup) {
                Ok(engine) => break engine,
                // Whoever was let go of without a word lets go of the folder in a moment.
                Err(OpenError::Locked { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        self.engine = Some(Arc::new(engine));
    }

    fn try_open(&self, setup: Setup) -> Result<LogEngine, OpenError> {
        let Setup { creation, max_tables, history } = setup;
        let history_bytes = match history {
            History::Kept => LogConfig::DEFAULT_HISTORY_BYTES,
            History::Forgotten => 0,
        };
        let config = |data_dir: PathBuf, backups| LogConfig {
            table_creation: creation,
            max_tables,
            history_bytes,
            // The cases let more time go by.
            history_time: Duration::MAX,
            backups: Some(backups),
            clock: Arc::new(self.clock.clone()),
            ..LogConfig::new(data_dir)
        };
        match &self.ground {
            Ground::Folder(folder) => {
                let folder = folder.path();
                LogEngine::open(config(folder.join("data"), folder.join("backups")))
            }
            Ground::Simulated(disk) => {
                let options = TableOptions {
                    limits: Limits { bytes: 16 << 10, ..Limits::default() },
                    retention: Retention { bytes: history_bytes, millis: u64::MAX },
                    hash_bits: HashBits::Eight,
                    cache: Arc::new(Cache::new(64 << 10)),
                    ..TableOptions::default()
                };
                let config = config("/data".into(), "/backups".into());
                LogEngine::open_on(Arc::new(disk.clone()), config, options)
            }
        }
    }
}

#[async_trait]
impl Fixture for Opened {
    /// A folder has one engine.
    fn engines(&self) -> Vec<Arc<dyn Engine>> {
        vec![self.engine()]
    }

    fn clock(&self) -> &TestClock {
        &self.clock
    }

    fn differences(&self) -> Differences {
        Differences {
            versions: Versions::Apart,
            pages: Pages::Moving,
            bytes: Bytes::Counted,
            creation: Creation::SetUp,
        }
    }

    async fn reopen(&mut self, ending: Ending, setup: Setup) {
        match (ending, &self.ground) {
            (Ending::Closed, _) => self.engine().close().await.unwrap(),
            // The process is gone.
            (Ending::Lost, Ground::Folder(_)) => {}
            // Power fails.
            (Ending::Lost, Ground::Simulated(disk)) => disk.crash(),
        }
        self.engine = None;
        self.open(setup).await;
    }

    async fn forget(&mut self, table: &TableName) {
        let setup = Setup { history: History::Forgotten, ..Setup::default() };
        self.reopen(Ending::Closed, setup).await;
        self.engine().compact(table.as_str()).await.unwrap();
    }
}
