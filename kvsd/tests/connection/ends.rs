//! How connections end, and what callers are told.

use std::time::Duration;

use kvsd::protocol::v2::{FailCode, Reply};
use kvsd::{Client, ErrorKind, Outcome};
use tokio::time::{Instant, timeout};

use crate::support::{self, Session, connected, poll_once, record, written};

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
        session.reply(asked.id, Reply::Flag(false)).await;
    });
    assert!(!exists.unwrap());
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
        farewell(&mut session).await;
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
    assert!(poll_once(&mut set).await.is_none());
    let asked = session.request().await.unwrap();
    let mut close = Box::pin(client.close());
    assert!(poll_once(&mut close).await.is_none());
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
        session.reply(asked.id, Reply::Flag(true)).await;
    });
    assert!(alive.unwrap());
    drop(clone);
    assert!(session.request().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_dropped_after_it_was_sent_still_reaches_the_server() {
    let (client, _server, mut session) = connected().await;
    let mut set = Box::pin(client.set("k", "v").owned());
    assert!(poll_once(&mut set).await.is_none());
    drop((set, client));
    assert_eq!(session.request().await.unwrap().what, "set");
    assert!(session.request().await.is_none());
}

/// The server's last words.
async fn farewell(session: &mut Session) {
    let mut out = bytes::BytesMut::new();
    Reply::encode_last(FailCode::Closing, "the server is stopping", &mut out);
    session.send(&out).await;
}

#[tokio::test(start_paused = true)]
async fn a_read_that_a_stopping_server_leaves_unanswered_is_asked_again_on_another() {
    let (client, mut server, mut session) = connected().await;
    let play = async {
        session.request().await.unwrap();
        farewell(&mut session).await;
        let mut session = server.welcome().await;
        let again = session.request().await.unwrap();
        session.reply(again.id, record(&again.key)).await;
        session
    };
    let (read, _session) = tokio::join!(client.get::<String>("k"), play);
    assert_eq!(read.unwrap().unwrap(), "k");
}

#[tokio::test(start_paused = true)]
async fn a_read_is_asked_again_three_times_at_most() {
    let (client, mut server, mut session) = connected().await;
    let mut asked = 0;
    let play = async {
        while session.request().await.is_some() {
            asked += 1;
            drop(session);
            session = server.welcome().await;
        }
    };
    let error = tokio::select! {
        result = client.get::<String>("k") => result.unwrap_err(),
        () = play => unreachable!("the client goes on"),
    };
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::Refused));
    assert!(error.is_retryable());
    assert_eq!(asked, 4);
}

/// Begins more writes than the pipe to the server holds, and drops them.
async fn stuff(client: &Client) {
    for _ in 0..100 {
        let mut set = Box::pin(client.set("k", vec![0; 10_000]).owned());
        assert!(poll_once(&mut set).await.is_none());
    }
    tokio::task::yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn closing_ends_though_the_server_has_stopped_reading() {
    for wait in [0, 60] {
        let (client, _server, _session) = connected().await;
        stuff(&client).await;
        tokio::time::sleep(Duration::from_secs(wait)).await;
        timeout(Duration::from_secs(30), client.close()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_client_lets_go_of_a_server_that_has_stopped_reading() {
    let (client, _server, mut session) = connected().await;
    stuff(&client).await;
    drop(client);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let mut arrived = 0;
    while session.request().await.is_some() {
        arrived += 1;
    }
    assert!(arrived < 100, "the client went on writing");
}

#[tokio::test(start_paused = true)]
async fn closing_ends_every_connection_and_each_who_closes_waits_for_all() {
    let (builder, mut server) = support::builder();
    let connecting = builder.pool_size(2).connect();
    let (client, sessions) =
        tokio::join!(connecting, async { (server.welcome().await, server.welcome().await) });
    let (client, mut sessions) = (client.unwrap(), [sessions.0, sessions.1]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    // As many as one connection takes before it is crowded, and one more for the other.
    let mut sets: Vec<_> = (0..1025).map(|_| Box::pin(client.set("k", "v").owned())).collect();
    for set in &mut sets {
        assert!(poll_once(set).await.is_none());
    }
    let mut given_up = Box::pin(client.close());
    assert!(poll_once(&mut given_up).await.is_none());
    drop(given_up);
    let mut close = Box::pin(client.close());
    assert!(poll_once(&mut close).await.is_none());
    let mut asked = [0; 2];
    for (session, asked) in sessions.iter_mut().zip(&mut asked) {
        assert!(poll_once(&mut close).await.is_none());
        // Until the client closes its side.
        while let Some(request) = session.request().await {
            session.reply(request.id, written()).await;
            *asked += 1;
        }
    }
    asked.sort_unstable();
    assert_eq!(asked, [1, 1024], "a thread keeps to one connection until that is crowded");
    drop(sessions);
    let start = Instant::now();
    close.await;
    for set in sets {
        set.await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}
