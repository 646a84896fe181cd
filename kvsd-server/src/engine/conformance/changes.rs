//! The past of a table.
//!
//! - `every_change_is_told_once_in_order_from_any_position_in_pages_of_any_size`: "Reads what has
//!   changed in a table since a position, at most some of it", "Up to where the page tells
//!   everything: where to go on from."
//! - `a_change_tells_value_and_end_and_a_delete_neither`: "The new value; `None` if the record was
//!   deleted.", "When the new record ends."
//! - `what_changes_nothing_is_no_change`: "The write that made the change."
//! - `that_a_record_ends_is_no_change`: "That it does is no change of its own."
//! - `where_nothing_has_changed_the_answer_is_at_once_and_goes_on`: "answers at once, even if that is
//!   nothing"
//! - `a_table_that_is_not_there_has_not_changed`: "A table that does not exist has not changed.", "0
//!   stands before the first one"
//! - `the_past_is_told_after_a_reopening`: "The changes, or the first of them."
//! - `a_position_that_the_table_never_had_is_a_gap`: "the table has never been at the position"
//! - `another_table_of_the_name_is_a_gap`: "`None` stands for the one that has the name now."
//! - `what_is_not_kept_is_a_gap_to_go_on_from`: "The changes are not all known any more", "Read the
//!   table as it is, and go on from here."
//! - `a_batch_is_never_split_between_pages`: "none of a write, or all of them"

use kvsd::Version;

use super::subject::{Change, NO_LIMITS, START, Table};
use super::writes::{batch, check, delete, expire, increment, quiet, set, set_until, when};
use super::{Ending, Setup, Subject};
use crate::engine::{Condition, PageLimits, Position, Write};

/// Applies a write of sets and deletes; what it changes.
async fn made(table: &Table, write: Write) -> Vec<Change> {
    let told = write.changes.clone().into_iter().map(|change| {
        let (value, expires_at) = match change.action {
            crate::engine::Action::Set { value, expires_at } => (Some(value.to_vec()), expires_at),
            _ => (None, None),
        };
        (change.key.to_vec(), value, expires_at)
    });
    let told: Vec<_> = told.collect();
    let version = table.version_of(write).await;
    let change = |(key, value, expires_at)| Change { version, key, value, expires_at };
    told.into_iter().map(change).collect()
}

/// Sets and deletes of one key and of several, in the order of their versions.
async fn fill(table: &Table) -> Vec<Change> {
    let mut all = Vec::new();
    for number in 0..60_u32 {
        let key = format!("key{}", number % 20);
        all.extend(match number % 6 {
            3 => made(table, delete(format!("key{}", (number - 1) % 20))).await,
            5 => {
                let others = [set("second", [2; 40]), set(format!("third{number}"), "")];
                made(table, batch([set(&key, "first")].into_iter().chain(others))).await
            }
            _ => made(table, set(&key, [1; 60])).await,
        });
    }
    all
}

/// Everything behind a position, page by page; none of them splits a write, or is larger than it
/// must be. Within a version the order is the engine's.
async fn told(table: &Table, mut since: Position, limits: PageLimits) -> (Vec<Change>, Position) {
    let mut all: Vec<Change> = Vec::new();
    loop {
        let page = table.told(since, limits).await;
        let Some(last) = page.changes.last().map(|change| change.version) else {
            return (in_order(all), page.until);
        };
        assert!(page.until.version >= last.get());
        assert!(page.changes[0].version.get() > since.version, "it was told before");
        assert!(page.changes.is_sorted_by_key(|change| change.version));
        let before_last = page.changes.iter().filter(|change| change.version < last);
        assert!(before_last.clone().count() < limits.records.max(1), "{limits:?}");
        let bytes = before_last.map(|it| it.key.len() + it.value.as_ref().map_or(0, Vec::len));
        assert!(bytes.sum::<usize>() <= limits.bytes, "{limits:?}");
        all.extend(page.changes);
        since = page.until;
    }
}

fn in_order(mut changes: Vec<Change>) -> Vec<Change> {
    changes.sort();
    changes
}

fn pages_of(records: usize) -> PageLimits {
    PageLimits { records, ..NO_LIMITS }
}

pub(crate) async fn every_change_is_told_once_in_order_from_any_position_in_pages_of_any_size(
    t: Subject,
) {
    let expected = in_order(fill(&t.table()).await);
    let last = expected.last().unwrap().version.get();
    for table in t.tables() {
        let few = PageLimits { bytes: 150, ..NO_LIMITS };
        for limits in [pages_of(0), pages_of(1), pages_of(7), few, NO_LIMITS] {
            let (all, until) = told(&table, START, limits).await;
            assert_eq!(all, expected, "{limits:?}");
            assert!(until.version >= last);
            assert_eq!(until.incarnation, Some(table.statistics().await.unwrap().incarnation));
        }
        for place in (0..expected.len()).step_by(11) {
            let version = expected[place].version.get();
            let behind = expected.iter().filter(|change| change.version.get() > version);
            let (all, _) = told(&table, Position { version, ..START }, pages_of(9)).await;
            assert_eq!(all, behind.cloned().collect::<Vec<_>>(), "behind {version}");
        }
    }
}

pub(crate) async fn a_change_tells_value_and_end_and_a_delete_neither(t: Subject) {
    let table = t.table();
    let end = t.after(60_000);
    let mut expected = Vec::new();
    let mut add = |version: Version, key: &str, value: Option<&str>, ends: bool| {
        let (key, value) = (key.into(), value.map(|value| value.as_bytes().to_vec()));
        expected.push(Change { version, key, value, expires_at: ends.then_some(end) });
    };
    add(table.version_of(set_until("n", "40", end)).await, "n", Some("40"), true);
    add(table.version_of(increment("n", 2)).await, "n", Some("42"), true);
    add(table.version_of(expire("n", None)).await, "n", Some("42"), false);
    add(table.version_of(expire("n", Some(end))).await, "n", Some("42"), true);
    add(table.version_of(set("n", "")).await, "n", Some(""), false);
    add(table.version_of(delete("n")).await, "n", None, false);
    let both = batch([quiet(increment("m", -1)), delete("none"), check("n", Condition::Absent)]);
    add(table.version_of(both).await, "m", Some("-1"), false);
    for table in t.tables() {
        assert_eq!(told(&table, START, NO_LIMITS).await.0, expected);
    }
}

pub(crate) async fn what_changes_nothing_is_no_change(t: Subject) {
    let table = t.table();
    table.version_of(set("key", "text")).await;
    let position = table.position().await;
    for nothing in [
        delete("none"),
        expire("none", None),
        check("key", Condition::Present),
        when(Condition::Absent, set("key", "v")),
        increment("key", 1),
        batch([set("key", "1"), set("key", "2")]),
        batch([set("other", "1"), check("none", Condition::Present)]),
    ] {
        // Some of them are refused.
        let _ = table.write(nothing).await;
    }
    let (changes, until) = told(&table, position, NO_LIMITS).await;
    assert_eq!(changes, []);
    let expected = made(&table, set("key", "next")).await;
    assert_eq!(told(&table, until, NO_LIMITS).await.0, expected);
}

pub(crate) async fn that_a_record_ends_is_no_change(t: Subject) {
    let table = t.table();
    let end = t.after(1_000);
    let mut expected = Vec::new();
    for key in ["a", "b", "c"] {
        expected.extend(made(&table, set_until(key, "v", end)).await);
    }
    let position = table.position().await;
    t.advance(60_000);
    // Reads may be what clears it away.
    assert_eq!(table.get("a").await, None);
    assert_eq!(table.apply(delete("a")).await.version, None);
    // What is written there next is one.
    let next = made(&table, set("b", "next")).await;
    for table in t.tables() {
        assert_eq!(told(&table, position, NO_LIMITS).await.0, next);
        let all: Vec<_> = expected.iter().chain(&next).cloned().collect();
        assert_eq!(told(&table, START, NO_LIMITS).await.0, all);
    }
}

pub(crate) async fn where_nothing_has_changed_the_answer_is_at_once_and_goes_on(t: Subject) {
    let table = t.table();
    assert!(table.create().await);
    let (changes, mut position) = told(&table, START, NO_LIMITS).await;
    assert_eq!(changes, []);
    for round in 0..5_u8 {
        for _ in 0..3 {
            let (changes, until) = told(&table, position, NO_LIMITS).await;
            assert_eq!(changes, []);
            assert!(until.version >= position.version && until.incarnation.is_some());
            position = until;
        }
        let expected = made(&table, set([round], "v")).await;
        // Another table is another story.
        t.another("busy").version_of(set([round], "v")).await;
        let (changes, until) = told(&table, position, NO_LIMITS).await;
        assert_eq!(changes, expected);
        position = until;
    }
}

pub(crate) async fn a_table_that_is_not_there_has_not_changed(t: Subject) {
    let table = t.table();
    let nothing = table.told(START, NO_LIMITS).await;
    assert_eq!(nothing.changes, []);
    assert!(!table.is_listed().await);
    let expected = made(&table, set("key", "v")).await;
    // Where nothing was, the first write comes next.
    assert_eq!(told(&table, nothing.until, NO_LIMITS).await.0, expected);
    assert_eq!(told(&table, START, NO_LIMITS).await.0, expected);
}

pub(crate) async fn the_past_is_told_after_a_reopening(mut t: Subject) {
    let mut expected = made(&t.table(), set("first", "v")).await;
    let mut position = t.table().position().await;
    let first = position;
    for ending in [Ending::Closed, Ending::Lost] {
        let new = in_order(fill(&t.table()).await);
        expected.extend(new.iter().cloned());
        t.reopen(ending, Setup::default()).await;
        let (changes, until) = told(&t.table(), position, pages_of(5)).await;
        assert_eq!(changes, new, "{ending:?}");
        position = until;
    }
    assert_eq!(told(&t.table(), START, NO_LIMITS).await.0, expected);
    assert_eq!(told(&t.table(), first, NO_LIMITS).await.0, expected[1..]);
    let next = made(&t.table(), set("next", "v")).await;
    assert_eq!(told(&t.table(), position, NO_LIMITS).await.0, next);
}

pub(crate) async fn a_position_that_the_table_never_had_is_a_gap(t: Subject) {
    let table = t.table();
    table.version_of(set("key", "v")).await;
    let here = table.position().await;
    let ahead = Position { version: here.version + (1 << 40), ..here };
    for never in [
        ahead,
        Position { incarnation: None, ..ahead },
        Position { incarnation: here.incarnation.map(|it| it ^ 1), ..here },
        Position { incarnation: here.incarnation.map(|it| it ^ 1), version: 0 },
    ] {
        let now = table.gap(never).await.unwrap();
        assert_eq!(now.incarnation, here.incarnation, "{never:?}");
        assert!(now.version >= here.version && now.version < ahead.version);
        assert_eq!(table.gap(now).await, None, "it goes on from there");
    }
    let absent = t.another("absent");
    let now = absent.gap(here).await.unwrap();
    let expected = made(&absent, set("key", "v")).await;
    assert_eq!(told(&absent, now, NO_LIMITS).await.0, expected);
}

pub(crate) async fn another_table_of_the_name_is_a_gap(t: Subject) {
    let table = t.table();
    table.version_of(set("key", "v")).await;
    let before = table.position().await;
    assert!(table.drop_it().await);
    assert!(table.gap(before).await.is_some(), "there is none");
    assert!(table.create().await);
    let now = table.gap(before).await.unwrap();
    assert!(now.incarnation.is_some_and(|it| Some(it) != before.incarnation));
    let expected = made(&table, set("key", "new")).await;
    for table in t.tables() {
        assert!(table.gap(before).await.is_some());
        assert_eq!(told(&table, now, NO_LIMITS).await.0, expected);
        // The one before it is no part of its past.
        assert_eq!(told(&table, START, NO_LIMITS).await.0, expected);
    }
}

pub(crate) async fn what_is_not_kept_is_a_gap_to_go_on_from(mut t: Subject) {
    let table = t.table();
    table.version_of(set("key", "0")).await;
    let old = table.position().await;
    for round in 1..20_u8 {
        table.version_of(set("key", [round; 100])).await;
    }
    t.forget().await;
    let table = t.table();
    let now = table.gap(old).await.expect("it was forgotten");
    assert_eq!(now.incarnation, old.incarnation);
    assert!(table.value("key").await.is_some_and(|value| value == [19; 100][..]));
    let expected = made(&table, set("key", "next")).await;
    assert_eq!(told(&table, now, NO_LIMITS).await.0, expected);
}

pub(crate) async fn a_batch_is_never_split_between_pages(t: Subject) {
    let table = t.table();
    let mut expected = Vec::new();
    for round in 0..6_u8 {
        let keys = (0..30_u8).map(|key| set([key], vec![round; 1_000]));
        expected.extend(made(&table, quiet(batch(keys))).await);
    }
    let expected = in_order(expected);
    for limits in [pages_of(1), pages_of(29), pages_of(31), PageLimits { bytes: 1, ..NO_LIMITS }] {
        let mut since = START;
        let mut all = Vec::new();
        loop {
            let page = table.told(since, limits).await;
            if page.changes.is_empty() {
                break;
            }
            assert_eq!(page.changes.len() % 30, 0, "half a batch");
            all.extend(page.changes);
            since = page.until;
        }
        assert_eq!(in_order(all), expected, "{limits:?}");
    }
}
