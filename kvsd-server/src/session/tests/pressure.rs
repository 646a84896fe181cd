//! What a client can make the server hold: no more than the limits say, however it goes about it.
//!
//! The sessions are polled by hand, so that "nothing moves any more" is a fact and not a guess; and
//! outside of any task, where tokio would interrupt them when they have done enough.

use std::ops::Bound;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use kvsd::protocol::v2;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Runtime;
use tokio_test::task;

use super::*;
use crate::session::input::Input;

impl Bench {
    /// A session that moves when it is polled, and its client's end.
    fn by_hand(&self) -> (DuplexStream, task::Spawn<impl Future<Output = Ended> + use<>>) {
        self.by_hand_through(PIPE_BYTES)
    }

    /// As [`Bench::by_hand`], with so much room between the two.
    fn by_hand_through(
        &self,
        pipe_bytes: usize,
    ) -> (DuplexStream, task::Spawn<impl Future<Output = Ended> + use<>>) {
        let (ours, mut theirs) = tokio::io::duplex(pipe_bytes);
        let service = Arc::clone(&self.service);
        let mut stop = self.stopper.subscribe();
        let newcomer = arriving(&self.roster, Duration::from_secs(3600));
        let session = async move { run(&mut theirs, &service, &newcomer, &mut stop).await };
        (ours, task::spawn(session))
    }
}

/// For timers, and to catch up in.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// Writes until neither side can go on; tells how much was taken.
fn write_until_stuck(
    stream: &mut DuplexStream,
    session: &mut task::Spawn<impl Future<Output = Ended>>,
    bytes: &[u8],
) -> usize {
    let mut writer = task::spawn(());
    let mut taken = 0;
    loop {
        assert!(session.poll().is_pending(), "the session ended");
        let rest = &bytes[taken..];
        match writer.enter(|cx, _| Pin::new(&mut *stream).poll_write(cx, rest)) {
            Poll::Ready(written) => taken += written.unwrap(),
            Poll::Pending if session.is_woken() => {}
            Poll::Pending => return taken,
        }
        assert!(taken < bytes.len(), "everything was taken");
    }
}

/// Lets the client write the rest and read everything: the welcome, then each answer's id.
async fn catch_up(
    stream: DuplexStream,
    session: task::Spawn<impl Future<Output = Ended>>,
    rest: &[u8],
) -> Vec<u64> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        writer.write_all(rest).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut buffer = BytesMut::new();
    let read = async { while reader.read_buf(&mut buffer).await.unwrap() != 0 {} };
    let ((), (), ended) = tokio::join!(write, read, session);
    assert!(matches!(ended, Ended::Left), "{ended}");

    let mut decoder = Decoder::new(ANY);
    let welcome = decoder.decode(&buffer).unwrap().unwrap().byte_len();
    buffer.advance(welcome);
    let mut ids = Vec::new();
    let mut assembler = Assembler::new(Sender::Server, ANY);
    let mut note = |message: &Message<'_>| match Reply::parse(message).unwrap() {
        (Some(_), Some(reply @ Reply::Fail { .. })) => panic!("{reply:?}"),
        (Some(id), Some(_)) => ids.push(id.get()),
        other => panic!("{other:?}"),
    };
    while let Some(message) = decoder.decode(&buffer).unwrap() {
        match assembler.take(&message).unwrap() {
            Arrival::Whole => note(&message),
            Arrival::Part => {}
            Arrival::Assembled(mut whole) => note(&whole.open().unwrap().0),
        }
        let length = message.byte_len();
        buffer.advance(length);
    }
    assert!(buffer.is_empty());
    ids
}

#[test]
fn a_client_that_does_not_read_is_not_read_from_and_misses_nothing() {
    let runtime = runtime();
    let _entered = runtime.enter();
    const VALUE_BYTES: usize = 16 * 1024;
    const REQUESTS: u64 = 3000;
    let bench = Bench::new();
    let key = [b'k'; 200];
    bench.engine.put("default", &key, vec![b'v'; VALUE_BYTES]);
    let mut bytes = BytesMut::from(HELLO);
    for id in 1..=REQUESTS {
        Request::Get { table: "default", key: &key, freshness: Freshness::Latest }
            .encode(id_of(id), &mut bytes);
    }
    let (mut stream, mut session) = bench.by_hand();
    let taken = write_until_stuck(&mut stream, &mut session, &bytes);

    let answered = bench.engine.reads.load(Ordering::Relaxed);
    let most = (1024 * 1024 + PIPE_BYTES) / VALUE_BYTES + 2;
    assert!((1..=most).contains(&answered), "{answered} answers wait for one who does not read");
    // A full pipe, a full read buffer, and what was answered.
    let most = PIPE_BYTES + 64 * 1024 + answered * 250;
    assert!(taken <= most, "{taken} bytes were taken, {most} at most");

    let ids = runtime.block_on(catch_up(stream, session, &bytes[taken..]));
    assert_eq!(ids, (1..=REQUESTS).collect::<Vec<_>>());
}

#[test]
fn reads_that_there_was_no_room_for_are_answered_before_the_last_word() {
    let runtime = runtime();
    let _entered = runtime.enter();
    const VALUE_BYTES: usize = 10 * 1024;
    const REQUESTS: usize = 20;
    let bench = Bench::new();
    // Few of the answers, so that a round writes all that it has before all reads are answered.
    bench.limit(|limits| limits.max_output_bytes = 2 * VALUE_BYTES);
    bench.engine.put("default", b"k", vec![b'v'; VALUE_BYTES]);
    let mut bytes = BytesMut::from(HELLO);
    for id in 1..=REQUESTS {
        get("default", b"k").encode(id_of(id as u64), &mut bytes);
    }
    bytes.extend_from_slice(HELLO);
    let (mut stream, mut session) = bench.by_hand_through(8 * 1024 * 1024);
    runtime.block_on(stream.write_all(&bytes)).unwrap();
    let ended = loop {
        match session.poll() {
            Poll::Ready(ended) => break ended,
            Poll::Pending => assert!(session.is_woken(), "reads wait, and there is room for them"),
        }
    };
    assert!(matches!(ended, Ended::Misplaced("a second Hello")), "{ended}");
    drop(session);
    let mut told = Vec::new();
    runtime.block_on(stream.read_to_end(&mut told)).unwrap();
    assert!(told.len() > REQUESTS * VALUE_BYTES, "{} bytes", told.len());
    assert!(told.ends_with(b"a second Hello\r\n"), "{:?}", told.last_chunk::<32>());
}

#[test]
fn writes_that_wait_for_the_disk_are_bounded_in_bytes_and_in_number() {
    let runtime = runtime();
    let _entered = runtime.enter();
    for (value_bytes, requests, most_waiting) in [(4096, 8000, 16 << 20), (8, 20_000, 4096 * 80)] {
        let bench = Bench::new();
        bench.engine.hold();
        let value = vec![b'v'; value_bytes];
        let mut bytes = BytesMut::from(HELLO);
        for id in 1..=requests {
            set(&id_of(id).get().to_be_bytes(), &value).encode(id_of(id), &mut bytes);
        }
        let (mut stream, mut session) = bench.by_hand();
        let taken = write_until_stuck(&mut stream, &mut session, &bytes);
        // What waits, what was read with it, and a full pipe.
        let most = most_waiting + 3 * 64 * 1024 + PIPE_BYTES;
        assert!(taken <= most, "{taken} bytes were taken, {most} at most");
        let waiting: usize = bench.engine.batches().iter().map(|(_, writes)| writes).sum();
        assert!(waiting <= 4096, "{waiting} writes wait");

        bench.engine.release();
        let mut ids = runtime.block_on(catch_up(stream, session, &bytes[taken..]));
        ids.sort_unstable();
        assert_eq!(ids, (1..=requests).collect::<Vec<_>>());
    }
}

#[test]
fn writes_to_many_tables_are_handed_on_before_there_are_many_groups() {
    let runtime = runtime();
    let _entered = runtime.enter();
    const TABLES: u64 = 10_000;
    let bench = Bench::new();
    bench.engine.hold();
    let mut bytes = BytesMut::from(HELLO);
    for id in 1..=TABLES {
        // The last one again and again, and one more of each.
        for (id, table) in [(2 * id, "same".to_owned()), (2 * id + 1, format!("t{id}"))] {
            let request = Request::Set {
                table: &table,
                key: b"k",
                value: b"v",
                condition: v2::Condition::Any,
                expiry: None,
                previous: v2::Previous::Omit,
            };
            request.encode(id_of(id), &mut bytes);
        }
    }
    let (mut stream, mut session) = bench.by_hand();
    let taken = write_until_stuck(&mut stream, &mut session, &bytes);
    let same = bench.engine.batches().into_iter().filter(|(table, _)| table == "same");
    let largest = same.map(|(_, writes)| writes).max();
    assert_eq!(largest, Some(63), "one write of each of 63 other tables stands beside it");
    bench.engine.release();
    let mut ids = runtime.block_on(catch_up(stream, session, &bytes[taken..]));
    ids.sort_unstable();
    assert_eq!(ids, (2..=2 * TABLES + 1).collect::<Vec<_>>());
}

/// Limits on values, and how many answers that may each be so large a session waits for at most.
const RECORDS_BY_LIMIT: [(usize, usize); 3] = [(64 << 20, 2), (10 << 20, 16), (1 << 10, 256)];

#[test]
fn reads_that_wait_for_the_disk_are_bounded_by_the_largest_value() {
    for (max_value_bytes, most) in RECORDS_BY_LIMIT {
        reads_wait_for_the_disk(max_value_bytes, most);
    }
}

fn reads_wait_for_the_disk(max_value_bytes: usize, most: usize) {
    let runtime = runtime();
    let _entered = runtime.enter();
    let bench = Bench::with_limit(max_value_bytes);
    bench.engine.put("default", b"disk/k", b"v".to_vec());
    bench.engine.hold();
    let mut bytes = BytesMut::from(HELLO);
    for id in 1..=10_000 {
        Request::Get { table: "default", key: b"disk/k", freshness: Freshness::Latest }
            .encode(id_of(id), &mut bytes);
    }
    let (mut stream, mut session) = bench.by_hand();
    let taken = write_until_stuck(&mut stream, &mut session, &bytes);
    assert_eq!(bench.engine.reads.load(Ordering::Relaxed), most, "reads wait for the disk");
    bench.engine.release();
    let mut ids = runtime.block_on(catch_up(stream, session, &bytes[taken..]));
    ids.sort_unstable();
    assert_eq!(ids, (1..=10_000).collect::<Vec<_>>());
}

#[test]
fn writes_that_read_a_record_are_bounded_by_the_largest_value() {
    let condition = v2::Condition::Any;
    let take =
        Request::Delete { table: "default", key: b"k", condition, previous: v2::Previous::Return };
    let expire = Request::Expire { table: "default", key: b"k", expiry: None, condition };
    let batch_of = |action| {
        let change = v2::Change { key: b"k", condition, action };
        Request::Batch { table: "default", changes: vec![change] }
    };
    for request in [
        take,
        expire.clone(),
        batch_of(v2::Action::Expire { expiry: None }),
        Request::Pipeline(vec![expire]),
    ] {
        for (max_value_bytes, most) in RECORDS_BY_LIMIT {
            writes_that_read_wait(&request, max_value_bytes, most);
        }
    }
}

fn writes_that_read_wait(request: &Request<'_>, max_value_bytes: usize, most: usize) {
    const REQUESTS: u64 = 5_000;
    let runtime = runtime();
    let _entered = runtime.enter();
    let bench = Bench::with_limit(max_value_bytes);
    bench.engine.hold();
    let mut bytes = BytesMut::from(HELLO);
    for id in 1..=REQUESTS {
        request.encode(id_of(id), &mut bytes);
    }
    let (mut stream, mut session) = bench.by_hand();
    let taken = write_until_stuck(&mut stream, &mut session, &bytes);
    let waiting: usize = bench.engine.batches().iter().map(|(_, writes)| writes).sum();
    // Any of them may read a value of the largest size.
    assert!((1..=most).contains(&waiting), "{waiting} of {request:?} wait, {most} at most");
    bench.engine.release();
    let mut ids = runtime.block_on(catch_up(stream, session, &bytes[taken..]));
    ids.sort_unstable();
    assert_eq!(ids, (1..=REQUESTS).collect::<Vec<_>>());
}

#[test]
fn pipelines_that_wait_for_the_disk_are_bounded_in_bytes_and_by_the_largest_value() {
    let value = vec![b'v'; 32 * 1024];
    let read = Request::Get { table: "default", key: b"disk/k", freshness: Freshness::Latest };
    // Two writes of 32 KiB each; a thousand reads, which are taken to find a MiB together; and one
    // read, which may find as much as a value may have.
    for (max_value_bytes, requests, count, most) in [
        (10 << 20, vec![set(b"a", &value), set(b"b", &value)], 300, (16 << 20) / (64 << 10) + 1),
        (10 << 20, vec![read.clone(); 1000], 30, 16),
        (64 << 20, vec![read], 5000, 2),
    ] {
        let runtime = runtime();
        let _entered = runtime.enter();
        let bench = Bench::with_limit(max_value_bytes);
        bench.engine.put("default", b"disk/k", b"v".to_vec());
        bench.engine.hold();
        let mut bytes = BytesMut::from(HELLO);
        for id in 1..=count {
            let pipeline = Request::Pipeline(requests.clone());
            bytes.extend_from_slice(&parts_of(id, &pipeline).concat());
        }
        let (mut stream, mut session) = bench.by_hand();
        let taken = write_until_stuck(&mut stream, &mut session, &bytes);
        let waiting = bench.engine.waiting();
        assert!((1..=most).contains(&waiting), "{waiting} pipelines wait, {most} at most");
        bench.engine.release();
        let mut ids = runtime.block_on(catch_up(stream, session, &bytes[taken..]));
        ids.sort_unstable();
        assert_eq!(ids, (1..=count).collect::<Vec<_>>());
    }
}

#[test]
fn pages_that_wait_for_the_disk_are_bounded() {
    // However little a page has, a thread has to look for it.
    for (detail, limit, max_value_bytes, most) in [
        (v2::Detail::Records, None, 10 << 20, 16),
        (v2::Detail::Records, Some(1), 10 << 20, 16),
        (v2::Detail::Keys, None, 10 << 20, 16),
        (v2::Detail::Keys, Some(1), 10 << 20, 16),
        (v2::Detail::Keys, Some(1), 1 << 10, 256),
    ] {
        let runtime = runtime();
        let _entered = runtime.enter();
        let bench = Bench::with_limit(max_value_bytes);
        bench.engine.put("default", b"k", b"v".to_vec());
        bench.engine.hold();
        let scan = v2::Scan {
            table: "default",
            from: Bound::Unbounded,
            to: Bound::Unbounded,
            order: v2::Order::Ascending,
            detail,
            limit,
            freshness: Freshness::Latest,
            at: None,
        };
        let mut bytes = BytesMut::from(HELLO);
        for id in 1..=10_000 {
            Request::Scan(scan).encode(id_of(id), &mut bytes);
        }
        let (mut stream, mut session) = bench.by_hand();
        let taken = write_until_stuck(&mut stream, &mut session, &bytes);
        assert_eq!(bench.engine.waiting(), most, "{detail:?}, {limit:?} a page");
        bench.engine.release();
        let ids = runtime.block_on(catch_up(stream, session, &bytes[taken..]));
        assert_eq!(ids.len(), 10_000);
    }
}

#[test]
fn watches_that_wake_together_hold_a_few_pages_and_all_tell_their_news() {
    let runtime = runtime();
    let _entered = runtime.enter();
    const WATCHES: u64 = 1000;
    let bench = Bench::new();
    let mut bytes = BytesMut::from(HELLO);
    for id in 1..=WATCHES {
        let since = Some(v2::Position { incarnation: None, version: 0 });
        let select = v2::Select::All;
        let watch = v2::Watch { table: "default", since, wait_millis: 30_000, select };
        Request::Watch(watch).encode(id_of(id), &mut bytes);
    }
    let (mut stream, mut session) = bench.by_hand();
    let mut writer = task::spawn(());
    let mut taken = 0;
    while taken < bytes.len() {
        assert!(session.poll().is_pending());
        let rest = &bytes[taken..];
        match writer.enter(|cx, _| Pin::new(&mut stream).poll_write(cx, rest)) {
            Poll::Ready(written) => taken += written.unwrap(),
            Poll::Pending => {}
        }
    }
    while session.is_woken() {
        assert!(session.poll().is_pending());
    }
    assert_eq!(bench.engine.looks.load(Ordering::Relaxed), 1000);
    bench.engine.put("default", b"k", vec![b'v'; 600 * 1024]);
    while session.is_woken() {
        assert!(session.poll().is_pending());
    }
    // As many as fill the output, and eight behind it.
    let looks = bench.engine.looks.load(Ordering::Relaxed) - 1000;
    let most = (32 << 20) / (600 << 10) + 1 + 8;
    assert!((8..=most).contains(&looks), "{looks} of the woken hold changes, {most} at most");
    let mut ids = runtime.block_on(catch_up(stream, session, &[]));
    ids.sort_unstable();
    assert_eq!(ids, (1..=WATCHES).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_busy_session_lets_others_have_the_thread() {
    let bench = Bench::new();
    let mut bytes = BytesMut::from(HELLO);
    for id in 1..=50_000 {
        Request::Ping.encode(id_of(id), &mut bytes);
    }
    let service = Arc::clone(&bench.service);
    let mut stop = bench.stopper.subscribe();
    let mut endless = Endless { bytes: bytes.to_vec(), at: 0 };
    let newcomer = arriving(&bench.roster, Duration::from_secs(3600));
    let mut session =
        task::spawn(async move { run(&mut endless, &service, &newcomer, &mut stop).await });
    assert!(session.poll().is_pending() && session.is_woken(), "it never gives way");
}

#[tokio::test]
async fn a_session_that_has_read_much_on_the_spot_lets_others_have_the_thread() {
    let bench = Bench::new();
    bench.engine.put("default", b"k", vec![b'v'; 60 * 1024]);
    let exists = Request::Exists { table: "default", key: b"k", freshness: Freshness::Latest };
    for (request, most) in [
        (get("default", b"k"), (1 << 20) / (60 << 10) + 1),
        (Request::Pipeline(vec![get("default", b"k"); 4]), (1 << 20) / (60 << 10) + 4),
        (exists.clone(), (1 << 20) / 256),
        (Request::Pipeline(vec![exists; 100]), (1 << 20) / 256 + 100),
    ] {
        let done = || {
            let finds = bench.engine.finds.load(Ordering::Relaxed);
            bench.engine.reads.load(Ordering::Relaxed) + finds
        };
        let mut bytes = BytesMut::from(HELLO);
        for id in 1..=10_000 {
            request.encode(id_of(id), &mut bytes);
        }
        let service = Arc::clone(&bench.service);
        let mut stop = bench.stopper.subscribe();
        let mut endless = Endless { bytes: bytes.to_vec(), at: 0 };
        let newcomer = arriving(&bench.roster, Duration::from_secs(3600));
        let mut session =
            task::spawn(async move { run(&mut endless, &service, &newcomer, &mut stop).await });
        for poll in 0..5 {
            let before = done();
            assert!(session.poll().is_pending(), "it never gives way");
            tokio::task::yield_now().await;
            assert!(session.is_woken(), "it gave way for good");
            let done = done() - before;
            assert!((1..=most).contains(&done), "{done} reads in poll {poll}, {most} at most");
        }
    }
}

/// Sends without end, and takes everything.
struct Endless {
    bytes: Vec<u8>,
    at: usize,
}

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let end = self.bytes.len().min(self.at + buffer.remaining());
        buffer.put_slice(&self.bytes[self.at..end]);
        self.at = end;
        if end == self.bytes.len() {
            self.at = HELLO.len();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_promised_length_takes_no_memory() {
    let (mut ours, mut theirs) = tokio::io::duplex(PIPE_BYTES);
    let mut input = Input::new(v2::limits(10 << 20));
    ours.write_all(b"*5\r\n#S:1\r\n+t\r\n$1\r\nk\r\n$10000000\r\nabc").await.unwrap();
    while input.next().unwrap().is_none() && input.rest().is_empty() {
        input.read(&mut theirs).await.unwrap();
    }
    assert!(input.held() <= 16 * 1024, "{} bytes are held", input.held());
}

#[tokio::test]
async fn a_large_message_in_small_pieces_is_moved_a_few_times_and_then_forgotten() {
    let mut bytes = BytesMut::new();
    set(b"k", &[b'v'; 100_000]).encode(id_of(1), &mut bytes);
    for piece_bytes in [1, 7] {
        let (mut ours, mut theirs) = tokio::io::duplex(piece_bytes);
        let mut input = Input::new(v2::limits(10 << 20));
        let write = async {
            ours.write_all(&bytes).await.unwrap();
            ours
        };
        let read = async {
            let (mut moves, mut place) = (0, std::ptr::null());
            while input.next().unwrap().is_none() {
                input.read(&mut theirs).await.unwrap();
                moves += usize::from(input.rest().as_ptr() != place);
                place = input.rest().as_ptr();
            }
            moves
        };
        let (ours, moves) = tokio::join!(write, read);
        assert!(moves <= 8, "the message was moved {moves} times");

        assert!(input.next().unwrap().is_none());
        let mut idle = task::spawn(input.read(&mut theirs));
        assert!(idle.poll().is_pending());
        drop(idle);
        assert!(input.held() <= 16 * 1024, "{} bytes are held", input.held());
        drop(ours);
    }
}
