//! Pipelines: one after the other, answered together, and no longer than a message may be.

use kvsd::UnixMillis;
use kvsd::protocol::v2::{Condition, Expiry, Previous};

use super::*;

/// What the answers of a pipeline are, each as it shows itself.
async fn run(peer: &mut Peer, requests: Vec<Request<'_>>) -> Vec<String> {
    peer.request(5, &Request::Pipeline(requests)).await;
    peer.answer(5, |reply| match reply {
        Reply::Pipeline(replies) => replies.iter().map(|reply| format!("{reply:?}")).collect(),
        other => panic!("{other:?}"),
    })
    .await
}

fn swap<'a>(key: &'a [u8], value: &'a [u8]) -> Request<'a> {
    let (condition, previous) = (Condition::Any, Previous::Return);
    Request::Set { table: "default", key, value, condition, expiry: None, previous }
}

#[tokio::test]
async fn each_request_of_a_pipeline_sees_what_the_ones_before_it_did() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    for key in [&b"k"[..], b"disk/k"] {
        let exists = Request::Exists { table: "default", key, freshness: Freshness::Latest };
        let increment =
            Request::Increment { table: "default", key: b"n", by: 2, condition: Condition::Any };
        let answers = run(
            &mut peer,
            vec![
                exists.clone(),
                set(key, b"one"),
                swap(key, b"two!"),
                exists.clone(),
                get("default", key),
                Request::Delete {
                    table: "default",
                    key,
                    condition: Condition::Any,
                    previous: Previous::Omit,
                },
                exists,
                Request::Lifetime { table: "default", key, freshness: Freshness::Latest },
                increment.clone(),
                increment,
            ],
        )
        .await;
        let starts = [
            "Flag(false)",
            "Written { version: Some(",
            "Written { version: Some(",
            "Flag(true)",
            "Value(Some(",
            "Written { version: Some(",
            "Flag(false)",
            "Lifetime(Absent)",
            "Counter {",
            "Counter {",
        ];
        assert_eq!(answers.len(), starts.len(), "{answers:?}");
        for (answer, start) in answers.iter().zip(starts) {
            assert!(answer.starts_with(start), "{answer}, not {start}");
        }
        assert!(answers[2].contains("3 byte value"), "{answers:?}");
        assert!(answers[4].contains("4 byte value"), "{answers:?}");
    }
}

fn expire<'a>(key: &'a [u8], expiry: Expiry) -> Request<'a> {
    let (expiry, condition) = (Some(expiry), Condition::Any);
    Request::Expire { table: "default", key, expiry, condition }
}

fn millis(number: u64) -> UnixMillis {
    UnixMillis::new(number).unwrap()
}

#[tokio::test]
async fn a_ttl_in_a_pipeline_counts_from_its_turn() {
    let bench = Bench::new();
    bench.engine.put("default", b"k", b"v".to_vec());
    let mut peer = bench.connect_v2().await;
    bench.engine.hold();
    let lifetime = Request::Lifetime { table: "default", key: b"k", freshness: Freshness::Latest };
    let requests = vec![
        get("default", b"disk/k"),
        expire(b"k", Expiry::After(millis(100))),
        lifetime,
        set(b"a", b"1"),
        // Neither is past when the pipeline comes.
        expire(b"a", Expiry::At(millis(1_500))),
        set(b"b", b"1"),
        expire(b"b", Expiry::At(millis(5_001))),
    ];
    peer.request(5, &Request::Pipeline(requests)).await;
    bench.engine.is_waited_for().await;
    bench.engine.set_time(5_000);
    bench.engine.release();
    let answers = peer.answer(5, |reply| match reply {
        Reply::Pipeline(replies) => {
            replies.iter().map(|reply| format!("{reply:?}")).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    });
    let answers = answers.await;
    let parts = [
        "Value(None)",
        "before: Present",
        "Left { millis: 100 }",
        "Written",
        "an expiry in the past",
        "Written",
        "before: Present",
    ];
    assert_eq!(answers.len(), parts.len(), "{answers:?}");
    for (answer, part) in answers.iter().zip(parts) {
        assert!(answer.contains(part), "{answer}, not {part}");
    }
}

#[tokio::test]
async fn writes_that_follow_each_other_to_a_table_go_to_the_engine_together() {
    let bench = Bench::with_limit(1024);
    let mut peer = bench.connect_v2().await;
    let elsewhere =
        Request::Increment { table: "other", key: b"n", by: 1, condition: Condition::Any };
    let requests = vec![
        set(b"a", b"1"),
        swap(b"b", b"1"),
        set(b"a", b"2"),
        get("default", b"a"),
        set(b"c", b"1"),
        elsewhere,
        set(b"d", b"1"),
        set(b"e", b"1"),
    ];
    assert_eq!(run(&mut peer, requests).await.len(), 8);
    let batches = [("default", 3), ("default", 1), ("other", 1), ("default", 2)];
    assert_eq!(bench.engine.batches(), batches.map(|(table, size)| (table.to_owned(), size)));
}

#[tokio::test]
async fn a_pipeline_of_reads_at_hand_waits_for_nothing() {
    let bench = Bench::new();
    bench.engine.put("default", b"a", b"1".to_vec());
    bench.engine.hold();
    let mut peer = bench.connect_v2().await;
    let answers = run(&mut peer, vec![get("default", b"a"), get("none", b"b")]).await;
    assert!(answers[0].starts_with("Value(Some") && answers[1] == "Value(None)", "{answers:?}");
}

#[tokio::test]
async fn one_request_that_fails_does_not_stop_the_others_of_its_pipeline() {
    let bench = Bench::with_limit(1024);
    bench.engine.put("default", b"text", b"ten".to_vec());
    let mut peer = bench.connect_v2().await;
    let (long, large) = ([b'k'; 1025], [b'v'; 1025]);
    let add =
        Request::Increment { table: "default", key: b"text", by: 1, condition: Condition::Any };
    let requests = vec![
        get("default", &long),
        get("default", b"text"),
        get("../etc", b"k"),
        set(b"a", &large),
        set(b"a", b"1"),
        add,
        get("", b"a"),
        get("default", b"a"),
    ];
    let answers = run(&mut peer, requests).await;
    let parts = [
        "a key has at most 1024 bytes",
        "3 byte value",
        "a table name",
        "a value has at most 1024 bytes",
        "Written",
        "NotAnInteger",
        "a table name",
        "1 byte value",
    ];
    assert_eq!(answers.len(), parts.len());
    for (answer, part) in answers.iter().zip(parts) {
        assert!(answer.contains(part), "{answer}, not {part}");
    }
}

#[tokio::test]
async fn a_pipeline_ends_once_its_answer_is_full_and_what_is_behind_is_not_carried_out() {
    let bench = Bench::with_limit(1024 * 1024);
    let mut peer = bench.connect_v2().await;
    let value = vec![b'v'; 300 * 1024];
    for key in [&b"near"[..], b"disk/far"] {
        bench.engine.put("default", key, value.clone());
        let mut requests = vec![get("default", key); 6];
        requests.push(set(b"behind", b"v"));
        let answers = run(&mut peer, requests).await;
        assert_eq!(answers.len(), 4, "four of 300 KiB pass 1 MiB");
        assert!(answers.iter().all(|answer| answer.starts_with("Value(Some(")), "{answers:?}");
    }
    assert!(bench.engine.batches().is_empty(), "what has no answer was carried out");

    // One that is larger than the answer may be alone is answered all the same.
    bench.engine.put("default", b"large", vec![b'v'; 1024 * 1024]);
    assert_eq!(run(&mut peer, vec![get("default", b"large"); 2]).await.len(), 1);
}

#[tokio::test]
async fn a_write_whose_answer_may_not_fit_is_not_carried_out() {
    let bench = Bench::with_limit(1024 * 1024);
    let mut peer = bench.connect_v2().await;
    let keys: Vec<[u8; 1]> = (0..5).map(|number| [number]).collect();
    for key in &keys {
        bench.engine.put("default", key, vec![b'v'; 400 * 1024]);
    }
    let swaps = keys.iter().map(|key| swap(key, b"new"));
    let answers = run(&mut peer, swaps.collect()).await;
    assert_eq!(answers.len(), 3, "three of 400 KiB pass 1 MiB: {answers:?}");
    for (place, key) in keys.iter().enumerate() {
        let is_new = bench.engine.value("default", key).as_deref() == Some(b"new");
        assert_eq!(is_new, place < 3, "key {place}");
    }
}

#[tokio::test]
async fn what_is_no_request_of_a_pipeline_is_refused_as_a_whole() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    for (message, reason) in [
        (&b"*2\r\n#L:7\r\n"[..], "a request is missing"),
        (b"*4\r\n#L:7\r\n:1\r\n+P\r\n", "a type for a pipeline"),
        (b"*4\r\n#L:7\r\n:9\r\n+G\r\n", "a number of frames"),
    ] {
        peer.send(message).await;
        let (id, reply) = peer.reply().await;
        assert!(id == Some(7) && reply.contains("Invalid") && reply.contains(reason), "{reply}");
    }
}
