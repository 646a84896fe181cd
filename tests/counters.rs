//! Compare and swap, and counting in place: 64 tasks at one key lose nothing and count nothing
//! twice, whether or not the server is restarted under them.
//!
//! `KVSD_TEST_COUNTERS=full` gives each task 1,000 updates; the ordinary run, 1,000 increments but
//! few updates: of 64 at once most are spoiled, which takes its time.

use kvsd::{Change, Client, Error, Outcome};
use tokio::sync::mpsc;

use server::{Host, Kind, Stop};

#[path = "storm/server.rs"]
mod server;

const TASKS: i64 = 64;
/// How often the server is restarted while the tasks count.
const RESTARTS: i64 = 6;

/// How a task adds one.
#[derive(Debug, Clone, Copy)]
enum Way {
    Increment,
    Update,
}

impl Way {
    async fn add_one(self, client: &Client) -> Result<(), Error> {
        match self {
            Way::Increment => client.increment("n", 1).await.map(drop),
            Way::Update => {
                let plus_one = |n: Option<i64>| Change::Set(n.unwrap_or(0) + 1);
                client.update("n", plus_one).await.map(drop)
            }
        }
    }
}

/// How many additions each task makes.
fn additions(few: i64) -> i64 {
    match std::env::var("KVSD_TEST_COUNTERS").as_deref() {
        Ok("full") => 1000,
        _ => few,
    }
}

struct Counting {
    _folder: tempfile::TempDir,
    host: Host,
    client: Client,
}

async fn start() -> Counting {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path().join("data"), Kind::Inside).await;
    let client = Client::builder().transport(host.way()).connect().await.unwrap();
    Counting { _folder: folder, host, client }
}

impl Counting {
    /// Each task adds until so many of its additions are settled: acknowledged, or unknown. What
    /// surely did not happen it tries again. Answers with the numbers of both.
    fn begin(&self, way: Way, each: i64) -> mpsc::Receiver<Settled> {
        let (report, reports) = mpsc::channel(1024);
        for _ in 0..TASKS {
            let (client, report) = (self.client.clone(), report.clone());
            tokio::spawn(async move {
                let mut settled = 0;
                while settled < each {
                    let what = match way.add_one(&client).await {
                        Ok(()) => Settled::Acknowledged,
                        Err(error) => match error.outcome() {
                            Outcome::Unknown => Settled::Unknown,
                            Outcome::NotSent | Outcome::Refused => continue,
                            Outcome::Done | Outcome::Partly => panic!("{error:#}"),
                        },
                    };
                    settled += 1;
                    report.send(what).await.unwrap();
                }
            });
        }
        reports
    }

    async fn end(mut self) {
        self.client.close().await;
        self.host.stop(Stop::Gracefully).await;
    }
}

enum Settled {
    Acknowledged,
    Unknown,
}

async fn assert_exact(way: Way, each: i64) {
    let counting = start().await;
    let mut reports = counting.begin(way, each);
    while let Some(settled) = reports.recv().await {
        assert!(matches!(settled, Settled::Acknowledged), "nothing is lost without a restart");
    }
    let sum = counting.client.get::<i64>("n").await.unwrap();
    assert_eq!(sum, Some(TASKS * each));
    println!("{way:?}: {TASKS} tasks, {each} additions each, the sum is exact");
    counting.end().await;
}

async fn assert_bounded(way: Way, each: i64) {
    let mut counting = start().await;
    let mut reports = counting.begin(way, each);
    let (mut acknowledged, mut unknown, mut restarts) = (0, 0, 0);
    while let Some(settled) = reports.recv().await {
        match settled {
            Settled::Acknowledged => acknowledged += 1,
            Settled::Unknown => unknown += 1,
        }
        let due = (acknowledged + unknown) * (RESTARTS + 1) / (TASKS * each);
        if due > restarts && restarts < RESTARTS {
            restarts += 1;
            // Mostly with sessions that end where they stand; some said farewell, behind a port.
            let (stop, kind) = match restarts % 3 {
                0 => (Stop::Gracefully, Kind::Port),
                _ => (Stop::Abruptly, Kind::Inside),
            };
            counting.host.stop(stop).await;
            counting.host.run(kind).await;
        }
    }
    let sum = counting.client.get::<i64>("n").await.unwrap().unwrap_or(0);
    println!(
        "{way:?}: {restarts} restarts, {acknowledged} acknowledged, {unknown} unknown, sum {sum}"
    );
    assert_eq!((restarts, acknowledged + unknown), (RESTARTS, TASKS * each));
    assert!(acknowledged <= sum, "an acknowledged addition is lost");
    assert!(sum <= acknowledged + unknown, "an addition counts twice");
    counting.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn increments_of_many_tasks_add_up() {
    assert_exact(Way::Increment, 1000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_of_many_tasks_add_up() {
    assert_exact(Way::Update, additions(20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn increments_over_restarts_are_neither_lost_nor_repeated() {
    assert_bounded(Way::Increment, additions(200)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_over_restarts_are_neither_lost_nor_repeated() {
    assert_bounded(Way::Update, additions(20)).await;
}
