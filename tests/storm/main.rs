//! The storm: no answer in the wrong hands, no acknowledged write lost, nothing that hangs, however
//! callers, connections and the server come and go.
//!
//! Tasks run operations of every kind, on keys of their own and on shared ones, each to its end or
//! dropped on the way, while the network between each client and the server splits, delays, cuts,
//! refuses and falls silent, and the server is stopped and started again. What each may observe is
//! in `worker` and the modules of its arms; what happens to them in `weather` and `server`.
//!
//! The ordinary run takes seconds. `KVSD_TEST_STORM_SECONDS=600 cargo test --test storm` blows for
//! ten minutes, and `KVSD_TEST_STORM_SEED` chooses other choices.

mod count;
mod ledger;
mod own_key;
mod pair;
mod random;
mod server;
mod several;
mod single;
mod value;
mod watcher;
mod weather;
mod worker;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kvsd::Client;
use kvsd::testing::{FaultCounts, Faults};
use tokio::task::{JoinError, JoinSet};

use count::SHARED_COUNTER;
use ledger::Ledger;
use random::Random;
use server::{Host, Kind, Stop, Way};
use worker::{GRACE, Sea, TIMEOUT, Worker};

const CLIENTS: u64 = 3;
const TASKS: u64 = 360;
/// The ordinary run ends after so many operations, and not before both.
const OPERATIONS: u64 = 20_000;
const SHORT: Duration = Duration::from_secs(6);
/// What the resident memory may have grown by since the first storm, in bytes.
const ROOM: u64 = 96 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_calm_sea_every_operation_succeeds_though_many_are_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::start(folder.path().join("data"), Kind::Port).await;
    let client = Client::builder().transport(host.way()).pool_size(2).timeout(TIMEOUT * 6);
    let client = client.connect().await.unwrap();
    let ledger = Arc::new(Ledger::default());
    let mut tasks = JoinSet::new();
    for task in 0..500 {
        let (client, ledger) = (client.clone(), Arc::clone(&ledger));
        tasks.spawn(async move {
            let mut worker =
                Worker::new(client, ledger, Random::new(seed(), task), task, Sea::Calm);
            for _ in 0..30 {
                worker.step().await;
            }
            worker
        });
    }
    for mut worker in join(&mut tasks).await {
        worker.check(&client).await;
    }
    assert!(ledger.counted("dropped") > 1_000, "{:?}", ledger.counts());
    works(&client).await;
    host.stop(Stop::Gracefully).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_the_network_and_the_server_do_no_answer_is_anothers_and_no_write_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path().join("data"), Kind::Inside).await;
    let seconds = std::env::var("KVSD_TEST_STORM_SECONDS").ok();
    let seconds = seconds.map(|text| text.parse().expect("a number of seconds"));
    let length = seconds.map_or(Length::Seconds, |_| Length::Minutes);
    let mut storm = Storm::over(host, length).await;

    // What one storm leaves behind is there already when the memory is first looked at.
    let (first, operations) = match seconds {
        Some(seconds) => (Duration::from_secs(seconds) / 5, 0),
        None => (SHORT / 2, OPERATIONS / 2),
    };
    storm.blow(first, operations).await;
    let before = resident_bytes();
    let rest = seconds.map_or(SHORT / 2, |seconds| Duration::from_secs(seconds) * 4 / 5);
    storm.blow(rest, operations).await;
    let after = resident_bytes();

    storm.report(before, after);
    storm.was_one();
    if let (Some(before), Some(after)) = (before, after) {
        assert!(after < before + ROOM, "memory grew from {before} to {after} bytes");
    }
    storm.host.stop(Stop::Gracefully).await;
}

/// How long the storm is, and whether there is time for everything.
#[derive(Debug, Clone, Copy)]
enum Length {
    Seconds,
    Minutes,
}

/// Clients, each with a network of its own, and the server that all of them use.
struct Storm {
    host: Host,
    coasts: Vec<(Client, Faults)>,
    ledger: Arc<Ledger>,
    length: Length,
    /// So that no task writes the keys of one in an earlier storm.
    tasks: u64,
    restarts: u64,
}

impl Storm {
    async fn over(host: Host, length: Length) -> Self {
        let mut coasts = Vec::new();
        for coast in 0..CLIENTS {
            let faults = Faults::seeded(seed() ^ coast);
            let client = Client::builder().transport(host.way()).faults(&faults).timeout(TIMEOUT);
            coasts.push((client.pool_size(2).connect().await.unwrap(), faults));
        }
        Self { host, coasts, ledger: Arc::default(), length, tasks: 0, restarts: 0 }
    }

    /// Storms for `time` and as many operations, then has all clients look at the sea again.
    async fn blow(&mut self, time: Duration, operations: u64) {
        let stop = Arc::new(AtomicBool::new(false));
        let (start, done_before) = (Instant::now(), self.ledger.operations());
        let end = format!("shared/end/{}", self.tasks);
        let first_write = self.ledger.writes();
        let mut watchers = JoinSet::new();
        for (client, _) in &self.coasts {
            let mut events = client.watch::<Vec<u8>>("shared/");
            events.begin().await.unwrap();
            watchers.spawn(watcher::follow(events, Arc::clone(&self.ledger), end.clone()));
        }
        let mut weather = JoinSet::new();
        for (number, (_, faults)) in (0..).zip(&self.coasts) {
            let random = Random::new(seed(), 1_000_000 + number);
            weather.spawn(weather::blow(faults.clone(), random, Arc::clone(&stop)));
        }
        let mut workers = JoinSet::new();
        for (task, (client, _)) in (self.tasks..self.tasks + TASKS).zip(self.coasts.iter().cycle())
        {
            let random = Random::new(seed(), task);
            let ledger = Arc::clone(&self.ledger);
            let mut worker = Worker::new(client.clone(), ledger, random, task, Sea::Rough);
            workers.spawn(async move {
                let is_over = |worker: &Worker| {
                    let done = worker.ledger.operations() - done_before;
                    start.elapsed() >= time && done >= operations
                };
                while !is_over(&worker) {
                    worker.step().await;
                }
                worker
            });
        }
        self.tasks += TASKS;

        let mut random = Random::new(seed(), 2_000_000 + self.tasks);
        let first = loop {
            tokio::select! {
                biased;
                result = workers.join_next() => break result,
                () = tokio::time::sleep(random.millis(200, 1_500)) => {}
            }
            self.host.stop(random.pick(&[Stop::Gracefully, Stop::Abruptly])).await;
            tokio::time::sleep(random.millis(0, 100)).await;
            self.host.run(random.pick(&[Kind::Inside, Kind::Port])).await;
            self.restarts += 1;
        };
        let mut all: Vec<_> = first.into_iter().map(returned).collect();
        stop.store(true, Ordering::Relaxed);
        all.append(&mut join(&mut workers).await);
        join(&mut weather).await;

        self.fall_silent().await;
        let witness = witness(self.host.way()).await;
        for worker in &mut all {
            worker.check(&witness).await;
        }
        let last = self.ledger.new_write();
        witness.set(&end, value::value(&end, last, 100)).await.unwrap();
        let stored = self.ledger.all_stored(first_write);
        for mut seen in join(&mut watchers).await {
            seen.sort_unstable();
            let is_seen = |number: &u64| seen.binary_search(number).is_ok();
            let missed: Vec<_> = stored.iter().filter(|number| !is_seen(number)).collect();
            assert!(missed.is_empty(), "a watch missed writes {missed:?}");
            self.ledger.watched.fetch_add(seen.len() as u64, Ordering::Relaxed);
        }
        let count = witness.get::<i64>(SHARED_COUNTER).await.unwrap().unwrap_or(0);
        let counted = self.ledger.counted.load(Ordering::Relaxed);
        let most = counted + self.ledger.perhaps_counted.load(Ordering::Relaxed);
        assert!((counted..=most).contains(&count), "counted to {count}, not {counted} to {most}");
        futures_util::future::join_all(self.coasts.iter().map(|(client, _)| works(client))).await;
        witness.close().await;
    }

    /// The network takes everything and says nothing, for good: each operation has its deadline
    /// left.
    async fn fall_silent(&self) {
        const SOON: Duration = Duration::from_millis(200);
        let mut tasks = JoinSet::new();
        for (client, faults) in &self.coasts {
            // Connected, so that there is something to go silent.
            client.ping().timeout(TIMEOUT * 10).await.unwrap();
            faults.half_open_all();
            for number in 0..50 {
                let key = format!("silence/{number}");
                let (get, set) = (client.get::<u64>(&key), client.set(&key, number));
                let (get, set) = (get.timeout(SOON).owned(), set.timeout(SOON).owned());
                // One that finds a new connection may even succeed.
                tasks.spawn(async { drop((get.await, set.await)) });
            }
        }
        let ended = tokio::time::timeout(SOON * 2 + GRACE, join(&mut tasks)).await;
        assert!(ended.is_ok(), "{} operations outlived their deadlines", tasks.len());
        for (client, faults) in &self.coasts {
            match self.length {
                // The client finds out by itself.
                Length::Minutes => {
                    let get = client.get::<u64>("after/0").timeout(GRACE * 2);
                    get.await.expect("a silent connection is given up and replaced");
                }
                Length::Seconds => faults.cut_all(),
            }
        }
    }

    fn faults(&self) -> FaultCounts {
        let mut all = FaultCounts::default();
        for (_, faults) in &self.coasts {
            let counts = faults.counts();
            all.cuts += counts.cuts;
            all.half_opens += counts.half_opens;
            all.delays += counts.delays;
            all.pieces += counts.pieces;
            all.bytes += counts.bytes;
            all.connects += counts.connects;
            all.refused += counts.refused;
        }
        all
    }

    /// Past the test's captured output: a storm says what it was.
    fn report(&self, before: Option<u64>, after: Option<u64>) {
        let FaultCounts { cuts, half_opens, delays, pieces, bytes, connects, refused, .. } =
            self.faults();
        let mebibytes = |bytes: Option<u64>| bytes.map_or(0, |bytes| bytes / (1024 * 1024));
        let text = format!(
            "storm: {} operations, {} dropped, {} restarts of the server, {cuts} connections cut, \
             {half_opens} half-open, {refused} of {connects} refused, {delays} of {pieces} pieces \
             delayed, {} MiB passed, {} exact checks, {} changes watched, \
             resident {} MiB then {} MiB, seed {}\n\
             storm: {:?}\n",
            self.ledger.operations(),
            self.ledger.counted("dropped"),
            self.restarts,
            bytes / (1024 * 1024),
            self.ledger.exact_checks.load(Ordering::Relaxed),
            self.ledger.watched.load(Ordering::Relaxed),
            mebibytes(before),
            mebibytes(after),
            seed(),
            self.ledger.counts(),
        );
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    /// Without enough of everything, its checks say little.
    fn was_one(&self) {
        let FaultCounts { cuts, half_opens, delays, .. } = self.faults();
        let exact_checks = self.ledger.exact_checks.load(Ordering::Relaxed);
        for (what, count, least) in [
            ("operations", self.ledger.operations(), OPERATIONS / 2),
            ("drops", self.ledger.counted("dropped"), 1_000),
            ("restarts", self.restarts, 2),
            ("cuts", cuts, 10),
            ("half-open connections", half_opens, 2),
            ("delays", delays, 100),
            ("large values", self.ledger.counted("large values"), 10),
            ("exact checks", exact_checks, 500),
            ("watched changes", self.ledger.watched.load(Ordering::Relaxed), 1_000),
        ] {
            assert!(count >= least, "only {count} {what}");
        }
    }
}

/// A client without faults.
async fn witness(way: Way) -> Client {
    Client::builder().transport(way).timeout(TIMEOUT * 6).connect().await.unwrap()
}

/// The client is as good as new, without being rebuilt.
async fn works(client: &Client) {
    let patience = TIMEOUT * 6;
    for number in 0..100_u64 {
        let key = format!("after/{number}");
        client.set(&key, number).timeout(patience).await.unwrap();
        let read = client.get::<u64>(&key).timeout(patience).await.unwrap();
        assert_eq!(read, Some(number));
    }
}

/// What all tasks return.
async fn join<T: 'static>(tasks: &mut JoinSet<T>) -> Vec<T> {
    let mut all = Vec::new();
    while let Some(result) = tasks.join_next().await {
        all.push(returned(result));
    }
    all
}

/// What a task returned; a panic in it goes on here.
fn returned<T>(result: Result<T, JoinError>) -> T {
    result.unwrap_or_else(|failure| std::panic::resume_unwind(failure.into_panic()))
}

fn seed() -> u64 {
    let seed = std::env::var("KVSD_TEST_STORM_SEED").ok();
    seed.map_or(7, |text| text.parse().expect("a number"))
}

/// What of this process is in memory, in bytes, where the system tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes * 1024)
}
