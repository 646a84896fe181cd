//! Records that end.
//!
//! - `a_record_ends_when_its_time_has_come_for_every_reader`: "The time that expiry in a table goes
//!   by: a record has ended if it ends then or before.", "An expired record is not found."
//! - `an_end_is_set_moved_and_taken_away_and_the_value_stays`: "Let the record end at another time,
//!   even one that is past, and keep its value.", "When it ends; `None` for never."
//! - `a_record_without_an_end_replaces_one_with_an_end`: "Store a value, which ends at `expires_at` if
//!   that is given."
//! - `what_has_ended_counts_as_absent_for_conditions_and_actions`: "An expired record counts as
//!   absent.", "Without a record, nothing is written."
//! - `a_time_that_is_past_ends_a_record_at_once`: "even one that is past"
//! - `a_counter_keeps_its_end_and_begins_anew_behind_it`: "The record keeps its end."
//! - `ends_are_kept_over_a_reopening`: "once the durability that the
//!   engine promises is reached"

use kvsd::UnixMillis;

use super::subject::all;
use super::writes::{batch, check, delete, expire, increment, set, set_until, unheard_of, when};
use super::{Ending, Setup, Subject};
use crate::engine::{Before, Condition, Written};

pub(crate) async fn a_record_ends_when_its_time_has_come_for_every_reader(t: Subject) {
    let table = t.table();
    let end = t.after(1_000);
    let far = UnixMillis::new((1 << 63) - 1).unwrap();
    table.version_of(set_until("key", "v", end)).await;
    table.version_of(set_until("far", "v", far)).await;
    t.advance(999);
    for table in t.tables() {
        assert!(table.engine.time(table.name.as_str()) < end);
        assert_eq!(table.get("key").await.unwrap().expires_at, Some(end));
    }
    t.advance(1);
    for table in t.tables() {
        assert!(table.engine.time(table.name.as_str()) >= end);
        assert_eq!(table.get("key").await, None);
        assert_eq!(table.get("far").await.unwrap().expires_at, Some(far));
        let keys: Vec<_> = table.rows(all()).await.into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [b"far"]);
    }
    let absent = t.another("absent");
    assert!(absent.engine.time(absent.name.as_str()) >= end);
}

pub(crate) async fn an_end_is_set_moved_and_taken_away_and_the_value_stays(t: Subject) {
    let table = t.table();
    let mut last = table.version_of(set("key", "kept")).await;
    let (soon, later) = (t.after(1_000), t.after(5_000));
    for at in [Some(soon), Some(later), Some(soon), Some(later)] {
        let version = table.version_of(expire("key", at)).await;
        assert!(version > last);
        last = version;
        let record = table.get("key").await.unwrap();
        assert_eq!((record.version, record.expires_at), (version, at));
        assert_eq!(record.value, "kept");
    }
    t.advance(2_000);
    assert_eq!(table.value("key").await.unwrap(), "kept", "its end was moved");
    table.version_of(expire("key", None)).await;
    t.advance(10_000);
    assert_eq!(table.get("key").await.unwrap().expires_at, None);
    assert_eq!(table.value("key").await.unwrap(), "kept");
}

pub(crate) async fn a_record_without_an_end_replaces_one_with_an_end(t: Subject) {
    let table = t.table();
    let end = t.after(1_000);
    table.version_of(batch([set_until("set", "1", end), set_until("again", "1", end)])).await;
    table.version_of(set("set", "2")).await;
    table.version_of(set_until("again", "2", t.after(9_000))).await;
    t.advance(1_000);
    assert_eq!(table.get("set").await.unwrap().expires_at, None);
    assert_eq!(table.value("set").await.unwrap(), "2");
    assert_eq!(table.value("again").await.unwrap(), "2");
    t.advance(8_000);
    assert_eq!(table.get("again").await, None);
    assert_eq!(table.value("set").await.unwrap(), "2");
}

pub(crate) async fn what_has_ended_counts_as_absent_for_conditions_and_actions(t: Subject) {
    let table = t.table();
    let keys = ["delete", "expire", "check", "set", "first", "present", "version", "count"];
    let end = t.after(1_000);
    let version = table.version_of(batch(keys.map(|key| set_until(key, "7", end)))).await;
    t.advance(1_000);
    for nothing in [
        delete("delete"),
        expire("expire", None),
        expire("expire", Some(t.after(1_000))),
        check("check", Condition::Absent),
    ] {
        let applied = table.apply(nothing).await;
        assert_eq!((applied.version, &applied.before[..]), (None, &[Before::Absent][..]));
    }
    for (refused, change) in [
        (when(Condition::Present, set("present", "8")), 0),
        (when(Condition::Version(version), set("version", "8")), 0),
        (when(Condition::Version(unheard_of()), delete("version")), 0),
        (batch([set("other", "8"), check("check", Condition::Present)]), 1),
    ] {
        let result = table.write(refused).await;
        assert_eq!(result, Ok(Written::Conflict { change, current: None }));
    }
    for (written, value) in [
        (set("set", "8"), "8"),
        (when(Condition::Absent, set("first", "8")), "8"),
        (increment("count", 1), "1"),
    ] {
        let key = written.changes[0].key.clone();
        let applied = table.apply(written).await;
        assert!(applied.version.is_some_and(|new| new > version));
        assert_eq!(applied.before, [Before::Absent]);
        let record = table.get(&key).await.unwrap();
        assert_eq!((&record.value[..], record.expires_at), (value.as_bytes(), None));
    }
    let keys: Vec<_> = table.rows(all()).await.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [&b"count"[..], b"first", b"set"]);
}

pub(crate) async fn a_time_that_is_past_ends_a_record_at_once(t: Subject) {
    let table = t.table();
    t.advance(1_000);
    for past in
        [t.now(), UnixMillis::new(t.now().get() - 500).unwrap(), UnixMillis::new(0).unwrap()]
    {
        table.version_of(set("key", "v")).await;
        table.version_of(expire("key", Some(past))).await;
        assert_eq!(table.get("key").await, None);
        table.version_of(when(Condition::Absent, set_until("key", "v", past))).await;
        assert_eq!(table.get("key").await, None);
        table.version_of(when(Condition::Absent, set("key", "v"))).await;
        assert_eq!(table.value("key").await.unwrap(), "v");
        // The same within one call.
        let writes = vec![expire("key", Some(past)), when(Condition::Absent, increment("key", 1))];
        let results = table.engine.write(&table.name, writes).await;
        let applied = |result: &Result<Written, _>| matches!(result, Ok(Written::Applied { .. }));
        assert!(results.iter().all(applied), "{results:?}");
        assert_eq!(table.value("key").await.unwrap(), "1");
    }
}

pub(crate) async fn a_counter_keeps_its_end_and_begins_anew_behind_it(t: Subject) {
    let table = t.table();
    let end = t.after(1_000);
    table.version_of(set_until("n", "10", end)).await;
    assert_eq!(table.apply(increment("n", 1)).await.counters, [11]);
    assert_eq!(table.get("n").await.unwrap().expires_at, Some(end));
    t.advance(1_000);
    assert_eq!(table.get("n").await, None);
    assert_eq!(table.apply(increment("n", 1)).await.counters, [1]);
    assert_eq!(table.get("n").await.unwrap().expires_at, None);
    t.advance(1_000_000);
    assert_eq!(table.value("n").await.unwrap(), "1");
}

pub(crate) async fn ends_are_kept_over_a_reopening(mut t: Subject) {
    let (soon, later) = (t.after(1_000), t.after(5_000));
    let table = t.table();
    table.version_of(batch([set_until("soon", "s", soon), set("moved", "m")])).await;
    table.version_of(expire("moved", Some(later))).await;
    for ending in [Ending::Closed, Ending::Lost] {
        t.reopen(ending, Setup::default()).await;
        let table = t.table();
        assert_eq!(table.get("soon").await.unwrap().expires_at, Some(soon));
        assert_eq!(table.get("moved").await.unwrap().expires_at, Some(later));
    }
    t.advance(1_000);
    t.reopen(Ending::Closed, Setup::default()).await;
    assert_eq!(t.table().get("soon").await, None);
    assert_eq!(t.table().value("moved").await.unwrap(), "m");
    t.advance(4_000);
    assert_eq!(t.table().get("moved").await, None);
}
