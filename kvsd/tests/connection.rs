//! What a caller sees of the connection under its operations, against a server that the test plays.
//!
//! Time stands still and jumps when nothing else can happen, so that no test waits.

#![allow(clippy::unwrap_used, reason = "a test's helpers unwrap as its functions do")]

mod support;

use std::time::Duration;

use kvsd::protocol::v2::{Before, FailCode, Record, Reply};
use kvsd::{ErrorKind, Outcome, Version};
use support::{MAX_VALUE_BYTES, builder, connected};
use tokio::time::Instant;

fn record(value: &[u8]) -> Reply<'_> {
    Reply::Value(Some(Record { version: Version::new(1).unwrap(), expires_at: None, value }))
}

fn written() -> Reply<'static> {
    Reply::Written { version: Version::new(9), before: Before::Absent }
}

#[tokio::test(start_paused = true)]
async fn answers_find_their_callers_in_any_order() {
    let (client, _server, mut session) = connected().await;
    let reads = async { tokio::join!(client.get::<String>("a"), client.get::<String>("b")) };
    let play = async {
        let (first, second) = (session.request().await.unwrap(), session.request().await.unwrap());
        session.reply(second.id, record(&second.key)).await;
        session.reply(first.id, record(&first.key)).await;
    };
    let ((a, b), ()) = tokio::join!(reads, play);
    assert_eq!((a.unwrap().unwrap(), b.unwrap().unwrap()), ("a".into(), "b".into()));
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_dropped_read_goes_to_nobody() {
    let (client, _server, mut session) = connected().await;
    let mut dropped = Box::pin(client.get::<String>("dropped").owned());
    assert!(futures_poll(&mut dropped).await.is_none());
    let asked = session.request().await.unwrap();
    drop(dropped);
    let read = client.get::<String>("kept");
    let play = async {
        let kept = session.request().await.unwrap();
        assert_ne!(kept.id, asked.id, "an id in flight must not be used again");
        session.reply(asked.id, record(b"dropped")).await;
        session.reply(kept.id, record(b"kept")).await;
    };
    let (read, ()) = tokio::join!(read, play);
    assert_eq!(read.unwrap().unwrap(), "kept");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_costs_the_deadline_and_no_more() {
    let (client, _server, mut session) = connected().await;
    let start = Instant::now();
    let error = client.get::<String>("k").timeout(Duration::from_secs(3)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(start.elapsed().as_secs(), 3);
    let error = client.set("k", "v").timeout(Duration::from_secs(2)).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Unknown));
    assert!(!error.is_retryable(), "a write that may have happened must not be repeated blindly");
    assert_eq!(start.elapsed().as_secs(), 5);
    // The late answers harm nobody.
    for _ in 0..2 {
        let late = session.request().await.unwrap();
        let answer = if late.what == "get" { record(b"late") } else { written() };
        session.reply(late.id, answer).await;
    }
    let (exists, ()) = tokio::join!(client.exists("k"), async {
        let asked = session.request().await.unwrap();
        session.reply(asked.id, Reply::Exists(true)).await;
    });
    assert!(exists.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_read_whose_connection_is_lost_is_asked_again_on_another() {
    let (client, mut server, mut session) = connected().await;
    let play = async {
        session.request().await.unwrap();
        drop(session);
        let mut session = server.welcome().await;
        let again = session.request().await.unwrap();
        session.reply(again.id, record(&again.key)).await;
        session
    };
    let (read, _session) = tokio::join!(client.get::<String>("k"), play);
    assert_eq!(read.unwrap().unwrap(), "k");
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_connection_is_lost_is_reported_and_never_repeated() {
    let (client, mut server, mut session) = connected().await;
    let play = async {
        session.request().await.unwrap();
        drop(session);
        server.welcome().await
    };
    let (set, mut session) = tokio::join!(client.set("k", "v"), play);
    let error = set.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::Unknown));
    // The next request on the new connection is the next operation, not the lost one.
    let (exists, ()) = tokio::join!(client.exists("k"), async {
        let asked = session.request().await.unwrap();
        assert_eq!(asked.what, "exists");
        session.reply(asked.id, Reply::Exists(false)).await;
    });
    assert!(!exists.unwrap());
}

#[tokio::test(start_paused = true)]
async fn the_first_call_after_a_restart_of_the_server_succeeds() {
    let (client, mut server, session) = connected().await;
    server.refuse(true);
    drop(session);
    // A while passes in which the server is away and nobody calls.
    tokio::time::sleep(Duration::from_secs(60)).await;
    server.refuse(false);
    let play = async {
        let mut session = server.welcome().await;
        let asked = session.request().await.unwrap();
        session.reply(asked.id, written()).await;
        session
    };
    let (set, _session) = tokio::join!(client.set("k", "v"), play);
    set.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_is_reported_by_its_cause_and_not_hammered() {
    let (client, server, session) = connected().await;
    server.refuse(true);
    drop(session);
    let start = Instant::now();
    let error = client.exists("k").await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Connect, Outcome::NotSent));
    assert!(error.to_string().contains("connection refused"), "{error}");
    assert!(error.is_retryable());
    for _ in 0..20 {
        client.exists("k").await.unwrap_err();
    }
    // The waits between attempts double: 20 of them are no busy loop.
    assert!(start.elapsed() > Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn connecting_fails_at_once_with_the_cause_and_ends_by_itself_when_nobody_answers() {
    let (builder, server) = builder();
    server.refuse(true);
    let start = Instant::now();
    let error = builder.connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert_eq!(start.elapsed(), Duration::ZERO);

    let (builder, mut server) = support::builder();
    let (result, _silent) = tokio::join!(builder.connect(), server.arrival());
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert_eq!(start.elapsed().as_secs(), kvsd::CONNECT_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_said_at_once_and_shown_to_nobody() {
    let (builder, mut server) = builder();
    let builder = builder.credentials("app", "canary");
    let play = async {
        let mut session = server.arrival().await;
        let (user, password) = session.hello().await.unwrap();
        assert_eq!((&user[..], &password[..]), (&b"app"[..], &b"canary"[..]));
        let id = kvsd::protocol::v2::RequestId::ZERO;
        let code = FailCode::Unauthenticated;
        session.reply(id, Reply::Fail { code, message: "wrong user or password" }).await;
        session
    };
    let (result, _session) = tokio::join!(builder.connect(), play);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(!format!("{error} {error:?}").contains("canary"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_asked_for_ends_the_connection() {
    for stray in
        ["*3\r\n#e:7\r\n:1\r\n", "*3\r\n#g:0\r\n|", "*2\r\n#z:0\r\n", "HTTP/1.1 200 OK\r\n"]
    {
        let (client, _server, mut session) = connected().await;
        let play = async {
            session.request().await.unwrap();
            session.send(stray.as_bytes()).await;
            assert!(session.request().await.is_none(), "the client must hang up");
        };
        let (set, ()) = tokio::join!(client.set("k", "v"), play);
        let error = set.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Protocol, Outcome::Unknown));
    }
}

#[tokio::test(start_paused = true)]
async fn the_servers_last_words_reach_the_callers_that_wait() {
    let (client, _server, mut session) = connected().await;
    let play = async {
        session.request().await.unwrap();
        let mut out = bytes::BytesMut::new();
        Reply::encode_last(FailCode::Closing, "the server is stopping", &mut out);
        session.send(&out).await;
        session
    };
    let (set, _session) = tokio::join!(client.set("k", "v"), play);
    let error = set.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(FailCode::Closing));
    assert!(error.to_string().contains("the server is stopping"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_what_is_in_flight_and_refuses_what_comes_later() {
    let (client, _server, mut session) = connected().await;
    let mut set = Box::pin(client.set("k", "v").owned());
    assert!(futures_poll(&mut set).await.is_none());
    let asked = session.request().await.unwrap();
    let mut close = Box::pin(client.close());
    assert!(futures_poll(&mut close).await.is_none());
    let error = client.exists("k").await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Closed, Outcome::NotSent));
    session.reply(asked.id, written()).await;
    set.await.unwrap();
    let play = async {
        assert!(session.request().await.is_none(), "the client must close its side");
        drop(session);
    };
    tokio::join!(close, play);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_dropped_closes_its_connections() {
    let (client, _server, mut session) = connected().await;
    let clone = client.clone();
    drop(client);
    let (alive, ()) = tokio::join!(clone.exists("k"), async {
        let asked = session.request().await.unwrap();
        session.reply(asked.id, Reply::Exists(true)).await;
    });
    assert!(alive.unwrap());
    drop(clone);
    assert!(session.request().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_dropped_after_it_was_sent_still_reaches_the_server() {
    let (client, _server, mut session) = connected().await;
    let mut set = Box::pin(client.set("k", "v").owned());
    assert!(futures_poll(&mut set).await.is_none());
    drop((set, client));
    assert_eq!(session.request().await.unwrap().what, "set");
    assert!(session.request().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn more_requests_than_one_connection_holds_are_refused_not_queued() {
    let (client, _server, _session) = connected().await;
    let mut waiting = Vec::new();
    let overloaded = loop {
        let mut read = Box::pin(client.exists("k").owned());
        match futures_poll(&mut read).await {
            None => waiting.push(read),
            Some(result) => break result.unwrap_err(),
        }
        assert!(waiting.len() <= 100_000, "the queue has no bound");
    };
    assert_eq!(
        (overloaded.kind(), overloaded.outcome()),
        (ErrorKind::Overloaded, Outcome::NotSent)
    );
    assert!(overloaded.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn bad_arguments_never_reach_the_server() {
    let (client, _server, mut session) = connected().await;
    let too_large = vec![0; MAX_VALUE_BYTES + 1];
    let cases = [
        (client.set("", "v").await.unwrap_err(), ErrorKind::InvalidArgument),
        (client.set([0; 1025], "v").await.unwrap_err(), ErrorKind::InvalidArgument),
        (client.set("k", too_large).await.unwrap_err(), ErrorKind::ValueTooLarge),
        (client.get::<String>("").await.unwrap_err(), ErrorKind::InvalidArgument),
        (client.take::<String>("").await.unwrap_err(), ErrorKind::InvalidArgument),
        (client.delete("").await.unwrap_err(), ErrorKind::InvalidArgument),
        (client.exists("").await.unwrap_err(), ErrorKind::InvalidArgument),
        (client.table("..").unwrap_err(), ErrorKind::InvalidArgument),
        (client.table("a/b").unwrap_err(), ErrorKind::InvalidArgument),
        (client.table("a\0").unwrap_err(), ErrorKind::InvalidArgument),
    ];
    for (error, kind) in cases {
        assert_eq!((error.kind(), error.outcome()), (kind, Outcome::NotSent), "{error}");
    }
    // The largest of each is fine, and the first request that the server sees.
    let largest = vec![0; MAX_VALUE_BYTES];
    let (set, ()) = tokio::join!(client.set([7; 1024], largest), async {
        let asked = session.request().await.unwrap();
        assert_eq!(asked.key, [7; 1024]);
        session.reply(asked.id, written()).await;
    });
    set.unwrap();
}

#[test]
fn a_connection_whose_runtime_has_stopped_is_replaced() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (client, mut server, session) = first.block_on(connected());
    drop(first);
    runtime().block_on(async {
        let play = async {
            let mut session = server.welcome().await;
            let asked = session.request().await.unwrap();
            session.reply(asked.id, Reply::Exists(true)).await;
            session
        };
        let (exists, _session) = tokio::join!(client.exists("k"), play);
        assert!(exists.unwrap());
    });
    drop(session);
}

/// Polls once, after everything else has had its turn.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let polled = std::future::poll_fn(|context| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context))
    })
    .await;
    match polled {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}
