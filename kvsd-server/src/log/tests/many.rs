//! A thousand tables with data in one engine.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::join_all;
use kvsd::TableName;

use super::{delete, set};
use crate::engine::{Engine, EngineError, Freshness, Write, Written};
use crate::log::storage::load::TableOptions;
use crate::log::storage::sim::SimDisk;
use crate::log::{LogConfig, LogEngine, OpenError, SyncPolicy};

const TABLES: usize = 1_000;
const WRITTEN: usize = 64;
const SYNC_THREADS: usize = 16;

fn table(number: usize) -> TableName {
    TableName::parse(&format!("table-{number}")).unwrap()
}

async fn write(engine: &LogEngine, number: usize, write: Write) -> Result<Written, EngineError> {
    engine.write(&table(number), vec![write]).await.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_tables_are_open_and_64_are_written_at_once_without_a_storm_of_threads() {
    let disk = SimDisk::new(1);
    let open = |sync| {
        let config = LogConfig { sync, sync_threads: SYNC_THREADS, ..LogConfig::new("/data") };
        LogEngine::open_on(Arc::new(disk.clone()), config, TableOptions::default()).unwrap()
    };
    let engine = open(SyncPolicy::Never);
    for part in 0..TABLES / WRITTEN + 1 {
        let numbers = (part * WRITTEN..TABLES).take(WRITTEN);
        let fill = numbers
            .map(|number| write(&engine, number, set(b"key", number.to_string().as_bytes())));
        assert!(join_all(fill).await.iter().all(Result::is_ok));
    }
    engine.close().await.unwrap();
    drop(engine);

    let engine = open(SyncPolicy::Always);
    assert_eq!(engine.tables().await.unwrap().len(), TABLES);
    for round in 0..5_u8 {
        let writes = (0..WRITTEN).map(|number| write(&engine, number, set(b"more", &[round])));
        assert!(join_all(writes).await.iter().all(Result::is_ok));
        let threads = engine.tables.threads();
        assert!(threads <= SYNC_THREADS + 2, "{threads} threads");
    }
    for number in 0..TABLES {
        let record =
            engine.read(table(number).as_str(), b"key", Freshness::Latest).await.unwrap().unwrap();
        assert_eq!(record.value, number.to_string());
        let statistics = engine.table_statistics(table(number).as_str()).await.unwrap().unwrap();
        assert_eq!(statistics.keys, if number < WRITTEN { 2 } else { 1 });
    }
    let deletes = (0..WRITTEN).map(|number| write(&engine, number, delete(b"key")));
    assert!(join_all(deletes).await.iter().all(Result::is_ok));
    let drops: Vec<_> = (0..TABLES).step_by(2).map(table).collect();
    let dropped = join_all(drops.iter().map(|name| engine.drop_table(name))).await;
    assert!(dropped.into_iter().all(|dropped| dropped == Ok(true)));
    engine.close().await.unwrap();
    drop(engine);
    let engine = open(SyncPolicy::Always);
    assert_eq!(engine.tables().await.unwrap().len(), TABLES / 2);
}

#[tokio::test]
async fn of_several_damaged_tables_the_one_with_the_lowest_id_is_named() {
    let disk = SimDisk::new(1);
    let open = || {
        let disk = Arc::new(disk.clone());
        LogEngine::open_on(disk, LogConfig::new("/data"), TableOptions::default())
    };
    let engine = open().unwrap();
    for number in 0..40 {
        write(&engine, number, set(b"key", b"value")).await.unwrap();
    }
    engine.close().await.unwrap();
    let manifest = |id: usize| PathBuf::from(format!("/data/tables/{id:08}/MANIFEST"));
    // The threads find several of them damaged, in any order.
    for id in 30..40 {
        disk.put(&manifest(id), b"rot");
    }
    for _ in 0..200 {
        match open().map(drop) {
            Err(OpenError::Corrupt { file, .. }) => assert_eq!(file, manifest(30)),
            other => panic!("{other:?}"),
        }
    }
}
