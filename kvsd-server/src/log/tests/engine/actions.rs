//! Counters and ends of records.

use super::*;
use crate::log::storage::reader::Access;
use crate::log::storage::rotation::Demand;
use crate::log::storage::store::Store;
use crate::log::tests::drops;
use crate::log::turn::Taken;

fn increment(key: &[u8], by: i64) -> Write {
    one(key, Condition::Any, Action::Increment { by })
}

fn expire(key: &[u8], at: Option<u64>) -> Write {
    let at = at.map(|at| UnixMillis::new(at).unwrap());
    one(key, Condition::Any, Action::Expire { at })
}

fn set_until(key: &[u8], value: &'static [u8], end: u64) -> Write {
    let value = Bytes::from_static(value);
    one(key, Condition::Any, Action::Set { value, expires_at: UnixMillis::new(end) })
}

fn counters(result: Result<Written, EngineError>) -> Vec<i64> {
    match result {
        Ok(Written::Applied { version: Some(_), counters, .. }) => counters,
        other => panic!("not applied: {other:?}"),
    }
}

fn not_an_integer() -> EngineError {
    EngineError::NotAnInteger { table: "default".into() }
}

fn at(millis: u64) -> (SimDisk, Arc<ManualClock>, LogEngine) {
    let (disk, clock) = (SimDisk::new(1), Arc::new(ManualClock::at(millis)));
    let config = LogConfig { clock: Arc::clone(&clock) as _, ..LogConfig::new("/data") };
    let engine = LogEngine::open_on(Arc::new(disk.clone()), config, TableOptions::default());
    (disk, clock, engine.unwrap())
}

#[tokio::test]
async fn an_increment_starts_from_0_and_adds_to_what_is_stored_as_text() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    assert_eq!(counters(write(&engine, increment(b"n", 5)).await), [5]);
    assert_eq!(counters(write(&engine, increment(b"n", -7)).await), [-2]);
    assert_eq!(read(&engine, b"n").await.unwrap(), "-2");
    version_of(&engine, set(b"n", b"40")).await;
    assert_eq!(counters(write(&engine, increment(b"n", 2)).await), [42]);
    disk.crash();
    assert_eq!(read(&open(&disk), b"n").await.unwrap(), "42");
}

#[tokio::test]
async fn what_is_not_an_integer_is_left_as_it_is_and_fails_its_own_write_only() {
    let engine = open(&SimDisk::new(1));
    for text in ["", "ten", "+1", "01", "-0", "1.5", "9223372036854775808"] {
        version_of(&engine, set(b"text", text.as_bytes())).await;
        let mut with_another = set(b"other", b"1");
        with_another.changes.extend(increment(b"text", 1).changes);
        let writes = vec![increment(b"n", 1), with_another, increment(b"n", 1)];
        let mut results = engine.write(&table(), writes).await;
        assert_eq!(results.remove(1), Err(not_an_integer()), "{text}");
        assert!(results.into_iter().all(|result| result.is_ok()));
        assert_eq!(read(&engine, b"text").await.unwrap(), text);
        assert_eq!(read(&engine, b"other").await, None);
    }
    assert_eq!(read(&engine, b"n").await.unwrap(), "14");
}

#[tokio::test]
async fn an_increment_past_the_range_is_refused_and_takes_no_version() {
    let engine = open(&SimDisk::new(1));
    let overflow = Err(EngineError::Overflow { table: "default".into() });
    assert_eq!(counters(write(&engine, increment(b"n", i64::MAX)).await), [i64::MAX]);
    assert_eq!(write(&engine, increment(b"n", 1)).await, overflow);
    assert_eq!(counters(write(&engine, increment(b"m", i64::MIN)).await), [i64::MIN]);
    assert_eq!(write(&engine, increment(b"m", -1)).await, overflow);
    assert_eq!(counters(write(&engine, increment(b"n", i64::MIN)).await), [-1]);
    assert_eq!(version_of(&engine, set(b"a", b"")).await, 4);
}

#[tokio::test]
async fn a_counter_keeps_its_end_and_begins_anew_after_it() {
    let (_, clock, engine) = at(1_000);
    version_of(&engine, set_until(b"n", b"10", 2_000)).await;
    assert_eq!(counters(write(&engine, increment(b"n", 1)).await), [11]);
    clock.set(2_000);
    assert_eq!(read(&engine, b"n").await, None);
    assert_eq!(counters(write(&engine, increment(b"n", 1)).await), [1]);
    clock.set(1 << 40);
    assert_eq!(read(&engine, b"n").await.unwrap(), "1");
}

#[tokio::test]
async fn increments_of_one_group_and_of_one_batch_see_what_came_before() {
    let engine = open(&SimDisk::new(1));
    let mut both = increment(b"a", 1);
    both.changes.extend(increment(b"b", 10).changes);
    let swapped =
        one(b"a", Condition::Version(Version::new(1).unwrap()), Action::Increment { by: 5 });
    let writes = vec![both.clone(), swapped, both.clone(), delete(b"a"), both];
    let results = engine.write(&table(), writes).await;
    let counted: Vec<_> = results.into_iter().map(counters).collect();
    assert_eq!(counted, [vec![1, 10], vec![6], vec![7, 20], vec![], vec![1, 30]]);
    let refused = one(b"b", Condition::Absent, Action::Increment { by: 1 });
    let conflict = Written::Conflict { change: 0, current: Version::new(5) };
    assert_eq!(write(&engine, refused).await, Ok(conflict));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_increments_are_all_counted_and_no_two_answers_are_the_same() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    let increments = (0..500).map(|_| async { counters(write(&engine, increment(b"n", 1)).await) });
    let mut answers = join_all(increments).await.concat();
    answers.sort_unstable();
    assert!(answers.into_iter().eq(1..=500));
    disk.crash();
    assert_eq!(read(&open(&disk), b"n").await.unwrap(), "500");
}

#[tokio::test]
async fn expire_sets_moves_and_removes_the_end_and_keeps_the_value() {
    let (disk, clock, engine) = at(1_000);
    assert_eq!(version_of(&engine, set(b"a", b"kept")).await, 1);
    assert_eq!(version_of(&engine, expire(b"a", Some(2_000))).await, 2);
    let record = engine.read("default", b"a", Freshness::Latest).await.unwrap().unwrap();
    assert_eq!((&record.value[..], record.version.get()), (&b"kept"[..], 2));
    assert_eq!(record.expires_at, UnixMillis::new(2_000));
    version_of(&engine, expire(b"a", Some(3_000))).await;
    clock.set(2_500);
    assert_eq!(read(&engine, b"a").await.unwrap(), "kept");
    version_of(&engine, expire(b"a", None)).await;
    disk.crash();
    let engine = open(&disk);
    let record = engine.read("default", b"a", Freshness::Latest).await.unwrap().unwrap();
    assert_eq!((&record.value[..], record.expires_at), (&b"kept"[..], None));
}

#[tokio::test]
async fn expire_writes_nothing_without_a_record_and_ends_one_at_once_if_the_time_is_past() {
    let (_, clock, engine) = at(1_000);
    let nothing =
        Written::Applied { version: None, before: [Before::Absent].into(), counters: vec![] };
    assert_eq!(write(&engine, expire(b"a", Some(2_000))).await, Ok(nothing.clone()));
    version_of(&engine, set_until(b"a", b"1", 1_500)).await;
    clock.set(1_500);
    assert_eq!(write(&engine, expire(b"a", None)).await, Ok(nothing));
    // The session refuses a time that is past; the engine does as it is told.
    version_of(&engine, set(b"a", b"1")).await;
    let set_then_ended = vec![set(b"b", b"1"), expire(b"b", Some(1_000)), expire(b"b", None)];
    let results = engine.write(&table(), set_then_ended).await;
    assert!(matches!(results[1], Ok(Written::Applied { version: Some(_), .. })));
    assert!(matches!(results[2], Ok(Written::Applied { version: None, .. })));
    assert_eq!(read(&engine, b"b").await, None);
}

#[tokio::test]
async fn a_check_decides_whether_a_write_happens_and_writes_nothing_itself() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    let check = |key: &[u8], condition| one(key, condition, Action::Check);
    let first = version_of(&engine, set(b"a", b"1")).await;
    let mut guarded = set(b"b", b"2");
    guarded.changes.extend(check(b"a", Condition::Absent).changes);
    let conflict = Written::Conflict { change: 1, current: Version::new(first) };
    assert_eq!(write(&engine, guarded).await, Ok(conflict));
    assert_eq!(read(&engine, b"b").await, None);

    let mut guarded = set(b"b", b"2");
    guarded.changes.extend(check(b"a", Condition::Present).changes);
    assert_eq!(version_of(&engine, guarded).await, first + 1);
    let record = engine.read("default", b"a", Freshness::Latest).await.unwrap().unwrap();
    assert_eq!((&record.value[..], record.version.get()), (&b"1"[..], first));

    disk.set_uncached_percent(100);
    let syncs = disk.syncs();
    let mut checks = check(b"a", Condition::Version(Version::new(first).unwrap()));
    checks.changes.extend(check(b"none", Condition::Absent).changes);
    let stood = Before::Record(record);
    let nothing = Written::Applied {
        version: None,
        before: vec![stood, Before::Absent].into(),
        counters: vec![],
    };
    assert_eq!(write(&engine, checks).await, Ok(nothing));
    assert_eq!(disk.syncs(), syncs, "nothing was written");
}

#[tokio::test]
async fn the_time_of_a_table_follows_the_clock_and_does_not_go_back() {
    let (_, clock, engine) = at(1_000);
    assert_eq!(engine.time("default").get(), 1_000);
    version_of(&engine, set(b"a", b"1")).await;
    clock.set(500);
    assert_eq!(engine.time("default").get(), 1_000, "a write has recorded it");
    assert_eq!(engine.time("other").get(), 500);
    // What is to end a while after that time ends after it, whatever the clock says.
    version_of(&engine, set_until(b"b", b"1", 1_100)).await;
    assert_eq!(read(&engine, b"b").await.unwrap(), "1");
    clock.set(2_000);
    assert_eq!(engine.time("default").get(), 2_000);
    assert_eq!(read(&engine, b"b").await, None);
}

#[tokio::test]
async fn what_is_not_in_memory_is_read_before_it_is_counted_or_kept() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    version_of(&engine, set(b"n", b"41")).await;
    disk.set_uncached_percent(100);
    let mut counting = increment(b"n", 1);
    counting.before = BeforeDetail::Presence;
    assert_eq!(counters(write(&engine, counting).await), [42]);
    version_of(&engine, expire(b"n", Some(1 << 42))).await;
    assert_eq!(read(&engine, b"n").await.unwrap(), "42");
}

#[tokio::test]
async fn a_full_disk_refuses_to_count_and_to_move_an_end_but_not_to_delete() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    version_of(&engine, set(b"n", b"1")).await;
    disk.set_capacity(disk.used());
    let mut fill = 0_u32;
    while write(&engine, set(&fill.to_le_bytes(), &[1; 1000])).await.is_ok() {
        fill += 1;
    }
    // What is left below a set's size is used up by the smallest sets.
    while write(&engine, set(b"f", b"")).await.is_ok() {}
    assert_eq!(write(&engine, increment(b"n", 1)).await, Err(EngineError::DiskFull));
    assert_eq!(write(&engine, expire(b"n", Some(1 << 42))).await, Err(EngineError::DiskFull));
    let mut guarded = delete(b"n");
    guarded.changes.extend(one(b"gone", Condition::Absent, Action::Check).changes);
    version_of(&engine, guarded).await;
}

#[tokio::test]
async fn a_group_ends_early_where_its_answers_are_large_and_every_write_is_answered() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    let large = vec![7; 4 << 20];
    for key in 0..4_u8 {
        version_of(&engine, set(&[key], &large)).await;
    }
    // Each of them reads 4 MiB: more than one group, in one submission and in several.
    let before = disk.syncs();
    let writes = (0..4_u8).flat_map(|key| [expire(&[key], None), set(&[key], b"")]).collect();
    let results = engine.write(&table(), writes).await;
    assert_eq!(results.len(), 8);
    let is_applied = |result| matches!(result, &Ok(Written::Applied { version: Some(_), .. }));
    assert!(results.iter().all(is_applied), "{}", results.len());
    assert_eq!(disk.syncs() - before, 2, "groups");
    for key in 0..4_u8 {
        assert_eq!(read(&engine, &[key]).await.unwrap(), "");
    }
}

#[tokio::test]
async fn a_batch_that_would_read_or_write_without_measure_is_refused_and_changes_nothing() {
    let engine = open(&SimDisk::new(1));
    let large = vec![7; 5 << 20];
    for key in 0..3_u8 {
        version_of(&engine, set(&[key], &large)).await;
    }
    let batch = |keys: std::ops::Range<u8>| {
        let changes = keys.flat_map(|key| expire(&[key], Some(1 << 42)).changes).collect();
        Write { changes, before: BeforeDetail::Presence }
    };
    let mut half_brought = batch(0..2);
    half_brought.changes.extend(set(b"new", &large).changes);
    let mut all_brought = set(b"new", &[large.clone(), large.clone()].concat());
    all_brought.changes.extend(set(b"newer", &large).changes);
    for refused in [batch(0..3), half_brought, all_brought] {
        match write(&engine, refused).await {
            Err(EngineError::Refused { reason }) => {
                assert!(reason.contains("12058624"), "{reason}");
            }
            other => panic!("{:?}", other.map(|_| ())),
        }
    }
    let record = engine.read("default", &[0], Freshness::Latest).await.unwrap().unwrap();
    assert_eq!((record.version.get(), record.expires_at), (1, None));
    version_of(&engine, batch(0..2)).await;
    // Alone, any value is written and written again.
    version_of(&engine, set(b"larger", &[large.clone(), large.clone(), large].concat())).await;
    let mut alone = expire(b"larger", Some(1 << 42));
    alone.before = BeforeDetail::Presence;
    version_of(&engine, alone).await;
}

#[tokio::test]
async fn what_comes_to_nothing_reads_no_large_value() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    for (key, mebibytes) in (0..3_u8).zip([4, 4, 6]) {
        version_of(&engine, set(&[key], &vec![b'7'; mebibytes << 20])).await;
    }
    let before = disk.largest_read();
    assert!(before < 1 << 20, "{before}");
    assert_eq!(write(&engine, increment(&[0], 1)).await, Err(not_an_integer()));
    let conflict = Written::Conflict { change: 0, current: Version::new(1) };
    let value = Bytes::from_static(b"1");
    let absent = one(&[0], Condition::Absent, Action::Set { value, expires_at: None });
    assert_eq!(write(&engine, absent).await, Ok(conflict.clone()));
    let version = Condition::Version(Version::new(2).unwrap());
    let other = one(&[0], version, Action::Expire { at: None });
    assert_eq!(write(&engine, other).await, Ok(conflict));
    assert!(disk.largest_read() < 1 << 20, "{}", disk.largest_read());
    // The third value, with which it is too much for one batch, is not read.
    let changes = (0..3).flat_map(|key| expire(&[key], None).changes).collect();
    let batch = Write { changes, before: BeforeDetail::Presence };
    assert!(write(&engine, batch).await.is_err());
    assert!(disk.largest_read() < 5 << 20, "{}", disk.largest_read());
}

#[test]
fn writes_that_come_to_nothing_end_a_group_with_what_they_read() {
    let disk = SimDisk::new(1);
    let options = TableOptions::default();
    let mut store = Store::open(Arc::new(disk.clone()), Path::new("/data"), options).unwrap();
    let (mut turn, _) = drops::create(&mut store, "t").unwrap();
    let value = [b'7'; 60 << 10];
    let mut take = |writes: Vec<Write>| {
        let count = writes.len();
        let batch = vec![writes.clone(), writes];
        turn.prepare(&batch, &Demand::default()).ok().unwrap();
        let taken = turn.take(&batch, Access::Wait);
        if taken == Taken::Written {
            turn.settle();
        }
        let answered: usize = turn.results().map(|results| results.len()).sum();
        (taken, answered < 2 * count && answered * value.len() < 17 << 20)
    };
    assert_eq!(take(vec![set(b"k", &value)]), (Taken::Written, false));
    let absent = one(b"k", Condition::Absent, Action::Delete);
    assert_eq!(take(vec![absent; 1000]), (Taken::Answered, true));
    // What they have to write counts as well.
    let mut overwrite = set(b"k", &value);
    overwrite.before = BeforeDetail::Presence;
    assert_eq!(take(vec![overwrite; 1000]), (Taken::Written, true));
}

#[test]
fn a_large_value_that_a_write_has_read_is_not_kept_in_memory() {
    let disk = Arc::new(SimDisk::new(1));
    let mut store = Store::open(disk, Path::new("/data"), TableOptions::default()).unwrap();
    let (mut turn, _) = drops::create(&mut store, "t").unwrap();
    // Its answer has the record.
    let checked = one(b"k", Condition::Present, Action::Check);
    for write in [set(b"k", &[7; 10 << 20]), expire(b"k", None), checked] {
        let batch = vec![vec![write]];
        turn.prepare(&batch, &Demand::default()).ok().unwrap();
        if turn.take(&batch, Access::Wait) == Taken::Written {
            turn.settle();
        }
        assert!(turn.results().flatten().all(|result| result.is_ok()));
        let kept = turn.writer.kept_bytes();
        assert!(kept <= 512 << 10, "{kept}");
    }
}
