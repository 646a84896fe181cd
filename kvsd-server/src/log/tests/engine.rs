//! The engine as its callers see it, on the simulated disk and on the real one.

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
    Action, Before, Condition, Engine, EngineError, ReadNow, Record, Write, Written,
};
use crate::log::storage::load::TableOptions;
use crate::log::storage::posix::PosixDisk;
use crate::log::storage::rotation::{Limits, Retention};
use crate::log::storage::sim::{Fault, SimDisk};
use crate::log::{LogConfig, LogEngine, OpenError, SyncPolicy};

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
    engine.read("default", key).await.unwrap().map(|record| record.value)
}

#[tokio::test]
async fn a_value_reads_back_whatever_its_size_and_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let large = Bytes::from(vec![42; 10 << 20]);
    let cases = [
        (Bytes::from_static(b"empty"), Bytes::new()),
        (Bytes::from_static(b"small"), Bytes::from_static(b"value")),
        (Bytes::from(vec![0xff; 1024]), Bytes::from(vec![0; 5000])),
        (Bytes::from_static(b"\r\n"), large),
    ];
    let engine = LogEngine::open(LogConfig::new(folder.path())).unwrap();
    for (key, value) in &cases {
        version_of(&engine, set(key, value)).await;
    }
    for round in 0..2 {
        let engine = match round {
            0 => &engine,
            _ => {
                engine.close().await.unwrap();
                &LogEngine::open(LogConfig::new(folder.path())).unwrap()
            }
        };
        let mut buffer = Vec::new();
        for (key, value) in &cases {
            match engine.read_now("default", key, &mut buffer) {
                ReadNow::Ready(Ok(Some(found))) => assert!(found.value == value),
                ReadNow::WouldBlock => {}
                other => panic!("{other:?}"),
            }
            assert!(read(engine, key).await.as_ref() == Some(value));
        }
        assert_eq!(read(engine, b"other").await, None);
    }
}

#[tokio::test]
async fn versions_go_on_by_one_after_a_clean_close_and_far_above_after_a_crash() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    assert_eq!(version_of(&engine, set(b"a", b"1")).await, 1);
    assert_eq!(version_of(&engine, set(b"a", b"2")).await, 2);
    engine.close().await.unwrap();
    let engine = open(&disk);
    assert_eq!(version_of(&engine, set(b"a", b"3")).await, 3);
    disk.crash();
    let engine = open(&disk);
    assert_eq!(version_of(&engine, set(b"a", b"4")).await, 3 + (1 << 32) + 1);
    assert_eq!(read(&engine, b"a").await.unwrap(), "4");
}

#[tokio::test]
async fn conditions_hold_for_the_whole_write_or_nothing_happens() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    let value = |value: &'static [u8]| Action::Set { value: value.into(), expires_at: None };
    let first = version_of(&engine, one(b"a", Condition::Absent, value(b"1"))).await;
    let refused = write(&engine, one(b"a", Condition::Absent, value(b"2"))).await;
    assert_eq!(refused, Ok(Written::Conflict { change: 0, current: Version::new(first) }));
    let swapped = one(b"a", Condition::Version(Version::new(first).unwrap()), value(b"2"));
    assert_eq!(version_of(&engine, swapped).await, first + 1);

    let mut both = set(b"b", b"3");
    both.changes.extend(one(b"c", Condition::Present, Action::Delete).changes);
    let refused = write(&engine, both).await;
    assert_eq!(refused, Ok(Written::Conflict { change: 1, current: None }));
    assert_eq!(read(&engine, b"b").await, None);
}

#[tokio::test]
async fn deleting_returns_the_old_value_and_nothing_is_written_where_there_was_none() {
    let engine = open(&SimDisk::new(1));
    version_of(&engine, set(b"a", b"old")).await;
    let old = Record {
        version: Version::new(1).unwrap(),
        expires_at: None,
        value: Bytes::from_static(b"old"),
    };
    let expected = Written::Applied { version: Version::new(2), before: vec![Before::Record(old)] };
    assert_eq!(write(&engine, delete(b"a")).await, Ok(expected));
    let expected = Written::Applied { version: None, before: vec![Before::Absent] };
    assert_eq!(write(&engine, delete(b"a")).await, Ok(expected));
}

#[tokio::test]
async fn writes_of_one_submission_see_each_other_and_are_answered_in_order() {
    let engine = open(&SimDisk::new(1));
    let mut twice = set(b"b", b"1");
    twice.changes.extend(set(b"b", b"2").changes);
    let writes = vec![set(b"a", b"1"), delete(b"a"), set(b"a", b"2"), delete(b"x"), twice];
    let results = engine.write(&table(), writes).await;
    let versions = results.iter().map(|result| match result {
        Ok(Written::Applied { version, .. }) => version.map(Version::get),
        _ => None,
    });
    assert_eq!(versions.collect::<Vec<_>>(), [Some(1), Some(2), Some(3), None, None]);
    assert!(matches!(results[4], Err(EngineError::Io { .. })), "a key is named twice");
    assert_eq!(read(&engine, b"a").await.unwrap(), "2");
    assert_eq!(read(&engine, b"b").await, None);
}

#[tokio::test]
async fn an_expired_record_is_absent_even_when_the_clock_goes_back() {
    let disk = SimDisk::new(1);
    let clock = Arc::new(ManualClock::at(1_000));
    let config = LogConfig { clock: Arc::clone(&clock) as _, ..LogConfig::new("/data") };
    let engine =
        LogEngine::open_on(Arc::new(disk.clone()), config, TableOptions::default()).unwrap();
    let value =
        Action::Set { value: Bytes::from_static(b"short"), expires_at: UnixMillis::new(2_000) };
    version_of(&engine, one(b"a", Condition::Any, value.clone())).await;
    assert_eq!(read(&engine, b"a").await.unwrap(), "short");
    clock.set(1_999);
    assert_eq!(read(&engine, b"a").await.unwrap(), "short");
    clock.set(2_000);
    assert_eq!(read(&engine, b"a").await, None);
    version_of(&engine, set(b"b", b"a write records the time")).await;
    clock.set(1_500);
    assert_eq!(read(&engine, b"a").await, None);
    version_of(&engine, one(b"a", Condition::Absent, value)).await;
}

#[tokio::test]
async fn what_is_not_in_memory_is_read_by_the_pool() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    version_of(&engine, set(b"a", b"cold")).await;
    disk.set_uncached_percent(100);
    let mut blocked = 0;
    for _ in 0..50 {
        let mut buffer = Vec::new();
        match engine.read_now("default", b"a", &mut buffer) {
            ReadNow::WouldBlock => blocked += 1,
            ReadNow::Ready(found) => assert_eq!(found.unwrap().unwrap().value, b"cold"),
        }
        assert_eq!(read(&engine, b"a").await.unwrap(), "cold");
    }
    assert!(blocked > 25, "{blocked}");
    // Checking a write needs the record as well.
    assert!(matches!(write(&engine, delete(b"a")).await, Ok(Written::Applied { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_belongs_to_its_writer_and_survives_a_crash() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    let tasks = (0..64_u32).map(|task| {
        let engine = &engine;
        async move {
            let mut last = 0;
            for round in 0..20_u32 {
                let key = task.to_le_bytes();
                let result = write(engine, set(&key, &round.to_le_bytes())).await.unwrap();
                let Written::Applied { version: Some(version), before } = result else {
                    panic!("not applied");
                };
                assert!(version.get() > last);
                last = version.get();
                match (round, &before[0]) {
                    (0, Before::Absent) => {}
                    (_, Before::Record(old)) => {
                        assert_eq!(old.value, (round - 1).to_le_bytes()[..])
                    }
                    (_, other) => panic!("{other:?}"),
                }
            }
        }
    });
    join_all(tasks).await;
    // Group commit: far fewer syncs than writes.
    assert!(disk.syncs() < 64 * 20 / 2, "{} syncs", disk.syncs());
    disk.crash();
    let engine = open(&disk);
    for task in 0..64_u32 {
        assert_eq!(read(&engine, &task.to_le_bytes()).await.unwrap(), 19_u32.to_le_bytes()[..]);
    }
}

#[tokio::test]
async fn writes_that_wait_for_a_sync_share_the_next_one() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    version_of(&engine, set(b"first", b"")).await;
    disk.hold_syncs();
    let before = disk.syncs();
    let write_one = |key: u8| write(&engine, set(&[key], b""));
    let writes: Vec<_> = (0..100).map(write_one).collect();
    let mut all_writes = Box::pin(join_all(writes));
    assert!((&mut all_writes).now_or_never().is_none());
    while disk.syncs() == before {
        tokio::task::yield_now().await;
    }
    disk.release_syncs();
    let results = all_writes.await;
    assert!(results.iter().all(Result::is_ok));
    assert!(disk.syncs() - before <= 3, "{}", disk.syncs() - before);
}

#[tokio::test]
async fn readers_do_not_see_a_write_before_it_is_synced() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    version_of(&engine, set(b"a", b"old")).await;
    disk.hold_syncs();
    let syncs = disk.syncs();
    let mut writing = Box::pin(write(&engine, set(b"a", b"new")));
    while disk.syncs() == syncs {
        assert!((&mut writing).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    assert_eq!(read(&engine, b"a").await.unwrap(), "old");
    disk.release_syncs();
    writing.await.unwrap();
    assert_eq!(read(&engine, b"a").await.unwrap(), "new");
}

#[tokio::test]
async fn after_a_failed_sync_the_table_refuses_writes_and_goes_on_reading() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    version_of(&engine, set(b"a", b"kept")).await;
    disk.fail_at_call(1, Fault::Sync);
    let result = write(&engine, set(b"a", b"lost")).await;
    assert!(matches!(result, Err(EngineError::UnknownOutcome { .. })), "{result:?}");
    assert_eq!(read(&engine, b"a").await.unwrap(), "kept");
    for _ in 0..2 {
        let result = write(&engine, set(b"b", b"")).await;
        assert!(matches!(result, Err(EngineError::ReadOnly { .. })), "{result:?}");
    }
    assert!(engine.close().await.is_err());

    // The page cache still shows the bytes that the disk never got: a restart makes them durable,
    // or they are gone; never a value that goes away later.
    disk.kill();
    let engine = open(&disk);
    let after_restart = read(&engine, b"a").await.unwrap();
    disk.crash();
    assert_eq!(read(&open(&disk), b"a").await.unwrap(), after_restart);
}

#[tokio::test]
async fn a_full_disk_refuses_sets_allows_deletes_and_recovers_without_a_restart() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    for key in 0..20_u8 {
        version_of(&engine, set(&[key], &[1; 1000])).await;
    }
    disk.set_capacity(disk.used());
    let mut refused = 0;
    for key in 0..200_u8 {
        match write(&engine, set(&[100, key], &[2; 1000])).await {
            Ok(_) => assert_eq!(refused, 0, "a set after the disk was full"),
            Err(EngineError::DiskFull) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(refused > 100, "{refused}");
    for key in 0..20_u8 {
        version_of(&engine, delete(&[key])).await;
    }
    disk.set_capacity(u64::MAX);
    version_of(&engine, set(b"again", b"room")).await;
    disk.crash();
    let engine = open(&disk);
    assert_eq!(read(&engine, b"again").await.unwrap(), "room");
    assert_eq!(read(&engine, &[0]).await, None);
}

#[tokio::test(start_paused = true)]
async fn by_interval_a_sync_follows_without_traffic() {
    let disk = SimDisk::new(1);
    let engine = open_on(&disk, SyncPolicy::Interval(Duration::from_millis(200)));
    version_of(&engine, set(b"a", b"1")).await;
    let syncs = disk.syncs();
    version_of(&engine, set(b"a", b"2")).await;
    assert_eq!(disk.syncs(), syncs, "acknowledged without a sync");
    tokio::time::advance(Duration::from_millis(201)).await;
    while disk.syncs() == syncs {
        tokio::task::yield_now().await;
    }
    // The sync has begun; closing waits for it.
    engine.close().await.unwrap();
    disk.crash();
    assert_eq!(read(&open(&disk), b"a").await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn by_interval_a_late_sync_holds_back_acknowledgements() {
    let disk = SimDisk::new(1);
    let interval = Duration::from_millis(200);
    let engine = open_on(&disk, SyncPolicy::Interval(interval));
    version_of(&engine, set(b"a", b"1")).await;
    disk.hold_syncs();
    let syncs = disk.syncs();
    tokio::time::advance(interval * 2).await;
    while disk.syncs() == syncs {
        tokio::task::yield_now().await;
    }
    version_of(&engine, set(b"a", b"still in time")).await;
    tokio::time::advance(interval * 2).await;
    let mut held = Box::pin(write(&engine, set(b"a", b"held")));
    assert!(tokio::time::timeout(interval * 10, &mut held).await.is_err());
    disk.release_syncs();
    held.await.unwrap();
}

#[tokio::test]
async fn without_syncs_a_killed_process_loses_nothing() {
    let disk = SimDisk::new(1);
    let engine = open_on(&disk, SyncPolicy::Never);
    version_of(&engine, set(b"a", b"1")).await;
    let syncs = disk.syncs();
    for _ in 0..100 {
        version_of(&engine, set(b"a", b"2")).await;
    }
    assert_eq!(disk.syncs(), syncs);
    disk.kill();
    assert_eq!(read(&open(&disk), b"a").await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn once_a_table_is_idle_damage_to_its_last_write_is_refused_and_not_cut_off() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    version_of(&engine, set(b"a", b"precious")).await;
    tokio::time::sleep(Duration::from_millis(120)).await;
    disk.kill();
    let path = Path::new("/data/tables/00000001/00000001.seg");
    let mut content = disk.content(path);
    let at = content.windows(8).position(|window| window == b"precious").unwrap();
    content[at] ^= 1;
    disk.put(path, &content);
    let config = LogConfig::new("/data");
    let opened = LogEngine::open_on(Arc::new(disk), config, TableOptions::default());
    match opened.map(drop) {
        Err(OpenError::Corrupt { file, offset: 64, .. }) => assert_eq!(file, path),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_write_whose_future_is_dropped_does_no_harm() {
    let engine = open(&SimDisk::new(1));
    for key in 0..50_u8 {
        // Polled once, so that it is on its way, and dropped.
        let _ = engine.write(&table(), vec![set(&[key], b"dropped")]).now_or_never();
    }
    version_of(&engine, set(b"z", b"kept")).await;
    assert_eq!(read(&engine, b"z").await.unwrap(), "kept");
}

#[tokio::test]
async fn a_closed_engine_refuses_everything_and_lets_go_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let engine = LogEngine::open(LogConfig::new(folder.path())).unwrap();
    version_of(&engine, set(b"a", b"1")).await;
    let second = LogEngine::open(LogConfig::new(folder.path())).map(drop);
    assert!(matches!(second, Err(OpenError::Locked { .. })), "{second:?}");
    engine.close().await.unwrap();
    engine.close().await.unwrap();
    assert_eq!(write(&engine, set(b"a", b"2")).await, Err(EngineError::Closed));
    assert_eq!(engine.read("default", b"a").await, Err(EngineError::Closed));
    let engine = LogEngine::open(LogConfig::new(folder.path())).unwrap();
    assert_eq!(read(&engine, b"a").await.unwrap(), "1");
}

#[tokio::test]
async fn tables_are_apart_and_there_is_a_limit() {
    let disk = SimDisk::new(1);
    let config = LogConfig { max_tables: 3, ..LogConfig::new("/data") };
    let open = || {
        LogEngine::open_on(Arc::new(disk.clone()), config.clone(), TableOptions::default()).unwrap()
    };
    let engine = open();
    let names = ["a", "b", "c"].map(|name| TableName::parse(name).unwrap());
    for name in &names {
        let results = engine.write(name, vec![set(b"key", name.as_str().as_bytes())]).await;
        assert!(results[0].is_ok());
    }
    let results = engine.write(&table(), vec![set(b"key", b"")]).await;
    assert_eq!(results, [Err(EngineError::TooManyTables { limit: 3 })]);
    engine.close().await.unwrap();
    let engine = open();
    for name in &names {
        let record = engine.read(name.as_str(), b"key").await.unwrap().unwrap();
        assert_eq!(record.value, name.as_str());
    }
    assert_eq!(engine.read("other", b"key").await, Ok(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_many_make_at_once_is_made_once() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    let writes = (0..32_u8).map(|key| write(&engine, set(&[key], &[key])).map(Result::unwrap));
    join_all(writes).await;
    engine.close().await.unwrap();
    let engine = open(&disk);
    for key in 0..32_u8 {
        assert_eq!(read(&engine, &[key]).await.unwrap(), [key][..]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_beside_compaction_always_find_their_key_and_room_is_reclaimed() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { bytes: 16 << 10, ..Limits::default() };
    let open = || {
        let config = LogConfig::new(folder.path());
        let retention = Retention { bytes: 0, millis: 0 };
        let options = TableOptions { limits, retention, ..TableOptions::default() };
        LogEngine::open_on(Arc::new(PosixDisk), config, options).unwrap()
    };
    let engine = open();
    // Key 0 is never written again; compaction moves it.
    for key in 0..32_u8 {
        version_of(&engine, set(&[key], &[key; 100])).await;
    }
    let writes = async {
        for round in 0..100_u32 {
            let write_one = |key: u8| {
                let value = [&[key; 100][..], &round.to_le_bytes()].concat();
                let (engine, change) = (&engine, set(&[key], &value));
                async move { version_of(engine, change).await }
            };
            join_all((1..32).map(write_one)).await;
        }
    };
    let reads = async {
        loop {
            for key in 0..32_u8 {
                let value = read(&engine, &[key]).await.expect("it was written");
                assert!(value.starts_with(&[key; 100]));
            }
        }
    };
    tokio::select! {
        () = writes => {}
        () = reads => {}
    }
    // Some 450 KB were written; what is left to do is done while the table is idle.
    let table = folder.path().join("tables/00000001");
    let is_sealed = |name: &str| name.ends_with(".seg");
    let segments = || {
        let names = table.read_dir().unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| is_sealed(name.to_str().unwrap())).count()
    };
    while segments() > 4 {
        tokio::task::yield_now().await;
    }
    engine.close().await.unwrap();
    let engine = open();
    for key in 0..32_u8 {
        assert!(read(&engine, &[key]).await.unwrap().starts_with(&[key; 100]));
    }
}

#[tokio::test]
async fn only_the_owner_can_enter_the_folders_and_open_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let engine = LogEngine::open(LogConfig::new(&data)).unwrap();
    version_of(&engine, set(b"a", b"1")).await;
    let mut pending: Vec<PathBuf> = vec![data];
    let mut files = 0;
    while let Some(path) = pending.pop() {
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        if path.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
            pending.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        } else {
            assert_eq!(mode, 0o600, "{}", path.display());
            files += 1;
        }
    }
    assert_eq!(files, 4, "lock, catalog, manifest, segment");
}
