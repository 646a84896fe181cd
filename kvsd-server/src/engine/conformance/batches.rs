//! Several changes in one write, and several writes in one call.
//!
//! - `all_of_a_batch_happens_under_one_version`: "every condition holds and every action is carried
//!   out under one version, or nothing happens"
//! - `a_condition_that_does_not_hold_undoes_the_whole_batch`: "A condition does not hold; nothing
//!   happened."
//! - `an_error_undoes_the_whole_batch`: "[`EngineError::NotAnInteger`] and [`EngineError::Overflow`]
//!   refuse the write."
//! - `a_key_named_twice_is_refused`: "Names a key at most once.", "it names a key twice"
//! - `the_answer_tells_what_stood_before_as_it_was_asked_to`: "What stood there before, in the order
//!   of the changes.", "Whether there was one.", "The whole record."
//! - `what_writes_nothing_has_no_version`: "`None` if nothing had to be written (a delete without a
//!   record, a check)", "Remove the record. Without one, nothing is written."
//! - `writes_of_a_call_see_each_other_and_are_answered_in_order`: "Carries out writes in their order,
//!   each of them atomically and on its own, and answers all of them together"
//! - `a_write_that_fails_leaves_the_others_of_its_call_alone`: "each of them atomically and on its
//!   own"

use kvsd::Version;

use super::subject::all;
use super::writes::{batch, check, delete, expire, increment, quiet, set, set_until, when};
use super::{Subject, Versions};
use crate::engine::{Before, Condition, EngineError, Record, Written};

pub(crate) async fn all_of_a_batch_happens_under_one_version(t: Subject) {
    let table = t.table();
    table.version_of(batch([set("moved", "m"), set("gone", "g"), set("n", "41")])).await;
    let end = t.after(60_000);
    let version = table
        .version_of(batch([
            set("z", "1"),
            delete("gone"),
            increment("n", 1),
            expire("moved", Some(end)),
            set_until("a", "2", end),
        ]))
        .await;
    for (key, value, expires_at) in
        [("z", "1", None), ("n", "42", None), ("moved", "m", Some(end)), ("a", "2", Some(end))]
    {
        let record = table.get(key).await.unwrap();
        assert_eq!((record.version, record.expires_at), (version, expires_at), "{key}");
        assert_eq!(record.value, value, "{key}");
    }
    assert_eq!(table.get("gone").await, None);
}

pub(crate) async fn a_condition_that_does_not_hold_undoes_the_whole_batch(t: Subject) {
    let table = t.table();
    table.version_of(batch([set("stays", "s"), set("n", "1")])).await;
    let before = table.rows(all()).await;
    let position = table.position().await;
    for place in 0..4 {
        let mut writes = vec![set("new", "1"), delete("stays"), increment("n", 1)];
        writes.insert(place, when(Condition::Present, set("none", "1")));
        let result = table.write(batch(writes)).await;
        assert_eq!(result, Ok(Written::Conflict { change: place, current: None }));
        assert_eq!(table.rows(all()).await, before);
    }
    assert_eq!(table.told(position, super::subject::NO_LIMITS).await.changes, []);
}

pub(crate) async fn an_error_undoes_the_whole_batch(t: Subject) {
    let table = t.table();
    let most = i64::MAX.to_string();
    table.version_of(batch([set("text", "t"), set("most", &most), set("stays", "s")])).await;
    let before = table.rows(all()).await;
    let name = || table.name.to_string();
    for place in 0..3 {
        for (wrong, error) in [
            (increment("text", 1), EngineError::NotAnInteger { table: name() }),
            (increment("most", 1), EngineError::Overflow { table: name() }),
        ] {
            let mut writes = vec![set("new", "1"), delete("stays")];
            writes.insert(place, wrong);
            assert_eq!(table.write(batch(writes)).await, Err(error));
            assert_eq!(table.rows(all()).await, before);
        }
    }
}

pub(crate) async fn a_key_named_twice_is_refused(t: Subject) {
    let table = t.table();
    table.version_of(set("key", "before")).await;
    for twice in [
        batch([set("key", "1"), set("key", "2")]),
        batch([set("key", "1"), set("other", "1"), delete("key")]),
        batch([check("key", Condition::Present), increment("other", 1), increment("key", 1)]),
    ] {
        match table.write(twice).await {
            Err(EngineError::Refused { reason }) => assert!(!reason.is_empty()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(table.value("key").await.unwrap(), "before");
    assert_eq!(table.get("other").await, None);
    table.version_of(set("key", "after")).await;
}

pub(crate) async fn the_answer_tells_what_stood_before_as_it_was_asked_to(t: Subject) {
    let table = t.table();
    let end = t.after(60_000);
    let version = table
        .version_of(batch([set_until("a", "1", end), set("b", "2"), set("c", "3"), set("d", "4")]))
        .await;
    let record = |value: &'static str, expires_at| {
        Before::Record(Record { version, expires_at, value: value.into() })
    };
    let changes = || {
        batch([
            set("new", ""),
            increment("d", 0),
            delete("c"),
            check("b", Condition::Any),
            expire("a", None),
            delete("none"),
        ])
    };
    let applied = table.apply(changes()).await;
    let whole = [record("4", None), record("3", None), record("2", None), record("1", Some(end))];
    let expected: Vec<_> =
        [Before::Absent].into_iter().chain(whole).chain([Before::Absent]).collect();
    assert_eq!(applied.before, expected);
    let applied = table.apply(quiet(changes())).await;
    let (is, not) = (Before::Present, Before::Absent);
    assert_eq!(applied.before, [is.clone(), is.clone(), not.clone(), is.clone(), is, not]);
}

pub(crate) async fn what_writes_nothing_has_no_version(t: Subject) {
    let table = t.table();
    let end = Some(t.after(1_000));
    table.version_of(set("stands", "v")).await;
    let position = table.position().await;
    for (nothing, before) in [
        (delete("none"), vec![Before::Absent]),
        (expire("none", end), vec![Before::Absent]),
        (check("stands", Condition::Present), vec![Before::Present]),
        (
            batch([delete("none"), check("stands", Condition::Any), expire("no", None)]),
            vec![Before::Absent, Before::Present, Before::Absent],
        ),
    ] {
        let applied = table.apply(quiet(nothing)).await;
        assert_eq!((applied.version, applied.before), (None, before));
        assert!(applied.counters.is_empty());
    }
    assert_eq!(table.told(position, super::subject::NO_LIMITS).await.changes, []);
    // One change that writes is enough.
    table.version_of(batch([delete("none"), set("key", "v")])).await;
    assert_eq!(table.engine.write(&table.name, Vec::new()).await, []);
}

pub(crate) async fn writes_of_a_call_see_each_other_and_are_answered_in_order(t: Subject) {
    let table = t.table();
    let mut writes = vec![
        set("a", "1"),
        when(Condition::Present, set("a", "2")),
        when(Condition::Absent, set("a", "3")),
        delete("a"),
        delete("a"),
        when(Condition::Absent, increment("a", 5)),
        increment("a", 1),
    ];
    writes.extend((0..40).map(|key| set(format!("key{key:02}"), key.to_string())));
    writes.push(batch([increment("a", 1), set("b", "1")]));
    let count = writes.len();
    let results = table.engine.write(&table.name, writes).await;
    assert_eq!(results.len(), count);
    let mut versions: Vec<Version> = Vec::new();
    for (place, result) in results.iter().enumerate() {
        match (place, result) {
            (2, Ok(Written::Conflict { change: 0, current })) => {
                assert_eq!(*current, versions.last().copied());
            }
            (4, Ok(Written::Applied { version: None, before, .. })) => {
                assert_eq!(before[..], [Before::Absent]);
            }
            (_, Ok(Written::Applied { version: Some(version), counters, .. })) => {
                let expected = match place {
                    5 => &[5][..],
                    6 => &[6],
                    47 => &[7],
                    _ => &[],
                };
                assert_eq!(counters[..], *expected, "{place}");
                let is_behind = match versions.last() {
                    None => true,
                    // The first ones are about one key.
                    Some(last) if place < 7 => version > last,
                    Some(last) => match t.differences().versions {
                        Versions::Apart => version > last,
                        Versions::Shared => version >= last,
                    },
                };
                assert!(is_behind, "{place}: {version} behind {versions:?}");
                versions.push(*version);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(table.value("a").await.unwrap(), "7");
    assert_eq!(table.rows(all()).await.len(), 42);
}

pub(crate) async fn a_write_that_fails_leaves_the_others_of_its_call_alone(t: Subject) {
    let table = t.table();
    table.version_of(set("text", "t")).await;
    let results = table
        .engine
        .write(
            &table.name,
            vec![
                set("a", "1"),
                batch([set("half", "1"), increment("text", 1)]),
                set("b", "2"),
                batch([set("half", "1"), set("half", "2")]),
                set("c", "3"),
                batch([set("half", "1"), check("a", Condition::Absent)]),
                set("d", "4"),
            ],
        )
        .await;
    let is_applied: Vec<_> =
        results.iter().map(|result| matches!(result, Ok(Written::Applied { .. }))).collect();
    assert_eq!(is_applied, [true, false, true, false, true, false, true], "{results:?}");
    for (key, value) in [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("text", "t")] {
        assert_eq!(table.value(key).await.unwrap(), value);
    }
    assert_eq!(table.get("half").await, None);
}
