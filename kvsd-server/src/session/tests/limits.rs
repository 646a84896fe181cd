//! Each limit and what is one beyond it: who meets it is told or cut off, and others are served.

use std::sync::atomic::Ordering;

use kvsd::protocol::v2::{Action, Change, Condition, Previous};

use super::*;
use crate::limits::Limits;
use crate::metrics::Refusal;
use crate::server::roster::Eviction;

impl Bench {
    pub(super) fn limit(&self, change: impl FnOnce(&mut Limits)) {
        let mut limits = self.service.limits.get();
        change(&mut limits);
        self.service.limits.replace(limits);
    }

    fn refused(&self, why: Refusal) -> u64 {
        self.service.metrics.refused(why)
    }

    /// Until what the sessions hold is as it is to be.
    async fn holds(&self, is_so: impl Fn(usize) -> bool) {
        while !is_so(self.roster.memory()) {
            tokio::task::yield_now().await;
        }
    }
}

/// Requests that the peer sends at once, with ids from 1 up.
fn gets(key: &[u8], count: u64) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    (1..=count).for_each(|id| get("default", key).encode(id_of(id), &mut bytes));
    bytes.to_vec()
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut_off_at_the_hard_limit() {
    // Values are so small that many may be looked for at a time.
    let bench = Bench::with_limit(64 * 1024);
    bench.engine.put("default", b"disk/k", vec![b'v'; 32 * 1024]);
    bench.limit(|limits| {
        limits.max_output_bytes = 256 * 1024;
        limits.max_output_bytes_hard = 1024 * 1024;
    });
    // What all are asked for while the disk keeps them waiting: below the hard limit, and above it.
    for (count, is_cut) in [(31, false), (64, true)] {
        bench.engine.hold();
        let (mut deaf, mut other) = (bench.connect_v2().await, bench.connect_v2().await);
        deaf.send(&gets(b"disk/k", count)).await;
        while bench.engine.waiting() < usize::try_from(count).unwrap() {
            tokio::task::yield_now().await;
        }
        bench.engine.release();
        assert_eq!(other.value(b"disk/none").await, None, "others are served");
        if is_cut {
            let ended = deaf.session.await.unwrap();
            assert!(matches!(ended, Ended::Deaf), "{ended}");
            assert_eq!(ended.refusal(), Some(Refusal::OutputFull));
        } else {
            let mut ids = Vec::new();
            for _ in 0..count {
                ids.extend(deaf.reply().await.0);
            }
            ids.sort_unstable();
            assert_eq!(ids, (1..=count).collect::<Vec<_>>(), "who reads later misses nothing");
        }
        other.leave().await;
        bench.holds(|bytes| bytes == 0).await;
    }
}

#[tokio::test]
async fn so_many_requests_of_a_client_are_carried_out_at_a_time() {
    let bench = Bench::new();
    bench.limit(|limits| limits.max_in_flight = 4);
    bench.engine.hold();
    let (mut greedy, mut other) = (bench.connect_v2().await, bench.connect_v2().await);
    greedy.send(&gets(b"disk/k", 9)).await;
    assert_eq!(other.value(b"near").await, None);
    assert_eq!(bench.engine.waiting(), 4);
    bench.engine.release();
    for _ in 0..9 {
        assert_eq!(greedy.reply().await.1, "Value(None)");
    }
}

#[tokio::test]
async fn while_the_memory_is_full_requests_are_refused_and_a_ping_is_not() {
    let bench = Bench::new();
    bench.limit(|limits| limits.connection_memory = 1024 * 1024);
    let (mut large, mut other) = (bench.connect_v2().await, bench.connect_v2().await);
    let mut old = bench.connect_v1().await;
    // All but the end of a large value.
    let parts = parts_of(1, &set(b"k", &vec![b'v'; 960 * 1024]));
    let (last, first) = parts.split_last().unwrap();
    for part in first {
        large.send(part).await;
    }
    bench.holds(|bytes| bytes >= 7 * 128 * 1024).await;
    for request in
        [get("default", b"k"), set(b"k", b"v"), Request::Pipeline(vec![get("default", b"k")])]
    {
        let answer = other.ask(&request).await;
        assert!(answer.starts_with("Fail { code: Busy"), "{answer}");
    }
    assert!(other.ask(&Request::Ping).await.starts_with("Pong"));
    old.send(b"*2\r\n#\x06+k\r\n").await;
    let answer = old.reply_bytes().await.escape_ascii().to_string();
    assert!(answer.contains("connection_memory"), "{answer}");
    assert_eq!(bench.refused(Refusal::MemoryFull), 4);
    // The one that fills it is refused too, and with that there is room again.
    large.send(last).await;
    large.answer(1, |reply| assert!(matches!(reply, Reply::Fail { .. }), "{reply:?}")).await;
    bench.holds(|bytes| bytes == 0).await;
    assert_eq!(other.value(b"k").await, None);
}

#[tokio::test]
async fn who_holds_most_is_cut_off_when_the_memory_is_passed() {
    let bench = Bench::new();
    bench.limit(|limits| limits.connection_memory = 1024 * 1024);
    let mut peers = Vec::new();
    for kilobytes in [300, 500, 400] {
        let mut peer = bench.connect_v2().await;
        // One part more than is sent.
        let value = vec![b'v'; (kilobytes + 64) * 1024];
        let parts = parts_of(1, &set(b"k", &value));
        for part in &parts[..parts.len() - 1] {
            peer.send(part).await;
        }
        peers.push(peer);
    }
    bench.roster.crowded().await;
    assert_eq!(bench.roster.shed(bench.service.limits.get().busy_memory()), 1);
    let mut most = peers.remove(1);
    let ended = (&mut most.session).await.unwrap();
    assert!(matches!(ended, Ended::Evicted(Eviction::Shed)), "{ended}");
    assert_eq!(ended.refusal(), Some(Refusal::MemoryFull));
    bench.holds(|bytes| bytes < 1024 * 1024).await;
    for peer in &peers {
        assert!(!peer.session.is_finished());
    }
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_takes_deletes_and_no_other_writes() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    let mut old = bench.connect_v1().await;
    for key in [&b"a"[..], b"b", b"c"] {
        bench.engine.put("default", key, b"1".to_vec());
    }
    bench.service.disk_is_low.store(true, Ordering::Relaxed);
    let change = |action| Change { key: b"k", condition: Condition::Any, action };
    let batch = |changes| Request::Batch { table: "default", changes };
    let (table, key, condition) = ("default", &b"k"[..], Condition::Any);
    let writes = [
        set(b"k", b"v"),
        Request::Increment { table, key, by: 1, condition },
        Request::Expire { table, key: b"a", expiry: None, condition },
        Request::CreateTable { table: "new" },
        batch(vec![change(Action::Delete), change(Action::Increment { by: 1 })]),
    ];
    for request in &writes {
        let answer = peer.ask(request).await;
        assert!(answer.starts_with("Fail { code: DiskFull"), "{request:?}: {answer}");
    }
    let delete = |key| Request::Delete { table, key, condition, previous: Previous::Omit };
    let pipeline = vec![get("default", b"a"), set(b"k", b"v"), delete(b"a")];
    let answer = peer.ask(&Request::Pipeline(pipeline)).await;
    assert_eq!(answer.matches("DiskFull").count(), 1, "{answer}");
    let deleted = batch(vec![Change { key: b"b", ..change(Action::Delete) }]);
    assert!(peer.ask(&deleted).await.starts_with("Batch"));
    old.send(b"*3\r\n#\x05+k\r\n$1\r\nv\r\n").await;
    let answer = old.reply_bytes().await.escape_ascii().to_string();
    assert!(answer.contains("min_free_disk"), "{answer}");
    old.send(b"*2\r\n#\x07+c\r\n").await;
    assert_eq!(old.reply_bytes().await, b"*2\r\n#\x03$1\r\n1\r\n");
    for key in [&b"a"[..], b"b", b"c", b"k"] {
        assert_eq!(bench.engine.value("default", key), None, "{}", key.escape_ascii());
    }
    assert_eq!(bench.refused(Refusal::DiskLow), 7);

    bench.service.disk_is_low.store(false, Ordering::Relaxed);
    for request in &writes {
        let answer = peer.ask(request).await;
        assert!(!answer.contains("DiskFull"), "{request:?}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_idle_for_too_long_is_told_so() {
    let bench = Bench::new();
    let (idle, mut busy) = (bench.connect_v2().await, bench.connect_v2().await);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(busy.value(b"k").await, None);
    bench.roster.evict_idle(Duration::from_secs(60));
    let (told, ended) = idle.rest().await;
    let told = told.escape_ascii().to_string();
    assert!(told.contains("CLOSING") && told.contains("idle"), "{told}");
    assert_eq!(ended.refusal(), Some(Refusal::Idle));
    assert_eq!(busy.value(b"k").await, None);
}

#[tokio::test]
async fn what_a_client_of_version_1_does_not_read_counts() {
    let bench = Bench::new();
    let value = vec![b'v'; 512 * 1024];
    bench.engine.put("default", b"k", value.clone());
    let mut deaf = bench.connect_v1().await;
    deaf.send(b"*2\r\n#\x06+k\r\n").await;
    let counted = bench.holds(|bytes| bytes >= value.len());
    tokio::time::timeout(Duration::from_secs(60), counted).await.expect("it is counted");
    assert!(deaf.reply_bytes().await.len() > value.len());
    bench.holds(|bytes| bytes < value.len() / 4).await;
}
