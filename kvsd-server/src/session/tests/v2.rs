//! Version 2, as a client sees it.

use kvsd::Version;
use kvsd::protocol::v2::{Condition, Previous, Request};

use super::*;
use crate::engine::EngineError;
use crate::session::Ended;

#[tokio::test]
async fn a_session_byte_for_byte() {
    let bench = Bench::new();
    let mut peer = bench.connect();
    for (request, answer) in [
        (
            &b"*6\r\n#H:9\r\n:1\r\n:3\r\n$3\r\napp\r\n$6\r\nsecret\r\n"[..],
            &b"*49\r\n#h:9\r\n:2\r\n+server\r\n+kvsd-server/0.2.0\r\n+engine\r\n+map\r\n\
               +durability\r\n+never\r\n+max-value-bytes\r\n:10485760\r\n\
               +max-user-bytes\r\n:128\r\n+max-password-bytes\r\n:512\r\n+max-key-bytes\r\n:1024\r\n\
               +max-message-bytes\r\n:12582912\r\n+max-batch\r\n:1024\r\n\
               +max-write-bytes\r\n:11534336\r\n+max-page\r\n:1000\r\n\
               +answer-bytes\r\n:1048576\r\n+max-tables\r\n:1024\r\n+max-watches\r\n:1024\r\n\
               +max-in-flight\r\n:4096\r\n+max-output-bytes\r\n:33554432\r\n\
               +max-output-bytes-hard\r\n:268435456\r\n+connection-memory\r\n:1073741824\r\n\
               +max-connections\r\n:1024\r\n+max-connections-per-address\r\n:512\r\n\
               +max-unauthenticated\r\n:256\r\n+handshake-timeout-ms\r\n:10000\r\n\
               +idle-timeout-ms\r\n:600000\r\n"[..],
        ),
        (b"*4\r\n#G:1\r\n+default\r\n$5\r\nhello\r\n", b"*3\r\n#g:1\r\n|"),
        (b"*4\r\n#E:2\r\n+default\r\n$5\r\nhello\r\n", b"*3\r\n#e:2\r\n:0\r\n"),
        (b"*5\r\n#S:3\r\n+default\r\n$5\r\nhello\r\n$4\r\nrust\r\n", b"*4\r\n#w:3\r\n:1\r\n:0\r\n"),
        (b"*4\r\n#G:4\r\n+default\r\n$5\r\nhello\r\n", b"*5\r\n#g:4\r\n:1\r\n$4\r\nrust\r\n|"),
        (b"*4\r\n#E:5\r\n+default\r\n$5\r\nhello\r\n", b"*3\r\n#e:5\r\n:1\r\n"),
        (
            b"*6\r\n#S:6\r\n+default\r\n$5\r\nhello\r\n$0\r\n\r\n+absent\r\n",
            b"*4\r\n#c:6\r\n:1\r\n:0\r\n",
        ),
        (
            b"*10\r\n#S:7\r\n+default\r\n$5\r\nhello\r\n$0\r\n\r\n+version\r\n:1\r\n\
              +expires\r\n:4102444800000\r\n+previous\r\n",
            b"*7\r\n#w:7\r\n:2\r\n:2\r\n:1\r\n$4\r\nrust\r\n|",
        ),
        (
            b"*4\r\n#G:8\r\n+default\r\n$5\r\nhello\r\n",
            b"*5\r\n#g:8\r\n:2\r\n$0\r\n\r\n:4102444800000\r\n",
        ),
        (b"*4\r\n#D:9\r\n+default\r\n$5\r\nhello\r\n", b"*4\r\n#w:9\r\n:3\r\n:1\r\n"),
        (b"*4\r\n#D:10\r\n+default\r\n$5\r\nhello\r\n", b"*4\r\n#w:10\r\n|:0\r\n"),
        (b"*4\r\n#G:11\r\n+users\r\n$5\r\nhello\r\n", b"*3\r\n#g:11\r\n|"),
    ] {
        peer.send(request).await;
        let sent = request.escape_ascii();
        assert_eq!(
            peer.reply_bytes().await.escape_ascii().to_string(),
            { answer.escape_ascii().to_string() },
            "to {sent}"
        );
    }
    let (rest, ended) = peer.leave().await;
    assert!(rest.is_empty() && matches!(ended, Ended::Left), "{rest:?} {ended}");
}

#[tokio::test]
async fn ping_is_answered_with_the_servers_time() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    let before = crate::clock::now();
    peer.request(1, &Request::Ping).await;
    let after_id = peer.next(|message| match Reply::parse(message).unwrap() {
        (Some(id), Some(Reply::Pong { server_time })) => (id.get(), server_time),
        other => panic!("{other:?}"),
    });
    let (_, (id, time)) = after_id.await;
    assert_eq!(id, 1);
    assert!((before..=crate::clock::now()).contains(&time), "{time:?}");
}

#[tokio::test]
async fn what_arrives_together_is_written_together_and_each_answer_has_its_id() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    let mut bytes = BytesMut::new();
    for id in 0..20_u64 {
        let key = id.to_be_bytes();
        set(&key, &key).encode(id_of(id), &mut bytes);
        let table = if id % 2 == 0 { "even" } else { "odd" };
        let request = match set(&key, b"x") {
            Request::Set { key, value, condition, expiry, previous, .. } => {
                Request::Set { table, key, value, condition, expiry, previous }
            }
            other => other,
        };
        request.encode(id_of(1000 + id), &mut bytes);
    }
    peer.send(&bytes).await;
    let mut ids = Vec::new();
    for _ in 0..40 {
        let (id, reply) = peer.reply().await;
        assert!(reply.starts_with("Written"), "{reply}");
        ids.push(id.unwrap());
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..20).chain(1000..1020).collect::<Vec<_>>());
    let mut batches = bench.engine.batches();
    batches.sort();
    let expected = [("default", 20), ("even", 10), ("odd", 10)];
    assert_eq!(batches, expected.map(|(table, writes)| (table.to_owned(), writes)));

    for id in 0..20_u64 {
        peer.get(id, &id.to_be_bytes()).await;
    }
    for id in 0..20_u64 {
        let own = |message: &Message<'_>| match Reply::parse(message).unwrap() {
            (Some(id), Some(Reply::Value(Some(record)))) => (id.get(), record.value.to_vec()),
            other => panic!("{other:?}"),
        };
        assert_eq!(peer.next(own).await.1, (id, id.to_be_bytes().to_vec()));
    }
}

#[tokio::test]
async fn a_read_overtakes_a_write_that_waits_for_the_disk() {
    let bench = Bench::new();
    bench.engine.put("default", b"near", b"value".to_vec());
    let mut peer = bench.connect_v2().await;
    bench.engine.hold();
    peer.set(1, b"slow", b"value").await;
    peer.get(2, b"disk/far").await;
    peer.get(3, b"near").await;
    assert_eq!(peer.reply().await.0, Some(3));
    bench.engine.release();
    let mut rest = [peer.reply().await, peer.reply().await];
    rest.sort();
    assert!(rest[0].1.starts_with("Written"), "{rest:?}");
    assert_eq!((rest[0].0, &rest[1]), (Some(1), &(Some(2), "Value(None)".to_owned())));
}

#[tokio::test]
async fn what_is_only_on_the_disk_is_found_there() {
    let bench = Bench::new();
    bench.engine.put("default", b"disk/a", b"cold".to_vec());
    let mut peer = bench.connect_v2().await;
    peer.get(1, b"disk/a").await;
    assert_eq!(peer.reply_bytes().await, b"*5\r\n#g:1\r\n:1\r\n$4\r\ncold\r\n|");
    peer.request(
        2,
        &Request::Exists { table: "default", key: b"disk/a", freshness: Freshness::Latest },
    )
    .await;
    assert_eq!(peer.reply_bytes().await, b"*3\r\n#e:2\r\n:1\r\n");
}

#[tokio::test]
async fn a_refused_request_says_why_and_the_connection_goes_on() {
    let bench = Bench::with_limit(1024);
    let mut peer = bench.connect_v2().await;
    let long = [b'k'; 1025];
    let large = [b'v'; 1025];
    for (request, reason) in [
        (get("", b"k"), "a table name must not be empty"),
        (get("../etc", b"k"), "a table name starts with"),
        (get("default", b""), "a key must not be empty"),
        (get("default", &long), "a key has at most 1024 bytes"),
        (set(b"", b"v"), "a key must not be empty"),
        (set(b"k", &large), "a value has at most 1024 bytes here, this one has 1025"),
    ] {
        peer.request(7, &request).await;
        let (id, reply) = peer.reply().await;
        assert_eq!(id, Some(7));
        assert!(reply.contains("Invalid") && reply.contains(reason), "{reply}");
    }
    for (message, code, reason) in [
        (&b"*2\r\n#A:7\r\n"[..], "Unsupported", "no such request"),
        (b"*2\r\n#g:7\r\n", "Unsupported", "no such request"),
        (b"*2\r\n#G:7\r\n", "Invalid", "a string is missing"),
        (b"*3\r\n#P:7\r\n+x\r\n", "Invalid", "more frames"),
        (b"*4\r\n#G:7\r\n+\xff\r\n$1\r\nk\r\n", "Invalid", "not UTF-8"),
        (b"*6\r\n#S:7\r\n+t\r\n$1\r\nk\r\n$1\r\nv\r\n+maybe\r\n", "Invalid", "unknown option"),
        (b"*5\r\n#D:7\r\n+t\r\n$1\r\nk\r\n+absent\r\n", "Invalid", "unknown option"),
    ] {
        peer.send(message).await;
        let (id, reply) = peer.reply().await;
        assert_eq!(id, Some(7), "{}", message.escape_ascii());
        assert!(reply.contains(code) && reply.contains(reason), "{reply}");
    }
    assert!(bench.engine.batches().is_empty(), "a refused write reached the engine");
    peer.request(8, &set(&[b'k'; 1024], &large[1..])).await;
    assert!(peer.reply().await.1.starts_with("Written"), "the largest key and value are taken");
}

#[tokio::test]
async fn what_the_engine_cannot_do_has_its_own_code() {
    let cause = || "no such luck".to_owned();
    for (error, code) in [
        (EngineError::Corrupt { table: cause(), place: "x".repeat(500) }, "Corrupt"),
        (EngineError::DiskFull, "DiskFull"),
        (EngineError::ReadOnly { table: cause(), cause: cause() }, "ReadOnly"),
        (EngineError::UnknownOutcome { cause: cause() }, "Unknown"),
        (EngineError::Closed, "Closing"),
        (EngineError::NotAnInteger { table: cause() }, "NotAnInteger"),
        (EngineError::Overflow { table: cause() }, "Overflow"),
        (EngineError::UnknownTable { table: cause() }, "NoTable"),
        (EngineError::TooManyTables { limit: 3 }, "TooManyTables"),
        (EngineError::Io { context: cause(), cause: cause() }, "Internal"),
    ] {
        let bench = Bench::new();
        bench.engine.fail(error);
        let mut peer = bench.connect_v2().await;
        peer.set(1, b"k", b"v").await;
        peer.get(2, b"k").await;
        for _ in 0..2 {
            let reply = peer.reply().await.1;
            assert!(reply.contains(&format!("code: {code},")), "{reply}");
            assert!(reply.len() < 600, "too long for a line: {reply}");
        }
    }
}

#[tokio::test]
async fn conditions_reach_the_engine() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    let write = |condition| match set(b"k", b"v") {
        Request::Set { table, key, value, expiry, previous, .. } => {
            Request::Set { table, key, value, condition, expiry, previous }
        }
        other => other,
    };
    let version = |number| Condition::Version(Version::new(number).unwrap());
    for (id, (condition, answer)) in (0..).zip([
        (Condition::Present, "Conflict { current: None, change: 0 }"),
        (Condition::Absent, "Written { version: Some(Version(1)), before: Absent }"),
        (Condition::Absent, "Conflict { current: Some(Version(1)), change: 0 }"),
        (version(9), "Conflict { current: Some(Version(1)), change: 0 }"),
        (version(1), "Written { version: Some(Version(2)), before: Present }"),
        (Condition::Present, "Written { version: Some(Version(3)), before: Present }"),
    ]) {
        peer.request(id, &write(condition)).await;
        assert_eq!(peer.reply().await, (Some(id), answer.to_owned()));
    }
    let condition = version(2);
    let previous = Previous::Return;
    let delete = |condition| Request::Delete { table: "default", key: b"k", condition, previous };
    peer.request(10, &delete(condition)).await;
    assert_eq!(peer.reply().await.1, "Conflict { current: Some(Version(3)), change: 0 }");
    peer.request(11, &delete(version(3))).await;
    assert_eq!(peer.reply_bytes().await, b"*7\r\n#w:11\r\n:4\r\n:2\r\n:3\r\n$1\r\nv\r\n|");
}

#[tokio::test]
async fn versions_that_do_not_meet_are_named() {
    let bench = Bench::new();
    for (lowest, highest) in [(1, 1), (3, 9), (3, 1)] {
        let mut peer = bench.connect();
        peer.send(format!("*6\r\n#H:5\r\n:{lowest}\r\n:{highest}\r\n||").as_bytes()).await;
        let (id, reply) = peer.reply().await;
        assert_eq!(id, Some(5));
        assert!(reply.contains("Version") && reply.contains("speaks version 2"), "{reply}");
        assert!(matches!(peer.rest().await.1, Ended::Denied(..)));
    }
}

#[tokio::test]
async fn only_a_users_password_opens_a_server_with_users() {
    let bench = Bench::with_users();
    for (credentials, code, hint) in [
        (&b"||"[..], "Unauthenticated", "give a user name and a password"),
        (b"$3\r\napp\r\n$5\r\nwrong\r\n", "Unauthenticated", "user or the password is wrong"),
        (b"$4\r\nnone\r\n$6\r\nsecret\r\n", "Unauthenticated", "user or the password is wrong"),
        (b"$0\r\n\r\n$0\r\n\r\n", "Unauthenticated", "user or the password is wrong"),
    ] {
        let mut peer = bench.connect();
        peer.send(&[b"*6\r\n#H:0\r\n:2\r\n:2\r\n", credentials].concat()).await;
        // What follows in the same breath must not be carried out.
        peer.set(1, b"k", b"v").await;
        let reply = peer.reply().await.1;
        assert!(reply.contains(code) && reply.contains(hint), "{reply}");
        let (rest, ended) = peer.rest().await;
        assert!(rest.is_empty() && matches!(ended, Ended::Denied(..)), "{rest:?} {ended}");
    }
    assert!(bench.engine.batches().is_empty());

    let mut peer = bench.connect();
    peer.send(b"*6\r\n#H:0\r\n:2\r\n:2\r\n$3\r\napp\r\n$6\r\nsecret\r\n").await;
    assert!(peer.reply_bytes().await.starts_with(b"*49\r\n#h"));
}

#[tokio::test]
async fn a_stop_answers_what_was_received_and_says_why_the_connection_ends() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    bench.engine.hold();
    let mut bytes = BytesMut::new();
    set(b"a", b"1").encode(id_of(1), &mut bytes);
    Request::Get { table: "default", key: b"disk/x", freshness: Freshness::Latest }
        .encode(id_of(2), &mut bytes);
    peer.send(&bytes).await;
    bench.engine.is_waited_for().await;
    bench.stopper.drain();
    bench.engine.release();
    let mut answers = [peer.reply().await.0, peer.reply().await.0];
    answers.sort_unstable();
    assert_eq!(answers, [Some(1), Some(2)]);
    let (id, last) = peer.reply().await;
    assert!(id.is_none() && last.contains("Closing"), "{last}");
    let (rest, ended) = peer.rest().await;
    assert!(rest.is_empty() && matches!(ended, Ended::Stopped), "{rest:?} {ended}");
    assert!(bench.engine.value("default", b"a").is_some());
}

#[tokio::test]
async fn a_stop_ends_idle_and_silent_sessions() {
    let bench = Bench::new();
    let silent = bench.connect();
    let idle_v1 = bench.connect_v1().await;
    let idle_v2 = bench.connect_v2().await;
    bench.stopper.drain();
    for (peer, last) in [(silent, &b""[..]), (idle_v1, b""), (idle_v2, b"*4\r\n#f|+CLOSING\r\n")] {
        let (rest, ended) = peer.rest().await;
        assert!(rest.starts_with(last) && last.is_empty() == rest.is_empty(), "{rest:?}");
        assert!(matches!(ended, Ended::Stopped | Ended::Dismissed), "{ended}");
    }
}

#[tokio::test]
async fn a_client_that_closes_its_side_still_gets_its_answers() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    bench.engine.hold();
    peer.set(1, b"a", b"1").await;
    peer.stream.shutdown().await.unwrap();
    bench.engine.is_waited_for().await;
    bench.engine.release();
    assert_eq!(peer.reply().await.0, Some(1));
    assert!(matches!(peer.rest().await.1, Ended::Left));
}

#[tokio::test]
async fn a_breach_of_the_protocol_ends_the_session_after_the_answers_that_are_due() {
    for (breach, reason) in [
        (HELLO, "a second Hello"),
        (b"*1\r\n#P", "a request without an id"),
        (b"*2\r\n#P:-1\r\n", "a request without an id"),
        (b"GET / HTTP/1.1\r\n", "a message begins with"),
    ] {
        let bench = Bench::new();
        let mut peer = bench.connect_v2().await;
        bench.engine.hold();
        peer.set(1, b"a", b"1").await;
        peer.send(breach).await;
        // Nothing behind the breach counts.
        peer.set(2, b"b", b"2").await;
        bench.engine.is_waited_for().await;
        bench.engine.release();
        assert_eq!(peer.reply().await.0, Some(1));
        let (id, last) = peer.reply().await;
        assert!(id.is_none() && last.contains("Protocol") && last.contains(reason), "{last}");
        let (rest, ended) = peer.rest().await;
        assert!(rest.is_empty(), "{rest:?}");
        assert!(matches!(ended, Ended::Misplaced(_) | Ended::Garbled(_)), "{ended}");
        assert_eq!(bench.engine.value("default", b"b"), None);
    }
}
