//! What goes wrong without anybody's fault: no space, no history, no etcd at all. Clients get typed
//! errors in time, readiness says why, and everything goes on by itself.

use std::time::Duration;

use kvsd::protocol::v2::FailCode;
use kvsd::{Client, Error, ErrorKind, Event, Outcome, WatchToken};
use tokio::time::{Instant, timeout};

use crate::cluster::{Cluster, Options, within};
use crate::front_end::{ETCD_TIMEOUT, FrontEnd};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_etcd_refuses_writes_by_name_and_takes_them_again_when_there_is_room() {
    let Some(cluster) = Cluster::start_with(Options::members(1).quota(QUOTA)).await else { return };
    let front_end = FrontEnd::start(&cluster).await;
    let client = connect(&front_end).await;
    client.set("small", "kept").await.unwrap();

    let large = "v".repeat(256 << 10);
    let refused = loop {
        if let Err(error) = client.set("large", large.as_str()).await {
            break error;
        }
    };
    assert_eq!(refused.kind(), ErrorKind::Server(FailCode::DiskFull), "{refused:#}");
    assert_eq!(refused.outcome(), Outcome::Refused, "{refused:#}");
    assert_eq!(client.get::<String>("small").await.unwrap().as_deref(), Some("kept"));
    let tells = async || front_end.health().await.contains("space");
    assert!(within(PATIENCE, tells).await, "{}", front_end.health().await);

    // What docs/etcd.md tells an operator to do.
    let revision = revision(&cluster).await;
    let compact = format!(r#"{{"revision": "{revision}", "physical": true}}"#);
    cluster.call(0, "/v3/kv/compaction", &compact).await.unwrap();
    cluster.call(0, "/v3/maintenance/defragment", "{}").await.unwrap();
    let alarms = cluster.call(0, "/v3/maintenance/alarm", r#"{"action": "GET"}"#).await.unwrap();
    let member = text_of(&alarms, "memberID");
    let disarm =
        format!(r#"{{"action": "DEACTIVATE", "memberID": "{member}", "alarm": "NOSPACE"}}"#);
    cluster.call(0, "/v3/maintenance/alarm", &disarm).await.unwrap();

    let writes = async || client.set("small", "again").await.is_ok();
    assert!(within(PATIENCE, writes).await, "{:#}", client.set("k", "v").await.unwrap_err());
    let is_well = async || front_end.readiness().await.is_ok_and(|said| said == "ready\n");
    assert!(within(PATIENCE, is_well).await, "{}", front_end.health().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compaction_under_a_scan_and_a_watch_ends_the_one_by_name_and_costs_the_other_nothing() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let front_end = FrontEnd::start(&cluster).await;
    let client = connect(&front_end).await;
    client.set_many((0..40_u64).map(|number| (key(number), number))).await.unwrap();

    // A watch that runs: it has told something.
    let mut watch = client.watch::<u64>("k/");
    watch.begin().await.unwrap();
    client.set(key(0), 0_u64).await.unwrap();
    let event = watch.next().await.unwrap().unwrap();
    assert!(matches!(event, Event::Set(_)), "{event:?}");
    let mut scan = client.scan::<u64>("k/").page_size(10);
    for number in 0..10 {
        assert_eq!(scan.next().await.unwrap().unwrap().value, number);
    }
    let mut written = Vec::new();
    for number in 0..3 {
        written.push(client.set(key(number), number + 100).await.unwrap());
    }
    compact(&cluster).await;

    // Some of what is read ahead may still come; nothing that is newer may.
    let error = loop {
        match scan.next().await.expect("the scan ended as if it were complete") {
            Ok(entry) => assert!(entry.version < written[0]),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::ScanExpired, "{error:#}");
    let mut begun_again = client.scan::<u64>("k/").page_size(10);
    let mut found = 0;
    while let Some(entry) = begun_again.next().await {
        entry.unwrap();
        found += 1;
    }
    assert_eq!(found, 40);
    for version in written {
        let event = timeout(PATIENCE, watch.next()).await.unwrap().unwrap().unwrap();
        assert!(matches!(&event, Event::Set(entry) if entry.version == version), "{event:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_whose_history_is_compacted_away_says_so_and_goes_on() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let mut front_end = FrontEnd::start(&cluster).await;
    let client = connect(&front_end).await;
    let mut watch = client.watch::<u64>("k/");
    watch.begin().await.unwrap();
    client.set(key(0), 0_u64).await.unwrap();
    let event = watch.next().await.unwrap().unwrap();
    assert!(matches!(event, Event::Set(_)), "{event:?}");
    let token = watch.token().unwrap();

    // What happens now nobody keeps: etcd forgets it, and the front end that knew it is gone.
    for number in 0..5 {
        client.set(key(number), number).await.unwrap();
    }
    compact(&cluster).await;
    front_end.kill();
    front_end.restart().await;

    let client = connect(&front_end).await;
    is_told_of_a_gap_and_goes_on(&client, token).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_from_before_a_restore_says_so_though_its_revision_has_passed() {
    let Some(mut cluster) = Cluster::start(1).await else { return };
    let mut front_end = FrontEnd::start(&cluster).await;
    let client = connect(&front_end).await;
    let mut watch = client.watch::<u64>("k/");
    watch.begin().await.unwrap();
    client.set(key(0), 0_u64).await.unwrap();
    let Some(snapshot) = cluster.snapshot(0) else { return };
    // What the restored cluster knows nothing of.
    let lost = client.set(key(0), 1_u64).await.unwrap();
    while !matches!(watch.next().await.unwrap().unwrap(), Event::Set(it) if it.version == lost) {}
    let token = watch.token().unwrap();

    front_end.kill();
    cluster.kill(0);
    cluster.restore(&snapshot);
    cluster.restart(0).await;
    cluster.ready().await;
    front_end.restart().await;
    let client = connect(&front_end).await;
    while client.set(key(0), 2_u64).await.unwrap() <= lost {}

    is_told_of_a_gap_and_goes_on(&client, token).await;
}

/// A watch from there on begins with a gap, and then tells what is written.
async fn is_told_of_a_gap_and_goes_on(client: &Client, token: WatchToken) {
    let mut watch = client.watch::<u64>("k/").after(token);
    let event = timeout(PATIENCE, watch.next()).await.unwrap().unwrap().unwrap();
    assert!(matches!(event, Event::Gap { .. }), "{event:?}");
    let version = client.set(key(9), 9_u64).await.unwrap();
    let event = timeout(PATIENCE, watch.next()).await.unwrap().unwrap().unwrap();
    assert!(matches!(&event, Event::Set(entry) if entry.version == version), "{event:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_seconds_without_etcd_are_errors_in_time_and_then_everything_goes_on() {
    let Some(mut cluster) = Cluster::start(3).await else { return };
    let front_end = FrontEnd::start(&cluster).await;
    let client = connect(&front_end).await;
    client.set("before", 1_u64).await.unwrap();
    let mut watch = client.watch::<u64>("");
    watch.begin().await.unwrap();

    for member in 0..3 {
        cluster.kill(member);
    }
    let gone = Instant::now();
    while gone.elapsed() < OUTAGE {
        let begun = Instant::now();
        let read = client.get::<u64>("before").await.unwrap_err();
        assert_away(&read, begun);
        assert_eq!(read.outcome(), Outcome::Refused, "a read changes nothing: {read:#}");
        let begun = Instant::now();
        // On a key of its own: whether it comes later is not known.
        let write = client.set("meanwhile", 0_u64).await.unwrap_err();
        assert_away(&write, begun);
    }
    let said = front_end.readiness().await.unwrap_err().to_string();
    assert!(said.contains(" 503 ") && said.contains("not ready: "), "{said}");

    for member in 0..3 {
        cluster.restart(member).await;
    }
    cluster.ready().await;
    let is_ready = async || front_end.readiness().await.is_ok_and(|said| said == "ready\n");
    assert!(within(PATIENCE, is_ready).await, "{}", front_end.health().await);
    let reads = async || client.get::<u64>("before").await.is_ok_and(|read| read == Some(1));
    assert!(within(PATIENCE, reads).await);
    let version = loop {
        match client.set("after", 2_u64).await {
            Ok(version) => break version,
            Err(error) => assert!(error.is_retryable(), "{error:#}"),
        }
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "the watch does not go on");
        match timeout(PATIENCE, watch.next()).await.unwrap().unwrap() {
            Ok(Event::Set(entry)) if &entry.key[..] == b"after" => {
                assert_eq!(entry.version, version);
                break;
            }
            // One of the writes of unknown outcome.
            Ok(Event::Set(entry)) => assert_eq!(&entry.key[..], b"meanwhile"),
            Ok(event) => panic!("{event:?}"),
            Err(error) => assert!(error.is_retryable(), "{error:#}"),
        }
    }
}

/// Asserts that an error is the one of a server that cannot reach etcd, and came in time.
#[track_caller]
fn assert_away(error: &Error, begun: Instant) {
    let is_typed = match error.kind() {
        // The SDK sends again what was not done, until its own deadline passes.
        ErrorKind::Unavailable | ErrorKind::Timeout => true,
        ErrorKind::Server(code) => code == FailCode::Unknown,
        _ => false,
    };
    assert!(is_typed, "{error:#}");
    assert!(begun.elapsed() < CLIENT_TIMEOUT + SLACK, "{:?}: {error:#}", begun.elapsed());
}

async fn connect(front_end: &FrontEnd) -> Client {
    let seconds = CLIENT_TIMEOUT.as_secs();
    let url = format!("kvsd://{}/outages?pool=1&timeout={seconds}s", front_end.address());
    Client::connect(&url).await.unwrap()
}

/// The cluster's revision.
async fn revision(cluster: &Cluster) -> u64 {
    let answer = cluster.call(0, "/v3/kv/range", r#"{"key": "YQ=="}"#).await.unwrap();
    text_of(&answer, "revision").parse().unwrap()
}

/// The text of a field of etcd's JSON.
fn text_of<'a>(answer: &'a str, field: &str) -> &'a str {
    // The header has a member too, by another name.
    let (_, behind) = answer.split_once(&format!(r#""{field}":""#)).unwrap();
    behind.split_once('"').unwrap().0
}

/// Lets etcd forget what was before now.
async fn compact(cluster: &Cluster) {
    let body = format!(r#"{{"revision": "{}", "physical": true}}"#, revision(cluster).await);
    cluster.call(0, "/v3/kv/compaction", &body).await.unwrap();
}

fn key(number: u64) -> String {
    format!("k/{number:02}")
}

const QUOTA: u64 = 4 << 20;

const OUTAGE: Duration = Duration::from_secs(30);

/// Longer than a front end needs to give up.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(2 * ETCD_TIMEOUT.as_secs());

/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(5);

const PATIENCE: Duration = Duration::from_secs(60);
