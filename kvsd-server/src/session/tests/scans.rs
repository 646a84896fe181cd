//! Scans: which records, in which order, and where the next page goes on.

use std::ops::Bound;

use kvsd::protocol::v2::{ANSWER_BYTES, Detail, MAX_PAGE, Order, PageRecord, Scan};

use super::*;

const ALL: Scan<'_> = Scan {
    table: "default",
    from: Bound::Unbounded,
    to: Bound::Unbounded,
    order: Order::Ascending,
    detail: Detail::Records,
    limit: None,
    freshness: Freshness::Latest,
    at: None,
};

/// The keys and values of a page, and behind which key to go on.
type Shown = (Vec<(String, Option<usize>)>, Option<String>);

async fn page(peer: &mut Peer, scan: Scan<'_>) -> Shown {
    peer.request(3, &Request::Scan(scan)).await;
    let text = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
    peer.answer(3, |reply| match reply {
        Reply::Page(page) => {
            let record = |it: &PageRecord<'_>| (text(it.key), it.value.map(<[u8]>::len));
            (page.records.iter().map(record).collect(), page.next.map(text))
        }
        other => panic!("{other:?}"),
    })
    .await
}

fn keys(shown: &Shown) -> Vec<&str> {
    shown.0.iter().map(|(key, _)| key.as_str()).collect()
}

#[tokio::test]
async fn a_scan_shows_its_range_in_its_order() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    for key in [b"a", b"b", b"c", b"d"] {
        bench.engine.put("default", key, b"xyz".to_vec());
    }
    use Bound::{Excluded, Included};
    let (b, c, d) = (&b"b"[..], &b"c"[..], &b"d"[..]);
    let empty = &b""[..];
    for (scan, expected) in [
        (ALL, "abcd"),
        (Scan { from: Included(b), ..ALL }, "bcd"),
        (Scan { from: Excluded(b), to: Included(d), ..ALL }, "cd"),
        (Scan { from: Included(b), to: Excluded(d), ..ALL }, "bc"),
        (Scan { from: Included(c), to: Included(c), ..ALL }, "c"),
        (Scan { from: Included(empty), to: Included(c), order: Order::Descending, ..ALL }, "cba"),
        (Scan { from: Excluded(empty), ..ALL }, "abcd"),
        (Scan { to: Excluded(empty), ..ALL }, ""),
        (Scan { table: "none", ..ALL }, ""),
    ] {
        let shown = page(&mut peer, scan).await;
        assert_eq!((keys(&shown).concat(), &shown.1), (expected.to_owned(), &None), "{scan:?}");
        assert!(shown.0.iter().all(|(_, value)| *value == Some(3)));
    }
    let shown = page(&mut peer, Scan { detail: Detail::Keys, ..ALL }).await;
    assert!(shown.0.iter().all(|(_, value)| value.is_none()) && shown.0.len() == 4, "{shown:?}");
}

#[tokio::test]
async fn a_range_that_ends_before_it_begins_is_an_empty_last_page() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    for key in [b"a", b"b", b"c"] {
        bench.engine.put("default", key, Vec::new());
    }
    use Bound::{Excluded, Included};
    let (a, b) = (&b"a"[..], &b"b"[..]);
    for (from, to) in [
        (Included(b), Included(a)),
        (Included(b), Excluded(a)),
        (Excluded(b), Included(a)),
        (Excluded(b), Excluded(a)),
        (Excluded(a), Excluded(a)),
        (Excluded(a), Included(a)),
        (Included(a), Excluded(a)),
    ] {
        for order in [Order::Ascending, Order::Descending] {
            let shown = page(&mut peer, Scan { from, to, order, ..ALL }).await;
            assert_eq!(shown, (Vec::new(), None), "{from:?} {to:?}");
        }
    }
}

#[tokio::test]
async fn pages_follow_each_other_up_to_the_end() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    for number in 0..2500 {
        bench.engine.put("default", format!("{number:04}").as_bytes(), Vec::new());
    }
    for (limit, pages) in [(None, 3), (Some(u64::MAX >> 1), 3), (Some(1000), 3), (Some(2), 1250)] {
        let (mut after, mut seen, mut count) = (None::<String>, Vec::new(), 0);
        loop {
            let from =
                after.as_ref().map_or(Bound::Unbounded, |key| Bound::Excluded(key.as_bytes()));
            let shown = page(&mut peer, Scan { from, limit, ..ALL }).await;
            assert!(shown.0.len() <= MAX_PAGE);
            count += 1;
            seen.extend(shown.0.into_iter().map(|(key, _)| key));
            match shown.1 {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(count, pages, "{limit:?}");
        assert_eq!(seen, (0..2500).map(|number| format!("{number:04}")).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_page_ends_before_it_is_longer_than_an_answer_may_be() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    for key in [b"a", b"b", b"c"] {
        bench.engine.put("default", key, vec![b'v'; 600 * 1024]);
    }
    bench.engine.put("default", b"d", vec![b'v'; 2 * ANSWER_BYTES]);
    let shown = page(&mut peer, ALL).await;
    assert_eq!((keys(&shown), shown.1.as_deref()), (vec!["a"], Some("a")));
    let shown = page(&mut peer, Scan { from: Bound::Included(b"d"), ..ALL }).await;
    assert_eq!(keys(&shown), ["d"], "a page holds at least one record");
}

#[tokio::test]
async fn a_scan_that_breaks_a_rule_is_refused() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    let long = [b'k'; 1025];
    for (scan, reason) in [
        (Scan { table: "", ..ALL }, "a table name must not be empty"),
        (Scan { from: Bound::Included(&long), ..ALL }, "a bound has at most 1024 bytes"),
        (Scan { to: Bound::Excluded(&long), ..ALL }, "a bound has at most 1024 bytes"),
        (Scan { limit: Some(0), ..ALL }, "limit"),
    ] {
        let reply = peer.ask(&Request::Scan(scan)).await;
        assert!(reply.contains("Invalid") && reply.contains(reason), "{reply}");
    }
    let longest = Scan { from: Bound::Included(&long[..1024]), ..ALL };
    assert_eq!(page(&mut peer, longest).await, (Vec::new(), None));
}
