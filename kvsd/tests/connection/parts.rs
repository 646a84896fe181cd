//! Large requests and answers in parts: small ones pass them, and each reaches its caller.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kvsd::protocol::v2::part::{Cut, Cutter, MAX_PART_BYTES, Part, Sender};
use kvsd::protocol::v2::{Reply, RequestId};
use kvsd::{ErrorKind, Outcome};

use crate::support::{self, MAX_VALUE_BYTES, Session, connected, poll_once, record, written};

const PARTS: usize = MAX_VALUE_BYTES / MAX_PART_BYTES + 1;

/// An answer's parts.
fn parts_of(id: RequestId, reply: &Reply<'_>) -> Vec<Bytes> {
    let mut message = BytesMut::new();
    reply.encode(id, &mut message);
    let mut cutter = Cutter::new(Sender::Server);
    cutter.push(id, message.freeze());
    let mut parts = Vec::new();
    loop {
        let mut out = BytesMut::new();
        match cutter.cut(&mut out) {
            Cut::Nothing => return parts,
            Cut::Part | Cut::Last(_) => parts.push(out.freeze()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_request_waits_for_a_part_of_a_large_one_and_not_for_all_of_it() {
    let (client, _server, mut session) = connected().await;
    let value = vec![0; MAX_VALUE_BYTES];
    let mut set = Box::pin(client.set("large", &value).owned());
    assert!(poll_once(&mut set).await.is_none());
    // The writer fills the pipe and waits.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let mut read = Box::pin(client.get::<String>("small").owned());
    assert!(poll_once(&mut read).await.is_none());
    let asked = session.request().await.unwrap();
    assert_eq!((&*asked.what, &asked.key[..]), ("get", &b"small"[..]));
    assert!(session.parts <= 2, "the small request came after {} parts", session.parts);
    session.reply(asked.id, record(b"v")).await;
    assert_eq!(read.await.unwrap().as_deref(), Some("v"));
    let asked = session.request().await.unwrap();
    assert_eq!((&*asked.what, session.parts), ("set", PARTS));
    session.reply(asked.id, written()).await;
    set.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn at_most_four_large_requests_are_under_way_and_all_of_them_arrive() {
    let (client, _server, mut session) = connected().await;
    let value = vec![0; 200_000];
    let mut sets: Vec<_> = (0..9).map(|_| Box::pin(client.set("k", &value).owned())).collect();
    for set in &mut sets {
        assert!(poll_once(set).await.is_none());
    }
    // The session's own assembler would refuse a fifth.
    for _ in 0..9 {
        let asked = session.request().await.unwrap();
        session.reply(asked.id, written()).await;
    }
    for set in sets {
        set.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn answers_in_parts_find_their_callers_among_small_ones() {
    let (client, _server, mut session) = connected().await;
    let reads = async {
        tokio::join!(client.get::<Vec<u8>>("a"), client.get::<Vec<u8>>("b"), client.exists("c"))
    };
    let value = |byte| vec![byte; MAX_VALUE_BYTES];
    let play = async {
        let (a, b) = (session.request().await.unwrap(), session.request().await.unwrap());
        let c = session.request().await.unwrap();
        let (first, second) = (value(b'a'), value(b'b'));
        let both =
            parts_of(a.id, &record(&first)).into_iter().zip(parts_of(b.id, &record(&second)));
        for (turn, (a, b)) in both.enumerate() {
            session.send(&b).await;
            session.send(&a).await;
            if turn == 1 {
                session.reply(c.id, Reply::Flag(true)).await;
            }
        }
    };
    let ((a, b, c), ()) = tokio::join!(reads, play);
    assert!(a.unwrap() == Some(value(b'a')) && b.unwrap() == Some(value(b'b')));
    assert!(c.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_large_write_that_is_dropped_goes_on_and_harms_nobody() {
    let (client, _server, mut session) = connected().await;
    let mut set = Box::pin(client.set("large", vec![0; MAX_VALUE_BYTES]).owned());
    assert!(poll_once(&mut set).await.is_none());
    drop(set);
    drop(client);
    let asked = session.request().await.unwrap();
    assert_eq!((&*asked.what, session.parts), ("set", PARTS));
    session.reply(asked.id, written()).await;
    assert!(session.request().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_large_write_whose_connection_is_lost_amid_its_parts_is_sent_again() {
    let (client, mut server, mut session) = connected().await;
    let set = client.set("large", vec![0; MAX_VALUE_BYTES]);
    let play = async {
        // Some of the parts: the server cannot have carried out what it does not have.
        session.receive(5 * MAX_PART_BYTES).await;
        drop(session);
        let mut session = server.welcome().await;
        let asked = session.request().await.unwrap();
        assert_eq!((&*asked.what, session.parts), ("set", PARTS));
        session.reply(asked.id, written()).await;
        session
    };
    let (set, _session) = tokio::join!(set, play);
    set.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_large_write_that_is_all_out_when_its_connection_is_lost_is_not_repeated() {
    let (client, mut server, mut session) = connected().await;
    let set = client.set("large", vec![0; MAX_VALUE_BYTES]);
    let play = async {
        session.request().await.unwrap();
        drop(session);
        server.welcome().await
    };
    let (set, _session) = tokio::join!(set, play);
    let error = set.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::Unknown));
}

/// What a server sends in place of an answer, and what the caller is told of it.
async fn ends_by(send: impl AsyncFn(&mut Session, RequestId), reason: &str) {
    let (client, _server, mut session) = connected().await;
    let play = async {
        let asked = session.request().await.unwrap();
        send(&mut session, asked.id).await;
        assert!(session.request().await.is_none(), "the client must hang up: {reason}");
    };
    let (read, ()) = tokio::join!(client.get::<Vec<u8>>("k"), play);
    let error = read.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{reason}");
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(cause.contains(reason), "{reason}: {cause:?}");
}

fn part(id: RequestId, remaining: u64, bytes: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    Part { remaining, bytes }.encode(Sender::Server, id, &mut out);
    out
}

#[tokio::test(start_paused = true)]
async fn answers_that_break_the_rules_of_parts_end_the_connection_by_name() {
    let full = [b'x'; MAX_PART_BYTES];
    let announce = async |session: &mut Session, id| session.send(&part(id, 1 << 40, &full)).await;
    ends_by(announce, "in all its parts here").await;
    let whole = async |session: &mut Session, id| session.reply(id, record(&full)).await;
    ends_by(whole, "must come in parts").await;
    let skip = async |session: &mut Session, id| {
        session.send(&part(id, 1000, &full)).await;
        session.send(&part(id, 100, b"x")).await;
    };
    ends_by(skip, "does not continue").await;
    let swapped = async |session: &mut Session, id: RequestId| {
        let other = RequestId::new(id.get() + 1).unwrap();
        let mut message = BytesMut::new();
        record(&full).encode(other, &mut message);
        let (first, rest) = message.split_at(MAX_PART_BYTES);
        session.send(&part(id, rest.len() as u64, first)).await;
        session.send(&part(id, 0, rest)).await;
    };
    ends_by(swapped, "another id").await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_parts_that_nobody_asked_for_ends_the_connection() {
    let (client, _server, mut session) = connected().await;
    let play = async {
        let asked = session.request().await.unwrap();
        let stray = RequestId::new(asked.id.get() + 7).unwrap();
        for part in parts_of(stray, &record(&[0; 100_000])) {
            session.send(&part).await;
        }
        assert!(session.request().await.is_none(), "the client must hang up");
    };
    let (read, ()) = tokio::join!(client.get::<Vec<u8>>("k"), play);
    assert_eq!(read.unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test(start_paused = true)]
async fn a_batch_made_for_a_server_that_took_more_fails_alone() {
    let (builder, mut server) = support::builder();
    let (client, session) = tokio::join!(builder.connect(), async {
        let mut session = server.arrival().await;
        session.welcome(8 * MAX_VALUE_BYTES).await;
        session
    });
    let client = client.unwrap();
    let value = vec![0; 4 * MAX_VALUE_BYTES / 1000];
    let batch = (0..1000).fold(client.batch(), |batch, i| batch.set(format!("k{i}"), &value));
    drop(session);
    let mut session = server.welcome().await;
    let error = batch.await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ValueTooLarge, Outcome::NotSent));
    // Nothing of it went over the connection, which others use.
    let (exists, ()) = tokio::join!(client.exists("k"), async {
        let asked = session.request().await.unwrap();
        session.reply(asked.id, Reply::Flag(true)).await;
    });
    assert!(exists.unwrap());
}
