//! What nobody should send. Each case ends with a Fail that names the limit or the rule, with a
//! closed connection, and with a server that serves the next client.

use super::nonsense::GARBAGE;
use super::*;
use crate::engine::EngineError;

const V1_FAIL: &str = "*3\r\n#\u{4}+UNEXPECTED_MESSAGE\r\n+";
const V2_FAIL: &str = "*4\r\n#f|+PROTOCOL\r\n+";

async fn refused(bench: &Bench, mut peer: Peer, case: &[u8], prefix: &str, reason: &str) {
    let shown = case.escape_ascii().to_string();
    peer.send(case).await;
    let (answer, ended) = peer.leave().await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with(prefix), "{shown}: {answer:?}");
    assert!(answer.contains(reason), "{shown}: {answer:?}");
    assert!(matches!(ended, Ended::Garbled(_) | Ended::Misplaced(_)), "{shown}: {ended}");
    bench.connect_v2().await;
}

#[tokio::test]
async fn garbage_from_a_stranger_is_answered_and_closed() {
    let bench = Bench::new();
    for (case, reason) in GARBAGE {
        refused(&bench, bench.connect(), case, V2_FAIL, reason).await;
    }
}

#[tokio::test]
async fn garbage_in_a_session_is_answered_and_closed() {
    let bench = Bench::new();
    for (case, reason) in GARBAGE {
        refused(&bench, bench.connect_v1().await, case, V1_FAIL, reason).await;
        refused(&bench, bench.connect_v2().await, case, V2_FAIL, reason).await;
    }
}

#[tokio::test]
async fn a_stranger_may_send_one_small_message() {
    let bench = Bench::new();
    let line = [b"*3\r\n#\x02+".as_slice(), &[b'a'; 641], b"x"].concat();
    refused(&bench, bench.connect(), &line, V1_FAIL, "at most 640 bytes here").await;
    let user = b"*6\r\n#H:0\r\n:2\r\n:2\r\n$1024\r\n";
    refused(&bench, bench.connect(), user, V2_FAIL, "at most 1024 bytes here").await;
    let strings = [b"*3\r\n#\x02+".as_slice(), &[b'a'; 600], b"\r\n+", &[b'b'; 600], b"\r\n"];
    let both = strings.concat();
    refused(&bench, bench.connect(), &both, V1_FAIL, "at most 1024 bytes here").await;
    refused(&bench, bench.connect(), b"*9\r\n#\x02", V1_FAIL, "at most 8 frames here").await;
}

#[tokio::test]
async fn a_stranger_who_asks_before_saying_who_he_is_gets_nothing() {
    let bench = Bench::new();
    let hint = "the first message must be Authenticate";
    for case in [
        &b"*2\r\n#\x06+k\r\n"[..],
        b"*3\r\n#\x05+k\r\n$1\r\nv\r\n",
        b"*2\r\n#\x03|",
        b"*3\r\n#\x01||",
        b"*3\r\n#\x01Tmalformed\r\n|",
    ] {
        refused(&bench, bench.connect(), case, V1_FAIL, hint).await;
    }
    let hint = "the first message must be Hello";
    for case in [&b"*2\r\n#P:1\r\n"[..], b"*4\r\n#G:1\r\n+default\r\n$1\r\nk\r\n", b"*1\r\n#\x08"] {
        refused(&bench, bench.connect(), case, V2_FAIL, hint).await;
    }
    refused(&bench, bench.connect(), b"*1\r\n#\x02", V1_FAIL, "a string is missing").await;
    let swapped = b"*3\r\n#\x02$1\r\na\r\n$1\r\nb\r\n";
    refused(&bench, bench.connect(), swapped, V1_FAIL, "a string was expected").await;
    refused(&bench, bench.connect(), b"*1\r\n#H", V2_FAIL, "an integer is missing").await;
    let half = b"*6\r\n#H:0\r\n:2\r\n:2\r\n|$1\r\na\r\n";
    refused(&bench, bench.connect(), half, V2_FAIL, "null was expected").await;
    assert!(bench.engine.batches().is_empty());
}

#[tokio::test]
async fn each_dialect_has_its_limits() {
    let bench = Bench::with_limit(1024 * 1024);
    let v1 = |case: &[u8]| (case.to_vec(), V1_FAIL);
    let v2 = |case: &[u8]| (case.to_vec(), V2_FAIL);
    let line = |start: &[u8], bytes: usize| [start, &vec![b'x'; bytes]].concat();
    for ((case, prefix), reason) in [
        (v1(b"*4\r\n#\x05"), "at most 3 frames here"),
        (v1(b"*3\r\n#\x05+k\r\n$1050625\r\n"), "at most 1050624 bytes here"),
        (v1(&line(b"*2\r\n#\x06+", 1026)), "at most 1024 bytes here"),
        (v2(b"*16385\r\n#S"), "at most 16384 frames here"),
        (v2(b"*5\r\n#S:1\r\n+t\r\n$1\r\nk\r\n$67584\r\n"), "at most 67584 bytes here"),
        (v2(b"*16385\r\n#K"), "at most 16384 frames here"),
        (v2(&line(b"*4\r\n#G:1\r\n+", 1026)), "at most 1024 bytes here"),
        (v2(&line(b"*2\r\n#P:", 22)), "at most 20 bytes here"),
    ] {
        let peer =
            if prefix == V1_FAIL { bench.connect_v1().await } else { bench.connect_v2().await };
        refused(&bench, peer, &case, prefix, reason).await;
    }
}

#[tokio::test]
async fn line_ends_in_a_key_stay_in_the_key() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    let key = b"a\r\n*4\r\n#D:9\r\n+default\r\n$1\r\na\r\n";
    peer.set(1, key, b"v").await;
    assert_eq!(peer.reply().await.0, Some(1));
    assert_eq!(bench.engine.value("default", key).as_deref(), Some(&b"v"[..]));
    assert_eq!(bench.engine.batches().len(), 1, "data became a request");
}

#[tokio::test]
async fn a_message_that_never_ends_is_forgotten_when_its_client_leaves() {
    let bench = Bench::new();
    for start in [&b"*"[..], b"*5\r\n#", b"*5\r\n#S:1\r\n+t\r\n$1\r\nk\r\n$5\r\nab"] {
        let mut peer = bench.connect_v2().await;
        peer.send(start).await;
        let (rest, ended) = peer.leave().await;
        assert!(rest.is_empty() && matches!(ended, Ended::Left), "{rest:?} {ended}");
    }
    assert!(bench.engine.batches().is_empty());
}

#[tokio::test]
async fn no_client_learns_where_the_server_keeps_its_files() {
    const PLACE: &str = "/srv/kvsd/tables/00000001/00000001.seg";
    let (table, place) = ("default".to_owned(), PLACE.to_owned());
    let context = format!("cannot read {PLACE}");
    for (error, code) in [
        (EngineError::Corrupt { table: table.clone(), place: place.clone() }, "Corrupt"),
        (EngineError::ReadOnly { table, cause: place.clone() }, "ReadOnly"),
        (EngineError::UnknownOutcome { cause: place.clone() }, "Unknown"),
        (EngineError::Io { context, cause: "an I/O error".to_owned() }, "Internal"),
        (EngineError::Io { context: "cannot read".to_owned(), cause: place }, "Internal"),
    ] {
        let bench = Bench::new();
        bench.engine.put("default", b"k", b"v".to_vec());
        let (mut peer, mut old) = (bench.connect_v2().await, bench.connect_v1().await);
        bench.engine.stop(PLACE);
        let reply = peer.ask(&Request::Statistics { table: "default" }).await;
        assert!(!reply.contains("/srv") && reply.contains("stopped: Some(\"a failure"), "{reply}");
        bench.engine.fail(error);
        let pipeline = Request::Pipeline(vec![get("default", b"k"), set(b"k", b"v")]);
        for request in [get("default", b"k"), set(b"k", b"v"), pipeline] {
            let reply = peer.ask(&request).await;
            assert!(reply.contains(code) && !reply.contains("/srv"), "{reply}");
        }
        old.send(b"*2\r\n#\x06+k\r\n").await;
        let reply = String::from_utf8_lossy(&old.reply_bytes().await).into_owned();
        assert!(reply.contains("UNDEFINED") && !reply.contains("/srv"), "{reply}");
    }
}

#[tokio::test]
async fn a_write_that_the_engine_does_not_take_is_the_clients_mistake() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    bench.engine.fail(EngineError::Refused { reason: "it reads too much; send several".into() });
    let reply = peer.ask(&set(b"k", b"v")).await;
    assert!(reply.contains("Invalid") && reply.contains("send several"), "{reply}");
}
