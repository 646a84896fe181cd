//! What writes do and what they answer.

use super::*;

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
    let expected = Written::Applied {
        version: Version::new(2),
        before: [Before::Record(old)].into(),
        counters: vec![],
    };
    assert_eq!(write(&engine, delete(b"a")).await, Ok(expected));
    let expected =
        Written::Applied { version: None, before: [Before::Absent].into(), counters: vec![] };
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
    assert!(matches!(results[4], Err(EngineError::Refused { .. })), "a key is named twice");
    assert_eq!(read(&engine, b"a").await.unwrap(), "2");
    assert_eq!(read(&engine, b"b").await, None);
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
                let Written::Applied { version: Some(version), before, .. } = result else {
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
async fn a_long_submission_lets_others_in_between_and_none_of_its_own_task_ahead() {
    let disk = SimDisk::new(1);
    let engine = Arc::new(open(&disk));
    version_of(&engine, set(b"large", &[7; 8 << 20])).await;
    disk.hold_syncs();
    let syncs = disk.syncs();
    // Two of them fill a group.
    let long = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move {
            let mut expire = one(b"large", Condition::Any, Action::Expire { at: None });
            expire.before = BeforeDetail::Presence;
            let name = table();
            let long = engine.write(&name, vec![expire; 8]);
            let (long, behind) = tokio::join!(long, version_of(&engine, set(b"own", b"")));
            assert!(long.iter().all(Result::is_ok) && long.len() == 8);
            behind
        }
    });
    while disk.syncs() == syncs {
        tokio::task::yield_now().await;
    }
    let others = [b"a", b"b", b"c"].map(|key| {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move { version_of(&engine, set(key, b"")).await })
    });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    disk.release_syncs();
    for other in others {
        let version = other.await.unwrap();
        assert!(version <= 6, "they wait for one group, not for four: {version}");
    }
    assert_eq!(long.await.unwrap(), 13, "behind the whole submission");
}
