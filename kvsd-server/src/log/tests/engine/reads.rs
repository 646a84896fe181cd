//! What readers find, and when.

use super::*;
use crate::engine::Head;
use crate::log::storage::rotation::Retention;

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
async fn a_large_record_is_left_to_the_threads_that_may_take_their_time() {
    let folder = tempfile::tempdir().unwrap();
    let engine = LogEngine::open(LogConfig::new(folder.path())).unwrap();
    let value = vec![b'v'; 10 << 20];
    version_of(&engine, set(b"large", &value)).await;
    let mut buffer = Vec::new();
    assert!(matches!(engine.read_now("default", b"large", &mut buffer), ReadNow::WouldBlock));
    assert_eq!(buffer.capacity(), 0, "nothing was read");
    assert!(read(&engine, b"large").await.is_some_and(|read| read == value));
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_beside_compaction_always_find_their_key_and_room_is_reclaimed() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { bytes: 16 << 10, ..Limits::default() };
    let open = || {
        let config = LogConfig::new(folder.path());
        let retention = Retention { bytes: 0, millis: 0 };
        let options = TableOptions { limits, retention, ..TableOptions::default() };
        LogEngine::open_on(Arc::new(PosixDisk::new(4)), config, options).unwrap()
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
async fn a_record_is_found_without_reading_its_value() {
    let folder = tempfile::tempdir().unwrap();
    let engine = LogEngine::open(LogConfig::new(folder.path())).unwrap();
    let version = version_of(&engine, set(b"large", &vec![b'v'; 10 << 20])).await;
    let found = Version::new(version).map(|version| Head { version, expires_at: None });
    let mut buffer = Vec::new();
    for (key, head) in [(&b"large"[..], found), (b"none", None)] {
        // Not every file system tells what it has in memory.
        if let Some(now) = engine.find_now("default", key, &mut buffer) {
            assert_eq!(now, Ok(head));
        }
        assert!(buffer.capacity() <= 4096, "{} bytes were read", buffer.capacity());
        assert_eq!(engine.find("default", key, Freshness::Latest).await, Ok(head));
    }
    assert_eq!(engine.find_now("none", b"large", &mut buffer), Some(Ok(None)));
    engine.close().await.unwrap();
    assert_eq!(engine.find_now("default", b"large", &mut buffer), Some(Err(EngineError::Closed)));
    assert_eq!(engine.find("default", b"large", Freshness::Latest).await, Err(EngineError::Closed));
}

#[tokio::test]
async fn what_has_expired_is_not_found() {
    let disk = SimDisk::new(1);
    let clock = Arc::new(ManualClock::at(1_000));
    let config = LogConfig { clock: Arc::clone(&clock) as _, ..LogConfig::new("/data") };
    let engine =
        LogEngine::open_on(Arc::new(disk.clone()), config, TableOptions::default()).unwrap();
    let end = UnixMillis::new(2_000);
    let value = Bytes::from_static(b"v");
    let action = Action::Set { value, expires_at: end };
    let version = version_of(&engine, one(b"a", Condition::Any, action)).await;
    let found = engine.find("default", b"a", Freshness::Latest).await;
    assert_eq!(found, Ok(Version::new(version).map(|version| Head { version, expires_at: end })));
    clock.set(2_000);
    assert_eq!(engine.find("default", b"a", Freshness::Latest).await, Ok(None));
    assert!(matches!(engine.find_now("default", b"a", &mut Vec::new()), Some(Ok(None)) | None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_beside_writes_find_each_key_s_own_value_and_never_an_older_one() {
    const KEYS: u8 = 32;
    const ROUNDS: u32 = 300;
    let folder = tempfile::tempdir().unwrap();
    // Room for some of them, so that copies come and go.
    let config =
        LogConfig { sync: SyncPolicy::Never, cache_bytes: 2048, ..LogConfig::new(folder.path()) };
    let engine = Arc::new(LogEngine::open(config).unwrap());
    let value = |key: u8, round: u32| {
        let more = vec![key; (usize::from(key) + round as usize) % 90];
        [&round.to_le_bytes()[..], &[key], &more].concat()
    };
    let write_all = async |round: u32| {
        let write_one = |key: u8| {
            let change = set(&[key], &value(key, round));
            version_of(&engine, change)
        };
        join_all((0..KEYS).map(write_one)).await;
    };
    write_all(0).await;
    let read_all = move |engine: Arc<LogEngine>, runtime: tokio::runtime::Handle| {
        let (mut buffer, mut rounds) = (Vec::new(), [0; KEYS as usize]);
        while rounds.iter().any(|round| *round < ROUNDS) {
            let keys: Vec<_> = (0..KEYS).map(|key| [key]).collect();
            engine.look_ahead("default", &mut keys.iter().map(|key| &key[..]));
            for (key, seen) in (0..KEYS).zip(&mut rounds) {
                let found = match engine.read_now("default", &[key], &mut buffer) {
                    ReadNow::Ready(found) => found.unwrap().unwrap().value.to_vec(),
                    ReadNow::WouldBlock => {
                        runtime.block_on(read(&engine, &[key])).unwrap().to_vec()
                    }
                };
                let round = u32::from_le_bytes(*found.first_chunk().unwrap());
                assert_eq!(found, value(key, round), "key {key}");
                assert!(*seen <= round, "key {key}: {seen}, then {round}");
                *seen = round;
            }
        }
    };
    let readers = [(); 2].map(|()| {
        let (engine, runtime) = (Arc::clone(&engine), tokio::runtime::Handle::current());
        std::thread::spawn(move || read_all(engine, runtime))
    });
    for round in 1..=ROUNDS {
        write_all(round).await;
    }
    readers.into_iter().for_each(|reader| reader.join().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_seen_one_write_of_a_batch_sees_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = LogConfig { sync: SyncPolicy::Never, ..LogConfig::new(folder.path()) };
    let engine = Arc::new(LogEngine::open(config).unwrap());
    // Many others between the two keys that are looked at, so that there is time to look.
    let batch = || {
        let mut changes = set(b"first", b"v").changes;
        for number in 0..1000_u32 {
            changes.extend(set(&number.to_le_bytes(), b"v").changes);
        }
        changes.extend(set(b"last", b"v").changes);
        Write { changes, before: BeforeDetail::Presence }
    };
    version_of(&engine, batch()).await;
    let reader = {
        let (engine, runtime) = (Arc::clone(&engine), tokio::runtime::Handle::current());
        std::thread::spawn(move || {
            let mut buffer = Vec::new();
            let mut version = |key: &[u8]| match engine.read_now("default", key, &mut buffer) {
                ReadNow::Ready(found) => found.unwrap().unwrap().version.get(),
                // Not every file system tells what it has in memory.
                ReadNow::WouldBlock => {
                    let read = runtime.block_on(engine.read("default", key, Freshness::Latest));
                    read.unwrap().unwrap().version.get()
                }
            };
            let mut seen = 0;
            while seen < 150 {
                let (first, last) = (version(b"first"), version(b"last"));
                assert!(first <= last, "half a batch: {first}, then {last}");
                seen = first;
            }
        })
    };
    for _ in 1..150 {
        version_of(&engine, batch()).await;
    }
    reader.join().unwrap();
}
