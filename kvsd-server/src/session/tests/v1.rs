//! Version 1: the bytes that the client library of kvsd 0.1.3 sends, and what it can read.

use super::*;
use crate::engine::EngineError;

#[tokio::test]
async fn a_session_of_the_old_client_byte_for_byte() {
    let bench = Bench::new();
    let mut peer = bench.connect();
    for (request, answer) in [
        (&b"*3\r\n#\x02+app\r\n+secret\r\n"[..], &b"*2\r\n#\x03|"[..]),
        (b"*2\r\n#\x06+hello\r\n", b"*2\r\n#\x03|"),
        (b"*3\r\n#\x05+hello\r\n$4\r\nrust\r\n", b"*2\r\n#\x03|"),
        (b"*2\r\n#\x06+hello\r\n", b"*2\r\n#\x03$4\r\nrust\r\n"),
        (b"*3\r\n#\x05+hello\r\n$6\r\nru\r\n!!\r\n", b"*2\r\n#\x03|"),
        (b"*2\r\n#\x07+hello\r\n", b"*2\r\n#\x03$6\r\nru\r\n!!\r\n"),
        (b"*2\r\n#\x07+hello\r\n", b"*2\r\n#\x03|"),
        (b"*3\r\n#\x05+empty\r\n$0\r\n\r\n", b"*2\r\n#\x03|"),
        (b"*2\r\n#\x06+empty\r\n", b"*2\r\n#\x03$0\r\n\r\n"),
    ] {
        peer.send(request).await;
        assert_eq!(peer.reply_bytes().await, answer, "to {}", request.escape_ascii());
    }
    assert_eq!(bench.engine.value("default", b"empty").as_deref(), Some(&b""[..]));
    assert!(matches!(peer.leave().await.1, Ended::Left));
}

#[tokio::test]
async fn ping_gives_the_clients_time_back_and_adds_a_valid_one() {
    let bench = Bench::new();
    let mut peer = bench.connect_v1().await;
    // As chrono writes it, nanoseconds and offset; then what only looks like a time.
    for time in ["2024-06-01T12:00:00.123456789+00:00", "not a time", ""] {
        peer.send(format!("*3\r\n#\x01T{time}\r\n|").as_bytes()).await;
        let answer = String::from_utf8(peer.reply_bytes().await).unwrap();
        let server = answer.strip_prefix(&format!("*3\r\n#\x01T{time}\r\nT")).unwrap();
        assert!(humantime::parse_rfc3339(server.strip_suffix("\r\n").unwrap()).is_ok(), "{server}");
    }
    peer.send(b"*3\r\n#\x01||").await;
    assert!(peer.reply_bytes().await.starts_with(b"*3\r\n#\x01|T"));
}

#[tokio::test]
async fn requests_sent_in_one_breath_are_answered_in_order() {
    let bench = Bench::new();
    let mut peer = bench.connect();
    peer.send(
        b"*3\r\n#\x02+a\r\n+b\r\n*3\r\n#\x05+k\r\n$1\r\n1\r\n*2\r\n#\x06+k\r\n\
          *3\r\n#\x05+k\r\n$1\r\n2\r\n*2\r\n#\x07+k\r\n*2\r\n#\x06+k\r\n",
    )
    .await;
    for answer in [&b"|"[..], b"|", b"$1\r\n1\r\n", b"|", b"$1\r\n2\r\n", b"|"] {
        assert_eq!(peer.reply_bytes().await, [b"*2\r\n#\x03", answer].concat());
    }
}

#[tokio::test]
async fn a_message_out_of_place_is_refused_and_the_connection_goes_on() {
    let bench = Bench::new();
    let mut peer = bench.connect_v1().await;
    for message in [
        &b"*3\r\n#\x02+app\r\n+secret\r\n"[..],
        b"*2\r\n#\x03|",
        b"*3\r\n#\x04+UNDEFINED\r\n+\r\n",
        b"*1\r\n#\x09",
        b"*1\r\n#H",
        b"*1\r\n#\x06",
        b"*2\r\n#\x06$1\r\nk\r\n",
        b"*3\r\n#\x06+k\r\n+k\r\n",
        b"*2\r\n#\x06:1\r\n",
    ] {
        peer.send(message).await;
        let answer = peer.reply_bytes().await;
        let prefix = b"*3\r\n#\x04+UNEXPECTED_MESSAGE\r\n+";
        assert!(answer.starts_with(prefix), "{}", answer.escape_ascii());
    }
    peer.send(b"*2\r\n#\x06+k\r\n").await;
    assert_eq!(peer.reply_bytes().await, b"*2\r\n#\x03|");
}

#[tokio::test]
async fn what_cannot_be_stored_or_carried_is_a_fail() {
    let bench = Bench::with_limit(64 * 1024 * 1024);
    bench.engine.put("default", b"largest", vec![b'x'; 10 << 20]);
    bench.engine.put("default", b"larger", vec![b'x'; (10 << 20) + 1]);
    bench.engine.put("default", b"disk/larger", vec![b'x'; (10 << 20) + 1]);
    let mut peer = bench.connect_v1().await;
    peer.send(b"*2\r\n#\x06+largest\r\n").await;
    assert_eq!(peer.reply_bytes().await.len(), b"*2\r\n#\x03$10485760\r\n\r\n".len() + (10 << 20));
    for (request, reason) in [
        (&b"*2\r\n#\x06+larger\r\n"[..], "the value has 10485761 bytes"),
        (b"*2\r\n#\x06+disk/larger\r\n", "the value has 10485761 bytes"),
        (b"*2\r\n#\x07+larger\r\n", "deleted, but the value has 10485761 bytes"),
        (b"*2\r\n#\x06+\r\n", "a key must not be empty"),
        (b"*3\r\n#\x05+\r\n$1\r\nv\r\n", "a key must not be empty"),
    ] {
        peer.send(request).await;
        let answer = String::from_utf8(peer.reply_bytes().await).unwrap();
        assert!(
            answer.starts_with("*3\r\n#\x04+UNDEFINED\r\n+") && answer.contains(reason),
            "{answer}"
        );
    }
    assert_eq!(bench.engine.value("default", b"larger"), None);

    peer.send(b"*3\r\n#\x05+k\r\n$10485761\r\n").await;
    peer.send(&vec![b'x'; (10 << 20) + 1]).await;
    peer.send(b"\r\n").await;
    let answer = String::from_utf8(peer.reply_bytes().await).unwrap();
    assert!(answer.contains("a value has at most 10485760 bytes"), "{answer}");

    bench.engine.fail(EngineError::DiskFull);
    peer.send(b"*3\r\n#\x05+k\r\n$1\r\nv\r\n").await;
    let answer = String::from_utf8(peer.reply_bytes().await).unwrap();
    assert!(answer.contains("UNDEFINED") && answer.contains("the disk is full"), "{answer}");
}

#[tokio::test]
async fn only_a_users_password_opens_a_server_with_users() {
    let bench = Bench::with_users();
    let mut peer = bench.connect();
    peer.send(b"*3\r\n#\x02+app\r\n+wrong\r\n*3\r\n#\x05+k\r\n$1\r\nv\r\n").await;
    let (answer, ended) = peer.rest().await;
    assert!(answer.starts_with(b"*3\r\n#\x04+UNAUTHENTICATED\r\n+"), "{}", answer.escape_ascii());
    assert!(matches!(ended, Ended::Denied(..)), "{ended}");
    assert!(bench.engine.batches().is_empty());
    bench.connect_v1().await;
}

#[tokio::test]
async fn a_stop_answers_the_request_that_was_received() {
    let bench = Bench::new();
    let mut peer = bench.connect_v1().await;
    bench.engine.hold();
    peer.send(b"*3\r\n#\x05+k\r\n$1\r\nv\r\n").await;
    bench.engine.is_waited_for().await;
    bench.stopper.drain();
    bench.engine.release();
    let (rest, ended) = peer.rest().await;
    assert_eq!(rest, b"*2\r\n#\x03|");
    assert!(matches!(ended, Ended::Stopped), "{ended}");
}
