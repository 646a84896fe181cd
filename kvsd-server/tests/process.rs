//! The real server under load: stopped, killed, started again. Nothing acknowledged is lost.

#![allow(clippy::unwrap_used, reason = "a test's helpers unwrap as its functions do")]

mod support;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kvsd::{Client, Outcome};
use support::Server;
use tempfile::TempDir;
use tokio::task::JoinSet;

const WRITERS: u64 = 16;

/// How many rounds of `kill -9` the ordinary run makes; `KVSD_TEST_KILL_ROUNDS` says otherwise.
const KILL_ROUNDS: u64 = 20;

/// What a writer knows of its own key.
struct Known {
    key: String,
    /// The last number whose write was acknowledged.
    acknowledged: u64,
    /// The last number that was sent: it may have been written.
    sent: u64,
}

/// Writes growing numbers to one key until the server goes away.
async fn write_until_it_ends(client: Client, mut known: Known, written: Arc<AtomicU64>) -> Known {
    loop {
        let number = known.sent + 1;
        known.sent = number;
        match client.set(&known.key, number).await {
            Ok(_) => {
                known.acknowledged = number;
                written.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                if error.outcome() != Outcome::Unknown {
                    known.sent = number - 1;
                }
                return known;
            }
        }
    }
}

/// Lets every writer write, ends the server in the middle of it, and starts it again in the same
/// folder: each key must hold the last acknowledged number, or the one that was under way.
async fn round(
    folder: TempDir,
    known: Vec<Known>,
    end: impl FnOnce(&mut Server),
) -> (TempDir, Vec<Known>) {
    let mut server = start(folder);
    let client = Client::connect(&format!("kvsd://{}", server.address)).await.unwrap();
    let written = Arc::new(AtomicU64::new(0));
    let mut writers = JoinSet::new();
    for known in known {
        writers.spawn(write_until_it_ends(client.clone(), known, Arc::clone(&written)));
    }
    while written.load(Ordering::Relaxed) < WRITERS * 5 {
        tokio::task::yield_now().await;
    }
    end(&mut server);
    let known = writers.join_all().await;
    let folder = server.into_folder();

    let server = start(folder);
    let client = Client::connect(&format!("kvsd://{}", server.address)).await.unwrap();
    let mut next = Vec::new();
    for Known { key, acknowledged, sent } in known {
        let found = client.get::<u64>(&key).await.unwrap().unwrap_or(0);
        assert!(
            (acknowledged..=sent).contains(&found),
            "{key} holds {found}; {acknowledged} was acknowledged, {sent} was sent"
        );
        next.push(Known { key, acknowledged: found, sent: found });
    }
    drop(client);
    (server.into_folder(), next)
}

fn start(folder: TempDir) -> Server {
    let args = ["--dev", "--listen", "127.0.0.1:0", "--data-dir", "data"];
    Server::start(folder, args)
}

fn writers() -> Vec<Known> {
    (0..WRITERS).map(|i| Known { key: format!("writer/{i}"), acknowledged: 0, sent: 0 }).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_under_load_loses_nothing_that_was_acknowledged() {
    let rounds = std::env::var("KVSD_TEST_KILL_ROUNDS").ok();
    let rounds = rounds.map_or(KILL_ROUNDS, |rounds| rounds.parse().expect("a number of rounds"));
    let (mut folder, mut known) = (tempfile::tempdir().unwrap(), writers());
    for _ in 0..rounds {
        (folder, known) = round(folder, known, |server| {
            server.child().kill().unwrap();
            server.child().wait().unwrap();
        })
        .await;
    }
    let acknowledged: u64 = known.iter().map(|known| known.acknowledged).sum();
    assert!(acknowledged >= rounds * WRITERS * 4, "the writers hardly wrote: {acknowledged}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_ends_cleanly_and_loses_nothing_that_was_acknowledged() {
    let (mut folder, mut known) = (tempfile::tempdir().unwrap(), writers());
    for _ in 0..3 {
        (folder, known) = round(folder, known, |server| {
            let pid = server.child().id().to_string();
            assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
            assert_eq!(server.child().wait().unwrap().code(), Some(0));
        })
        .await;
    }
}
