//! What the engine does about failed calls and a full disk.

use super::*;

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

#[tokio::test]
async fn on_a_disk_that_was_full_at_the_start_deletes_work() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    for key in 0..20_u8 {
        version_of(&engine, set(&[key], &[1; 1000])).await;
    }
    engine.close().await.unwrap();
    disk.set_capacity(disk.used());
    let engine = open(&disk);
    assert_eq!(write(&engine, set(b"more", b"")).await, Err(EngineError::DiskFull));
    let deletes = (0..5_u8).map(|key| delete(&[key])).collect();
    let results = engine.write(&table(), deletes).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    disk.crash();
    disk.set_capacity(u64::MAX);
    let engine = open(&disk);
    for key in 0..20_u8 {
        assert_eq!(read(&engine, &[key]).await.is_some(), key >= 5);
    }
}

#[tokio::test]
async fn a_table_can_be_dropped_on_a_full_disk_to_make_room() {
    let disk = SimDisk::new(1);
    let options = TableOptions {
        limits: Limits { records: 10, ..Limits::default() },
        ..TableOptions::default()
    };
    let engine =
        LogEngine::open_on(Arc::new(disk.clone()), LogConfig::new("/data"), options).unwrap();
    for key in 0..40_u8 {
        version_of(&engine, set(&[key], &[1; 1000])).await;
    }
    let is_hint = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "hint");
    while disk.paths().iter().filter(|path| is_hint(path)).count() < 3 {
        tokio::task::yield_now().await;
    }
    disk.set_capacity(disk.used());
    let other = TableName::parse("other").unwrap();
    assert!(engine.create_table(&other).await.is_err());
    assert_eq!(engine.drop_table(&table()).await, Ok(true));
    let results = engine.write(&other, vec![set(b"a", b"room")]).await;
    assert!(results[0].is_ok(), "{results:?}");
}
