//! Tables: how they come and go, and that they are apart.

use super::*;
use crate::log::storage::rotation::Retention;

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
        let record = engine.read(name.as_str(), b"key", Freshness::Latest).await.unwrap().unwrap();
        assert_eq!(record.value, name.as_str());
    }
    assert_eq!(engine.read("other", b"key", Freshness::Latest).await, Ok(None));
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

fn named(name: &str) -> TableName {
    TableName::parse(name).unwrap()
}

async fn names(engine: &LogEngine) -> Vec<String> {
    engine.tables().await.unwrap().iter().map(TableName::to_string).collect()
}

async fn statistics(engine: &LogEngine) -> TableStatistics {
    engine.table_statistics("default").await.unwrap().unwrap()
}

#[tokio::test]
async fn tables_are_made_listed_in_order_and_dropped() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    assert_eq!(names(&engine).await, Vec::<String>::new());
    assert_eq!(engine.create_table(&named("b")).await, Ok(true));
    assert_eq!(engine.create_table(&named("b")).await, Ok(false));
    assert_eq!(engine.create_table(&named("a")).await, Ok(true));
    version_of(&engine, set(b"k", b"v")).await;
    assert_eq!(names(&engine).await, ["a", "b", "default"]);
    assert_eq!(engine.drop_table(&named("b")).await, Ok(true));
    assert_eq!(engine.drop_table(&named("b")).await, Ok(false));
    assert_eq!(engine.drop_table(&table()).await, Ok(true));
    assert_eq!(read(&engine, b"k").await, None);
    assert_eq!(names(&engine).await, ["a"]);
    assert!(disk.paths().iter().all(|path| !path.starts_with("/data/tables/00000003")));
    engine.close().await.unwrap();
    let engine = open(&disk);
    assert_eq!(names(&engine).await, ["a"]);
    assert_eq!(engine.table_statistics("b").await, Ok(None));
}

#[tokio::test]
async fn a_table_that_is_made_again_is_another_one_with_higher_versions_and_no_records() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    for round in 0..3 {
        let version = version_of(&engine, set(&[round], b"v")).await;
        assert_eq!(version, u64::from(round) * ((1 << 32) + 1) + 1);
        let before = statistics(&engine).await;
        assert_eq!((before.keys, before.last_version), (1, Version::new(version)));
        assert_eq!(engine.drop_table(&table()).await, Ok(true));
        assert_eq!(engine.create_table(&table()).await, Ok(true));
        let after = statistics(&engine).await;
        assert_eq!((after.keys, after.live_bytes, after.dead_bytes), (0, 0, 0));
        assert_ne!(after.incarnation, before.incarnation);
        assert!(after.last_version > before.last_version);
        assert_eq!(read(&engine, &[round]).await, None);
    }
    // The catalog keeps the floor while there is no table at all.
    engine.drop_table(&table()).await.unwrap();
    disk.crash();
    assert!(version_of(&open(&disk), set(b"k", b"v")).await > 3 << 32);
}

#[tokio::test]
async fn what_writes_nothing_makes_no_table_and_is_answered_all_the_same() {
    let engine = open(&SimDisk::new(1));
    let expire = one(b"a", Condition::Any, Action::Expire { at: None });
    let present = Action::Set { value: Bytes::new(), expires_at: None };
    let check = one(b"a", Condition::Absent, Action::Check);
    let writes = vec![delete(b"a"), expire, check, one(b"a", Condition::Present, present)];
    let results = engine.write(&table(), writes).await;
    let nothing =
        Ok(Written::Applied { version: None, before: [Before::Absent].into(), counters: vec![] });
    let conflict = Ok(Written::Conflict { change: 0, current: None });
    assert_eq!(results, [nothing.clone(), nothing.clone(), nothing, conflict]);
    assert_eq!(engine.write(&table(), Vec::new()).await, []);
    assert_eq!(names(&engine).await, Vec::<String>::new());
    version_of(&engine, one(b"a", Condition::Absent, Action::Increment { by: 1 })).await;
    assert_eq!(names(&engine).await, ["default"]);
}

#[tokio::test]
async fn where_tables_are_made_on_request_a_write_to_another_is_refused_by_name() {
    let config = LogConfig { table_creation: TableCreation::OnRequest, ..LogConfig::new("/data") };
    let disk = Arc::new(SimDisk::new(1));
    let engine = LogEngine::open_on(disk, config, TableOptions::default()).unwrap();
    let unknown = EngineError::UnknownTable { table: "default".into() };
    let results = engine.write(&table(), vec![set(b"a", b"1"), delete(b"a")]).await;
    assert_eq!(results, [Err(unknown.clone()), Err(unknown)]);
    assert_eq!(engine.read("default", b"a", Freshness::Latest).await, Ok(None));
    engine.create_table(&table()).await.unwrap();
    version_of(&engine, set(b"a", b"1")).await;
    engine.drop_table(&table()).await.unwrap();
    assert!(write(&engine, set(b"a", b"2")).await.is_err());
}

#[tokio::test]
async fn statistics_tell_what_is_live_what_is_dead_and_what_the_disk_holds() {
    let disk = SimDisk::new(1);
    let limits = Limits { records: 10, ..Limits::default() };
    let retention = Retention { bytes: 0, millis: 0 };
    let options = TableOptions { limits, retention, ..TableOptions::default() };
    let open = || {
        let config = LogConfig::new("/data");
        LogEngine::open_on(Arc::new(disk.clone()), config, options.clone()).unwrap()
    };
    let engine = open();
    assert_eq!(engine.table_statistics("default").await, Ok(None));
    for key in 0..5_u8 {
        version_of(&engine, set(&[key], &[1; 1000])).await;
    }
    let full = statistics(&engine).await;
    assert_eq!((full.keys, full.segments, full.stopped), (5, 1, None));
    assert!((5_000..5_500).contains(&full.live_bytes), "{}", full.live_bytes);
    assert!(full.dead_bytes < 500, "{}", full.dead_bytes);
    assert!(full.disk_bytes >= full.live_bytes + full.dead_bytes);
    for key in 0..4_u8 {
        version_of(&engine, delete(&[key])).await;
    }
    let emptied = statistics(&engine).await;
    assert_eq!((emptied.keys, emptied.last_version), (1, Version::new(9)));
    assert!((1_000..1_100).contains(&emptied.live_bytes), "{}", emptied.live_bytes);
    assert!((4_000..5_000).contains(&emptied.dead_bytes), "{}", emptied.dead_bytes);
    for key in 0..20_u8 {
        version_of(&engine, set(&[9, key], b"")).await;
    }
    let rotated = statistics(&engine).await;
    assert_eq!((rotated.keys, rotated.incarnation), (21, full.incarnation));
    assert!(rotated.segments >= 2);
    engine.close().await.unwrap();
    let reopened = statistics(&open()).await;
    assert_eq!(
        (reopened.keys, reopened.live_bytes, reopened.last_version),
        (21, rotated.live_bytes, Version::new(29))
    );
}

#[tokio::test]
async fn statistics_do_not_wait_for_a_sync_and_name_what_stopped_a_table() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    version_of(&engine, set(b"a", b"1")).await;
    disk.hold_syncs();
    let syncs = disk.syncs();
    let mut writing = Box::pin(write(&engine, set(b"b", b"1")));
    while disk.syncs() == syncs {
        assert!((&mut writing).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    let meanwhile = engine.table_statistics("default").now_or_never().unwrap().unwrap().unwrap();
    assert_eq!((meanwhile.keys, meanwhile.last_version), (1, Version::new(1)));
    assert!(engine.tables().now_or_never().is_some());
    disk.fail_at_call(1, Fault::Sync);
    disk.release_syncs();
    assert!(writing.await.is_err());
    let stopped = statistics(&engine).await.stopped.unwrap();
    assert!(stopped.contains("cannot sync /data/tables/00000001/00000001.seg"), "{stopped}");
}

#[tokio::test]
async fn a_table_that_takes_no_writes_can_be_dropped_and_made_again() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    version_of(&engine, set(b"a", b"1")).await;
    disk.fail_at_call(1, Fault::Sync);
    assert!(write(&engine, set(b"a", b"2")).await.is_err());
    assert_eq!(engine.drop_table(&table()).await, Ok(true));
    version_of(&engine, set(b"b", b"3")).await;
    assert_eq!(statistics(&engine).await.stopped, None);
    disk.crash();
    let engine = open(&disk);
    assert_eq!(read(&engine, b"a").await, None);
    assert_eq!(read(&engine, b"b").await.unwrap(), "3");
}

#[tokio::test]
async fn who_holds_a_table_that_is_dropped_finds_nothing_there() {
    let engine = open(&SimDisk::new(1));
    version_of(&engine, set(b"a", b"1")).await;
    let held = engine.tables.find("default").unwrap();
    engine.drop_table(&table()).await.unwrap();
    let mut buffer = Vec::new();
    assert!(matches!(held.read_now(b"a", &mut buffer), ReadNow::Ready(Ok(None))));
    assert_eq!(held.read(b"a").await, Ok(None));
    let answer = held.write(vec![set(b"a", b"2")]).await;
    assert_eq!((answer.results.len(), answer.left.len()), (0, 1));
}

#[tokio::test]
async fn what_reaches_a_table_behind_its_drop_comes_back_untouched() {
    let engine = open(&SimDisk::new(1));
    version_of(&engine, set(b"a", b"1")).await;
    let held = engine.tables.find("default").unwrap();
    held.mark_dropped();
    // Nothing runs in between: all of it is in the queue before the actor looks.
    let mut leaving = Box::pin(held.leave());
    assert!((&mut leaving).now_or_never().is_none());
    let mut behind = Box::pin(held.write(vec![set(b"b", b"1"), delete(b"a")]));
    assert!((&mut behind).now_or_never().is_none());
    leaving.await;
    let answer = behind.await;
    assert_eq!((answer.results.len(), answer.left.len()), (0, 2));
}

#[tokio::test]
async fn writes_behind_a_drop_are_carried_out_on_the_next_table_of_the_name() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    version_of(&engine, set(b"a", b"1")).await;
    disk.hold_syncs();
    let syncs = disk.syncs();
    let mut first = Box::pin(write(&engine, set(b"a", b"2")));
    while disk.syncs() == syncs {
        assert!((&mut first).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    // They wait in the queue of the table, whose sync is under way; the drop comes behind them.
    let mut queued = Box::pin(join_all((0..20_u8).map(|key| write(&engine, set(&[key], &[key])))));
    assert!((&mut queued).now_or_never().is_none());
    let name = table();
    let mut dropping = Box::pin(engine.drop_table(&name));
    assert!((&mut dropping).now_or_never().is_none());
    disk.release_syncs();
    let (first, queued, dropped) = tokio::join!(first, queued, dropping);
    assert_eq!(dropped, Ok(true));
    assert!(first.is_ok());
    assert!(queued.iter().all(Result::is_ok), "{queued:?}");
    // Each was carried out before the drop or after it, never both and never in between.
    for (key, result) in (0..20_u8).zip(queued) {
        let Ok(Written::Applied { version: Some(version), before, .. }) = result else {
            panic!("not applied");
        };
        assert_eq!(before[..], [Before::Absent]);
        let value = read(&engine, &[key]).await;
        assert_eq!(value.is_some(), version.get() > 1 << 32, "{version:?}");
    }
    assert_eq!(read(&engine, b"a").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_storm_of_drops_every_write_is_applied_and_versions_only_grow() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    let writers = (0..8_u8).map(|task| {
        let engine = &engine;
        async move {
            let mut last = 0;
            for _ in 0..60 {
                let version = version_of(engine, set(&[task], b"v")).await;
                assert!(version > last, "{version} after {last}");
                last = version;
            }
        }
    });
    let mut dropped = 0;
    let drops = async {
        loop {
            dropped += u32::from(engine.drop_table(&table()).await.unwrap());
            read(&engine, &[0]).await;
        }
    };
    tokio::select! {
        _ = join_all(writers) => {}
        () = drops => {}
    }
    assert!(dropped > 0);
    engine.close().await.unwrap();
    let engine = open(&disk);
    let folders = disk.paths().iter().filter(|path| path.ends_with("MANIFEST")).count();
    assert_eq!(folders, names(&engine).await.len(), "folders of dropped tables are gone");
}

#[tokio::test]
async fn closing_waits_for_a_drop_that_nobody_waits_for() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    version_of(&engine, set(b"a", b"1")).await;
    let _ = engine.drop_table(&table()).now_or_never();
    tokio::task::yield_now().await;
    engine.close().await.unwrap();
    let engine = open(&disk);
    assert_eq!(names(&engine).await, Vec::<String>::new());
    assert_eq!(engine.drop_table(&table()).await, Ok(false));
}

#[tokio::test]
async fn writes_are_acknowledged_while_many_tables_are_made_and_dropped() {
    let disk = SimDisk::new(1);
    let config = LogConfig { sync_threads: 2, ..LogConfig::new("/data") };
    let options = TableOptions::default();
    let engine = LogEngine::open_on(Arc::new(disk.clone()), config, options).unwrap();
    version_of(&engine, set(b"a", b"1")).await;
    engine.create_table(&named("old")).await.unwrap();
    disk.hold_syncs_but(Path::new("/data/tables/00000001/00000001.seg"));
    let names: Vec<TableName> = (0..8).map(|number| named(&format!("new{number}"))).collect();
    let old = named("old");
    let mut made = Box::pin(join_all(names[..4].iter().map(|name| engine.create_table(name))));
    let first = names[4..].iter().map(|name| engine.write(name, vec![set(b"a", b"1")]));
    let mut written = Box::pin(join_all(first));
    let mut dropped = Box::pin(engine.drop_table(&old));
    let syncs = disk.syncs();
    while disk.syncs() == syncs {
        assert!((&mut made).now_or_never().is_none());
        assert!((&mut written).now_or_never().is_none());
        assert!((&mut dropped).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    for _ in 0..3 {
        let acknowledged = version_of(&engine, set(b"a", b"2"));
        let acknowledged = tokio::time::timeout(Duration::from_secs(60), acknowledged).await;
        if acknowledged.is_err() {
            disk.release_syncs();
            panic!("it waits for tables that are being made");
        }
    }
    disk.release_syncs();
    assert!(made.await.iter().all(|made| *made == Ok(true)));
    assert!(written.await.iter().flatten().all(Result::is_ok));
    assert_eq!(dropped.await, Ok(true));
}
