//! At which moment a page of a scan stands.
//!
//! - `a_page_shows_every_write_that_was_answered_before`: "later than every write that was answered
//!   before, unless the scan asks for another"
//! - `a_page_stands_at_one_moment`: "Some records of a table, as they were at one moment."
//! - `pages_of_one_scan_stand_at_the_moment_of_the_first_where_the_engine_pins`: "The moment at which
//!   the page stands, for [`Scan::at`]; `None` if the engine shows each page as of its own moment
//!   only."
//! - `what_stays_as_it_is_comes_exactly_once_beside_writes`: "Reads a page of a table in the order of
//!   its keys: what stands at one moment"
//! - `a_stale_page_shows_what_stood_at_some_time`: "How old what it shows may be."
//! - `a_moment_that_is_not_kept_is_refused_by_name`: "[`EngineError::ScanExpired`] if the moment that
//!   [`Scan::at`] names cannot be read any more."

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::subject::{NO_LIMITS, Row, all, go_on};
use super::writes::{batch, delete, quiet, set};
use super::{Pages, Subject};
use crate::engine::{EngineError, Freshness, Order, PageLimits, Scan};

pub(crate) async fn a_page_shows_every_write_that_was_answered_before(t: Subject) {
    let tables = t.tables();
    for round in 0..20_u8 {
        let version = tables[usize::from(round) % tables.len()].version_of(set([round], "v")).await;
        for table in &tables {
            let page = table.page(&Scan { order: Order::Descending, ..all() }).await;
            let last = page.iter().next().unwrap();
            assert_eq!((last.key, last.version), (&[round][..], version));
            assert_eq!(page.len(), usize::from(round) + 1);
        }
    }
}

pub(crate) async fn a_page_stands_at_one_moment(t: Subject) {
    let table = t.table();
    let write = |round: u32| quiet(batch((0..40_u8).map(|key| set([key], round.to_be_bytes()))));
    table.version_of(write(0)).await;
    let (writer, done) = (table.clone(), Arc::new(AtomicBool::new(false)));
    let writing = tokio::spawn({
        let done = Arc::clone(&done);
        async move {
            for round in 1..60 {
                writer.version_of(write(round)).await;
            }
            done.store(true, Ordering::Release);
        }
    });
    let mut seen = 0_u32;
    while !done.load(Ordering::Acquire) {
        for table in t.tables() {
            let page = table.page(&all()).await;
            let first = page.iter().next().unwrap();
            let round = u32::from_be_bytes(first.value.try_into().unwrap());
            assert!(round >= seen, "it goes back");
            seen = round;
            assert_eq!(page.len(), 40);
            for record in page.iter() {
                assert_eq!((record.version, record.value), (first.version, first.value));
            }
        }
    }
    writing.await.unwrap();
}

pub(crate) async fn pages_of_one_scan_stand_at_the_moment_of_the_first_where_the_engine_pins(
    t: Subject,
) {
    let table = t.table();
    for key in 0..30_u8 {
        table.version_of(set([key], "before")).await;
    }
    for order in [Order::Ascending, Order::Descending] {
        let before = table.rows(Scan { order, ..all() }).await;
        let mut scan = Scan { limits: PageLimits { records: 10, ..NO_LIMITS }, order, ..all() };
        let first = table.page(&scan).await;
        assert_eq!(first.len(), 10);
        assert!(go_on(&mut scan, &first));
        assert_eq!(first.at().is_some(), t.differences().pages == Pages::Pinned);
        table
            .version_of(batch([set([15], "after"), set([15, 1], "new"), delete([25]), delete([5])]))
            .await;
        for table in t.tables() {
            let rest = table.rows(scan.clone()).await;
            let now: Vec<Row> = match t.differences().pages {
                Pages::Pinned => before[10..].to_vec(),
                Pages::Moving => {
                    let seen: Vec<_> = before[..10].iter().map(|(key, _)| key.clone()).collect();
                    let is_ahead = |key: &Vec<u8>| match order {
                        Order::Ascending => Some(key) > seen.last(),
                        Order::Descending => Some(key) < seen.last(),
                    };
                    let rows = table.rows(Scan { order, ..all() }).await;
                    rows.into_iter().filter(|(key, _)| is_ahead(key)).collect()
                }
            };
            assert_eq!(rest, now, "{order:?}");
        }
        let undo = [set([15], "before"), delete([15, 1]), set([25], "before"), set([5], "before")];
        table.version_of(batch(undo)).await;
    }
}

pub(crate) async fn what_stays_as_it_is_comes_exactly_once_beside_writes(t: Subject) {
    let table = t.table();
    let stays = |key: u8| vec![key, b's'];
    for key in 0..40_u8 {
        table.version_of(batch([set(stays(key), "s"), set([key, b'm'], "0")])).await;
    }
    let (writer, done) = (table.clone(), Arc::new(AtomicBool::new(false)));
    let writing = tokio::spawn({
        let done = Arc::clone(&done);
        async move {
            for round in 0..150_u8 {
                let key = round % 40;
                let write =
                    if round % 3 == 0 { delete([key, b'm']) } else { set([key, b'm'], "1") };
                writer.apply(write).await;
                writer.apply(set([key, b'n', round], "n")).await;
            }
            done.store(true, Ordering::Release);
        }
    });
    let expected: Vec<_> = (0..40).map(stays).collect();
    while !done.load(Ordering::Acquire) {
        for order in [Order::Ascending, Order::Descending] {
            let limits = PageLimits { records: 9, ..NO_LIMITS };
            let rows = table.rows(Scan { limits, order, ..all() }).await;
            let keys = rows.into_iter().map(|(key, _)| key);
            let mut found: Vec<_> = keys.filter(|key| key[1..] == *b"s").collect();
            if order == Order::Descending {
                found.reverse();
            }
            assert_eq!(found, expected);
        }
    }
    writing.await.unwrap();
}

pub(crate) async fn a_stale_page_shows_what_stood_at_some_time(t: Subject) {
    let table = t.table();
    for round in 1..10_u8 {
        table.version_of(batch([set("a", [round]), set("b", [round])])).await;
        for table in t.tables() {
            let page = table.page(&Scan { freshness: Freshness::Stale, ..all() }).await;
            let values: Vec<_> = page.iter().map(|it| it.value.to_vec()).collect();
            assert!(values.is_empty() || values.len() == 2, "half a write");
            assert!(values.iter().all(|value| *value == values[0] && value[0] <= round));
        }
    }
}

pub(crate) async fn a_moment_that_is_not_kept_is_refused_by_name(mut t: Subject) {
    for key in 0..10_u8 {
        t.table().version_of(set([key], "1")).await;
    }
    let mut scan = Scan { limits: PageLimits { records: 4, ..NO_LIMITS }, ..all() };
    let first = t.table().page(&scan).await;
    assert!(go_on(&mut scan, &first));
    for key in 0..10_u8 {
        t.table().version_of(set([key], "2")).await;
    }
    t.forget().await;
    let table = t.table();
    let next = table.engine.scan(table.name.as_str(), &scan).await;
    match t.differences().pages {
        Pages::Pinned => assert!(matches!(next, Err(EngineError::ScanExpired)), "{next:?}"),
        Pages::Moving => assert!(next.unwrap().iter().all(|record| record.value == b"2")),
    }
    // Who begins again reads on.
    assert_eq!(table.rows(Scan { at: None, ..all() }).await.len(), 10);
}
