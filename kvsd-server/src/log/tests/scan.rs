//! Scans through the engine: order, ranges, pages, and what moves meanwhile.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use kvsd::{TableName, UnixMillis};

use super::{ManualClock, delete, one, set};
use crate::engine::{
    Action, Condition, Engine, Freshness, Order, PageLimits, Scan, ScanDetail, Write, Written,
};
use crate::log::storage::load::TableOptions;
use crate::log::storage::posix::PosixDisk;
use crate::log::storage::rotation::{Limits, Retention};
use crate::log::{LogConfig, LogEngine, SyncPolicy};

const NO_LIMITS: PageLimits = PageLimits { records: 1 << 20, bytes: 1 << 30 };

fn small_segments() -> TableOptions {
    TableOptions {
        limits: Limits { bytes: 8 << 10, ..Limits::default() },
        retention: Retention { bytes: 0, millis: 0 },
        ..TableOptions::default()
    }
}

fn open(config: LogConfig) -> LogEngine {
    let config = LogConfig { sync: SyncPolicy::Never, ..config };
    LogEngine::open_on(Arc::new(PosixDisk::new(4)), config, small_segments()).unwrap()
}

async fn write(engine: &LogEngine, write: Write) {
    let results = engine.write(&TableName::parse("t").unwrap(), vec![write]).await;
    assert!(matches!(results[..], [Ok(Written::Applied { .. })]), "{results:?}");
}

fn all() -> Scan {
    Scan {
        from: Bound::Unbounded,
        to: Bound::Unbounded,
        order: Order::Ascending,
        detail: ScanDetail::Records,
        limits: NO_LIMITS,
        freshness: Freshness::Latest,
        at: None,
    }
}

fn range(from: &[u8], to: &[u8]) -> Scan {
    let bytes = Bytes::copy_from_slice;
    Scan { from: Bound::Included(bytes(from)), to: Bound::Excluded(bytes(to)), ..all() }
}

/// All pages of a scan, and how many there were.
async fn pages(engine: &LogEngine, mut scan: Scan) -> (Vec<(Vec<u8>, Vec<u8>)>, usize) {
    let mut found = Vec::new();
    for count in 1.. {
        let page = engine.scan("t", &scan).await.unwrap();
        assert!(page.len() <= scan.limits.records);
        found.extend(page.iter().map(|record| (record.key.to_vec(), record.value.to_vec())));
        let Some(next) = page.next() else {
            return (found, count);
        };
        match scan.order {
            Order::Ascending => scan.from = Bound::Excluded(next.clone()),
            Order::Descending => scan.to = Bound::Excluded(next.clone()),
        }
    }
    unreachable!("there is an end")
}

async fn scanned(engine: &LogEngine, scan: Scan) -> Vec<(Vec<u8>, Vec<u8>)> {
    pages(engine, scan).await.0
}

/// Some hundred keys over several segments, some of them replaced and some deleted.
async fn fill(engine: &LogEngine) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut expected = BTreeMap::new();
    for number in 0..400_u32 {
        // Not in the order of keys.
        let key = format!("key/{:03}", number * 37 % 300).into_bytes();
        let value = vec![b'v'; number as usize % 150];
        write(engine, set(&key, &value)).await;
        expected.insert(key, value);
        if number % 5 == 0 {
            let key = format!("key/{:03}", number * 11 % 300).into_bytes();
            write(engine, delete(&key)).await;
            expected.remove(&key);
        }
    }
    expected
}

#[tokio::test]
async fn a_scan_tells_every_live_record_in_order_in_pages_of_any_size_and_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = open(LogConfig::new(folder.path()));
    let expected: Vec<_> = fill(&engine).await.into_iter().collect();
    // From memory, and after the start from hints.
    for _ in 0..2 {
        for records in [1, 7, 1000] {
            let limits = PageLimits { records, ..NO_LIMITS };
            let (found, count) = pages(&engine, Scan { limits, ..all() }).await;
            assert_eq!(found, expected);
            assert_eq!(count, expected.len().div_ceil(records).max(1));
            let (mut found, _) =
                pages(&engine, Scan { limits, order: Order::Descending, ..all() }).await;
            found.reverse();
            assert_eq!(found, expected);
        }
        let limits = PageLimits { bytes: 300, ..NO_LIMITS };
        let (found, count) = pages(&engine, Scan { limits, ..all() }).await;
        assert_eq!(found, expected);
        assert!(count > 30, "{count} pages of 300 bytes");
        engine.close().await.unwrap();
        engine = open(LogConfig::new(folder.path()));
    }
}

#[tokio::test]
async fn a_range_has_what_lies_between_its_ends_and_keys_alone_have_no_values() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(LogConfig::new(folder.path()));
    let expected = fill(&engine).await;
    for (from, to) in
        [(&b"key/100"[..], &b"key/2"[..]), (b"key/", b"key0"), (b"a", b"b"), (b"x", b"y")]
    {
        let mut inside: Vec<_> = expected
            .range(from.to_vec()..to.to_vec())
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        assert_eq!(scanned(&engine, range(from, to)).await, inside);
        inside.iter_mut().for_each(|(_, value)| value.clear());
        inside.reverse();
        let keys = Scan { detail: ScanDetail::Keys, order: Order::Descending, ..range(from, to) };
        assert_eq!(scanned(&engine, keys).await, inside);
    }
    // A range that ends before it begins has nothing, and so has a table that does not exist.
    assert_eq!(scanned(&engine, range(b"b", b"a")).await, []);
    assert!(engine.scan("nothing", &all()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_scan_passes_over_what_has_expired() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(1000));
    let config = LogConfig { clock: Arc::clone(&clock) as Arc<_>, ..LogConfig::new(folder.path()) };
    let engine = open(config);
    let ends_at = |key: &[u8], end| {
        let value = Bytes::from_static(b"v");
        one(key, Condition::Any, Action::Set { value, expires_at: UnixMillis::new(end) })
    };
    for (key, end) in [(b"a", 1500), (b"b", 3000), (b"c", 1500)] {
        write(&engine, ends_at(key, end)).await;
    }
    let keys = async || {
        let page = engine.scan("t", &all()).await.unwrap();
        page.iter().map(|record| record.key.to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(keys().await, [b"a", b"b", b"c"]);
    clock.set(2000);
    assert_eq!(keys().await, [b"b"]);
    let page = engine.scan("t", &all()).await.unwrap();
    assert_eq!(page.iter().next().unwrap().expires_at, UnixMillis::new(3000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_beside_writes_and_compaction_tells_every_untouched_key_once() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(LogConfig::new(folder.path()));
    // Even keys are never written again; compaction moves them.
    let untouched: Vec<Vec<u8>> =
        (0..100).step_by(2).map(|number| format!("{number:03}").into_bytes()).collect();
    for number in 0..100 {
        write(&engine, set(format!("{number:03}").as_bytes(), &[1; 100])).await;
    }
    let churn = async {
        for round in 0..60_u8 {
            let write_one = |number: u32| {
                let change = match (number + u32::from(round)) % 7 {
                    0 => delete(format!("{number:03}").as_bytes()),
                    _ => set(format!("{number:03}").as_bytes(), &[round; 100]),
                };
                write(&engine, change)
            };
            join_all((1..100).step_by(2).map(write_one)).await;
        }
    };
    let scans = async {
        for turn in 0_u32.. {
            let order = if turn % 2 == 0 { Order::Ascending } else { Order::Descending };
            let limits = PageLimits { records: 9, ..NO_LIMITS };
            let mut keys: Vec<Vec<u8>> = scanned(&engine, Scan { order, limits, ..all() })
                .await
                .into_iter()
                .map(|(key, _)| key)
                .collect();
            if order == Order::Descending {
                keys.reverse();
            }
            assert!(keys.is_sorted_by(|a, b| a < b), "each key once, in order");
            let is_even = |key: &Vec<u8>| key[2].is_multiple_of(2);
            let found: Vec<Vec<u8>> = keys.into_iter().filter(is_even).collect();
            assert_eq!(found, untouched);
        }
    };
    tokio::select! {
        () = churn => {}
        () = scans => {}
    }
    // Some 300 KB were written into segments of 8 KiB: compaction had to run.
    let table = folder.path().join("tables/00000001");
    let first = table.join("00000001.seg");
    while first.exists() {
        tokio::task::yield_now().await;
    }
}
