//! The engine as its callers see it, on the simulated disk and on the real one.

mod actions;
mod faults;
mod folder;
mod reads;
mod syncs;
mod tables;
mod waits;
mod writes;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::join_all;
use kvsd::{TableName, UnixMillis, Version};

use super::{ManualClock, delete, one, set};
use crate::engine::{
    Action, Before, BeforeDetail, Condition, Engine, EngineError, Freshness, ReadNow, Record,
    TableStatistics, Write, Written,
};
use crate::log::storage::load::TableOptions;
use crate::log::storage::posix::PosixDisk;
use crate::log::storage::rotation::Limits;
use crate::log::storage::sim::{Fault, SimDisk};
use crate::log::{LogConfig, LogEngine, OpenError, SyncPolicy, TableCreation};

fn table() -> TableName {
    TableName::default()
}

fn open_on(disk: &SimDisk, sync: SyncPolicy) -> LogEngine {
    let config = LogConfig { sync, ..LogConfig::new("/data") };
    LogEngine::open_on(Arc::new(disk.clone()), config, TableOptions::default()).unwrap()
}

fn open(disk: &SimDisk) -> LogEngine {
    open_on(disk, SyncPolicy::Always)
}

async fn write(engine: &LogEngine, write: Write) -> Result<Written, EngineError> {
    engine.write(&table(), vec![write]).await.remove(0)
}

async fn version_of(engine: &LogEngine, change: Write) -> u64 {
    match write(engine, change).await {
        Ok(Written::Applied { version: Some(version), .. }) => version.get(),
        other => panic!("not applied: {other:?}"),
    }
}

async fn read(engine: &LogEngine, key: &[u8]) -> Option<Bytes> {
    engine.read("default", key, Freshness::Latest).await.unwrap().map(|record| record.value)
}
