//! What each policy promises, and when it syncs.

use super::*;

#[tokio::test(start_paused = true)]
async fn with_every_write_synced_none_is_acknowledged_before_a_sync_that_began_after_it() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    for number in 0..100_u8 {
        let before = disk.syncs();
        version_of(&engine, set(b"a", &[number])).await;
        assert!(disk.syncs() > before, "write {number} is acknowledged, and nothing was synced");
    }
    disk.hold_syncs();
    let mut held = Box::pin(write(&engine, set(b"a", b"held")));
    assert!(tokio::time::timeout(Duration::from_secs(10), &mut held).await.is_err());
    disk.release_syncs();
    held.await.unwrap();
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
    let path = Path::new("/data/tables/00000001/00000001.seg");
    let written = disk.content(path);
    // The table may stay on its thread for a moment, which this clock does not count.
    while disk.content(path) == written {
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    disk.kill();
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
