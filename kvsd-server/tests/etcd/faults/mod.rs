//! The fault suite: clients work through two front ends while members and front ends fail by a
//! seeded [`schedule`]; what [`clients`] and [`watchers`] saw must be explained by a store that
//! loses nothing.
//!
//! `KVSD_TEST_ETCD_SECONDS` says how long faults happen (60), `KVSD_TEST_ETCD_SEED` which.

mod clients;
mod schedule;
mod watchers;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use kvsd::Client;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::cluster::Cluster;
use crate::front_end::{ETCD_TIMEOUT, FrontEnd};
use crate::history::History;
use clients::{Journal, Run};
use schedule::Schedule;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_see_under_faults_is_one_order_and_nothing_acknowledged_is_lost() {
    let Some(mut cluster) = Cluster::start(3).await else { return };
    // Each asks another member first: what one has not heard of yet the other may have shown.
    let mut front_ends =
        [FrontEnd::start_from(&cluster, 0).await, FrontEnd::start_from(&cluster, 1).await];
    let seconds = number("KVSD_TEST_ETCD_SECONDS").unwrap_or(60);
    let seed =
        number("KVSD_TEST_ETCD_SEED").unwrap_or_else(|| RandomState::new().hash_one(0) % 1_000_000);
    println!("{seconds} s of faults, KVSD_TEST_ETCD_SEED={seed}");

    let url = url(&front_ends);
    let first = Client::connect(&url).await.unwrap();
    first.create_table(TABLE).await.unwrap();
    let run = Arc::new(Run::default());
    let (watching, watches) = watchers::start(&url).await;
    let mut working = JoinSet::new();
    for client in 0..CLIENTS {
        let journal = Journal::new(client, run.clone());
        working.spawn(clients::work(journal, connect(&url).await, seed + client as u64));
    }

    let schedule = Schedule::new(seed, Duration::from_secs(seconds));
    let happened = schedule.run(&mut cluster, &mut front_ends).await;
    sleep(Duration::from_secs(2)).await;
    run.stop();
    let mut history = History::default();
    while let Some(journal) = working.join_next().await {
        history.merge(journal.unwrap().history);
    }

    let mut last = Journal::new(CLIENTS, run);
    last.read_everything(&first).await;
    last.mark_the_end(&first).await;
    for watching in watching {
        timeout(PATIENCE, watching).await.expect("a watch misses the last write").unwrap();
    }
    for member in 0..3 {
        cluster.kill(member);
    }
    for member in 0..3 {
        cluster.restart(member).await;
    }
    cluster.ready().await;
    last.read_everything(&first).await;
    history.merge(last.history);
    history.watches = watches.into_iter().map(|told| told.lock().unwrap().watched()).collect();

    println!("{happened}\n{}", summary(&history));
    if let Err(violations) = history.check() {
        panic!("KVSD_TEST_ETCD_SEED={seed}, {happened}:\n{}", violations.join("\n"));
    }
    // A suite in which hardly anything succeeded would prove nothing.
    let written = history.registers.values().flatten().filter(|it| clients::is_written(it)).count();
    assert!(written as u64 > 10 * seconds, "only {written} writes were acknowledged");
}

/// Both front ends.
fn url(front_ends: &[FrontEnd]) -> String {
    let addresses: Vec<_> = front_ends.iter().map(FrontEnd::address).collect();
    format!("kvsd://{}/{TABLE}?pool=2&timeout={}s", addresses.join(","), 2 * ETCD_TIMEOUT.as_secs())
}

async fn connect(url: &str) -> Client {
    Client::connect(url).await.unwrap()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

fn summary(history: &History) -> String {
    let count = |unknown: bool| {
        let registers = history.registers.values().flatten();
        let counters = history.counters.values().flatten();
        registers.filter(|it| it.answered.is_none() == unknown).count()
            + counters.filter(|it| it.answered.is_none() == unknown).count()
    };
    let events: Vec<_> = history.watches.iter().map(|watched| watched.events.len()).collect();
    let (known, unknown) = (count(false), count(true));
    format!("{known} operations answered, {unknown} of unknown outcome; watches told {events:?}")
}

const TABLE: &str = "faults";

/// How many clients work at a time.
const CLIENTS: usize = 8;

/// How long a watch may take to tell what has happened.
const PATIENCE: Duration = Duration::from_secs(60);
