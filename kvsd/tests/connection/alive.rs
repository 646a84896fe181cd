//! Servers that have gone without a word, and servers that are only quiet.

use std::time::Duration;

use kvsd::protocol::v2::Reply;
use kvsd::types::UnixMillis;
use kvsd::{Client, ErrorKind, Outcome};
use tokio::time::{Instant, timeout};

use crate::support::{self, Server, Session, written};

/// A client with the usual keep-alive.
async fn connected() -> (Client, Server, Session) {
    let (builder, mut server) = support::builder();
    let builder = builder.keep_alive(kvsd::DEFAULT_KEEP_ALIVE);
    let (client, session) = tokio::join!(builder.connect(), server.welcome());
    (client.unwrap(), server, session)
}

fn pong() -> Reply<'static> {
    Reply::Pong { server_time: UnixMillis::new(1).unwrap() }
}

/// Whole seconds: timers have their grain.
fn seconds(since: Instant) -> u64 {
    since.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_server_is_gone_is_lost_within_15_s_and_replaced() {
    let (client, mut server, silent) = connected().await;
    let start = Instant::now();
    let set = client.set("k", "v").timeout(Duration::from_secs(60));
    let (set, mut session) = tokio::join!(set, server.welcome());
    let error = set.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::Unknown));
    assert!(error.to_string().contains("nothing has come from the server for 15 s"), "{error}");
    assert_eq!(seconds(start), 15);
    let (exists, ()) = tokio::join!(client.exists("k"), async {
        let asked = session.request().await.unwrap();
        session.reply(asked.id, Reply::Flag(true)).await;
    });
    assert!(exists.unwrap());
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_whose_server_is_gone_is_replaced_before_anybody_asks() {
    let (_client, mut server, _silent) = connected().await;
    let start = Instant::now();
    let _session = timeout(Duration::from_secs(60), server.welcome()).await.unwrap();
    assert_eq!(seconds(start), 15);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_is_asked_every_10_s_and_no_more_often() {
    let (client, server, mut session) = connected().await;
    let start = Instant::now();
    for asked in 1..=100 {
        let ping = session.request().await.unwrap();
        assert_eq!((&*ping.what, seconds(start)), ("ping", 10 * asked));
        session.reply(ping.id, pong()).await;
    }
    assert_eq!(server.attempts(), 1);
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn whatever_comes_counts_as_an_answer() {
    let (client, _server, mut session) = connected().await;
    let start = Instant::now();
    let play = async {
        let first = session.request().await.unwrap();
        let ping = session.request().await.unwrap();
        assert_eq!((&*ping.what, seconds(start)), ("ping", 10));
        // The answer to the ping is late, that to the request is not.
        tokio::time::sleep(Duration::from_secs(4)).await;
        session.reply(first.id, written()).await;
        let again = session.request().await.unwrap();
        assert_eq!((&*again.what, seconds(start)), ("ping", 24));
        session.reply(ping.id, pong()).await;
        session.reply(again.id, pong()).await;
    };
    let (set, ()) = tokio::join!(client.set("k", "v").timeout(Duration::from_secs(60)), play);
    set.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_busy_connection_is_not_asked() {
    let (client, _server, mut session) = connected().await;
    let play = async {
        for _ in 0..100 {
            let asked = session.request().await.unwrap();
            assert_eq!(asked.what, "exists");
            session.reply(asked.id, Reply::Flag(true)).await;
        }
    };
    let work = async {
        for _ in 0..100 {
            assert!(client.exists("k").await.unwrap());
            tokio::time::sleep(Duration::from_secs(9)).await;
        }
    };
    tokio::join!(work, play);
}

#[tokio::test(start_paused = true)]
async fn a_slow_network_that_takes_a_large_value_bit_by_bit_is_no_dead_server() {
    let (client, mut server, mut session) = connected().await;
    let value = vec![0; support::MAX_VALUE_BYTES];
    let set = client.set("k", &value).timeout(Duration::from_secs(3600));
    let play = async {
        // A part every 4 seconds, for longer than any silence may last.
        for _ in 0..14 {
            session.receive(64 * 1024).await;
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        drop(session);
        server.welcome().await
    };
    let start = Instant::now();
    let taken = tokio::select! {
        _ = set => unreachable!("nobody answers"),
        taken = play => taken,
    };
    assert_eq!(seconds(start), 56, "the connection was given up");
    drop(taken);
}
