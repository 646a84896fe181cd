//! Large messages in parts: others pass them, and what breaks their rules ends the connection.

use kvsd::protocol::v2::part::{Arrival, Assembler, MAX_PART_BYTES, Part, Sender, stream_limits};
use kvsd::protocol::v2::{Record, limits};
use tokio::task::yield_now;

use super::*;

const MIB: usize = 1024 * 1024;

fn part(number: u64, remaining: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    Part { remaining, bytes }.encode(Sender::Client, id_of(number), &mut out);
    out.to_vec()
}

/// What the server says: the ids of its messages in their order, parts as often as they come, and
/// the values that reads were answered with.
struct Listener {
    assembler: Assembler,
    ids: Vec<u64>,
    values: Vec<(u64, Vec<u8>)>,
}

impl Listener {
    fn new() -> Self {
        let assembler = Assembler::new(Sender::Server, limits(64 * MIB));
        Self { assembler, ids: Vec::new(), values: Vec::new() }
    }

    /// Takes one message of the stream; its id.
    async fn hear(&mut self, peer: &mut Peer) -> u64 {
        let (bytes, id) =
            peer.next(|message| RequestId::split(message).expect("an id").0.get()).await;
        let mut decoder = Decoder::new(stream_limits(limits(64 * MIB)));
        let message = decoder.decode(&bytes).unwrap().expect("what was just found");
        match self.assembler.take(&message).unwrap() {
            Arrival::Whole => self.note(&message),
            Arrival::Part => {}
            Arrival::Assembled(mut whole) => self.note(&whole.open().unwrap().0),
        }
        self.ids.push(id);
        id
    }

    fn note(&mut self, message: &Message<'_>) {
        if let (Some(id), Some(Reply::Value(Some(Record { value, .. })))) =
            Reply::parse(message).unwrap()
        {
            self.values.push((id.get(), value.to_vec()));
        }
    }
}

#[tokio::test]
async fn a_small_request_between_the_parts_of_a_large_one_is_answered_before_it() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    let value = vec![b'v'; 300_000];
    let parts = parts_of(1, &set(b"large", &value));
    assert_eq!(parts.len(), 5);
    for (small, part) in (10..).zip(&parts) {
        peer.send(part).await;
        peer.set(small, &[b'k'; 8], b"small").await;
        if small < 14 {
            assert_eq!(peer.reply().await.0, Some(small));
        }
    }
    let mut last = [peer.reply().await.0, peer.reply().await.0];
    last.sort_unstable();
    assert_eq!(last, [Some(1), Some(14)]);
    assert_eq!(bench.engine.value("default", b"large").as_deref(), Some(&value[..]));
}

#[tokio::test]
async fn a_small_answer_passes_a_large_one_and_large_ones_take_turns() {
    let bench = Bench::new();
    let value = vec![b'v'; MIB];
    bench.engine.put("default", b"large", value.clone());
    bench.engine.put("default", b"small", b"v".to_vec());
    let mut peer = bench.connect_v2().await;
    let mut listener = Listener::new();
    peer.get(1, b"large").await;
    peer.get(2, b"large").await;
    assert_eq!(listener.hear(&mut peer).await, 1);
    // The pipe is full of parts; what was asked now is answered behind them, before the rest.
    peer.get(3, b"small").await;
    while listener.values.len() < 3 {
        listener.hear(&mut peer).await;
    }
    let (small, last) = (listener.ids.iter().position(|id| *id == 3).unwrap(), listener.ids.len());
    assert!(small <= 5, "the small answer came after {small} parts of {last}");
    // The first may have begun before the second was looked at, and then it ends before it.
    let turns = (last - small - 1) / 2 - 1;
    for (turn, pair) in listener.ids[small + 1..].chunks_exact(2).take(turns).enumerate() {
        assert_ne!(pair[0], pair[1], "turn {turn} after the small answer: {:?}", listener.ids);
    }
    assert_eq!(listener.values[0], (3, b"v".to_vec()));
    for number in [1, 2] {
        assert!(listener.values.contains(&(number, value.clone())), "answer {number}");
    }
}

#[tokio::test]
async fn a_large_value_from_the_disk_is_the_same_value() {
    let bench = Bench::new();
    let value = vec![b'v'; MIB];
    bench.engine.put("default", b"disk/large", value.clone());
    let mut peer = bench.connect_v2().await;
    peer.get(1, b"disk/large").await;
    let mut listener = Listener::new();
    while listener.values.is_empty() {
        listener.hear(&mut peer).await;
    }
    assert!(listener.values == [(1, value)]);
}

#[tokio::test]
async fn the_record_before_a_write_comes_in_parts_too() {
    use kvsd::protocol::v2::{Condition, Previous};
    let bench = Bench::new();
    bench.engine.put("default", b"k", vec![b'v'; MIB]);
    let mut peer = bench.connect_v2().await;
    let (condition, previous) = (Condition::Any, Previous::Return);
    peer.request(1, &Request::Delete { table: "default", key: b"k", condition, previous }).await;
    let mut listener = Listener::new();
    for _ in 0..=MIB / MAX_PART_BYTES {
        assert_eq!(listener.hear(&mut peer).await, 1);
    }
    peer.request(2, &Request::Ping).await;
    assert_eq!(listener.hear(&mut peer).await, 2);
}

#[tokio::test]
async fn parts_that_break_the_rules_end_the_connection_and_say_why() {
    let bench = Bench::with_limit(MIB);
    let full = [b'x'; MAX_PART_BYTES];
    let limit = limits(MIB).message_bytes;
    let ping = b"*2\r\n#P:1\r\n".to_vec();
    let mut whole = BytesMut::new();
    set(b"k", &full).encode(id_of(1), &mut whole);
    for (messages, reason) in [
        (vec![part(1, limit as u64, &full)], format!("at most {limit} bytes in all its parts")),
        (vec![part(1, 0, &full)], "must not come in parts".to_owned()),
        (vec![whole.to_vec()], "must come in parts".to_owned()),
        ((0..5).map(|id| part(id, 1000, &full)).collect(), "at most 4 messages".to_owned()),
        (vec![part(1, 1000, &full), ping], "was used for another".to_owned()),
        (vec![part(1, 1000, &full), part(1, 1, b"x")], "does not continue".to_owned()),
        (vec![b"*4\r\n#K:1\r\n:1000\r\n$0\r\n\r\n".to_vec()], "length is out of".to_owned()),
        (
            vec![part(1, 1000, &full), part(1, 0, &[b'x'; 1000])],
            "the parts of a message are none".to_owned(),
        ),
    ] {
        let mut peer = bench.connect_by(2 * MIB);
        peer.send(HELLO).await;
        peer.reply_bytes().await;
        peer.send(&messages.concat()).await;
        let (answer, ended) = peer.leave().await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("*4\r\n#f|+PROTOCOL\r\n+"), "{reason}: {answer:?}");
        assert!(answer.contains(&reason), "{reason}: {answer:?}");
        assert!(matches!(ended, Ended::Parted(_)), "{ended}");
    }
    assert!(bench.engine.batches().is_empty());
}

#[tokio::test]
async fn a_value_above_the_limit_that_fits_into_a_message_is_refused_and_the_connection_goes_on() {
    let bench = Bench::with_limit(MIB);
    let mut peer = bench.connect_v2().await;
    for part in parts_of(1, &set(b"k", &vec![0; MIB + 1])) {
        peer.send(&part).await;
    }
    let (id, reply) = peer.reply().await;
    assert_eq!(id, Some(1));
    assert!(reply.contains("Invalid") && reply.contains("a value has at most"), "{reply}");
    for part in parts_of(2, &set(b"k", &vec![0; MIB])) {
        peer.send(&part).await;
    }
    assert!(peer.reply().await.1.starts_with("Written"), "the largest value is taken");
}

#[tokio::test]
async fn a_client_that_leaves_amid_its_parts_has_written_nothing() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    let mut parts = parts_of(1, &set(b"k", &vec![0; MIB]));
    parts.pop();
    for part in parts {
        peer.send(&part).await;
    }
    let (rest, ended) = peer.leave().await;
    assert!(rest.is_empty() && matches!(ended, Ended::Left), "{rest:?} {ended}");
    assert!(bench.engine.batches().is_empty());
}

#[tokio::test]
async fn the_last_word_comes_behind_the_last_part() {
    let bench = Bench::new();
    bench.engine.put("default", b"large", vec![b'v'; MIB]);
    let mut peer = bench.connect_v2().await;
    peer.get(1, b"large").await;
    let mut listener = Listener::new();
    assert_eq!(listener.hear(&mut peer).await, 1);
    bench.stopper.drain();
    for _ in 0..MIB / MAX_PART_BYTES {
        assert_eq!(listener.hear(&mut peer).await, 1);
    }
    assert_eq!(listener.values.len(), 1);
    let (id, reply) = peer.reply().await;
    assert!(id.is_none() && reply.contains("Closing"), "{reply}");
}

#[tokio::test]
async fn both_sides_full_of_large_messages_go_on_as_soon_as_one_reads() {
    let bench = Bench::new();
    let value = vec![b'v'; 10 * MIB];
    bench.engine.put("default", b"large", value.clone());
    let peer = bench.connect_v2().await;
    // Four large writes begin, then more large reads than may wait for one who does not read.
    let keys: [&[u8]; 4] = [b"k0", b"k1", b"k2", b"k3"];
    let parts = (0..).zip(keys).map(|(id, key)| parts_of(id, &set(key, &value)).into_iter());
    let mut writes: Vec<_> = parts.collect();
    let mut script = Vec::new();
    for parts in &mut writes {
        script.extend(parts.by_ref().take(80).flatten());
    }
    for id in 100..110 {
        let mut out = BytesMut::new();
        Request::Get { table: "default", key: b"large", freshness: Freshness::Latest }
            .encode(id_of(id), &mut out);
        script.extend_from_slice(&out);
    }
    script.extend(writes.into_iter().flatten().flatten());

    let Peer { stream, session, .. } = peer;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let writing = tokio::spawn(async move {
        writer.write_all(&script).await.unwrap();
        writer
    });
    // Nobody reads until nothing moves any more.
    let mut reads = usize::MAX;
    while reads != bench.engine.reads.load(std::sync::atomic::Ordering::Relaxed) {
        reads = bench.engine.reads.load(std::sync::atomic::Ordering::Relaxed);
        for _ in 0..1000 {
            yield_now().await;
        }
    }
    assert!(!writing.is_finished());
    assert!((4..=5).contains(&reads), "{reads} large answers wait");

    let mut said = BytesMut::new();
    let reading = async {
        let mut decoder = Decoder::new(stream_limits(limits(10 * MIB)));
        let mut assembler = Assembler::new(Sender::Server, limits(10 * MIB));
        let mut answered = 0;
        while answered < 14 {
            while let Some(message) = decoder.decode(&said).unwrap() {
                let arrival = assembler.take(&message).unwrap();
                answered += usize::from(!matches!(arrival, Arrival::Part));
                let length = message.byte_len();
                said.advance(length);
            }
            assert!(answered == 14 || reader.read_buf(&mut said).await.unwrap() > 0);
        }
    };
    let (written, ()) = tokio::join!(writing, reading);
    drop((written.unwrap(), reader));
    assert!(matches!(session.await.unwrap(), Ended::Left | Ended::Broken(_)));
    for key in keys {
        assert!(bench.engine.value("default", key).is_some_and(|stored| stored == value));
    }
}
