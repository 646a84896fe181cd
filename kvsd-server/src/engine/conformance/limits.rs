//! The most that is taken.
//!
//! - `a_batch_has_as_many_changes_as_the_engine_takes_and_no_more`: "The changes of one write."
//! - `a_value_is_as_large_as_the_engine_takes_and_no_larger`: "The bytes of a value."
//! - `a_write_that_is_too_large_is_refused_and_leaves_nothing`: "The bytes of the keys and values of
//!   one write.", "asks for more than one write may read or hold. Nothing was written."

use super::Subject;
use super::subject::{Table, all};
use super::writes::{batch, check, delete, increment, quiet, set};
use crate::engine::{Condition, EngineError, Limits, Write};

/// That a write is refused, which says why and changes nothing.
async fn assert_refused(table: &Table, write: Write) {
    let before = table.rows(all()).await.len();
    match table.write(write).await {
        Err(EngineError::Refused { reason }) => {
            assert!(reason.contains(|it: char| it.is_ascii_digit()), "no number: {reason}");
        }
        other => panic!("{:?}", other.map(drop)),
    }
    assert_eq!(table.rows(all()).await.len(), before);
    table.version_of(set("goes-on", "v")).await;
    table.version_of(delete("goes-on")).await;
}

pub(crate) async fn a_batch_has_as_many_changes_as_the_engine_takes_and_no_more(t: Subject) {
    let table = t.table();
    // As many as a session lets through, where the engine takes any number.
    let most = t.engine().description().limits.max_batch.min(1_000);
    let end = t.after(60_000);
    let changes = |count: usize| {
        let change = |number: usize| {
            let key = format!("key{number:05}");
            match number % 5 {
                0 => increment(&key, 1),
                1 => super::writes::set_until(&key, "v", end),
                2 => check(&key, Condition::Any),
                3 => set(&key, "v"),
                _ => delete(&key),
            }
        };
        batch((0..count).map(change))
    };
    for before in [quiet(changes(most)), changes(most)] {
        let applied = table.apply(before).await;
        assert_eq!(applied.before.len(), most);
        assert_eq!(applied.counters.len(), most.div_ceil(5));
    }
    if t.engine().description().limits.max_batch < usize::MAX {
        assert_refused(&table, changes(most + 1)).await;
        assert_refused(&table, changes(most * 10)).await;
    }
}

pub(crate) async fn a_value_is_as_large_as_the_engine_takes_and_no_larger(t: Subject) {
    let table = t.table();
    let Limits { max_value_bytes, .. } = t.engine().description().limits;
    let most = max_value_bytes.min(10 << 20);
    let value = vec![b'1'; most];
    table.version_of(quiet(set([b'k'; 1_024], &value))).await;
    // Again, so that the answer has it.
    let applied = table.apply(set([b'k'; 1_024], &value)).await;
    assert_eq!(applied.before.len(), 1);
    assert!(table.value([b'k'; 1_024]).await.is_some_and(|found| found == value));
    if max_value_bytes < usize::MAX {
        assert_refused(&table, set("key", vec![b'v'; most + 1])).await;
    }
}

pub(crate) async fn a_write_that_is_too_large_is_refused_and_leaves_nothing(t: Subject) {
    let table = t.table();
    let Limits { max_value_bytes, max_write_bytes, .. } = t.engine().description().limits;
    // More than any engine takes; the parts are what each takes alone.
    let part = vec![b'v'; max_value_bytes.min(10 << 20)];
    assert_refused(&table, batch([set("a", &part), set("b", &part)])).await;
    assert_eq!(table.get("a").await, None);
    if max_write_bytes < usize::MAX {
        let halves = |bytes: usize| {
            let value = vec![b'v'; bytes / 2 - 1];
            let rest = vec![b'v'; bytes - bytes / 2 - 1];
            batch([set("a", value), set("b", rest)])
        };
        table.version_of(halves(max_write_bytes)).await;
        table.version_of(batch([delete("a"), delete("b")])).await;
        assert_refused(&table, halves(max_write_bytes + 1)).await;
    }
}
