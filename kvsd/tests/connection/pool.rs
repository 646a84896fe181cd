//! How connections come into being and are replaced.

use std::time::Duration;

use kvsd::protocol::v2::{FailCode, Reply, RequestId};
use kvsd::transport::ConnectError;
use kvsd::{Client, ErrorKind, Outcome};
use tokio::time::{Instant, timeout};

use crate::support::{self, Server, Session, connected, poll_once, written};

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
    assert!(format!("{error:#}").contains("connection refused"), "{error:#}");
    assert!(error.is_retryable());
    assert_eq!((error.operation(), error.address()), (Some("exists"), Some("played")));
    let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref());
    assert!(matches!(cause, Some(ConnectError::Connect { .. })), "{error:?}");
    for _ in 0..20 {
        client.exists("k").await.unwrap_err();
    }
    // The waits between attempts double: 20 of them are no busy loop.
    assert!(start.elapsed() > Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn connecting_fails_at_once_with_the_cause_and_ends_by_itself_when_nobody_answers() {
    let (builder, server) = support::builder();
    server.refuse(true);
    let start = Instant::now();
    let error = soon(builder.connect()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert_eq!(start.elapsed(), Duration::ZERO);

    let (builder, mut server) = support::builder();
    let (result, _silent) = tokio::join!(soon(builder.connect()), server.arrival());
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert_eq!(start.elapsed().as_secs(), kvsd::CONNECT_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_said_at_once_and_shown_to_nobody() {
    let (builder, mut server) = support::builder();
    let builder = builder.credentials("app", "canary");
    let play = async {
        let mut session = server.arrival().await;
        let (user, password) = session.hello().await.unwrap();
        assert_eq!((&user[..], &password[..]), (&b"app"[..], &b"canary"[..]));
        let id = RequestId::ZERO;
        let code = FailCode::Unauthenticated;
        session.reply(id, Reply::Fail { code, message: "wrong user or password" }).await;
        session
    };
    let (result, _session) = tokio::join!(soon(builder.connect()), play);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(!format!("{error} {error:?}").contains("canary"));
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
            session.reply(asked.id, Reply::Flag(true)).await;
            session
        };
        let (exists, _session) = tokio::join!(client.exists("k"), play);
        assert!(exists.unwrap());
    });
    drop(session);
}

/// What comes within a minute: what a background task does over and over would keep a test alive.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future).await.expect("it ends within a minute")
}

/// A client with `size` connections, and the server's ends of them.
async fn connected_by(size: u32) -> (Client, Server, Vec<Session>) {
    let (builder, mut server) = support::builder();
    let play = async {
        let mut sessions = Vec::new();
        for _ in 0..size {
            sessions.push(server.welcome().await);
        }
        sessions
    };
    let (client, sessions) = tokio::join!(builder.pool_size(size).connect(), play);
    (client.unwrap(), server, sessions)
}

/// Answers every request there is with "it exists".
async fn answer_all(mut session: Session) {
    while let Some(asked) = session.request().await {
        session.reply(asked.id, Reply::Flag(true)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_fills_up_again_after_its_server_was_away() {
    let (client, mut server, sessions) = connected_by(4).await;
    server.refuse(true);
    drop(sessions);
    tokio::time::sleep(Duration::from_secs(60)).await;
    server.refuse(false);
    // Nobody calls.
    let refilled = async {
        for _ in 0..4 {
            tokio::spawn(answer_all(server.welcome().await));
        }
    };
    timeout(Duration::from_secs(10), refilled).await.unwrap();
    assert!(client.exists("k").await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_lost_is_replaced_beside_those_that_are_left() {
    let (_client, mut server, mut sessions) = connected_by(3).await;
    for lost in [2, 0, 1] {
        drop(sessions.remove(lost));
        let next = timeout(Duration::from_secs(10), server.welcome()).await.unwrap();
        sessions.push(next);
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(server.attempts(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_not_let_in_is_tried_again_later_though_nobody_asks() {
    let (_client, mut server, mut sessions) = connected_by(2).await;
    drop(sessions.pop());
    let mut session = server.arrival().await;
    session.hello().await;
    let code = FailCode::Unauthenticated;
    session.reply(RequestId::ZERO, Reply::Fail { code, message: "who?" }).await;
    let start = Instant::now();
    let _replaced = timeout(Duration::from_secs(600), server.welcome()).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_up_after_each_welcome_is_not_hammered() {
    let (_client, mut server, session) = connected().await;
    drop(session);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        assert!(server.attempts() < 100, "after {:?}", start.elapsed());
        drop(server.welcome().await);
    }
    assert!(server.attempts() > 10, "{} attempts", server.attempts());
}

#[tokio::test(start_paused = true)]
async fn connections_that_serve_and_are_cut_at_once_are_replaced_at_once() {
    const CUTS: u32 = 50;
    let (client, mut server, mut session) = connected().await;
    let start = Instant::now();
    let play = async {
        for _ in 0..CUTS {
            let asked = session.request().await.unwrap();
            session.reply(asked.id, Reply::Flag(true)).await;
            drop(session);
            session = server.welcome().await;
        }
    };
    let ask = async {
        for _ in 0..CUTS {
            assert!(client.exists("k").await.unwrap());
        }
    };
    tokio::join!(ask, play);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_only_refuses_and_hangs_up_is_not_hammered() {
    let (client, mut server, mut session) = connected().await;
    let start = Instant::now();
    let asking = tokio::spawn(async move {
        loop {
            client.exists("k").await.unwrap_err();
        }
    });
    while start.elapsed() < Duration::from_secs(60) {
        assert!(server.attempts() < 100, "after {:?}", start.elapsed());
        if let Some(asked) = session.request().await {
            let refusal = Reply::Fail { code: FailCode::Closing, message: "going" };
            session.reply(asked.id, refusal).await;
        }
        drop(session);
        session = server.welcome().await;
    }
    asking.abort();
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_a_full_server_has_no_room_for_works_with_what_it_got() {
    let (builder, mut server) = support::builder();
    let connecting = builder.pool_size(4).connect();
    let (client, ()) = tokio::join!(connecting, async {
        for _ in 0..2 {
            tokio::spawn(answer_all(server.welcome().await));
        }
    });
    let client = client.unwrap();
    let waiting_room = tokio::spawn(async move {
        let mut sessions = Vec::new();
        for _ in 0..100 {
            sessions.push(server.arrival().await);
        }
    });
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        assert!(client.exists("k").await.unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!waiting_room.is_finished(), "the full server is hammered");
    waiting_room.abort();
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_are_told_at_once_why_no_connection_can_be_had() {
    let (client, mut server, session) = connected().await;
    drop(session);
    let waiting = futures(&client, 100);
    let play = async {
        let mut session = server.arrival().await;
        session.hello().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.refuse(true);
        let code = FailCode::Unauthenticated;
        session.reply(RequestId::ZERO, Reply::Fail { code, message: "no longer" }).await;
        Instant::now()
    };
    let (told, refused_at) = tokio::join!(waiting, play);
    for (error, at) in told {
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unauthenticated, Outcome::NotSent));
        assert_eq!(at, refused_at);
    }
}

/// The errors of `count` operations at the same time, and when each came.
async fn futures(client: &Client, count: usize) -> Vec<(kvsd::Error, Instant)> {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..count {
        let exists = client.exists("k").owned();
        tasks.spawn(async move { (exists.await.unwrap_err(), Instant::now()) });
    }
    tasks.join_all().await
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_a_connection_are_told_at_once_that_the_client_was_closed() {
    let (client, mut server, session) = connected().await;
    drop(session);
    let start = Instant::now();
    let play = async {
        let _silent = server.arrival().await;
        client.close().await;
    };
    let (told, ()) = tokio::join!(futures(&client, 100), play);
    for (error, at) in told {
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Closed, Outcome::NotSent));
        assert!(at - start < Duration::from_secs(1), "{:?}", at - start);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_is_dropped_closes_what_it_opened() {
    let (builder, mut server) = support::builder();
    let mut connecting = Box::pin(builder.connect());
    assert!(poll_once(&mut connecting).await.is_none());
    let mut session = server.arrival().await;
    session.hello().await;
    let start = Instant::now();
    drop(connecting);
    assert!(session.request().await.is_none());
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_dropped_while_it_connects_leaves_nothing_behind() {
    let (builder, mut server) = support::builder();
    let connecting = builder.pool_size(2).connect();
    let (client, mut session) = tokio::join!(connecting, server.welcome());
    let mut half_open = server.arrival().await;
    half_open.hello().await;
    let start = Instant::now();
    drop(client);
    assert!(session.request().await.is_none());
    assert!(half_open.request().await.is_none());
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[test]
fn a_runtime_that_stops_while_it_connects_costs_the_client_no_connection() {
    let first = paused_runtime();
    let (client, mut server, half_open) = first.block_on(async {
        let (client, mut server, sessions) = connected_by(2).await;
        drop(sessions);
        let half_open = [server.arrival().await, server.arrival().await];
        (client, server, half_open)
    });
    drop(first);
    paused_runtime().block_on(async {
        let refilled = async {
            for _ in 0..2 {
                tokio::spawn(answer_all(server.welcome().await));
            }
        };
        let (exists, ()) = tokio::join!(client.exists("k"), refilled);
        assert!(exists.unwrap());
    });
    drop(half_open);
}

#[test]
fn who_waits_for_a_connection_whose_runtime_stops_gets_another() {
    let first = paused_runtime();
    let (client, mut server, half_open) = first.block_on(async {
        let (client, mut server, session) = connected().await;
        drop(session);
        let half_open = server.arrival().await;
        (client, server, half_open)
    });
    paused_runtime().block_on(async {
        let mut exists = Box::pin(client.exists("k"));
        assert!(poll_once(&mut exists).await.is_none());
        first.shutdown_background();
        let (exists, ()) = tokio::join!(exists, async {
            tokio::spawn(answer_all(server.welcome().await));
        });
        assert!(exists.unwrap());
    });
    drop(half_open);
}

#[test]
fn a_runtime_that_stops_before_it_begins_to_connect_costs_the_client_no_connection() {
    let first = paused_runtime();
    let (client, mut server, session) = first.block_on(connected());
    drop(first);
    // The call makes the pool begin an attempt, but its runtime stops before the attempt can run.
    let second = paused_runtime();
    let polled = second.block_on(async { poll_once(&mut Box::pin(client.exists("k"))).await });
    assert!(polled.is_none());
    drop(second);
    assert_eq!(server.attempts(), 1);
    paused_runtime().block_on(async {
        let (exists, ()) = tokio::join!(client.exists("k"), async {
            tokio::spawn(answer_all(server.welcome().await));
        });
        assert!(exists.unwrap());
    });
    drop(session);
}

#[tokio::test(start_paused = true)]
async fn operations_that_nobody_polls_keep_no_connection_from_the_others() {
    let (client, mut server, session) = connected().await;
    drop(session);
    let mut session = server.arrival().await;
    let mut held: Vec<_> = (0..100).map(|_| Box::pin(client.exists("k"))).collect();
    for exists in &mut held {
        assert!(poll_once(exists).await.is_none());
    }
    let start = Instant::now();
    let play = async {
        session.welcome(support::MAX_VALUE_BYTES).await;
        let asked = session.request().await.unwrap();
        session.reply(asked.id, written()).await;
    };
    let (set, ()) = tokio::join!(client.set("k", "v"), play);
    set.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn operations_that_nobody_polls_keep_no_pool_from_filling_up() {
    let (client, mut server, sessions) = connected_by(4).await;
    drop(sessions);
    let mut first = server.arrival().await;
    let mut held: Vec<_> = (0..100).map(|_| Box::pin(client.exists("k"))).collect();
    for exists in &mut held {
        assert!(poll_once(exists).await.is_none());
    }
    first.welcome(support::MAX_VALUE_BYTES).await;
    let refilled = async {
        for _ in 0..3 {
            tokio::spawn(answer_all(server.welcome().await));
        }
    };
    timeout(Duration::from_secs(1), refilled).await.unwrap();
}

#[test]
fn who_waited_for_a_connection_whose_runtime_stands_still_is_told_at_the_deadline() {
    let first = paused_runtime();
    let (client, _server, mut half_open) = first.block_on(async {
        let (client, mut server, session) = connected().await;
        drop(session);
        let half_open = server.arrival().await;
        (client, server, half_open)
    });
    let second = paused_runtime();
    let mut exists = Box::pin(client.exists("k"));
    assert!(second.block_on(async { poll_once(&mut exists).await }).is_none());
    // The connection is opened, and its runtime is left.
    first.block_on(async {
        half_open.welcome(support::MAX_VALUE_BYTES).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    });
    let (told, waited) = second.block_on(async {
        let start = Instant::now();
        (soon(exists).await, start.elapsed())
    });
    let error = told.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Refused));
    assert!(waited < kvsd::DEFAULT_TIMEOUT + Duration::from_secs(1), "{waited:?}");
}

fn paused_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}
