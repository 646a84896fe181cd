//! Reading a table in the order of its keys: ranges, orders, pages.
//!
//! - `every_record_comes_once_in_order_both_ways_in_pages_of_any_size`: "Reads a page of a table in
//!   the order of its keys", "The lowest key first.", "The highest key first.", "The key behind which
//!   the next page goes on; `None` at the end of the range."
//! - `a_range_has_what_lies_between_its_bounds`: "Where the lowest key is.", "Where the highest key
//!   is."
//! - `a_range_that_holds_nothing_is_empty`: "A table that does not exist has no records.", "none need
//!   not be the end"
//! - `a_page_keeps_its_limits_but_for_the_first_record`: "The most records; with 0 it is 1.", "The
//!   most bytes of keys and values together, but for the first record, which always fits."
//! - `keys_come_without_values_and_with_all_else`: "All but the value.", "The value; empty with
//!   [`ScanDetail::Keys`]."
//! - `what_has_ended_is_skipped_however_much_of_it_there_is`: "An expired record is not found."

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::Subject;
use super::subject::{NO_LIMITS, Row, Table, all, go_on, head};
use super::writes::{batch, delete, set, set_until};
use crate::engine::{Order, PageLimits, Scan, ScanDetail};

/// Some hundred keys, some of them replaced and some deleted, and what stands there then.
async fn fill(table: &Table) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut expected = BTreeMap::new();
    let mut writes = Vec::new();
    for number in 0..250_usize {
        // Not in the order of keys.
        let key = format!("key/{:03}", number * 37 % 200).into_bytes();
        let value = vec![b'v'; number % 90];
        writes.push(set(&key, &value));
        expected.insert(key, value);
        if number % 5 == 0 {
            let key = format!("key/{:03}", number * 11 % 200).into_bytes();
            writes.push(delete(&key));
            expected.remove(&key);
        }
    }
    let results = table.engine.write(&table.name, writes).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    expected
}

pub(crate) async fn every_record_comes_once_in_order_both_ways_in_pages_of_any_size(t: Subject) {
    let expected: Vec<Row> = fill(&t.table()).await.into_iter().collect();
    for table in t.tables() {
        for limits in [
            PageLimits { records: 1, ..NO_LIMITS },
            PageLimits { records: 7, ..NO_LIMITS },
            PageLimits { records: expected.len(), ..NO_LIMITS },
            PageLimits { bytes: 300, ..NO_LIMITS },
            NO_LIMITS,
        ] {
            let ascending = Scan { limits, ..all() };
            assert_eq!(table.rows(ascending.clone()).await, expected, "{limits:?}");
            let mut back = table.rows(Scan { order: Order::Descending, ..ascending }).await;
            back.reverse();
            assert_eq!(back, expected, "{limits:?}");
        }
    }
}

pub(crate) async fn a_range_has_what_lies_between_its_bounds(t: Subject) {
    let table = t.table();
    let keys: [&[u8]; 8] = [b"\0", b"a", b"a\0", b"aa", b"b", b"b\xff", b"b\xff\xff", b"\xff\xff"];
    table.version_of(batch(keys.map(|key| set(key, key)))).await;
    let between: [&[u8]; 5] = [b"\0\0", b"a\0\0", b"ab", b"b\xfe", b"\xff\xff\xff"];
    let places: Vec<&[u8]> = keys.into_iter().chain(between).collect();
    let bounds = |key: &[u8]| {
        let key = Bytes::copy_from_slice(key);
        [Bound::Included(key.clone()), Bound::Excluded(key)]
    };
    let mut ends: Vec<_> = places.iter().flat_map(|key| bounds(key)).collect();
    ends.push(Bound::Unbounded);
    let mut turn = 0;
    for from in &ends {
        for to in &ends {
            turn += 1;
            let above = |key: &[u8]| match from {
                Bound::Included(from) => key >= from,
                Bound::Excluded(from) => key > from,
                Bound::Unbounded => true,
            };
            let below = |key: &[u8]| match to {
                Bound::Included(to) => key <= to,
                Bound::Excluded(to) => key < to,
                Bound::Unbounded => true,
            };
            let mut expected: Vec<_> =
                keys.into_iter().filter(|it| above(it) && below(it)).collect();
            // Both orders, and both page sizes.
            let order = [Order::Ascending, Order::Descending][turn % 2];
            if order == Order::Descending {
                expected.reverse();
            }
            let limits = PageLimits { records: [3, 100][turn / 2 % 2], ..NO_LIMITS };
            let scan = Scan { from: from.clone(), to: to.clone(), order, limits, ..all() };
            let found: Vec<_> = table.rows(scan).await.into_iter().map(|(key, _)| key).collect();
            assert_eq!(found, expected, "{from:?} to {to:?}, {order:?}");
        }
    }
}

pub(crate) async fn a_range_that_holds_nothing_is_empty(t: Subject) {
    let (table, absent) = (t.table(), t.another("absent"));
    table.version_of(batch([set("b", "v"), set("d", "v"), set("gone", "v")])).await;
    table.version_of(delete("gone")).await;
    let key = Bytes::from_static;
    let (all, included, excluded) = (Bound::Unbounded, Bound::Included, Bound::Excluded);
    for (from, to) in [
        (included(key(b"c")), excluded(key(b"d"))),
        (excluded(key(b"b")), excluded(key(b"d"))),
        (included(key(b"d")), excluded(key(b"d"))),
        (excluded(key(b"d")), excluded(key(b"d"))),
        (excluded(key(b"d")), included(key(b"d"))),
        // The wrong way round.
        (included(key(b"d")), included(key(b"b"))),
        (excluded(key(b"z")), excluded(key(b"a"))),
        (included(key(b"e")), all.clone()),
        (all, excluded(key(b"b"))),
    ] {
        for order in [Order::Ascending, Order::Descending] {
            let (from, to) = (from.clone(), to.clone());
            assert_eq!(table.rows(Scan { from, to, order, ..super::subject::all() }).await, []);
        }
    }
    let page = absent.page(&super::subject::all()).await;
    assert!(page.is_empty() && page.next().is_none());
    assert!(!absent.is_listed().await, "a scan makes no table");
}

pub(crate) async fn a_page_keeps_its_limits_but_for_the_first_record(t: Subject) {
    let table = t.table();
    for key in 0..30_u8 {
        let bytes = if key % 7 == 3 { 40_000 } else { 100 };
        table.version_of(set([key], vec![key; bytes])).await;
    }
    for (records, bytes) in
        [(0, 1 << 20), (1, 1 << 20), (4, 1 << 20), (100, 0), (100, 250), (100, 40_001), (3, 1_000)]
    {
        let limits = PageLimits { records, bytes };
        let mut scan = Scan { limits, ..all() };
        let mut found = 0;
        loop {
            let page = table.page(&scan).await;
            let page_bytes: usize = page.iter().map(|it| it.key.len() + it.value.len()).sum();
            assert!(page.len() <= records.max(1), "{limits:?}: {page:?}");
            assert!(page.len() == 1 || page_bytes <= bytes, "{limits:?}: {page:?}");
            assert_eq!(page.len(), page.iter().count());
            found += page.len();
            if !go_on(&mut scan, &page) {
                break;
            }
        }
        assert_eq!(found, 30, "{limits:?}");
    }
}

pub(crate) async fn keys_come_without_values_and_with_all_else(t: Subject) {
    let table = t.table();
    let end = t.after(60_000);
    table.version_of(batch([set("a", "1"), set("b", [7; 10_000]), set("c", "")])).await;
    table.version_of(set_until("b", [8; 10_000], end)).await;
    for order in [Order::Ascending, Order::Descending] {
        let page = table.page(&Scan { detail: ScanDetail::Keys, order, ..all() }).await;
        assert_eq!(page.len(), 3);
        for shown in page.iter() {
            let record = table.get(shown.key).await.unwrap();
            assert!(shown.value.is_empty());
            assert_eq!(
                (shown.version, shown.expires_at),
                (record.version, head(&record).expires_at)
            );
        }
    }
}

pub(crate) async fn what_has_ended_is_skipped_however_much_of_it_there_is(t: Subject) {
    let table = t.table();
    let end = t.after(1_000);
    let ending = (0..300_u16).map(|key| set_until(key.to_be_bytes(), [7; 300], end));
    let results = table.engine.write(&table.name, ending.collect()).await;
    assert!(results.iter().all(Result::is_ok));
    let stays: Vec<[u8; 2]> = [0_u16, 150, 151, 299].map(u16::to_be_bytes).to_vec();
    for key in &stays {
        table.version_of(set(key, "stays")).await;
    }
    t.advance(1_000);
    for (records, order) in [
        (1, Order::Ascending),
        (3, Order::Ascending),
        (2, Order::Descending),
        (500, Order::Descending),
    ] {
        let limits = PageLimits { records, ..NO_LIMITS };
        let rows = table.rows(Scan { limits, order, ..all() }).await;
        let mut found: Vec<_> = rows.into_iter().map(|(key, _)| key).collect();
        found.sort();
        assert_eq!(found, stays);
    }
}
