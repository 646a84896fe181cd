//! The history of a table: every change once and in order, or a gap that says so.

use std::sync::Arc;

use bytes::Bytes;
use kvsd::{TableName, UnixMillis};

use super::{delete, one, set};
use crate::engine::{
    Action, BeforeDetail, Changes, Condition, Engine, PageLimits, Position, Write, Written,
};
use crate::log::storage::load::TableOptions;
use crate::log::storage::posix::PosixDisk;
use crate::log::storage::rotation::{Limits, Retention};
use crate::log::storage::sim::SimDisk;
use crate::log::{LogConfig, LogEngine, SyncPolicy};

const START: Position = Position { incarnation: None, version: 0 };

/// A change as the tests compare it: version, key, value.
type Told = (u64, Vec<u8>, Option<Vec<u8>>);

fn open(folder: &std::path::Path, retention: Retention) -> LogEngine {
    let config = LogConfig { sync: SyncPolicy::Never, ..LogConfig::new(folder) };
    let limits = Limits { bytes: 8 << 10, ..Limits::default() };
    let options = TableOptions { limits, retention, ..TableOptions::default() };
    LogEngine::open_on(Arc::new(PosixDisk::new(4)), config, options).unwrap()
}

async fn write(engine: &LogEngine, write: Write) -> Vec<Told> {
    let told: Vec<_> = write
        .changes
        .iter()
        .map(|change| match &change.action {
            Action::Set { value, .. } => (change.key.to_vec(), Some(value.to_vec())),
            _ => (change.key.to_vec(), None),
        })
        .collect();
    let results = engine.write(&TableName::parse("t").unwrap(), vec![write]).await;
    let [Ok(Written::Applied { version: Some(version), .. })] = &results[..] else {
        panic!("{results:?}");
    };
    told.into_iter().map(|(key, value)| (version.get(), key, value)).collect()
}

/// Everything since a position in pages, and where that ends; `None` for a gap.
async fn changes(
    engine: &LogEngine,
    mut since: Position,
    limits: PageLimits,
) -> Option<(Vec<Told>, Position)> {
    let mut told: Vec<Told> = Vec::new();
    loop {
        let Changes::Page(page) = engine.changes("t", since, limits).await.unwrap() else {
            return None;
        };
        let before = told.len();
        told.extend(page.iter().map(|change| {
            (change.version.get(), change.key.to_vec(), change.value.map(<[u8]>::to_vec))
        }));
        // No write in two pages.
        assert!(before == 0 || before == told.len() || told[before - 1].0 < told[before].0);
        assert!(page.until().version >= told.last().map_or(0, |last| last.0));
        if before == told.len() {
            return Some((told, page.until()));
        }
        since = page.until();
    }
}

fn pages_of(records: usize) -> PageLimits {
    PageLimits { records, bytes: 1 << 30 }
}

/// Writes of one key and of three, sets and deletes; what they come to.
async fn fill(engine: &LogEngine) -> Vec<Told> {
    let mut told = Vec::new();
    for number in 0..300_u32 {
        let key = format!("key{}", number % 50).into_bytes();
        told.extend(match number % 10 {
            3 => write(engine, delete(format!("key{}", (number - 1) % 50).as_bytes())).await,
            7 => {
                let mut changes = set(&key, b"first of three").changes;
                changes.extend(set(b"second", &[2; 40]).changes);
                changes.extend(set(b"third", b"").changes);
                write(engine, Write { changes, before: BeforeDetail::Presence }).await
            }
            _ => write(engine, set(&key, &[1; 60])).await,
        });
    }
    told
}

const KEEP: Retention = Retention { bytes: 1 << 30, millis: 1 << 40 };

#[tokio::test]
async fn the_history_tells_every_change_once_in_order_from_any_version_in_pages_of_any_size() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = open(folder.path(), KEEP);
    let expected = fill(&engine).await;
    for _ in 0..2 {
        for records in [1, 2, 7, 10_000] {
            let (told, until) = changes(&engine, START, pages_of(records)).await.unwrap();
            assert_eq!(told, expected);
            assert_eq!(until.version, expected.last().unwrap().0);
        }
        for place in (0..expected.len()).step_by(17) {
            let since = Position { version: expected[place].0, ..START };
            let (told, _) = changes(&engine, since, pages_of(50)).await.unwrap();
            let behind = expected.iter().filter(|change| change.0 > since.version);
            assert_eq!(told, behind.cloned().collect::<Vec<_>>());
        }
        engine.close().await.unwrap();
        engine = open(folder.path(), KEEP);
    }
}

#[tokio::test]
async fn a_new_change_follows_where_the_history_ended_and_carries_its_expiry() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), KEEP);
    // Nothing has changed in a table that is not there yet.
    let (told, until) = changes(&engine, START, pages_of(10)).await.unwrap();
    assert_eq!((told, until), (vec![], START));
    let end = UnixMillis::new(1 << 50);
    let value = Bytes::from_static(b"v");
    let action = Action::Set { value, expires_at: end };
    let expected = write(&engine, one(b"key", Condition::Any, action)).await;
    let Changes::Page(page) = engine.changes("t", until, pages_of(10)).await.unwrap() else {
        panic!("a gap");
    };
    assert_eq!(page.iter().next().unwrap().expires_at, end);
    assert_eq!(page.until().version, expected[0].0);
    let (told, until) = changes(&engine, page.until(), pages_of(10)).await.unwrap();
    assert_eq!((told, until), (vec![], page.until()));
}

#[tokio::test]
async fn a_version_that_was_not_reached_and_another_table_of_the_name_are_gaps() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), KEEP);
    let last = write(&engine, set(b"key", b"value")).await[0].0;
    let ahead = Position { version: last + 1, ..START };
    let Changes::Gap { now } = engine.changes("t", ahead, pages_of(10)).await.unwrap() else {
        panic!("no gap");
    };
    assert_eq!(now.version, last);
    assert!(changes(&engine, now, pages_of(10)).await.is_some());
    let other = Position { incarnation: now.incarnation.map(|it| it ^ 1), version: last };
    assert!(changes(&engine, other, pages_of(10)).await.is_none());
    assert!(matches!(
        engine.changes("nothing", now, pages_of(10)).await,
        Ok(Changes::Gap { now: START })
    ));
}

#[tokio::test]
async fn what_compaction_has_taken_is_a_gap_and_what_it_must_keep_is_told() {
    let folder = tempfile::tempdir().unwrap();
    // About two segments of history.
    let engine = open(folder.path(), Retention { bytes: 16 << 10, millis: 1 << 40 });
    let mut expected = Vec::new();
    let mut seen = START;
    // Until the history from the start is gone.
    while changes(&engine, START, pages_of(100)).await.is_some() {
        expected.extend(fill(&engine).await);
        // Who follows closely misses nothing.
        let before = expected.len() - 360;
        let last = write(&engine, set(b"key0", b"last")).await;
        let since = Position { version: last[0].0 - 60, ..START };
        let (told, until) = changes(&engine, since, pages_of(7)).await.unwrap();
        expected.extend(last);
        let behind = expected[before..].iter().filter(|change| change.0 > since.version);
        assert_eq!(told, behind.cloned().collect::<Vec<_>>());
        seen = until;
    }
    // The floor is in the manifest.
    engine.close().await.unwrap();
    let engine = open(folder.path(), KEEP);
    assert!(changes(&engine, START, pages_of(100)).await.is_none());
    assert!(changes(&engine, seen, pages_of(100)).await.is_some());
}

fn on_sim(disk: &SimDisk, max_value_bytes: usize) -> LogEngine {
    let config = LogConfig { max_value_bytes, ..LogConfig::new("/data") };
    LogEngine::open_on(Arc::new(disk.clone()), config, TableOptions::default()).unwrap()
}

#[tokio::test]
async fn a_write_larger_than_any_that_is_taken_today_is_a_gap_and_is_not_read() {
    let disk = SimDisk::new(1);
    let engine = on_sim(&disk, 1 << 10);
    let before = write(&engine, set(b"before", b"1")).await;
    // Alone, any value is taken: it may be there from times with another limit.
    let large = write(&engine, set(b"large", &[7; 2 << 20])).await;
    let mut behind = set(b"one", &[1; 700 << 10]);
    behind.changes.extend(set(b"two", &[2; 700 << 10]).changes);
    let behind = write(&engine, behind).await;
    let limits = PageLimits { records: 100, bytes: 1 << 20 };
    let Changes::Page(page) = engine.changes("t", START, limits).await.unwrap() else {
        panic!("a gap");
    };
    assert_eq!((page.iter().count(), page.until().version), (1, before[0].0));
    let Changes::Gap { now } = engine.changes("t", page.until(), limits).await.unwrap() else {
        panic!("no gap");
    };
    assert_eq!(now.version, behind[0].0);
    assert!(disk.largest_read() < 1 << 20, "{}", disk.largest_read());
    let since = Position { version: large[0].0, ..START };
    let (told, until) = changes(&engine, since, limits).await.unwrap();
    assert_eq!((told, until), (behind, now));
}

#[tokio::test]
async fn a_small_change_costs_a_small_read() {
    let disk = SimDisk::new(1);
    let engine = on_sim(&disk, 1 << 20);
    let (_, now) = {
        write(&engine, set(b"a", b"1")).await;
        changes(&engine, START, pages_of(10)).await.unwrap()
    };
    let told = write(&engine, set(b"a", b"2")).await;
    assert_eq!(changes(&engine, now, pages_of(10)).await.unwrap().0, told);
    assert!(disk.largest_read() < 4 << 10, "{}", disk.largest_read());
}
