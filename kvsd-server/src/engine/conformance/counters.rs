//! Increments.
//!
//! - `an_increment_begins_at_0_and_adds_to_decimal_text`: "Add to the integer that the record holds
//!   as decimal text; without a record, to 0."
//! - `what_is_not_canonical_decimal_text_is_no_integer_and_stays`: "The value is not an integer as it
//!   is stored: canonical decimal text of an `i64`. Nothing was written."
//! - `an_integer_never_leaves_its_range`: "The integer would leave the range of an `i64`. Nothing was
//!   written."
//! - `the_answer_has_the_counters_in_the_order_of_the_changes`: "What each [`Action::Increment`] came
//!   to, in their order."

use super::Subject;
use super::writes::{batch, check, delete, increment, quiet, set, when};
use crate::engine::{Condition, EngineError};

pub(crate) async fn an_increment_begins_at_0_and_adds_to_decimal_text(t: Subject) {
    let table = t.table();
    let mut sum = 0;
    for by in [5, -7, 0, 1_000_000, i64::MAX - 999_998, -1, i64::MIN, 1] {
        sum += by;
        let applied = table.apply(increment("n", by)).await;
        assert_eq!(applied.counters, [sum]);
        let record = table.get("n").await.unwrap();
        assert_eq!((Some(record.version), record.value), (applied.version, sum.to_string().into()));
    }
    table.version_of(set("n", "-40")).await;
    assert_eq!(table.apply(quiet(increment("n", -2))).await.counters, [-42]);
    table.version_of(delete("n")).await;
    assert_eq!(table.apply(when(Condition::Absent, increment("n", 3))).await.counters, [3]);
    assert_eq!(table.apply(when(Condition::Present, increment("n", 3))).await.counters, [6]);
}

pub(crate) async fn what_is_not_canonical_decimal_text_is_no_integer_and_stays(t: Subject) {
    let table = t.table();
    let long = "1".repeat(5_000);
    for text in [
        "",
        "ten",
        "+1",
        "01",
        "-0",
        "-",
        " 1",
        "1 ",
        "1\n",
        "1.5",
        "1e3",
        "0x1",
        "\0",
        "9223372036854775808",
        "-9223372036854775809",
        "12345678901234567890123",
        &long,
    ] {
        let version = table.version_of(set("n", text)).await;
        for detailed in [increment("n", 1), quiet(increment("n", 0))] {
            let error = EngineError::NotAnInteger { table: table.name.to_string() };
            assert_eq!(table.write(detailed).await, Err(error), "{text:?}");
        }
        let record = table.get("n").await.unwrap();
        assert_eq!((record.version, &record.value[..]), (version, text.as_bytes()));
    }
    for text in ["0", "-1", "9223372036854775807", "-9223372036854775808"] {
        table.version_of(set("n", text)).await;
        let counters = table.apply(increment("n", 0)).await.counters;
        assert_eq!(counters, [text.parse::<i64>().unwrap()]);
    }
}

pub(crate) async fn an_integer_never_leaves_its_range(t: Subject) {
    let table = t.table();
    for (start, by) in
        [(i64::MAX, 1), (i64::MIN, -1), (1, i64::MAX), (-1, i64::MIN), (i64::MAX, i64::MAX)]
    {
        let version = table.version_of(set("n", start.to_string())).await;
        let error = EngineError::Overflow { table: table.name.to_string() };
        assert_eq!(table.write(increment("n", by)).await, Err(error), "{start} and {by}");
        assert_eq!(table.get("n").await.unwrap().version, version);
    }
    assert_eq!(table.apply(increment("n", i64::MIN)).await.counters, [-1]);
    assert_eq!(table.apply(increment("new", i64::MIN)).await.counters, [i64::MIN]);
}

pub(crate) async fn the_answer_has_the_counters_in_the_order_of_the_changes(t: Subject) {
    let table = t.table();
    table.version_of(batch([set("a", "100"), set("b", "10")])).await;
    let both = || {
        batch([
            set("z", "v"),
            increment("b", 1),
            check("y", Condition::Absent),
            increment("a", 1),
            delete("x"),
            increment("new", 1),
        ])
    };
    assert_eq!(table.apply(both()).await.counters, [11, 101, 1]);
    let results = table.engine.write(&table.name, vec![both(), delete("a"), both()]).await;
    let counters: Vec<_> = results
        .into_iter()
        .map(|result| match result {
            Ok(crate::engine::Written::Applied { counters, .. }) => counters,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(counters, [vec![12, 102, 2], vec![], vec![13, 1, 3]]);
}
