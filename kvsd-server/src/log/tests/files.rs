//! Many tables, few descriptors.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::join_all;
use kvsd::TableName;

use super::set;
use crate::engine::{Engine, Freshness};
use crate::log::storage::load::TableOptions;
use crate::log::storage::posix::PosixDisk;
use crate::log::{LogConfig, LogEngine};

const TABLES: usize = 300;
const OPEN_FILES: usize = 32;

/// How many files of this folder the process has open.
fn open_files(folder: &Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap();
    let targets = links.filter_map(|link| fs::read_link(link.unwrap().path()).ok());
    targets.filter(|target| target.starts_with(folder)).count()
}

fn table(number: usize) -> TableName {
    TableName::parse(&format!("table-{number}")).unwrap()
}

async fn write_all(engine: &LogEngine, value: &str) {
    join_all((0..TABLES).map(|number| write(engine, number, value))).await;
}

async fn write(engine: &LogEngine, number: usize, value: &str) {
    let write = set(b"key", format!("{value} {number}").as_bytes());
    engine.write(&table(number), vec![write]).await.remove(0).unwrap();
}

async fn assert_holds(engine: &LogEngine, value: &str) {
    for number in 0..TABLES {
        let record =
            engine.read(table(number).as_str(), b"key", Freshness::Latest).await.unwrap().unwrap();
        assert_eq!(record.value, format!("{value} {number}").as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_tables_with_data_share_few_descriptors() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let config = LogConfig::new(folder.path());
        let disk = Arc::new(PosixDisk::impatient(OPEN_FILES));
        LogEngine::open_on(disk, config, TableOptions::default()).unwrap()
    };
    let engine = open();
    write_all(&engine, "first").await;
    assert_holds(&engine, "first").await;
    engine.close().await.unwrap();

    // The lock is open beside them.
    let engine = open();
    assert!(open_files(folder.path()) <= OPEN_FILES + 1, "{}", open_files(folder.path()));
    write_all(&engine, "second").await;
    assert_holds(&engine, "second").await;
    // A table that has become idle leaves a commit behind that nothing waits for; it is synced
    // when somebody syncs anyway.
    let mut rounds = 0;
    while open_files(folder.path()) > OPEN_FILES + 2 {
        write(&engine, 0, "second").await;
        rounds += 1;
        assert!(rounds < 50_000, "{} files are open", open_files(folder.path()));
    }
    engine.close().await.unwrap();
    drop(engine);
    assert_eq!(open_files(folder.path()), 0);
    assert_holds(&open(), "second").await;
}
