//! Watches: woken by what they are about, and by nothing else; ended by everything that must.

use std::sync::atomic::Ordering;

use kvsd::protocol::v2::{Action, Change, Condition, Position, Previous, Select, Watch};

use super::*;
use crate::engine::EngineError;

const TABLE: &str = "default";
const SECOND: u64 = 1_000;

fn watch<'a>(since: Option<Position>, wait_millis: u64, select: Select<'a>) -> Request<'a> {
    Request::Watch(Watch { table: TABLE, since, wait_millis, select })
}

/// Of the table that has the name now, behind this version.
fn behind(version: u64) -> Option<Position> {
    Some(Position { incarnation: None, version })
}

/// What a watch has told: up to where, and each change's key, version and value.
type Told = (Position, Vec<(String, u64, Option<String>)>);

impl Peer {
    async fn news(&mut self, id: u64) -> Told {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.answer(id, |reply| match reply {
            Reply::News(news) => {
                let changes = news
                    .changes
                    .iter()
                    .map(|change| (text(change.key), change.version.get(), change.value.map(text)));
                (news.until, changes.collect())
            }
            other => panic!("{other:?}"),
        })
        .await
    }

    async fn gap(&mut self, id: u64) -> Position {
        self.answer(id, |reply| match reply {
            Reply::Gap { now } => now,
            other => panic!("{other:?}"),
        })
        .await
    }

    /// Where the table is.
    async fn position(&mut self) -> Position {
        self.request(9, &watch(None, 30 * SECOND, Select::All)).await;
        let (now, changes) = self.news(9).await;
        assert!(changes.is_empty(), "{changes:?}");
        now
    }
}

fn change(key: &str, version: u64, value: &str) -> (String, u64, Option<String>) {
    (key.to_owned(), version, Some(value.to_owned()))
}

#[tokio::test]
async fn a_watch_without_a_position_tells_where_the_table_is() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    assert_eq!(peer.position().await, Position { incarnation: None, version: 0 });
    bench.engine.put(TABLE, b"k", b"v".to_vec());
    assert_eq!(peer.position().await, Position { incarnation: Some(1), version: 1 });
}

#[tokio::test]
async fn what_has_changed_already_is_told_at_once_and_in_order() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    bench.engine.put(TABLE, b"a", b"1".to_vec());
    bench.engine.put(TABLE, b"b", b"2".to_vec());
    bench.engine.put(TABLE, b"a", b"3".to_vec());
    peer.ask(&Request::Delete {
        table: TABLE,
        key: b"b",
        condition: Condition::Any,
        previous: Previous::Omit,
    })
    .await;
    let all =
        [change("a", 1, "1"), change("b", 2, "2"), change("a", 3, "3"), ("b".to_owned(), 4, None)];
    for (version, select, expected) in [
        (0, Select::All, &all[..]),
        (2, Select::All, &all[2..]),
        (0, Select::Prefix(b""), &all[..]),
        (1, Select::Key(b"b"), &[all[1].clone(), all[3].clone()]),
        (0, Select::Prefix(b"a"), &[all[0].clone(), all[2].clone()]),
    ] {
        peer.request(1, &watch(behind(version), 30 * SECOND, select)).await;
        let (until, changes) = peer.news(1).await;
        assert_eq!(changes, expected, "{select:?}");
        assert_eq!(until, Position { incarnation: Some(1), version: 4 });
    }
}

#[tokio::test]
async fn a_watch_wakes_for_the_key_that_it_is_about_and_for_no_other() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    bench.engine.put(TABLE, b"k", b"old".to_vec());
    for (id, select) in [(1, Select::Key(b"k")), (2, Select::Prefix(b"k/"))] {
        let now = peer.position().await;
        peer.request(id, &watch(Some(now), 30 * SECOND, select)).await;
        bench.engine.is_watched_by(1).await;
        bench.engine.put(TABLE, b"other", b"v".to_vec());
        bench.engine.put(TABLE, b"kk", b"v".to_vec());
        bench.engine.is_watched_by(1).await;
        assert!(peer.ask(&Request::Ping).await.starts_with("Pong"), "the next answer is not it");
        let key = if id == 1 { "k" } else { "k/1" };
        bench.engine.put(TABLE, key.as_bytes(), b"new".to_vec());
        let (until, changes) = peer.news(id).await;
        assert_eq!(changes, [change(key, until.version, "new")]);
        assert_eq!(until.version, now.version + 3);
    }
}

#[tokio::test]
async fn a_watch_goes_on_behind_pages_that_hold_nothing_for_it() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    for number in 0..5000_u32 {
        bench.engine.put(TABLE, &number.to_be_bytes(), Vec::new());
    }
    bench.engine.put(TABLE, b"k", b"v".to_vec());
    peer.request(1, &watch(behind(0), 30 * SECOND, Select::Key(b"k"))).await;
    assert_eq!(peer.news(1).await.1, [change("k", 5001, "v")]);
}

#[tokio::test]
async fn a_watch_that_is_not_to_wait_reads_one_page_and_goes_on_from_there() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    for number in 0..5000_u32 {
        bench.engine.put(TABLE, &number.to_be_bytes(), Vec::new());
    }
    bench.engine.put(TABLE, b"k", b"v".to_vec());
    let (mut since, mut asked) = (behind(0), 0);
    let told = loop {
        let looks = bench.engine.looks.load(Ordering::Relaxed);
        peer.request(1, &watch(since, 0, Select::Key(b"k"))).await;
        let (until, changes) = peer.news(1).await;
        assert_eq!(bench.engine.looks.load(Ordering::Relaxed), looks + 1);
        (since, asked) = (Some(until), asked + 1);
        if !changes.is_empty() {
            break changes;
        }
    };
    assert_eq!((told, asked), (vec![change("k", 5001, "v")], 6));
}

#[tokio::test(start_paused = true)]
async fn a_watch_far_behind_tells_how_far_it_has_come_before_its_wait_is_over() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    const WRITES: u64 = 64;
    for _ in 0..WRITES {
        bench.engine.put(TABLE, b"other", vec![b'v'; 300 * 1024]);
    }
    bench.engine.put(TABLE, b"k", b"v".to_vec());
    let start = Instant::now();
    let (mut since, mut silent) = (behind(0), 0);
    let told = loop {
        let before = since.map_or(0, |since| since.version);
        peer.request(1, &watch(since, 30 * SECOND, Select::Key(b"k"))).await;
        let (until, changes) = peer.news(1).await;
        assert!((before + 1..=before + 17).contains(&until.version), "from {before} to {until:?}");
        since = Some(until);
        if !changes.is_empty() {
            break changes;
        }
        silent += 1;
    };
    assert_eq!(told, [change("k", WRITES + 1, "v")]);
    assert!((3..=5).contains(&silent), "{silent} answers without news for 18.75 MiB");
    assert_eq!(start.elapsed(), Duration::ZERO, "nobody waited");
}

#[tokio::test]
async fn the_changes_of_a_batch_are_told_together_under_one_version() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    let now = peer.position().await;
    peer.request(1, &watch(Some(now), 30 * SECOND, Select::All)).await;
    bench.engine.is_watched_by(1).await;
    let mut writer = bench.connect_v2().await;
    let keys: Vec<[u8; 2]> = (0..1024_u16).map(u16::to_be_bytes).collect();
    let changes = keys.iter().map(|key| Change {
        key,
        condition: Condition::Any,
        action: Action::Set { value: b"v", expiry: None },
    });
    writer.ask(&Request::Batch { table: TABLE, changes: changes.collect() }).await;
    let (until, changes) = peer.news(1).await;
    assert_eq!((until.version, changes.len()), (1, 1024), "more than a page, and yet one answer");
    assert!(changes.iter().all(|(_, version, _)| *version == 1));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_position_that_was_reached() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    for (wait, waited) in [(0, 0), (5 * SECOND, 5), (i64::MAX as u64, 30)] {
        let start = Instant::now();
        let now = peer.position().await;
        peer.request(1, &watch(Some(now), wait, Select::Key(b"k"))).await;
        if wait > 0 {
            bench.engine.is_watched_by(1).await;
            bench.engine.put(TABLE, b"other", b"v".to_vec());
        }
        let (until, changes) = peer.news(1).await;
        assert_eq!(start.elapsed().as_secs(), waited, "of {wait} ms");
        assert!(changes.is_empty());
        assert_eq!(until, peer.position().await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_even_where_others_write_without_a_break() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    bench.engine.put(TABLE, b"other", b"v".to_vec());
    let now = peer.position().await;
    peer.request(1, &watch(Some(now), 30 * SECOND, Select::Key(b"k"))).await;
    bench.engine.is_watched_by(1).await;
    let engine = Arc::clone(&bench.engine);
    let writer = tokio::spawn(async move {
        for _ in 0..20_000 {
            engine.put(TABLE, b"other", b"v".to_vec());
            tokio::task::yield_now().await;
        }
    });
    tokio::time::advance(Duration::from_secs(31)).await;
    let (until, changes) = peer.news(1).await;
    assert!(changes.is_empty() && until.version < 10_000, "{until:?}");
    writer.await.unwrap();
}

#[tokio::test]
async fn a_write_that_wakes_many_watches_is_read_a_few_times() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    bench.engine.put(TABLE, b"other", b"v".to_vec());
    let now = peer.position().await;
    for id in 100..1100 {
        peer.request(id, &watch(Some(now), 30 * SECOND, Select::Key(b"k"))).await;
    }
    bench.engine.is_watched_by(1000).await;
    let looks = || bench.engine.looks.load(Ordering::Relaxed);
    for round in 0..10 {
        let before = looks();
        bench.engine.put(TABLE, b"other", b"v".to_vec());
        // All of them have looked once the last one waits for what comes behind.
        assert!(peer.ask(&Request::Ping).await.starts_with("Pong"));
        bench.engine.is_watched_by(1000).await;
        assert!(looks() - before <= 8, "{} in round {round}", looks() - before);
    }
    bench.engine.put(TABLE, b"k", b"v".to_vec());
    let mut ids = Vec::new();
    for _ in 0..1000 {
        let (id, reply) = peer.reply().await;
        assert!(reply.contains("1 byte key, 12,"), "{reply}");
        ids.extend(id);
    }
    ids.sort_unstable();
    assert_eq!(ids, (100..1100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_waits_asks_for_nothing() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    let now = peer.position().await;
    for id in 100..200 {
        peer.request(id, &watch(Some(now), 30 * SECOND, Select::All)).await;
    }
    bench.engine.is_watched_by(100).await;
    let looks = bench.engine.looks.load(Ordering::Relaxed);
    assert_eq!(looks, 100, "one look each, before the wait");
    tokio::time::advance(Duration::from_secs(29)).await;
    assert_eq!(bench.engine.looks.load(Ordering::Relaxed), looks);
    bench.engine.is_watched_by(100).await;
}

#[tokio::test(start_paused = true)]
async fn a_cancel_ends_the_wait_of_its_watch_and_of_no_other() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    bench.engine.put(TABLE, b"k", b"v".to_vec());
    let now = peer.position().await;
    for id in [1, 2] {
        peer.request(id, &watch(Some(now), 30 * SECOND, Select::All)).await;
    }
    bench.engine.is_watched_by(2).await;
    let start = Instant::now();
    // One that never was, one that is no watch, the one that is meant, and that one once more.
    peer.set(7, b"disk/k", b"v").await;
    for id in [99, 7, 1, 1] {
        peer.request(id, &Request::Cancel).await;
    }
    let mut answers = vec![peer.reply().await, peer.reply().await, peer.reply().await];
    answers.sort();
    assert!(answers[2].1.starts_with("Written") && answers[2].0 == Some(7), "{answers:?}");
    assert!(start.elapsed().is_zero(), "{:?}", start.elapsed());

    let now = peer.position().await;
    peer.request(1, &watch(Some(now), 30 * SECOND, Select::All)).await;
    bench.engine.is_watched_by(1).await;
    peer.request(1, &Request::Cancel).await;
    let (until, changes) = peer.news(1).await;
    assert_eq!((until.version, changes), (2, Vec::new()));
    assert!(start.elapsed().is_zero(), "{:?}", start.elapsed());
    assert!(peer.ask(&Request::Ping).await.starts_with("Pong"));
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_those_who_wait_for_a_change() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    bench.engine.put(TABLE, b"k", b"v".to_vec());
    let now = peer.position().await;
    for id in 100..200 {
        peer.request(id, &watch(Some(now), 30 * SECOND, Select::All)).await;
    }
    bench.engine.is_watched_by(100).await;
    let start = Instant::now();
    bench.stopper.drain();
    let mut ids = Vec::new();
    for _ in 0..100 {
        let (id, reply) = peer.reply().await;
        // Whoever goes on from there elsewhere misses nothing.
        let position = "Position { incarnation: Some(1), version: 1 }";
        assert_eq!(reply, format!("News(News {{ until: {position}, changes: [] }})"));
        ids.extend(id);
    }
    ids.sort_unstable();
    assert_eq!(ids, (100..200).collect::<Vec<_>>());
    let (id, last) = peer.reply().await;
    assert!(id.is_none() && last.contains("Closing"), "{last}");
    assert!(matches!(peer.rest().await.1, Ended::Stopped));
    assert!(start.elapsed().is_zero(), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_its_side_waits_for_no_change() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    let now = peer.position().await;
    peer.request(1, &watch(Some(now), 30 * SECOND, Select::All)).await;
    bench.engine.is_watched_by(1).await;
    let start = Instant::now();
    peer.stream.shutdown().await.unwrap();
    assert_eq!(peer.news(1).await, (now, Vec::new()));
    assert!(matches!(peer.rest().await.1, Ended::Left));
    assert!(start.elapsed().is_zero(), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_session_that_is_gone_leaves_no_watch_behind() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    let now = peer.position().await;
    peer.request(1, &watch(Some(now), 30 * SECOND, Select::All)).await;
    bench.engine.is_watched_by(1).await;
    drop(peer.stream);
    peer.session.await.unwrap();
    bench.engine.is_watched_by(0).await;
}

#[tokio::test]
async fn a_position_that_cannot_be_gone_on_from_is_a_gap() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    for _ in 0..3 {
        bench.engine.put(TABLE, b"k", b"v".to_vec());
    }
    let now = peer.position().await;
    bench.engine.forget_history();
    bench.engine.put(TABLE, b"k", b"v".to_vec());
    let latest = Position { version: 4, ..now };
    for (since, what) in [
        (behind(2), "forgotten"),
        (behind(5), "not reached yet"),
        (Some(Position { incarnation: Some(9), version: 4 }), "another table's"),
    ] {
        peer.request(1, &watch(since, 30 * SECOND, Select::Key(b"none"))).await;
        assert_eq!(peer.gap(1).await, latest, "{what}");
    }
    // The table goes while somebody waits.
    peer.request(1, &watch(Some(latest), 30 * SECOND, Select::All)).await;
    bench.engine.is_watched_by(1).await;
    peer.request(2, &Request::DropTable { table: TABLE }).await;
    let mut answers = [peer.reply().await, peer.reply().await];
    answers.sort();
    let nowhere = "Gap { now: Position { incarnation: None, version: 0 } }";
    assert_eq!(answers, [(Some(1), nowhere.to_owned()), (Some(2), "Flag(true)".to_owned())]);
}

#[tokio::test]
async fn a_table_that_is_still_to_come_can_be_watched() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    let now = peer.position().await;
    peer.request(1, &watch(Some(now), 30 * SECOND, Select::All)).await;
    bench.engine.is_watched_by(1).await;
    bench.engine.put(TABLE, b"k", b"v".to_vec());
    assert_eq!(peer.news(1).await.1, [change("k", 1, "v")]);
}

#[tokio::test]
async fn changes_of_one_write_that_no_message_holds_are_a_gap() {
    let bench = Bench::with_limit(1024);
    let mut peer = bench.connect_v2().await;
    let keys = [b"a", b"b", b"c"];
    for key in keys {
        bench.engine.put(TABLE, key, vec![b'v'; 1024 * 1024]);
    }
    let changes = keys.iter().map(|key| Change {
        key: key.as_slice(),
        condition: Condition::Any,
        action: Action::Expire { expiry: None },
    });
    peer.ask(&Request::Batch { table: TABLE, changes: changes.collect() }).await;
    peer.request(1, &watch(behind(3), 0, Select::All)).await;
    assert_eq!(peer.gap(1).await, Position { incarnation: Some(1), version: 4 });
    // Of one key it can be told.
    peer.request(1, &watch(behind(3), 0, Select::Key(b"b"))).await;
    assert_eq!(peer.news(1).await.1.len(), 1);
}

#[tokio::test]
async fn small_changes_before_a_batch_at_its_limit_are_told_without_it_and_without_a_gap() {
    const MAX_VALUE_BYTES: usize = 1024;
    let bench = Bench::with_limit(MAX_VALUE_BYTES);
    let mut peer = bench.connect_v2().await;
    // Just below a MiB of small changes, so that the page takes the next write as well; and that is
    // a batch of as many changes and bytes as may be.
    for number in 0..999_u32 {
        bench.engine.put(TABLE, &number.to_be_bytes(), vec![b's'; 1045]);
    }
    let keys: Vec<[u8; 4]> = (0..1024_u32).map(|number| (1 << 20 | number).to_be_bytes()).collect();
    let value = [b'b'; MAX_VALUE_BYTES - 4];
    let changes = keys.iter().map(|key| Change {
        key,
        condition: Condition::Any,
        action: Action::Set { value: &value, expiry: None },
    });
    peer.ask(&Request::Batch { table: TABLE, changes: changes.collect() }).await;

    peer.request(1, &watch(behind(0), 0, Select::All)).await;
    let (until, small) = peer.news(1).await;
    assert_eq!((until.version, small.len()), (999, 999));
    assert!(small.iter().all(|(_, version, _)| *version < 1000), "a part of the batch is told");
    peer.request(1, &watch(Some(until), 0, Select::All)).await;
    let (until, batch) = peer.news(1).await;
    assert_eq!((until.version, batch.len()), (1000, 1024));
    // Who asks for less may have all of it at once.
    peer.request(1, &watch(behind(0), 0, Select::Prefix(b"\0\0"))).await;
    assert_eq!(peer.news(1).await.0.version, 1000);
}

#[tokio::test]
async fn a_watch_that_breaks_a_rule_or_fails_is_refused() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    let long = [b'k'; 1025];
    for (select, reason) in [
        (Select::Key(b""), "a key must not be empty"),
        (Select::Key(&long), "a key has at most 1024 bytes"),
        (Select::Prefix(&long), "the start of a key has at most 1024 bytes"),
    ] {
        let reply = peer.ask(&watch(behind(0), 0, select)).await;
        assert!(reply.contains("Invalid") && reply.contains(reason), "{reply}");
    }
    let name = Watch { table: "a/b", since: None, wait_millis: 0, select: Select::All };
    let reply = peer.ask(&Request::Watch(name)).await;
    assert!(reply.contains("Invalid") && reply.contains("a table name"), "{reply}");

    bench.engine.fail(EngineError::Closed);
    for since in [None, behind(0)] {
        let reply = peer.ask(&watch(since, 30 * SECOND, Select::All)).await;
        assert!(reply.contains("Closing"), "{reply}");
    }
}

#[tokio::test]
async fn watches_are_bounded_and_leave_room_for_other_requests() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    let now = peer.position().await;
    let mut bytes = BytesMut::new();
    for id in 100..1124 {
        watch(Some(now), 30 * SECOND, Select::Key(b"k")).encode(id_of(id), &mut bytes);
    }
    peer.send(&bytes).await;
    bench.engine.is_watched_by(1024).await;
    let reply = peer.ask(&watch(Some(now), 30 * SECOND, Select::All)).await;
    assert!(reply.contains("Busy") && reply.contains("at most 1024 watches"), "{reply}");
    // Their places come back.
    peer.request(100, &Request::Cancel).await;
    peer.news(100).await;
    peer.request(100, &watch(Some(now), 30 * SECOND, Select::Key(b"k"))).await;
    bench.engine.is_watched_by(1024).await;

    bench.engine.hold();
    let mut bytes = BytesMut::new();
    for id in 10_000..12_000_u64 {
        set(&id.to_be_bytes(), b"v").encode(id_of(id), &mut bytes);
    }
    peer.send(&bytes).await;
    bench.engine.is_waited_for().await;
    assert!(peer.ask(&Request::Ping).await.starts_with("Pong"), "2,000 writes wait beside them");
}
