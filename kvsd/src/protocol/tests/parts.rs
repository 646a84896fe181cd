//! Large messages in parts: bytes that never change, rules that hold, memory by what arrived.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::protocol::v2::part::{
    Arrival, Assembler, Backing, Chunk, Cut, Cutter, MAX_IN_PARTS, MAX_PART_BYTES, Part, PartError,
    Sender, stream_limits,
};
use crate::protocol::v2::{Condition, Previous, Request};

const MIB: usize = 1024 * 1024;
const WHOLE: FrameLimits = FrameLimits { message_bytes: MIB, frames: 32, line_bytes: 1024 };

fn part(sender: Sender, number: u64, remaining: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    Part { remaining, bytes }.encode(sender, id(number), &mut out);
    out.to_vec()
}

/// A part of a request.
fn request_part(number: u64, remaining: u64, bytes: &[u8]) -> Vec<u8> {
    part(Sender::Client, number, remaining, bytes)
}

/// The message of a set whose value is so large.
fn set(number: u64, value: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    let (condition, previous) = (Condition::Any, Previous::Omit);
    Request::Set { table: "t", key: b"k", value, condition, expiry: None, previous }
        .encode(id(number), &mut out);
    out.to_vec()
}

/// What an assembler makes of one message on the stream.
fn take(assembler: &mut Assembler, bytes: &[u8]) -> Result<Arrival, PartError> {
    let mut decoder = Decoder::new(stream_limits(WHOLE));
    let message = whole(&mut decoder, bytes, |message| *message);
    assembler.take(&message)
}

/// How a sequence of messages on the stream ends, the opening of what was joined included.
fn end_of(messages: &[Vec<u8>]) -> Result<(), PartError> {
    let mut assembler = Assembler::new(Sender::Client, WHOLE);
    for message in messages {
        if let Arrival::Assembled(mut whole) = take(&mut assembler, message)? {
            whole.open()?;
        }
    }
    Ok(())
}

#[test]
fn the_bytes_of_a_part_are_fixed_and_say_what_was_meant() {
    let largest = i64::MAX as u64;
    for (sender, number, remaining, content, bytes) in [
        (
            Sender::Client,
            7,
            40_000,
            &b"a\r\nb"[..],
            &b"*4\r\n#K:7\r\n:40000\r\n$4\r\na\r\nb\r\n"[..],
        ),
        (Sender::Server, 0, 0, b"\0", b"*4\r\n#k:0\r\n:0\r\n$1\r\n\0\r\n"),
        (
            Sender::Server,
            largest,
            largest,
            b"x",
            b"*4\r\n#k:9223372036854775807\r\n:9223372036854775807\r\n$1\r\nx\r\n",
        ),
    ] {
        let written = part(sender, number, remaining, content);
        assert_eq!(written.escape_ascii().to_string(), bytes.escape_ascii().to_string());
        let mut decoder = decoder();
        let read = whole(&mut decoder, bytes, |message| {
            assert_eq!(message.kind(), sender.kind());
            Part::parse(message)
        });
        assert_eq!(read, Ok((id(number), Part { remaining, bytes: content })));
    }
}

#[test]
fn a_part_off_its_form_is_refused_by_name() {
    let range = |field| FieldError::OutOfRange { field };
    let too_long = format!("*4\r\n#K:1\r\n:9\r\n${}\r\n", MAX_PART_BYTES + 1);
    let too_long = [too_long.as_bytes(), &[b'x'; MAX_PART_BYTES + 1], b"\r\n"].concat();
    for (bytes, error) in [
        (&b"*1\r\n#K"[..], FieldError::Missing { wanted: "an integer" }),
        (b"*4\r\n#K:-1\r\n:1\r\n$1\r\nx\r\n", range("the request's id")),
        (b"*4\r\n#K:1\r\n:-1\r\n$1\r\nx\r\n", range("what remains of a message")),
        (b"*4\r\n#K:1\r\n|$1\r\nx\r\n", FieldError::Wrong { wanted: "an integer" }),
        (b"*3\r\n#K:1\r\n:1\r\n", FieldError::Missing { wanted: "bytes" }),
        (b"*4\r\n#K:1\r\n:1\r\n+x\r\n", FieldError::Wrong { wanted: "bytes" }),
        (b"*4\r\n#K:1\r\n:1\r\n$0\r\n\r\n", range("a part's length")),
        (b"*5\r\n#K:1\r\n:1\r\n$1\r\nx\r\n|", FieldError::TooMany),
        (&too_long, range("a part's length")),
    ] {
        assert_eq!(end_of(&[bytes.to_vec()]), Err(PartError::Form(error)));
    }
}

#[test]
fn parts_that_break_a_rule_are_refused_by_its_name() {
    let full = [b'x'; MAX_PART_BYTES];
    let limit = WHOLE.message_bytes;
    let rest = (limit - MAX_PART_BYTES) as u64;
    let begin = |number| request_part(number, 1000, &full);
    let ping = |number| {
        let mut out = BytesMut::new();
        Request::Ping.encode(id(number), &mut out);
        out.to_vec()
    };
    for (messages, error) in [
        (vec![request_part(1, rest + 1, &full)], PartError::TooLarge { limit }),
        (vec![request_part(1, i64::MAX as u64, &full)], PartError::TooLarge { limit }),
        (vec![request_part(1, 0, &full)], PartError::TooSmall),
        (vec![request_part(1, MAX_PART_BYTES as u64 - 1, b"x")], PartError::TooSmall),
        (vec![begin(1), request_part(1, 1000, b"x")], PartError::Discontinuous),
        (vec![begin(1), request_part(1, 998, b"x")], PartError::Discontinuous),
        (vec![begin(1), request_part(1, 0, &full)], PartError::Discontinuous),
        ((0..=MAX_IN_PARTS as u64).map(begin).collect(), PartError::TooMany),
        (vec![begin(1), ping(1)], PartError::IdInUse),
        (vec![set(1, &full)], PartError::Whole),
        (
            vec![begin(1), request_part(1, 0, &[b'x'; 1000])],
            PartError::Frame(FrameError::NoMessage { byte: b'x' }),
        ),
        (cut(1, &[set(1, &full), ping(1)].concat()), PartError::NotOneMessage),
        (
            cut(1, &[&b"*2\r\n#G$100000\r\n"[..], &full, &full[..9]].concat()),
            PartError::NotOneMessage,
        ),
        (cut(1, &request_part(1, 1000, &full)), PartError::Nested),
        (cut(2, &set(1, &full)), PartError::OtherId),
        (cut(1, &[&b"*3\r\n#f|$65536\r\n"[..], &full, b"\r\n"].concat()), PartError::OtherId),
    ] {
        assert_eq!(end_of(&messages), Err(error), "{error}");
    }
    assert_eq!(end_of(&[request_part(1, rest, &full)]), Ok(()), "a message of the limit");
    assert_eq!(end_of(&(0..4).map(begin).chain([ping(9)]).collect::<Vec<_>>()), Ok(()));
    assert_eq!(end_of(&[begin(1), part(Sender::Server, 2, 0, b"x")]), Ok(()), "not for us");
}

/// All parts of one message.
fn cut(number: u64, message: &[u8]) -> Vec<Vec<u8>> {
    let mut cutter = Cutter::new(Sender::Client);
    cutter.push(id(number), message.to_vec().into());
    let mut parts = Vec::new();
    loop {
        let mut out = BytesMut::new();
        match cutter.cut(&mut out) {
            Cut::Nothing => return parts,
            Cut::Part | Cut::Last(_) => parts.push(out.to_vec()),
        }
    }
}

#[test]
fn a_value_that_is_not_copied_makes_the_same_parts() {
    let value = vec![b'v'; 200_000];
    // A key that looks like an empty value.
    for key in [&b"k"[..], b"$0\r\n\r\n"] {
        let set = |value| {
            let (condition, previous) = (Condition::Absent, Previous::Return);
            let expiry = Some(v2::Expiry::At(time(1)));
            let set = Request::Set { table: "t", key, value, condition, expiry, previous };
            let mut out = BytesMut::new();
            set.encode(id(7), &mut out);
            out
        };
        let mut cutter = Cutter::new(Sender::Client);
        cutter.push_with_value(id(7), set(&[]), value.clone().into());
        let mut parts = BytesMut::new();
        while cutter.cut(&mut parts) != Cut::Nothing {}
        assert!(parts[..] == cut(7, &set(&value)).concat(), "other parts");
        assert_eq!(cutter.len(), 0);
    }
}

#[test]
fn the_first_four_messages_take_turns_and_the_others_wait() {
    let mut cutter = Cutter::new(Sender::Client);
    // Messages of 2, 3, 2, 3, 2, 3 parts.
    for number in 0..6_usize {
        let bytes = MAX_PART_BYTES * (2 + number % 2);
        cutter.push(id(number as u64), vec![b'x'; bytes].into());
    }
    let mut order = Vec::new();
    let mut last = Vec::new();
    loop {
        let (mut out, before) = (BytesMut::new(), cutter.len());
        match cutter.cut(&mut out) {
            Cut::Nothing => break,
            Cut::Part => {}
            Cut::Last(id) => last.push(id.get()),
        }
        assert_eq!(before - cutter.len(), MAX_PART_BYTES);
        order.push(whole(&mut Decoder::new(stream_limits(WHOLE)), &out, |message| {
            Part::parse(message).expect("a part").0.get()
        }));
    }
    assert_eq!(order, [0, 1, 2, 3, 0, 1, 2, 3, 4, 1, 5, 3, 4, 5, 5]);
    assert_eq!(last, [0, 2, 1, 3, 4, 5]);
    assert!(cutter.is_empty());
}

#[test]
fn memory_grows_by_what_has_arrived_and_is_moved_a_few_times() {
    const TOTAL: usize = 512 * 1024;
    let mut assembler = Assembler::new(Sender::Client, WHOLE);
    let (mut arrived, mut moves, mut capacity) = (0, 0, 0);
    while arrived < TOTAL {
        let piece = 1000.min(TOTAL - arrived);
        arrived += piece;
        let remaining = (TOTAL - arrived) as u64;
        take(&mut assembler, &request_part(1, remaining, &vec![b'x'; piece])).expect("in order");
        moves += usize::from(assembler.capacity() != capacity);
        capacity = assembler.capacity();
        assert!(capacity <= TOTAL.min(16 * arrived), "{capacity} bytes for {arrived}");
    }
    assert!(moves <= 5, "{moves} moves, the first and the last included");
    assert_eq!(assembler.capacity(), 0, "what is handed out is forgotten");
}

#[test]
fn a_large_value_is_kept_without_a_copy_and_a_small_one_by_a_copy() {
    let value = vec![b'v'; 100_000];
    let mut assembler = Assembler::new(Sender::Client, WHOLE);
    for part in cut(1, &set(1, &value)) {
        let Arrival::Assembled(mut whole) = take(&mut assembler, &part).expect("a part") else {
            continue;
        };
        let (message, backing) = whole.open().expect("a message");
        let Ok((_, Some(Request::Set { key, value: read, .. }))) = Request::parse(&message) else {
            panic!("it was a set");
        };
        assert_eq!(read, value);
        let mut chunk = Chunk::default();
        let (kept, copied) = (backing.keep(read, &mut chunk), backing.keep(key, &mut chunk));
        assert_eq!((&kept[..], &copied[..]), (read, key));
        assert_eq!(kept.as_ptr(), read.as_ptr());
        assert_ne!(copied.as_ptr(), key.as_ptr());
        assert_ne!(Backing::ReadBuffer.keep(read, &mut chunk).as_ptr(), read.as_ptr());
        return;
    }
    panic!("the last part completes it");
}

proptest! {
    #[test]
    fn messages_in_parts_come_through_among_small_ones(
        lengths in vec(MAX_PART_BYTES..3 * MAX_PART_BYTES, 1..8),
        small in vec(any::<bool>(), 30),
    ) {
        let mut cutter = Cutter::new(Sender::Client);
        let sent: Vec<_> = lengths.iter().enumerate().map(|(at, length)| {
            let message = set(at as u64, &vec![b'x'; *length]);
            cutter.push(id(at as u64), message.clone().into());
            message
        }).collect();
        let mut stream = BytesMut::new();
        let mut small = small.into_iter().cycle();
        while cutter.cut(&mut stream) != Cut::Nothing {
            if small.next() == Some(true) {
                Request::Ping.encode(id(1000), &mut stream);
            }
        }
        let mut decoder = Decoder::new(stream_limits(WHOLE));
        let mut assembler = Assembler::new(Sender::Client, WHOLE);
        let mut rest = &stream[..];
        let mut arrived = 0;
        while let Some(message) = decoder.decode(rest).expect("messages only") {
            if let Arrival::Assembled(mut whole) = assembler.take(&message).expect("by the rules") {
                let (message, _) = whole.open().expect("one message");
                let (id, request) = Request::parse(&message).expect("in form");
                let mut again = BytesMut::new();
                request.expect("a set").encode(id, &mut again);
                prop_assert_eq!(&again[..], &sent[usize::try_from(id.get()).expect("few")][..]);
                arrived += 1;
            }
            rest = &rest[message.byte_len()..];
        }
        prop_assert_eq!((arrived, rest.len()), (sent.len(), 0));
    }

    #[test]
    fn flipped_and_shuffled_parts_never_panic_and_never_pass_a_limit(
        order in vec(0..12_usize, 1..24),
        flips in vec((0..12_usize, any::<u16>(), 0..8_u32), 0..4),
    ) {
        let mut parts: Vec<_> = (0..3).flat_map(|number| {
            cut(number, &set(number, &vec![b'x'; 3 * MAX_PART_BYTES]))
        }).collect();
        for (which, at, bit) in flips {
            let which = which % parts.len();
            // The head is where it hurts.
            let at = usize::from(at) % 40;
            parts[which][at] ^= 1 << bit;
        }
        let mut decoder = Decoder::new(stream_limits(WHOLE));
        let mut assembler = Assembler::new(Sender::Client, WHOLE);
        for which in order {
            let bytes = &parts[which % parts.len()];
            let Ok(Some(message)) = decoder.decode(bytes) else { return Ok(()) };
            match assembler.take(&message) {
                Ok(Arrival::Assembled(mut whole)) => _ = whole.open().is_ok(),
                Ok(Arrival::Whole | Arrival::Part) => {}
                Err(_) => return Ok(()),
            }
            prop_assert!(assembler.capacity() <= MAX_IN_PARTS * WHOLE.message_bytes);
        }
    }
}
