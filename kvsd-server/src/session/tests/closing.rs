//! How long a session's end takes, when the client does not close its side.

use super::*;
use crate::server::roster::Eviction;
use crate::session::run_and_close;

impl Bench {
    /// Sends this, ends the session by `end`, and tells how long that took and why it ended.
    async fn end_after(&self, said: &[u8], end: impl AsyncFnOnce()) -> (Duration, Ended) {
        let (mut ours, mut theirs) = tokio::io::duplex(PIPE_BYTES);
        let service = Arc::clone(&self.service);
        let mut stop = self.stopper.subscribe();
        let newcomer = arriving(DEADLINE);
        let session =
            tokio::spawn(
                async move { run_and_close(&mut theirs, &service, newcomer, &mut stop).await },
            );
        ours.write_all(said).await.unwrap();
        end().await;
        let start = Instant::now();
        let ended = session.await.unwrap();
        drop(ours);
        (start.elapsed(), ended)
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_clients_that_have_not_said_who_they_are() {
    for said in [&b""[..], b"*3\r\n#", b"*6\r\n#H:0\r\n:2\r\n"] {
        let bench = Bench::new();
        let stop = async || {
            tokio::task::yield_now().await;
            bench.stopper.drain();
        };
        let (took, ended) = bench.end_after(said, stop).await;
        assert!(took.is_zero() && matches!(ended, Ended::Dismissed), "{took:?}, {ended}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_silent_up_to_the_deadline_keeps_its_slot_no_longer() {
    let (took, ended) = Bench::new().end_after(b"*3\r\n#", async || {}).await;
    assert!(took == DEADLINE && matches!(ended, Ended::TimedOut), "{took:?}, {ended}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_told_why_gets_the_time_to_read_it() {
    let (took, ended) = Bench::new().end_after(b"GET / HTTP/1.1\r\n\r\n", async || {}).await;
    assert!(!took.is_zero() && took < DEADLINE, "{took:?}");
    assert!(matches!(ended, Ended::Garbled(_)), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn a_killed_connection_is_told_why_and_others_go_on() {
    let bench = Bench::new();
    let (mut killed, mut other) = (bench.connect_v2().await, bench.connect_v2().await);
    assert_eq!(killed.value(b"k").await, None);
    let [first, _] = &bench.roster.page(0, 9)[..] else { panic!("two are connected") };
    assert_eq!(first.total().requests, 1);
    assert!(first.total().read_bytes > 0 && first.total().written_bytes > 0, "{first:?}");
    bench.roster.kill(first.id()).unwrap();
    let (told, ended) = killed.rest().await;
    assert!(told.escape_ascii().to_string().contains("administrator has ended"), "{ended}");
    assert!(matches!(ended, Ended::Evicted(Eviction::Killed)), "{ended}");
    assert_eq!(other.value(b"k").await, None);
    assert_eq!(bench.roster.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_killed_connection_goes_whether_it_reads_or_not_and_whoever_it_is() {
    let bench = Bench::new();
    // Has not said who it is; has an answer that it does not take.
    let (silent, mut deaf) = (bench.connect(), bench.connect_by(64));
    deaf.send(HELLO).await;
    tokio::task::yield_now().await;
    for entry in bench.roster.page(0, 9) {
        bench.roster.kill(entry.id()).unwrap();
    }
    for peer in [silent, deaf] {
        let start = Instant::now();
        let ended = peer.session.await.unwrap();
        assert!(matches!(ended, Ended::Evicted(Eviction::Killed)), "{ended}");
        assert!(start.elapsed() < Duration::from_secs(1));
    }
}

const DEADLINE: Duration = Duration::from_secs(3600);
