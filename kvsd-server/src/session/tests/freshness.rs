//! How old what is read may be: what the client allows, and no more, reaches the engine.

use std::ops::Bound;

use kvsd::protocol::v2::{Detail, Order, Page, Scan};

use super::*;
use crate::engine::{self, EngineError};

const LATEST: engine::Freshness = engine::Freshness::Latest;
const STALE: engine::Freshness = engine::Freshness::Stale;

/// A key whose records are on the disk: what is at hand is the latest anyway.
const KEY: &[u8] = b"disk/k";

/// Each request that reads, as fresh as it says.
fn reads(freshness: Freshness) -> Vec<Request<'static>> {
    let table = "default";
    let single = [
        Request::Get { table, key: KEY, freshness },
        Request::Exists { table, key: KEY, freshness },
        Request::Lifetime { table, key: KEY, freshness },
    ];
    let scan = Request::Scan(Scan { freshness, ..ALL });
    let pipelined = single.clone().map(|request| Request::Pipeline(vec![request]));
    single.into_iter().chain(pipelined).chain([scan]).collect()
}

const ALL: Scan<'_> = Scan {
    table: "default",
    from: Bound::Unbounded,
    to: Bound::Unbounded,
    order: Order::Ascending,
    detail: Detail::Records,
    limit: Some(1),
    freshness: Freshness::Latest,
    at: None,
};

#[tokio::test]
async fn a_stale_read_reaches_the_engine_as_one_and_no_other_does() {
    let bench = Bench::new();
    bench.engine.put("default", KEY, b"v".to_vec());
    let mut peer = bench.connect_v2().await;
    for (freshness, expected) in [(Freshness::Latest, LATEST), (Freshness::Stale, STALE)] {
        for request in reads(freshness) {
            peer.ask(&request).await;
            assert_eq!(bench.engine.asked(), [expected], "{request:?}");
        }
    }
}

#[tokio::test]
async fn in_a_pipeline_each_read_is_as_fresh_as_it_says_itself() {
    let bench = Bench::new();
    bench.engine.put("default", KEY, b"old".to_vec());
    bench.engine.age();
    let mut peer = bench.connect_v2().await;
    let (table, key) = ("default", KEY);
    let read = |freshness| Request::Get { table, key, freshness };
    let pipeline = Request::Pipeline(vec![
        set(KEY, b"newest"),
        read(Freshness::Stale),
        read(Freshness::Latest),
        read(Freshness::Stale),
    ]);
    peer.request(1, &pipeline).await;
    let values = peer.answer(1, |reply| match reply {
        Reply::Pipeline(replies) => replies[1..]
            .iter()
            .map(|reply| match reply {
                Reply::Value(Some(record)) => record.value.to_vec(),
                other => panic!("{other:?}"),
            })
            .collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    });
    assert_eq!(values.await, [&b"old"[..], b"newest", b"old"]);
    assert_eq!(bench.engine.asked(), [STALE, LATEST, STALE]);
}

#[tokio::test]
async fn a_client_of_version_1_reads_the_latest() {
    let bench = Bench::new();
    bench.engine.put("default", KEY, b"old".to_vec());
    bench.engine.age();
    bench.engine.put("default", KEY, b"new".to_vec());
    let mut peer = bench.connect_v1().await;
    peer.send(b"*2\r\n#\x06+disk/k\r\n").await;
    assert_eq!(peer.reply_bytes().await, b"*2\r\n#\x03$3\r\nnew\r\n");
    assert_eq!(bench.engine.asked(), [LATEST]);
}

/// A page's moment, its keys, and behind which key the next one goes on.
type Shown = (Option<u64>, Vec<String>, Option<Vec<u8>>);

async fn page(peer: &mut Peer, scan: Scan<'_>) -> Shown {
    peer.request(3, &Request::Scan(scan)).await;
    peer.answer(3, |reply| match reply {
        Reply::Page(Page { at, next, records }) => {
            let key = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
            let keys = records.iter().map(|record| key(record.key)).collect();
            (at.map(|at| at.get()), keys, next.map(<[u8]>::to_vec))
        }
        other => panic!("{other:?}"),
    })
    .await
}

#[tokio::test]
async fn pages_of_an_engine_that_pins_stand_at_the_moment_of_the_first() {
    let bench = Bench::new();
    bench.engine.pin();
    for key in [b"a", b"c"] {
        bench.engine.put("default", key, b"v".to_vec());
    }
    let mut peer = bench.connect_v2().await;
    let (at, keys, next) = page(&mut peer, ALL).await;
    assert_eq!((at, keys), (Some(2), vec!["a".to_owned()]));
    let next = next.unwrap();
    bench.engine.put("default", b"b", b"later".to_vec());
    let rest = Scan { from: Bound::Excluded(&next), limit: None, ..ALL };
    let standing = Scan { at: at.and_then(kvsd::Version::new), ..rest };
    assert_eq!(page(&mut peer, standing).await, (Some(2), vec!["c".to_owned()], None));
    let now = (Some(3), vec!["b".to_owned(), "c".to_owned()], None);
    assert_eq!(page(&mut peer, rest).await, now, "without the moment it is what stands now");
    let nowhere = Scan { to: Bound::Excluded(b""), ..standing };
    assert_eq!(page(&mut peer, nowhere).await, (Some(2), vec![], None));
}

#[tokio::test]
async fn a_moment_that_is_not_kept_any_more_ends_the_scan_by_name() {
    let bench = Bench::new();
    bench.engine.pin();
    bench.engine.put("default", b"a", b"v".to_vec());
    bench.engine.put("default", b"b", b"v".to_vec());
    bench.engine.forget_history();
    let mut peer = bench.connect_v2().await;
    let reply = peer.ask(&Request::Scan(Scan { at: kvsd::Version::new(1), ..ALL })).await;
    assert!(reply.contains("code: ScanExpired") && reply.contains("begin the scan"), "{reply}");
}

#[tokio::test]
async fn an_engine_that_knows_no_moments_shows_none_as_if_it_were_the_one_asked_for() {
    let bench = Bench::new();
    bench.engine.put("default", b"a", b"v".to_vec());
    let mut peer = bench.connect_v2().await;
    let (at, keys, _) = page(&mut peer, ALL).await;
    assert_eq!((at, keys.len()), (None, 1));
    let reply = peer.ask(&Request::Scan(Scan { at: kvsd::Version::new(1), ..ALL })).await;
    assert!(reply.contains("code: ScanExpired"), "{reply}");
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_has_a_code_of_its_own() {
    let bench = Bench::new();
    let reason = "http://10.0.0.1:2379 gave no answer".to_owned();
    bench.engine.fail(EngineError::Unavailable { reason });
    let mut peer = bench.connect_v2().await;
    for request in [get("default", b"k"), set(b"k", b"v"), Request::Scan(ALL)] {
        let reply = peer.ask(&request).await;
        assert!(reply.contains("code: Unavailable"), "{reply}");
        assert!(reply.contains("nothing was done"), "{reply}");
        // Where the store is, is nothing that a client learns.
        assert!(!reply.contains("10.0.0.1"), "{reply}");
    }
}
