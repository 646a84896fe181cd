//! What small reads feel of large values on the same connection.
//!
//! Small reads alone, beside a task that writes and reads 10 MiB values in a loop on another
//! connection, and beside one on the same connection. An ordinary run shows that all values come
//! through; `KVSD_TEST_LARGE_SECONDS=5` makes each of the three that long, and the printed
//! latencies and quotients worth something: run it with `--release -- --nocapture` on a quiet
//! machine, against a server in a process of its own (`KVSD_TEST_LARGE_URL=kvsd://localhost`). That
//! small messages pass the parts of large ones is asserted where it does not depend on time, in the
//! tests of the connection and of the session.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kvsd::Client;
use support::DevServer;

const LARGE_BYTES: usize = 10 * 1024 * 1024;

/// Writes and reads a large value until told to stop; tells how often it did.
async fn exchange(client: Client, stop: Arc<AtomicBool>, rounds: Arc<AtomicU64>) {
    let value = Arc::new(vec![b'x'; LARGE_BYTES]);
    while !stop.load(Ordering::Relaxed) {
        client.set("large", &value[..]).await.expect("a large set");
        let read = client.get_bytes("large").await.expect("a large get").expect("a value");
        // Comparing is the test's work, and not what is measured.
        let value = Arc::clone(&value);
        let same = tokio::task::spawn_blocking(move || *read.bytes() == **value);
        assert!(same.await.unwrap(), "another value came back");
        rounds.fetch_add(1, Ordering::Relaxed);
    }
}

/// The latencies of small reads, one after the other, by a task like the one that exchanges.
async fn read_small(client: &Client, time: Duration) -> Vec<Duration> {
    tokio::spawn(small_reads(client.clone(), time)).await.unwrap()
}

async fn small_reads(client: Client, time: Duration) -> Vec<Duration> {
    let end = Instant::now() + time;
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let start = Instant::now();
        let read = client.get::<String>("small").await.expect("a small get");
        latencies.push(start.elapsed());
        assert_eq!(read.as_deref(), Some("value"));
    }
    latencies.sort_unstable();
    latencies
}

fn quantile(latencies: &[Duration], of_thousand: usize) -> Duration {
    latencies[latencies.len() * of_thousand / 1000]
}

/// Reads small values while another task exchanges large ones over `other`; the latencies, and how
/// many large values went to and fro.
async fn read_beside(client: &Client, other: &Client, time: Duration) -> (Vec<Duration>, u64) {
    let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let other = tokio::spawn(exchange(other.clone(), Arc::clone(&stop), Arc::clone(&rounds)));
    let latencies = read_small(client, time).await;
    stop.store(true, Ordering::Relaxed);
    other.await.unwrap();
    (latencies, rounds.load(Ordering::Relaxed))
}

fn report(name: &str, latencies: &[Duration], alone: &[Duration]) {
    for (quantile_name, of_thousand) in [("p50", 500), ("p99", 990), ("p99.9", 999)] {
        let (latency, idle) = (quantile(latencies, of_thousand), quantile(alone, of_thousand));
        let quotient = latency.as_secs_f64() / idle.as_secs_f64();
        println!("small reads {name}, {quantile_name}: {latency:?}, {quotient:.1} times alone");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_reads_go_on_beside_large_values_on_one_connection() {
    let seconds = std::env::var("KVSD_TEST_LARGE_SECONDS").ok();
    let time = seconds.map_or(Duration::from_millis(300), |seconds| {
        Duration::from_secs(seconds.parse().expect("KVSD_TEST_LARGE_SECONDS is a number"))
    });
    let server = DevServer::start().await;
    // A server in a process of its own is what programs have.
    let other = std::env::var("KVSD_TEST_LARGE_URL").map(|url| url + "?pool=1&timeout=1m");
    let url = other.unwrap_or_else(|_| server.url("?pool=1&timeout=1m"));
    let client = Client::connect(&url).await.unwrap();
    client.set("small", "value").await.unwrap();

    let alone = read_small(&client, time).await;
    report("alone", &alone, &alone);
    // What the machine makes of such a load, whoever shares a connection with whom.
    let stranger = Client::connect(&url).await.unwrap();
    let (latencies, rounds) = read_beside(&client, &stranger, time).await;
    report("beside large values on another connection", &latencies, &alone);
    println!("{} small reads beside {rounds} large writes and reads", latencies.len());
    let (latencies, rounds) = read_beside(&client, &client, time).await;
    report("beside large values on the same connection", &latencies, &alone);
    println!("{} small reads beside {rounds} large writes and reads", latencies.len());

    assert!(rounds > 0 && !latencies.is_empty());
    client.close().await;
    stranger.close().await;
    server.stop().await;
}
