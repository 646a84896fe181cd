//! Reads and writes of one record: ends, counters, what is left.

use std::sync::atomic::Ordering;

use kvsd::UnixMillis;
use kvsd::protocol::v2::{Condition, Expiry, MAX_WAIT_MILLIS, Previous};

use super::*;

const TABLE: &str = "default";

fn set_to_end<'a>(key: &'a [u8], expiry: Expiry) -> Request<'a> {
    let (condition, previous) = (Condition::Any, Previous::Omit);
    let expiry = Some(expiry);
    Request::Set { table: TABLE, key, value: b"v", condition, expiry, previous }
}

fn expire<'a>(key: &'a [u8], expiry: Option<Expiry>) -> Request<'a> {
    Request::Expire { table: TABLE, key, expiry, condition: Condition::Any }
}

fn increment<'a>(key: &'a [u8], by: i64, condition: Condition) -> Request<'a> {
    Request::Increment { table: TABLE, key, by, condition }
}

fn lifetime(key: &[u8]) -> Request<'_> {
    Request::Lifetime { table: TABLE, key, freshness: Freshness::Latest }
}

fn millis(number: u64) -> UnixMillis {
    UnixMillis::new(number).unwrap()
}

#[tokio::test]
async fn a_record_lives_as_long_as_its_ttl_says_by_the_engines_clock() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    for key in [&b"k"[..], b"disk/k"] {
        bench.engine.set_time(1_000);
        assert_eq!(peer.ask(&lifetime(key)).await, "Lifetime(Absent)");
        let written = peer.ask(&set_to_end(key, Expiry::After(millis(5_000)))).await;
        assert!(written.starts_with("Written"), "{written}");
        assert_eq!(peer.ask(&lifetime(key)).await, "Lifetime(Left { millis: 5000 })");
        bench.engine.set_time(5_999);
        assert_eq!(peer.ask(&lifetime(key)).await, "Lifetime(Left { millis: 1 })");
        assert!(peer.value(key).await.is_some());
        bench.engine.set_time(6_000);
        assert_eq!(peer.ask(&lifetime(key)).await, "Lifetime(Absent)");
        assert!(peer.value(key).await.is_none());
    }
}

#[tokio::test]
async fn the_longest_ttl_does_not_wrap() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    peer.ask(&set_to_end(b"k", Expiry::After(millis(i64::MAX as u64)))).await;
    let left = i64::MAX as u64 - 1_000;
    assert_eq!(peer.ask(&lifetime(b"k")).await, format!("Lifetime(Left {{ millis: {left} }})"));
}

#[tokio::test]
async fn an_end_in_the_past_is_refused_and_nothing_is_written() {
    let bench = Bench::new();
    bench.engine.put(TABLE, b"k", b"old".to_vec());
    let mut peer = bench.connect_v2().await;
    for past in [Expiry::At(millis(0)), Expiry::At(millis(1_000)), Expiry::After(millis(0))] {
        for request in [set_to_end(b"k", past), expire(b"k", Some(past))] {
            let reply = peer.ask(&request).await;
            assert!(reply.contains("Invalid") && reply.contains("in the past"), "{reply}");
        }
    }
    assert!(bench.engine.batches().is_empty());
    assert_eq!(peer.value(b"k").await.as_deref(), Some(&b"old"[..]));
    let written = peer.ask(&set_to_end(b"k", Expiry::At(millis(1_001)))).await;
    assert!(written.starts_with("Written"), "{written}");
}

#[tokio::test]
async fn an_expire_changes_the_end_and_keeps_the_value() {
    let bench = Bench::new();
    bench.engine.put(TABLE, b"k", b"value".to_vec());
    let mut peer = bench.connect_v2().await;
    let soon = Some(Expiry::After(millis(MAX_WAIT_MILLIS)));
    let reply = peer.ask(&expire(b"none", soon)).await;
    assert_eq!(reply, "Written { version: None, before: Absent }");
    let reply = peer.ask(&expire(b"k", soon)).await;
    assert_eq!(reply, "Written { version: Some(Version(2)), before: Present }");
    assert_eq!(peer.ask(&lifetime(b"k")).await, "Lifetime(Left { millis: 30000 })");
    peer.ask(&expire(b"k", None)).await;
    assert_eq!(peer.ask(&lifetime(b"k")).await, "Lifetime(Endless)");
    assert_eq!(peer.value(b"k").await.as_deref(), Some(&b"value"[..]));
}

#[tokio::test]
async fn an_increment_answers_with_the_sum_or_says_why_there_is_none() {
    let bench = Bench::new();
    bench.engine.put(TABLE, b"text", b"ten".to_vec());
    let mut peer = bench.connect_v2().await;
    for (request, answer) in [
        (increment(b"n", 5, Condition::Present), "Conflict { current: None, change: 0 }"),
        (increment(b"n", 5, Condition::Absent), "Counter { version: Version(2), value: 5 }"),
        (increment(b"n", -7, Condition::Any), "Counter { version: Version(3), value: -2 }"),
        (
            increment(b"n", 1, Condition::Absent),
            "Conflict { current: Some(Version(3)), change: 0 }",
        ),
    ] {
        assert_eq!(peer.ask(&request).await, answer);
    }
    let reply = peer.ask(&increment(b"text", 1, Condition::Any)).await;
    assert!(reply.contains("code: NotAnInteger"), "{reply}");
    let reply = peer.ask(&increment(b"n", i64::MIN, Condition::Any)).await;
    assert!(reply.contains("code: Overflow"), "{reply}");
    assert_eq!(peer.value(b"n").await.as_deref(), Some(&b"-2"[..]));
}

#[tokio::test]
async fn whether_a_record_is_there_and_for_how_long_is_told_without_its_value() {
    let bench = Bench::new();
    bench.engine.put(TABLE, b"k", vec![b'v'; 1024]);
    let mut peer = bench.connect_v2().await;
    let exists = Request::Exists { table: TABLE, key: b"k", freshness: Freshness::Latest };
    assert_eq!(peer.ask(&exists).await, "Flag(true)");
    assert_eq!(peer.ask(&lifetime(b"k")).await, "Lifetime(Endless)");
    let both = Request::Pipeline(vec![exists, lifetime(b"k"), lifetime(b"none")]);
    assert_eq!(
        peer.ask(&both).await,
        "Pipeline([Flag(true), Lifetime(Endless), Lifetime(Absent)])"
    );
    assert_eq!(bench.engine.reads.load(Ordering::Relaxed), 0, "a value was read");
    assert_eq!(bench.engine.finds.load(Ordering::Relaxed), 5);
}
