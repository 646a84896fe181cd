//! Many at once.
//!
//! - `increments_are_all_counted_and_no_two_answers_are_the_same`: "each of them atomically and on its
//!   own"
//! - `who_swaps_by_version_loses_nothing`: "The record is the one that this write made."
//! - `of_many_who_want_to_be_first_one_is`: "There is no record."
//! - `what_one_task_hands_in_is_carried_out_in_its_order_even_before_the_answers`: "What one task
//!   hands in for a table is carried out in the order in which it does so, even before the answers"
//! - `the_order_of_a_task_holds_where_its_first_write_makes_the_table`: "What one task hands in for a
//!   table is carried out in the order in which it does so, even before the answers"
//! - `nobody_sees_half_of_a_batch`: "what other tasks hand in may come in between, but for parts of a
//!   write"
//! - `who_has_read_a_write_never_reads_an_older_one`: "Every write that was answered before is seen."
//! - `a_write_that_nobody_waits_for_happens_wholly_or_not_and_in_its_turn`: "Once polled, the writes
//!   may be carried out even if the future is dropped."

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use futures_util::future::join_all;

use super::Subject;
use super::subject::{START, Table, all};
use super::writes::{batch, delete, increment, quiet, set, when};
use crate::engine::{Condition, Write, Written};

/// A task of its own for each number, on the engines in turns.
async fn on_tasks<T, F>(t: &Subject, count: u8, work: impl Fn(u8, Table) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tables = t.tables();
    let spawn = |task| tokio::spawn(work(task, tables[usize::from(task) % tables.len()].clone()));
    let tasks: Vec<_> = (0..count).map(spawn).collect();
    join_all(tasks).await.into_iter().map(|done| done.expect("a task has failed")).collect()
}

pub(crate) async fn increments_are_all_counted_and_no_two_answers_are_the_same(t: Subject) {
    let counted = on_tasks(&t, 16, |_, table| async move {
        let mut counted = Vec::new();
        for _ in 0..20 {
            counted.extend(table.apply(quiet(increment("n", 1))).await.counters);
        }
        assert!(counted.is_sorted());
        counted
    });
    let mut counted = counted.await.concat();
    counted.sort_unstable();
    assert!(counted.into_iter().eq(1..=320));
    assert_eq!(t.table().value("n").await.unwrap(), "320");
}

pub(crate) async fn who_swaps_by_version_loses_nothing(t: Subject) {
    t.table().version_of(set("list", "")).await;
    let adding = on_tasks(&t, 8, |task, table| async move {
        let mut conflicts = 0;
        for _ in 0..8 {
            loop {
                let record = table.read("list").await.unwrap();
                let longer = [&record.value[..], &[b'a' + task]].concat();
                let swap = when(Condition::Version(record.version), set("list", longer));
                match table.write(swap).await {
                    Ok(Written::Applied { version, .. }) => {
                        assert!(version > Some(record.version));
                        break;
                    }
                    Ok(Written::Conflict { change: 0, current }) => {
                        assert!(current > Some(record.version), "it would have held");
                        conflicts += 1;
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        conflicts
    });
    adding.await;
    let mut list = t.table().value("list").await.unwrap().to_vec();
    list.sort_unstable();
    assert!(list.into_iter().eq((b'a'..b'i').flat_map(|task| [task; 8])));
}

pub(crate) async fn of_many_who_want_to_be_first_one_is(t: Subject) {
    for round in 0..10_u8 {
        let first = on_tasks(&t, 12, move |task, table| async move {
            let claim = when(Condition::Absent, set([round], task.to_string()));
            match table.write(claim).await {
                Ok(Written::Applied { version, .. }) => (version, Some(task)),
                Ok(Written::Conflict { change: 0, current }) => (current, None),
                other => panic!("{other:?}"),
            }
        });
        let answers = first.await;
        let record = t.table().get([round]).await.unwrap();
        let winners: Vec<_> = answers.iter().filter_map(|(_, winner)| *winner).collect();
        assert_eq!(winners.len(), 1, "{answers:?}");
        assert_eq!(record.value, winners[0].to_string());
        // Who lost was told of the record that won.
        assert!(answers.iter().all(|(version, _)| *version == Some(record.version)));
    }
}

pub(crate) async fn what_one_task_hands_in_is_carried_out_in_its_order_even_before_the_answers(
    t: Subject,
) {
    t.table().version_of(set("other", "")).await;
    let handed = on_tasks(&t, 6, |task, table| async move {
        let key = format!("key{task}");
        for round in 0..5_u32 {
            let write = |number: u32| set(&key, (round * 30 + number).to_be_bytes());
            // The second half of them as one call each, and now and then two in one.
            let calls: Vec<Vec<Write>> = (0..30)
                .map(|number| match number % 10 {
                    3 => vec![delete(&key), write(number)],
                    _ => vec![write(number)],
                })
                .collect();
            let calls = calls.into_iter().map(|writes| table.engine.write(&table.name, writes));
            let mut calls: Vec<_> = calls.collect();
            // All are handed in before any is waited for.
            let answers: Vec<_> = calls.iter_mut().map(FutureExt::now_or_never).collect();
            let mut last = None;
            for (call, answer) in calls.into_iter().zip(answers) {
                let answer = match answer {
                    Some(answer) => answer,
                    None => call.await,
                };
                for result in answer {
                    let Ok(Written::Applied { version: Some(version), .. }) = result else {
                        panic!("{result:?}");
                    };
                    assert!(Some(version) > last, "{version} behind {last:?}");
                    last = Some(version);
                }
            }
            let record = table.read(&key).await.unwrap();
            assert_eq!(Some(record.version), last);
            assert_eq!(record.value, (round * 30 + 29).to_be_bytes()[..]);
        }
    });
    handed.await;
}

pub(crate) async fn the_order_of_a_task_holds_where_its_first_write_makes_the_table(t: Subject) {
    let table = t.table();
    for _ in 0..10 {
        let mut first = table.engine.write(&table.name, vec![set("key", "1")]);
        let answer = (&mut first).now_or_never();
        // The table may be there before the task looks at its write again.
        while answer.is_none() && !table.is_listed().await {
            tokio::task::yield_now().await;
        }
        let mut second = table.engine.write(&table.name, vec![set("key", "2")]);
        let early = (&mut second).now_or_never();
        for (answer, call) in [(answer, first), (early, second)] {
            let answer = match answer {
                Some(answer) => answer,
                None => call.await,
            };
            assert!(matches!(answer[..], [Ok(Written::Applied { .. })]), "{answer:?}");
        }
        assert_eq!(table.value("key").await.unwrap(), "2");
        assert!(table.drop_it().await);
    }
}

pub(crate) async fn nobody_sees_half_of_a_batch(t: Subject) {
    let keys: Vec<String> = (0..20).map(|key| format!("key{key:02}")).collect();
    let write = |round: u32| quiet(batch(keys.iter().map(|key| set(key, round.to_be_bytes()))));
    t.table().version_of(write(0)).await;
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = t
        .tables()
        .into_iter()
        .map(|table| {
            let (done, keys) = (Arc::clone(&done), keys.clone());
            tokio::spawn(async move {
                let mut since = START;
                while !done.load(Ordering::Acquire) {
                    // Who has seen one write of it sees all of it.
                    let first = table.read(&keys[0]).await.unwrap();
                    let last = table.read(&keys[19]).await.unwrap();
                    assert!(first.version <= last.version);
                    let page = table.page(&all()).await;
                    assert!(page.iter().all(|it| it.version >= last.version));
                    assert!(
                        page.iter()
                            .all(|it| Some(it.version) == page.iter().next().map(|it| it.version))
                    );
                    let told = table.told(since, super::subject::NO_LIMITS).await;
                    assert_eq!(told.changes.len() % 20, 0, "half a batch");
                    since = told.until;
                }
            })
        })
        .collect();
    for round in 1..80 {
        t.table().version_of(write(round)).await;
    }
    done.store(true, Ordering::Release);
    for reader in readers {
        reader.await.unwrap();
    }
}

pub(crate) async fn who_has_read_a_write_never_reads_an_older_one(t: Subject) {
    let done = Arc::new(AtomicBool::new(false));
    t.table().version_of(set("key", "0")).await;
    let reading = {
        let (tables, done) = (t.tables(), Arc::clone(&done));
        tokio::spawn(async move {
            let mut seen = None;
            while !done.load(Ordering::Acquire) {
                // From one engine to the next, too.
                for table in &tables {
                    let version = table.read("key").await.map(|record| record.version);
                    assert!(version >= seen, "{version:?} behind {seen:?}");
                    seen = version;
                }
            }
        })
    };
    for round in 0..150_u32 {
        t.table().version_of(set("key", round.to_string())).await;
    }
    done.store(true, Ordering::Release);
    reading.await.unwrap();
}

pub(crate) async fn a_write_that_nobody_waits_for_happens_wholly_or_not_and_in_its_turn(
    t: Subject,
) {
    let table = t.table();
    table.version_of(set("last", "")).await;
    for round in 0..30_u8 {
        let both =
            batch([set([b'a', round], "1"), set([b'b', round], "1"), set("last", "dropped")]);
        let _ = table.engine.write(&table.name, vec![both]).now_or_never();
        if round % 3 == 0 {
            let version = table.version_of(set("last", [round])).await;
            assert_eq!(table.read("last").await.unwrap().version, version);
        }
    }
    // Behind all that was dropped before.
    let version = table.version_of(set("last", "kept")).await;
    let record = table.get("last").await.unwrap();
    assert_eq!((record.version, &record.value[..]), (version, &b"kept"[..]));
    for round in 0..30_u8 {
        let [a, b] = [table.get([b'a', round]).await, table.get([b'b', round]).await];
        assert_eq!(a.map(|it| it.version), b.map(|it| it.version), "half a batch");
    }
}
