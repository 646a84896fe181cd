//! Waiting for a table to change.

use std::pin::Pin;
use std::sync::Weak;

use super::*;
use crate::engine::{Changes, PageLimits, Position};

const START: Position = Position { incarnation: None, version: 0 };

fn wait(engine: &LogEngine, since: Position) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
    Box::pin(engine.changed("default", since))
}

/// A waiter that has been asked once and has nothing to tell.
fn waiting(engine: &LogEngine, since: Position) -> impl Future<Output = ()> + Send + '_ {
    let mut waiter = wait(engine, since);
    assert!((&mut waiter).now_or_never().is_none(), "nothing has changed since {since:?}");
    waiter
}

/// What is told behind a position: the versions, and where to go on.
async fn told(engine: &LogEngine, since: Position) -> (Vec<u64>, Position) {
    let limits = PageLimits { records: 100, bytes: 1 << 20 };
    match engine.changes("default", since, limits).await.unwrap() {
        Changes::Page(page) => (page.iter().map(|it| it.version.get()).collect(), page.until()),
        Changes::Gap { now } => (Vec::new(), now),
    }
}

#[tokio::test]
async fn a_write_a_batch_a_table_that_comes_one_that_goes_and_the_end_wake_who_waits() {
    let engine = open(&SimDisk::new(1));
    let waiter = waiting(&engine, START);
    assert_eq!(engine.create_table(&TableName::parse("other").unwrap()).await, Ok(true));
    assert_eq!(engine.create_table(&table()).await, Ok(true));
    waiter.await;
    let (_, now) = told(&engine, START).await;

    let waiter = waiting(&engine, now);
    let version = version_of(&engine, set(b"a", b"1")).await;
    waiter.await;
    let (versions, now) = told(&engine, now).await;
    assert_eq!(versions, [version]);

    let waiter = waiting(&engine, now);
    let changes = [set(b"a", b"2"), delete(b"b"), set(b"c", b"3")].map(|write| write.changes);
    let batch =
        Write { changes: changes.into_iter().flatten().collect(), before: BeforeDetail::Presence };
    write(&engine, batch).await.unwrap();
    waiter.await;
    let (versions, now) = told(&engine, now).await;
    assert_eq!(versions, [version + 1, version + 1]);

    let waiter = waiting(&engine, now);
    assert_eq!(engine.drop_table(&table()).await, Ok(true));
    waiter.await;
    wait(&engine, now).await;

    let absent = waiting(&engine, START);
    version_of(&engine, set(b"a", b"1")).await;
    absent.await;
    let (_, now) = told(&engine, START).await;
    let present = waiting(&engine, now);
    let absent = Box::pin(engine.changed("nothing", START));
    let closed = join_all([Box::pin(present) as Pin<Box<dyn Future<Output = ()> + Send>>, absent]);
    let (_, result) = tokio::join!(closed, engine.close());
    result.unwrap();
    wait(&engine, now).await;
    wait(&engine, START).await;
}

#[tokio::test]
async fn what_is_told_already_is_not_waited_for() {
    let engine = open(&SimDisk::new(1));
    // The table has never been there.
    let ahead = Position { version: 7, ..START };
    wait(&engine, ahead).await;
    wait(&engine, Position { incarnation: Some(1), version: 0 }).await;
    version_of(&engine, set(b"a", b"1")).await;
    let (_, now) = told(&engine, START).await;
    wait(&engine, START).await;
    // A gap is something to tell, too.
    wait(&engine, ahead).await;
    wait(&engine, Position { incarnation: now.incarnation.map(|it| it ^ 1), ..now }).await;
    // What writes nothing changes nothing.
    let waiter = waiting(&engine, now);
    write(&engine, delete(b"nothing")).await.unwrap();
    assert!(waiter.now_or_never().is_none());
}

#[tokio::test]
async fn nobody_wakes_for_a_write_that_is_not_synced_yet() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    version_of(&engine, set(b"a", b"1")).await;
    let (_, now) = told(&engine, START).await;
    disk.hold_syncs();
    let syncs = disk.syncs();
    let mut held = Box::pin(write(&engine, set(b"a", b"2")));
    assert!((&mut held).now_or_never().is_none());
    while disk.syncs() == syncs {
        tokio::task::yield_now().await;
    }
    // Not before: the write above may still be waking those who wait.
    let mut waiter = Box::pin(waiting(&engine, now));
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!((&mut waiter).now_or_never().is_none(), "it is not on the disk");
    }
    assert!(wait(&engine, now).now_or_never().is_none());
    disk.release_syncs();
    waiter.await;
    assert_eq!(told(&engine, now).await.0, [now.version + 1]);
    held.await.unwrap();
}

#[tokio::test]
async fn a_thousand_wait_at_once_and_those_who_leave_leave_nothing_behind() {
    let engine = open(&SimDisk::new(1));
    version_of(&engine, set(b"a", b"1")).await;
    let (_, now) = told(&engine, START).await;
    let handle = engine.tables.find("default").unwrap();
    let published = Arc::downgrade(handle.published());
    let table = Arc::downgrade(&handle);
    drop(handle);
    let holders = || (Weak::strong_count(&published), Weak::strong_count(&table));
    let before = holders();
    let leaving: Vec<_> = (0..1_000).map(|_| waiting(&engine, now)).collect();
    let staying: Vec<_> = (0..1_000).map(|_| waiting(&engine, now)).collect();
    let absent = Box::pin(engine.changed("nothing", START)).now_or_never();
    assert_eq!(absent, None);
    // Who waits does not hold on to the table's files.
    assert_eq!(holders(), (before.0 + 2_000, before.1));
    drop(leaving);
    assert_eq!(holders().0, before.0 + 1_000);
    version_of(&engine, set(b"a", b"2")).await;
    join_all(staying).await;
    assert_eq!(holders(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_and_waits_in_turns_misses_no_write_that_comes_in_between() {
    const WRITES: u64 = 2_000;
    let engine = Arc::new(open_on(&SimDisk::new(1), SyncPolicy::Never));
    let (seen, mut last_seen) = tokio::sync::watch::channel(0);
    let follow = |engine: Arc<LogEngine>| async move {
        let mut since = START;
        while since.version < WRITES {
            engine.changed("default", since).await;
            let (versions, until) = told(&engine, since).await;
            assert!(versions.into_iter().eq(since.version + 1..=until.version));
            since = until;
            seen.send_replace(until.version);
        }
    };
    let follower = tokio::spawn(follow(Arc::clone(&engine)));
    for number in 1..=WRITES {
        assert_eq!(version_of(&engine, set(&number.to_le_bytes(), b"")).await, number);
        // Now and then the write that was missed would be the last one.
        if number % 3 > 0 {
            let told = last_seen.wait_for(|seen| *seen == number);
            tokio::time::timeout(Duration::from_secs(60), told).await.expect("it hangs").unwrap();
        }
    }
    follower.await.unwrap();
}

#[tokio::test]
async fn who_writes_is_answered_before_those_who_wait_for_changes_wake() {
    let engine = Arc::new(open_on(&SimDisk::new(1), SyncPolicy::Never));
    version_of(&engine, set(b"a", b"1")).await;
    let (_, now) = told(&engine, START).await;
    let (woken, mut order) = tokio::sync::mpsc::channel(2);
    let (wakes, waits) = (woken.clone(), Arc::clone(&engine));
    tokio::spawn(async move {
        waits.changed("default", now).await;
        wakes.send("waiter").await.unwrap();
    });
    tokio::task::yield_now().await;
    tokio::spawn(async move {
        version_of(&engine, set(b"a", b"2")).await;
        woken.send("writer").await.unwrap();
    });
    assert_eq!((order.recv().await, order.recv().await), (Some("writer"), Some("waiter")));
}
