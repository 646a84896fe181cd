//! What must hold for a write to happen.
//!
//! - `a_condition_holds_exactly_where_it_says`: "There is no record.", "There is a record.", "The
//!   record is the one that this write made."
//! - `a_conflict_names_the_change_and_the_version_that_stands_there`: "Which change, by its place.",
//!   "The version of that key's record; `None` if there is none."
//! - `a_condition_on_a_version_holds_until_the_next_write_and_never_again`: "The record is the one
//!   that this write made."
//! - `a_check_decides_over_others_and_leaves_its_record_alone`: "Leave the record as it is: only the
//!   condition counts. Nothing is written."

use kvsd::Version;

use super::Subject;
use super::writes::{
    batch, check, delete, expire, increment, quiet, set, set_until, unheard_of, when,
};
use crate::engine::{Before, Condition, Written};

pub(crate) async fn a_condition_holds_exactly_where_it_says(t: Subject) {
    let table = t.table();
    let end = t.after(1_000);
    table.version_of(batch([set("deleted", "v"), set_until("ended", "v", end)])).await;
    table.version_of(delete("deleted")).await;
    t.advance(1_000);
    let stands = table.version_of(set("stands", "v")).await;
    for (key, current) in
        [("stands", Some(stands)), ("never", None), ("deleted", None), ("ended", None)]
    {
        let is_there = current.is_some();
        for (condition, holds) in [
            (Condition::Any, true),
            (Condition::Absent, !is_there),
            (Condition::Present, is_there),
            (Condition::Version(stands), is_there),
            (Condition::Version(unheard_of()), false),
        ] {
            let expected = match (holds, is_there) {
                (true, true) => Written::Applied {
                    version: None,
                    before: [Before::Present].into(),
                    counters: vec![],
                },
                (true, false) => Written::Applied {
                    version: None,
                    before: [Before::Absent].into(),
                    counters: vec![],
                },
                (false, _) => Written::Conflict { change: 0, current },
            };
            let result = table.write(quiet(check(key, condition))).await;
            assert_eq!(result, Ok(expected), "{key}: {condition:?}");
        }
    }
    // The same with actions that write where the condition holds.
    for (key, condition) in [
        ("stands", Condition::Absent),
        ("never", Condition::Present),
        ("deleted", Condition::Present),
        ("ended", Condition::Present),
        ("ended", Condition::Version(unheard_of())),
    ] {
        for write in [set(key, "2"), increment(key, 1), expire(key, None), delete(key)] {
            let result = table.write(when(condition, write)).await;
            assert!(matches!(result, Ok(Written::Conflict { .. })), "{key}: {result:?}");
        }
    }
    for (key, condition) in [
        ("stands", Condition::Version(stands)),
        ("never", Condition::Absent),
        ("deleted", Condition::Absent),
        ("ended", Condition::Absent),
    ] {
        table.version_of(when(condition, set(key, "new"))).await;
        assert_eq!(table.value(key).await.unwrap(), "new", "{key}");
    }
}

pub(crate) async fn a_conflict_names_the_change_and_the_version_that_stands_there(t: Subject) {
    let table = t.table();
    let absent = table.write(when(Condition::Present, set("a", "1"))).await;
    assert_eq!(absent, Ok(Written::Conflict { change: 0, current: None }), "without a table");
    let first = table.version_of(set("a", "1")).await;
    let second = table.version_of(set("b", "1")).await;
    for (place, key, current) in [(0, "a", Some(first)), (1, "b", Some(second)), (2, "c", None)] {
        let condition = if current.is_some() { Condition::Absent } else { Condition::Present };
        let mut writes = vec![set("x", "1"), set("y", "1")];
        writes.insert(place, when(condition, set(key, "2")));
        let result = table.write(batch(writes)).await;
        assert_eq!(result, Ok(Written::Conflict { change: place, current }));
    }
    let other = table.write(when(Condition::Version(second), set("a", "2"))).await;
    assert_eq!(other, Ok(Written::Conflict { change: 0, current: Some(first) }));
    for key in ["x", "y", "c"] {
        assert_eq!(table.get(key).await, None);
    }
}

pub(crate) async fn a_condition_on_a_version_holds_until_the_next_write_and_never_again(
    t: Subject,
) {
    let table = t.table();
    let mut gone: Vec<Version> = Vec::new();
    let steps = [
        set("key", "1"),
        set("key", "1"),
        increment("key", 0),
        expire("key", None),
        delete("key"),
        set("key", "1"),
    ];
    for step in steps {
        let version = table.version_of(step).await;
        assert!(gone.iter().all(|before| *before < version), "versions only grow");
        gone.push(version);
        let stands = table.get("key").await.map(|record| record.version);
        assert!(stands.is_none_or(|stands| stands == version));
        for before in gone.iter().filter(|before| Some(**before) != stands) {
            let result = table.write(when(Condition::Version(*before), delete("key"))).await;
            assert_eq!(result, Ok(Written::Conflict { change: 0, current: stands }));
        }
    }
    let stands = gone.last().copied().unwrap();
    table.version_of(when(Condition::Version(stands), delete("key"))).await;
}

pub(crate) async fn a_check_decides_over_others_and_leaves_its_record_alone(t: Subject) {
    let table = t.table();
    let version = table.version_of(set("guard", "g")).await;
    for holds in [Condition::Present, Condition::Version(version), Condition::Any] {
        table.version_of(batch([check("guard", holds), set("key", "v")])).await;
        let guard = table.get("guard").await.unwrap();
        assert_eq!((guard.version, &guard.value[..]), (version, &b"g"[..]));
    }
    table.version_of(batch([check("none", Condition::Absent), delete("key")])).await;
    for fails in [check("guard", Condition::Absent), check("none", Condition::Present)] {
        let result = table.write(batch([set("key", "v"), fails])).await;
        assert!(matches!(result, Ok(Written::Conflict { change: 1, .. })), "{result:?}");
    }
    assert_eq!(table.get("key").await, None);
    assert_eq!(table.get("none").await, None);
}
