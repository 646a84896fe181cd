//! Watchers that keep up through a hundred cuts, and one that falls behind the history.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kvsd::stream::Watch;
use kvsd::testing::Faults;
use kvsd::{Client, Event, Version};
use kvsd_server::Embedded;
use tokio::time::timeout;

use super::start;

const CHANGES: u64 = 100_000;
const WATCHERS: u64 = 5;
/// How often connections of watchers are cut, at least.
const CUTS: u64 = 100;

/// Writes all numbers, each a change of its own.
async fn write_numbers(client: &Client) {
    for from in (0..CHANGES).step_by(500) {
        let mut pipeline = client.pipeline();
        for number in from..from + 500 {
            let _ = pipeline.set(format!("numbers/{}", number % 977), number);
        }
        let answers = pipeline.await.unwrap();
        assert_eq!(answers.len(), 500);
    }
}

/// Follows the numbers to the last, and now and then cuts all connections itself; how many errors
/// there were on the way.
async fn follow(mut watch: Watch<u64>, faults: Faults) -> u64 {
    let (mut next, mut last, mut errors) = (0, None::<Version>, 0);
    while next < CHANGES {
        match watch.next().await.expect("a watch has no end") {
            Ok(Event::Set(entry)) => {
                assert_eq!(entry.value, next, "each number once, and in order");
                assert!(last < Some(entry.version), "versions grow");
                (next, last) = (next + 1, Some(entry.version));
                if next % (CHANGES / 4) == 0 {
                    faults.cut_all();
                }
            }
            Ok(other) => panic!("neither a delete nor a gap: {other:?}"),
            Err(error) => {
                assert!(error.is_retryable(), "{error:?}");
                errors += 1;
            }
        }
    }
    errors
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_whose_connections_are_cut_see_every_one_of_100_000_changes_once_and_in_order() {
    let (server, client) = start().await;
    let (mut networks, mut watchers) = (Vec::new(), Vec::new());
    for number in 0..WATCHERS {
        let faults = Faults::seeded(number);
        let reader = reader(&server, &faults).await;
        let mut watch = reader.watch::<u64>("numbers/");
        watch.begin().await.unwrap();
        // Anywhere in a message.
        faults.cut_all();
        faults.cut_after(10_000..=380_000);
        faults.split(10_000);
        watchers.push(tokio::spawn(follow(watch, faults.clone())));
        networks.push(faults);
    }
    write_numbers(&client).await;
    let (mut errors, mut cuts) = (0, 0);
    for (faults, watcher) in networks.iter().zip(watchers) {
        errors += timeout(Duration::from_secs(120), watcher).await.expect("it hangs").unwrap();
        cuts += faults.counts().cuts;
    }
    println!(
        "{WATCHERS} watchers saw {CHANGES} changes once and in order through {cuts} cuts; \
         {errors} errors on the way"
    );
    assert!(cuts >= CUTS, "{cuts}");
    server.close().await.unwrap();
}

async fn reader(server: &Embedded, faults: &Faults) -> Client {
    let builder = Client::builder().transport(server.transport()).faults(faults);
    builder.connect().await.unwrap()
}

/// The records of a table, as far as they are known.
#[derive(Default)]
struct View {
    records: BTreeMap<Bytes, (Version, u64)>,
}

impl View {
    async fn read_anew(&mut self, client: &Client) {
        self.records.clear();
        let mut scan = client.scan::<u64>("view/");
        while let Some(entry) = scan.next().await {
            let entry = entry.unwrap();
            self.records.insert(entry.key, (entry.version, entry.value));
        }
    }

    fn take(&mut self, event: Event<u64>) {
        let known = |key| self.records.get(key).map(|(version, _)| *version);
        match event {
            Event::Set(entry) if known(&entry.key) < Some(entry.version) => {
                self.records.insert(entry.key, (entry.version, entry.value));
            }
            Event::Deleted { key, version } if known(&key) < Some(version) => {
                self.records.remove(&key);
            }
            // The scan has told it, or what came later.
            Event::Set(_) | Event::Deleted { .. } => {}
            Event::Gap { .. } => panic!("a gap is no change"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_behind_the_history_is_told_of_a_gap_and_comes_back_to_the_true_state() {
    let (server, client) = start().await;
    let mut watch = client.watch::<u64>("view/").with_history();
    let mut view = View::default();
    for number in 0..3_000_u64 {
        client.set(format!("view/{}", number % 200), number).await.unwrap();
    }
    view.take(watch.next().await.unwrap().unwrap());
    // The watcher sleeps over so many writes that the first of them are compacted away.
    let large = vec![7_u8; 4 << 20];
    let mut written = 0_u64;
    loop {
        for slot in 0..8 {
            client.set(format!("large/{slot}"), &large).await.unwrap();
            written += 4;
        }
        for number in 3_000..3_200_u64 {
            client.set(format!("view/{}", number % 250), number + written).await.unwrap();
        }
        let mut late = client.watch::<u64>("view/").with_history();
        if let Event::Gap { .. } = late.next().await.unwrap().unwrap() {
            break;
        }
        assert!(written < 2_048, "the history is never gone");
    }
    client.delete_many((0..50).map(|number| format!("view/{number}"))).await.unwrap();
    // Awake again: what was on its way already, and then the gap.
    let mut seen = 1;
    loop {
        match watch.next().await.unwrap().unwrap() {
            Event::Gap { .. } => break,
            event => view.take(event),
        }
        seen += 1;
    }
    assert!(seen < 3_000, "{seen}");
    view.read_anew(&client).await;
    let last = client.set("view/last", 1_u64).await.unwrap();
    loop {
        let event = watch.next().await.unwrap().unwrap();
        let is_last = matches!(&event, Event::Set(entry) if entry.version == last);
        view.take(event);
        if is_last {
            break;
        }
    }
    let mut truth = View::default();
    truth.read_anew(&client).await;
    assert_eq!(view.records, truth.records);
    println!("a gap after {seen} changes and {written} MiB; {} records again", view.records.len());
    server.close().await.unwrap();
}
