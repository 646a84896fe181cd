//! Being told that there is something new.
//!
//! - `a_write_a_batch_a_table_that_comes_and_one_that_goes_wake_who_waits`: "a write that readers see,
//!   another table of the name, or none any more"
//! - `who_is_behind_already_does_not_wait`: "Resolves at once if it has"
//! - `the_end_of_the_engine_wakes_who_waits`: "always when the engine closes"
//! - `those_who_leave_leave_nothing_behind`: "Nothing is lost and nothing is left behind."
//! - `who_asks_and_waits_in_turns_misses_nothing`: "Waits until [`Engine::changes`] may have something
//!   to tell behind a position"

use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::task::JoinHandle;

use super::Subject;
use super::subject::{NO_LIMITS, START, Table};
use super::writes::{batch, delete, set};
use crate::engine::{Changes, Position};

/// Waits on a task of its own until there is something to tell, for it may be woken for nothing. The
/// wait has begun when this returns: of a table that was made before, an empty one, it would tell
/// nothing.
fn waiter(table: &Table, since: Position) -> JoinHandle<()> {
    let table = table.clone();
    let mut first = Box::pin({
        let table = table.clone();
        async move { table.changed(since).await }
    });
    let begun = first.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    tokio::spawn(async move {
        if begun.is_pending() {
            first.await;
        }
        loop {
            let told = table.engine.changes(table.name.as_str(), since, NO_LIMITS).await;
            match told {
                Ok(Changes::Page(page)) if page.iter().count() == 0 && !is_new(since, &page) => {}
                Ok(_) | Err(_) => return,
            }
            table.changed(since).await;
        }
    })
}

/// Whether a page tells of a table where there was none.
fn is_new(since: Position, page: &crate::engine::ChangePage) -> bool {
    since.incarnation.is_none() && page.until().incarnation.is_some()
}

async fn woken(waiters: Vec<JoinHandle<()>>, what: &str) {
    let woken = tokio::time::timeout(Duration::from_secs(60), join_all(waiters)).await;
    for waiter in woken.unwrap_or_else(|_| panic!("{what}: nobody wakes")) {
        waiter.unwrap();
    }
}

pub(crate) async fn a_write_a_batch_a_table_that_comes_and_one_that_goes_wake_who_waits(
    t: Subject,
) {
    let table = t.table();
    let all_wait = |since| t.tables().iter().map(|table| waiter(table, since)).collect::<Vec<_>>();
    let waiters = all_wait(START);
    assert!(table.create().await);
    woken(waiters, "a table that comes").await;

    let waiters = all_wait(table.position().await);
    table.version_of(set("a", "1")).await;
    woken(waiters, "a write").await;

    let waiters = all_wait(table.position().await);
    table.version_of(batch([set("a", "2"), delete("b"), set("c", "3")])).await;
    woken(waiters, "a batch").await;

    let waiters = all_wait(table.position().await);
    table.version_of(delete("a")).await;
    woken(waiters, "a delete").await;

    let before = table.position().await;
    let waiters = all_wait(before);
    assert!(table.drop_it().await);
    woken(waiters, "a table that goes").await;

    let waiters = all_wait(START);
    table.version_of(set("a", "1")).await;
    woken(waiters, "a table that comes with a write").await;
    woken(all_wait(before), "another table of the name").await;
}

pub(crate) async fn who_is_behind_already_does_not_wait(t: Subject) {
    let table = t.table();
    table.version_of(set("a", "1")).await;
    let first = table.position().await;
    table.version_of(set("a", "2")).await;
    let now = table.position().await;
    for behind in [
        START,
        first,
        Position { incarnation: None, ..first },
        Position { incarnation: now.incarnation.map(|it| it ^ 1), ..now },
        Position { version: now.version + (1 << 40), ..now },
    ] {
        for table in t.tables() {
            let changed = tokio::time::timeout(Duration::from_secs(60), table.changed(behind));
            changed.await.unwrap_or_else(|_| panic!("it waits behind {behind:?}"));
        }
    }
    assert!(table.drop_it().await);
    for table in t.tables() {
        table.changed(now).await;
    }
}

pub(crate) async fn the_end_of_the_engine_wakes_who_waits(t: Subject) {
    let table = t.table();
    table.version_of(set("a", "1")).await;
    let now = table.position().await;
    let wait = |table: Table, since| {
        tokio::spawn(async move {
            // Only the end wakes it for good.
            while table.engine.tables().await.is_ok() {
                table.changed(since).await;
            }
        })
    };
    let waiters = vec![wait(table.clone(), now), wait(t.another("absent"), START)];
    tokio::task::yield_now().await;
    table.engine.close().await.unwrap();
    woken(waiters, "the end").await;
    table.changed(now).await;
    table.changed(START).await;
    t.another("absent").changed(START).await;
}

pub(crate) async fn those_who_leave_leave_nothing_behind(t: Subject) {
    let table = t.table();
    table.version_of(set("a", "1")).await;
    for round in 0..5_u8 {
        let now = table.position().await;
        for _ in 0..100 {
            // Asked once, and dropped.
            let _ = table.changed(now).now_or_never();
        }
        let mut staying: Vec<_> = (0..20).map(|_| waiter(&table, now)).collect();
        let leaving = staying.split_off(10);
        leaving.iter().for_each(JoinHandle::abort);
        table.version_of(set("a", [round])).await;
        woken(staying, "a write").await;
        assert_eq!(table.told(now, NO_LIMITS).await.changes.len(), 1, "nothing is lost");
    }
}

pub(crate) async fn who_asks_and_waits_in_turns_misses_nothing(t: Subject) {
    const WRITES: u32 = 200;
    let (seen, mut last_seen) = tokio::sync::watch::channel(0);
    let following = t.tables().pop().unwrap();
    let follower = tokio::spawn(async move {
        let (mut since, mut values) = (START, Vec::new());
        while values.len() < WRITES as usize {
            following.changed(since).await;
            let told = following.told(since, NO_LIMITS).await;
            values.extend(told.changes.into_iter().map(|change| change.value.unwrap()));
            since = told.until;
            seen.send_replace(values.len());
        }
        assert!(values.into_iter().eq((0..WRITES).map(|number| number.to_be_bytes().to_vec())));
    });
    let table = t.table();
    for number in 0..WRITES {
        table.version_of(set("key", number.to_be_bytes())).await;
        // Now and then the write that was missed would be the last one.
        if number % 3 > 0 {
            let told = last_seen.wait_for(|seen| *seen == number as usize + 1);
            tokio::time::timeout(Duration::from_secs(60), told).await.expect("it hangs").unwrap();
        }
    }
    follower.await.unwrap();
}
