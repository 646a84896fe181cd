//! Batches: all or nothing, and which change it was that did not fit.

use std::sync::atomic::Ordering;

use kvsd::UnixMillis;
use kvsd::protocol::v2::{ANSWER_BYTES, Action, Change, Condition, Expiry};

use super::*;

fn batch(changes: Vec<Change<'_>>) -> Request<'_> {
    Request::Batch { table: "default", changes }
}

fn change<'a>(key: &'a [u8], condition: Condition, action: Action<'a>) -> Change<'a> {
    Change { key, condition, action }
}

fn set_to<'a>(key: &'a [u8], value: &'a [u8]) -> Change<'a> {
    change(key, Condition::Any, Action::Set { value, expiry: None })
}

#[tokio::test]
async fn a_batch_happens_as_a_whole_and_tells_of_each_change() {
    let bench = Bench::new();
    for key in [b"set", b"old", b"num", b"end", b"see"] {
        bench.engine.put("default", key, b"7".to_vec());
    }
    let mut peer = bench.connect_v2().await;
    let request = batch(vec![
        set_to(b"new", b"v"),
        change(b"num", Condition::Present, Action::Increment { by: 3 }),
        set_to(b"set", b"v"),
        change(b"old", Condition::Any, Action::Delete),
        change(b"counter", Condition::Absent, Action::Increment { by: -1 }),
        change(b"end", Condition::Any, Action::Expire { expiry: None }),
        change(b"see", Condition::Present, Action::Check),
        change(b"gone", Condition::Absent, Action::Check),
    ]);
    peer.request(1, &request).await;
    let told = peer.answer(1, |reply| match reply {
        Reply::Batch { version, changed } => (
            version.map(|version| version.get()),
            changed.iter().map(|it| (it.existed, it.counter)).collect::<Vec<_>>(),
        ),
        other => panic!("{other:?}"),
    });
    let changed = [
        (false, None),
        (true, Some(10)),
        (true, None),
        (true, None),
        (false, Some(-1)),
        (true, None),
        (true, None),
        (false, None),
    ];
    assert_eq!(told.await, (Some(6), changed.to_vec()));
    assert_eq!(bench.engine.batches(), [("default".to_owned(), 1)], "one write of the engine");
    assert_eq!(peer.value(b"num").await.as_deref(), Some(&b"10"[..]));
    assert_eq!(peer.value(b"old").await, None);
}

#[tokio::test]
async fn one_condition_that_does_not_hold_stops_all_of_a_batch() {
    let bench = Bench::new();
    bench.engine.put("default", b"there", b"v".to_vec());
    let mut peer = bench.connect_v2().await;
    let check = |condition| change(b"there", condition, Action::Check);
    for (changes, answer) in [
        (
            vec![set_to(b"a", b"1"), set_to(b"b", b"1"), check(Condition::Absent)],
            "Conflict { current: Some(Version(1)), change: 2 }",
        ),
        (
            vec![change(b"none", Condition::Present, Action::Delete), set_to(b"a", b"1")],
            "Conflict { current: None, change: 0 }",
        ),
    ] {
        assert_eq!(peer.ask(&batch(changes)).await, answer);
        assert_eq!(peer.value(b"a").await, None);
    }
}

#[tokio::test]
async fn a_batch_of_checks_writes_nothing() {
    let bench = Bench::new();
    bench.engine.put("default", b"there", b"v".to_vec());
    let mut peer = bench.connect_v2().await;
    let checks = vec![
        change(b"there", Condition::Present, Action::Check),
        change(b"gone", Condition::Any, Action::Check),
    ];
    let reply = peer.ask(&batch(checks)).await;
    assert!(reply.starts_with("Batch { version: None,"), "{reply}");
    assert_eq!(peer.ask(&set(b"next", b"v")).await.matches("Version(2)").count(), 1);
}

#[tokio::test]
async fn what_a_batch_writes_with_one_ttl_ends_at_one_time() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    let expiry = UnixMillis::new(60_000).map(Expiry::After);
    let ending = |key| change(key, Condition::Any, Action::Set { value: b"v", expiry });
    let reply = peer.ask(&batch(vec![ending(b"a"), set_to(b"b", b"v"), ending(b"c")])).await;
    assert!(reply.starts_with("Batch"), "{reply}");
    assert_eq!(bench.engine.times.load(Ordering::Relaxed), 1, "one look at the clock");
    let reply = peer.ask(&batch(vec![set_to(b"d", b"v")])).await;
    assert!(reply.starts_with("Batch"), "{reply}");
    assert_eq!(bench.engine.times.load(Ordering::Relaxed), 1, "none where nothing ends");
}

#[tokio::test]
async fn a_batch_that_breaks_a_rule_is_refused_by_the_place_of_the_change() {
    let bench = Bench::with_limit(64 * 1024);
    let mut peer = bench.connect_v2().await;
    let (secret, large) = (b"secret".as_slice(), vec![b'v'; 64 * 1024 + 1]);
    let past = Some(Expiry::At(UnixMillis::new(1_000).unwrap()));
    for (bad, reason) in [
        (set_to(secret, b"2"), "it has the key of change 0"),
        (set_to(b"", b"2"), "a key must not be empty"),
        (set_to(b"k", &large), "a value has at most 65536 bytes here"),
        (change(b"k", Condition::Any, Action::Set { value: b"", expiry: past }), "in the past"),
        (change(b"k", Condition::Any, Action::Expire { expiry: past }), "in the past"),
    ] {
        let reply = peer.ask(&batch(vec![set_to(secret, b"1"), set_to(b"b", b"1"), bad])).await;
        assert!(reply.contains("Invalid") && reply.contains("change 2, counted from 0"), "{reply}");
        assert!(reply.contains(reason) && !reply.contains("secret"), "{reply}");
    }
    let reply =
        peer.ask(&Request::Batch { table: "../x", changes: vec![set_to(b"a", b"1")] }).await;
    assert!(reply.contains("Invalid") && reply.contains("table name"), "{reply}");
    assert!(bench.engine.batches().is_empty());
}

#[tokio::test]
async fn a_batch_beyond_what_the_engine_takes_is_refused_before_the_engine_sees_it() {
    let bench = Bench::with_engine_limits(Limits {
        max_batch: 3,
        max_value_bytes: 1000,
        max_write_bytes: 2400,
    });
    let mut peer = bench.connect_v2().await;
    let (fits, large) = (vec![b'v'; 1000], vec![b'v'; 1001]);
    let small = |key| set_to(key, b"v");
    let keys = [&b"a"[..], b"b", b"c", b"d"];
    let refused = |reply: String, reason: &str| {
        assert!(reply.contains("Invalid") && reply.contains(reason), "{reply}");
        assert!(bench.engine.batches().is_empty(), "{reason}");
    };
    let many = peer.ask(&batch(keys.map(small).to_vec())).await;
    refused(many, "at most 3 changes here (max-batch), this one has 4; send several");
    let much = peer.ask(&batch(keys[..3].iter().map(|key| set_to(key, &fits)).collect())).await;
    let reason = "at most 2400 bytes of keys and values here (max-write-bytes), this one has 3003";
    refused(much, reason);
    let value = "a value has at most 1000 bytes here, this one has 1001";
    refused(peer.ask(&batch(vec![set_to(b"a", &large)])).await, value);
    refused(peer.ask(&set(b"a", &large)).await, value);
    for request in [batch(keys[..3].iter().map(|key| small(key)).collect()), set(b"a", &fits)] {
        let reply = peer.ask(&request).await;
        assert!(reply.contains("version: Some"), "{reply}");
    }
}

#[tokio::test]
async fn a_batch_is_small_enough_for_a_watch_to_tell_of_it() {
    let bench = Bench::with_limit(64 * 1024);
    let mut peer = bench.connect_v2().await;
    let value = vec![b'v'; 64 * 1024 - 2];
    let keys: Vec<[u8; 2]> = (0..18_u16).map(u16::to_be_bytes).collect();
    let of = |count| batch(keys[..count].iter().map(|key| set_to(key, &value)).collect());
    let limit = ANSWER_BYTES + 64 * 1024;
    let reply = peer.ask(&of(18)).await;
    let reason =
        format!("a batch has at most {limit} bytes of keys and values here (max-write-bytes)");
    assert!(reply.contains("Invalid") && reply.contains(&reason), "{reply}");
    let reply = peer.ask(&of(17)).await;
    assert!(reply.starts_with("Batch"), "{reply}");
}
