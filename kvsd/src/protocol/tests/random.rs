//! What holds for all messages and for all bytes, tried on many.

use std::ops::Bound;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::golden::{Said, messages};
use super::*;
use crate::protocol::v2::hello::Credentials;
use crate::protocol::v2::part::Part;
use crate::protocol::v2::{
    Action, Before, Change, Changed, Condition, Detail, Expiry, FailCode, Freshness, Hello,
    Lifetime, Names, News, NewsChange, Order, Page, PageRecord, Position, Previous, Record, Reply,
    Request, Scan, Select, Statistics, Watch,
};
use crate::protocol::{BEFORE_AUTHENTICATION, admin, v1};
use crate::types::LARGEST_MAX_VALUE_BYTES;

/// Text as it comes through a string frame unchanged.
const TEXT: &str = "[^\\x00-\\x1f]{0,64}";
/// Bytes as they come through a line unchanged.
fn line() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..64).prop_map(|mut line| {
        line.retain(|byte| *byte != b'\n');
        line
    })
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..300)
}

fn ids() -> impl Strategy<Value = v2::RequestId> {
    (0..=i64::MAX as u64).prop_map(id)
}

fn versions() -> impl Strategy<Value = Version> {
    (1..=Version::MAX).prop_map(version)
}

fn times() -> impl Strategy<Value = UnixMillis> {
    (0..=i64::MAX as u64).prop_map(time)
}

fn conditions() -> impl Strategy<Value = Condition> {
    prop_oneof![
        Just(Condition::Any),
        Just(Condition::Absent),
        Just(Condition::Present),
        versions().prop_map(Condition::Version),
    ]
}

fn expiries() -> impl Strategy<Value = Expiry> {
    prop_oneof![times().prop_map(Expiry::At), times().prop_map(Expiry::After)]
}

fn bounds() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![
        Just(Bound::Unbounded),
        content().prop_map(Bound::Included),
        content().prop_map(Bound::Excluded),
    ]
}

fn previous() -> impl Strategy<Value = Previous> {
    select(vec![Previous::Omit, Previous::Return])
}

fn codes() -> impl Strategy<Value = FailCode> {
    let codes = messages().into_iter().filter_map(|(said, _)| match said {
        Said::LastFail(code, _) | Said::Reply(_, Reply::Fail { code, .. }) => Some(code),
        _ => None,
    });
    select(codes.collect::<Vec<_>>())
}

/// A message's bytes say what was meant: they are one message, and are read as that.
fn comes_through(said: &Said<'_>) -> Result<(), TestCaseError> {
    let bytes = said.encode();
    let mut decoder = Decoder::new(v2::limits(4096));
    let read = whole(&mut decoder, &bytes, |message| said.parse_alike(message));
    prop_assert_eq!(&read, said);
    Ok(())
}

proptest! {
    #[test]
    fn every_request_of_version_1_comes_through(
        (key, value, time) in (line(), content(), option::of(line())),
    ) {
        comes_through(&Said::V1Request(v1::Request::Ping { client_time: time.as_deref() }))?;
        comes_through(&Said::V1Request(v1::Request::Authenticate { user: &key, password: &key }))?;
        comes_through(&Said::V1Request(v1::Request::Set { key: &key, value: &value }))?;
        comes_through(&Said::V1Request(v1::Request::Get { key: &key }))?;
        comes_through(&Said::V1Request(v1::Request::Delete { key: &key }))?;
    }

    #[test]
    fn every_reply_of_version_1_comes_through(
        (value, time, text) in (option::of(content()), option::of(line()), TEXT),
    ) {
        let (client_time, server_time) = (time.as_deref(), "2020-12-05T01:02:04Z");
        comes_through(&Said::V1Reply(v1::Reply::Pong { client_time, server_time }))?;
        comes_through(&Said::V1Reply(v1::Reply::Success { value: value.as_deref() }))?;
        let code = v1::FailCode::Undefined;
        comes_through(&Said::V1Reply(v1::Reply::Fail { code, message: &text }))?;
    }

    #[test]
    fn every_hello_and_every_welcome_comes_through(
        (id, lowest, highest) in (ids(), any::<i64>(), any::<i64>()),
        credentials in option::of((content(), content())),
        (server, engine, durability) in (TEXT, TEXT, TEXT),
        max_value_bytes in 1..=LARGEST_MAX_VALUE_BYTES as u64,
        limit in 0..=i64::MAX as u64,
    ) {
        let credentials =
            credentials.as_ref().map(|(user, password)| Credentials { user, password });
        comes_through(&Said::Hello(id, Hello { lowest, highest, credentials }))?;
        let welcome = v2::Welcome {
            version: highest,
            server: &server,
            engine: &engine,
            durability: &durability,
            max_value_bytes,
            limits: vec![("one", limit), ("other", limit / 2)],
        };
        comes_through(&Said::Welcome(id, welcome))?;
    }

    #[test]
    fn every_request_comes_through_with_every_option(
        (id, table, key, value) in (ids(), TEXT, content(), content()),
        (condition, expiry, previous) in (conditions(), option::of(expiries()), previous()),
        (by, from, to, words) in (any::<i64>(), bounds(), bounds(), any::<[bool; 4]>()),
        moment in option::of(versions()),
        (incarnation, at, limit) in (option::of(any::<u64>()), times(), 1..=i64::MAX as u64),
    ) {
        let (table, key, value) = (&*table, &*key, &*value);
        comes_through(&Said::Request(id, Request::Ping))?;
        let freshness = if words[3] { Freshness::Stale } else { Freshness::Latest };
        comes_through(&Said::Request(id, Request::Get { table, key, freshness }))?;
        comes_through(&Said::Request(id, Request::Exists { table, key, freshness }))?;
        let request = |request| comes_through(&Said::Request(id, request));
        let set = Request::Set { table, key, value, condition, expiry, previous };
        let increment = Request::Increment { table, key, by, condition };
        request(set.clone())?;
        request(increment.clone())?;
        if condition != Condition::Absent {
            request(Request::Expire { table, key, expiry, condition })?;
        }
        let lifetime = Request::Lifetime { table, key, freshness };
        request(Request::Pipeline(vec![set, lifetime.clone(), increment]))?;
        request(lifetime)?;
        let actions = [
            Action::Set { value, expiry },
            Action::Delete,
            Action::Increment { by },
            Action::Expire { expiry },
            Action::Check,
        ];
        let changes = actions.map(|action| Change { key, condition, action }).to_vec();
        request(Request::Batch { table, changes })?;
        let order = if words[0] { Order::Ascending } else { Order::Descending };
        let detail = if words[1] { Detail::Keys } else { Detail::Records };
        let limit = words[2].then_some(limit);
        let (from, to) = (from.as_ref().map(|key| &**key), to.as_ref().map(|key| &**key));
        let scan = Scan { table, from, to, order, detail, limit, freshness, at: moment };
        request(Request::Scan(scan))?;
        let since = words[0].then_some(Position { incarnation, version: at.get() });
        for select in [Select::All, Select::Key(key), Select::Prefix(value)] {
            request(Request::Watch(Watch { table, since, wait_millis: at.get(), select }))?;
        }
        request(Request::Cancel)?;
        request(Request::CreateTable { table })?;
        request(Request::DropTable { table })?;
        request(Request::Tables { after: words[0].then_some(table) })?;
        request(Request::Statistics { table })?;
        if matches!(condition, Condition::Any | Condition::Version(_)) {
            comes_through(&Said::Request(id, Request::Delete { table, key, condition, previous }))?;
        }
    }

    #[test]
    fn every_reply_comes_through(
        (id, exists, server_time, code, message) in (ids(), any::<bool>(), times(), codes(), TEXT),
        (current, version) in (option::of(versions()), versions()),
        (expires_at, value) in (option::of(times()), content()),
    ) {
        let record = Record { version, expires_at, value: &value };
        comes_through(&Said::Reply(id, Reply::Pong { server_time }))?;
        comes_through(&Said::Reply(id, Reply::Value(None)))?;
        comes_through(&Said::Reply(id, Reply::Value(Some(record))))?;
        comes_through(&Said::Reply(id, Reply::Flag(exists)))?;
        for before in [Before::Absent, Before::Present, Before::Record(record)] {
            comes_through(&Said::Reply(id, Reply::Written { version: current, before }))?;
        }
        let reply = |reply| comes_through(&Said::Reply(id, reply));
        let conflict = Reply::Conflict { current, change: server_time.get() };
        let counter = Reply::Counter { version, value: i64::MIN };
        reply(conflict.clone())?;
        reply(counter.clone())?;
        reply(Reply::Pipeline(vec![conflict, Reply::Value(Some(record)), counter]))?;
        for lifetime in
            [Lifetime::Absent, Lifetime::Endless, Lifetime::Left { millis: version.get() }]
        {
            reply(Reply::Lifetime(lifetime))?;
        }
        let changed = Changed { existed: exists, counter: exists.then_some(-1) };
        reply(Reply::Batch { version: current, changed: vec![changed; 3] })?;
        let (key, value) = (&*value, exists.then_some(&*value));
        let records = vec![PageRecord { key, version, value, expires_at }; 2];
        reply(Reply::Page(Page { at: current, next: value, records }))?;
        let until = Position { incarnation: exists.then_some(u64::MAX), version: version.get() };
        let changes = vec![NewsChange { key, version, value, expires_at }; 2];
        reply(Reply::News(News { until, changes }))?;
        reply(Reply::Gap { now: until })?;
        reply(Reply::Tables(Names { more: exists, names: vec![&message; 2] }))?;
        reply(Reply::Statistics(exists.then_some(Statistics {
            keys: version.get(),
            live_bytes: 0,
            dead_bytes: 0,
            segments: 0,
            disk_bytes: server_time.get(),
            last_version: current,
            incarnation: version.get() << 1,
            stopped: exists.then_some(&message),
        })))?;
        comes_through(&Said::Reply(id, Reply::Fail { code, message: &message }))?;
        comes_through(&Said::LastFail(code, &message))?;
    }

    #[test]
    fn surplus_frames_are_skipped_in_a_reply_and_refused_in_a_request(
        which in any::<Index>(),
        frames in vec(select(vec![&b"|"[..], b":7\r\n", b"$1\r\n|\r\n", b":-9\r\n"]), 1..8),
    ) {
        let messages = messages();
        let (said, bytes) = which.get(&messages);
        let longer = with_frames(bytes, &frames);
        let mut decoder = decoder();
        match said {
            // What ends in a list has no end of its own.
            Said::Reply(
                _,
                Reply::Batch { .. }
                | Reply::Pipeline(_)
                | Reply::Page(_)
                | Reply::News(_)
                | Reply::Tables(_),
            ) => {}
            Said::Reply(..) | Said::LastFail(..) => {
                let read = whole(&mut decoder, &longer, |message| said.parse_alike(message));
                prop_assert_eq!(&read, said);
            }
            Said::Request(id, _) => {
                let refused = whole(&mut decoder, &longer, Request::parse);
                prop_assert_eq!(refused.map_err(|error| error.id).err(), Some(Some(*id)));
            }
            Said::V1Request(_) => {
                prop_assert!(whole(&mut decoder, &longer, v1::Request::parse).is_err());
            }
            Said::Hello(_, hello) => {
                let read = whole(&mut decoder, &longer, |message| Hello::parse(message).is_ok());
                prop_assert_eq!(read, hello.highest > v2::VERSION);
            }
            // A welcome grows by pairs, version 1's replies never.
            Said::Welcome(..) | Said::V1Reply(_) => {}
        }
    }

    #[test]
    fn an_unknown_option_is_refused_wherever_it_stands(
        option in TEXT,
        (at, known) in (0..=3_usize, Just(["+absent\r\n", "+expires\r\n:1\r\n", "+previous\r\n"])),
    ) {
        prop_assume!(!["absent", "present", "version", "expires", "ttl", "previous"].contains(&&*option));
        let unknown = format!("+{option}\r\n");
        let mut options = known.to_vec();
        options.insert(at, &unknown);
        let bytes =
            format!("*10\r\n#S:1\r\n+t\r\n$1\r\nk\r\n$1\r\nv\r\n{}", options.concat());
        let mut decoder = decoder();
        let refused = whole(&mut decoder, bytes.as_bytes(), Request::parse);
        let refused = refused.expect_err("an unknown option");
        prop_assert_eq!((refused.id, refused.cause), (Some(id(1)), FieldError::UnknownOption));
    }

    #[test]
    fn an_unknown_option_of_a_read_is_refused_wherever_it_stands(
        option in TEXT,
        (kind, is_first) in (select(vec!['G', 'E', 'Y']), any::<bool>()),
    ) {
        prop_assume!(option != "stale");
        let unknown = format!("+{option}\r\n");
        let options = if is_first { [&unknown, "+stale\r\n"] } else { ["+stale\r\n", &unknown] };
        let bytes = format!("*6\r\n#{kind}:1\r\n+t\r\n$1\r\nk\r\n{}", options.concat());
        let mut decoder = decoder();
        let refused = whole(&mut decoder, bytes.as_bytes(), Request::parse);
        let refused = refused.expect_err("an unknown option");
        prop_assert_eq!((refused.id, refused.cause), (Some(id(1)), FieldError::UnknownOption));
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_never_pass_a_limit(
        bytes in vec(any::<u8>(), 0..200),
        cuts in vec(1..40_usize, 1..8),
    ) {
        check_stream(&bytes, &cuts)?;
        check_stream(&[b"*4\r\n#G", &bytes[..]].concat(), &cuts)?;
    }

    #[test]
    fn shuffled_frames_never_panic_and_never_pass_a_limit(
        pieces in vec(select(PIECES), 0..60),
        cuts in vec(1..40_usize, 1..8),
    ) {
        check_stream(&pieces.concat(), &cuts)?;
    }

    #[test]
    fn mutated_messages_never_panic_and_never_pass_a_limit(
        which in vec(any::<Index>(), 1..6),
        mutations in vec((any::<Index>(), any::<u8>(), 0..4_u8), 1..6),
        cuts in vec(1..40_usize, 1..8),
    ) {
        let messages = messages();
        let chosen: Vec<_> = which.iter().map(|which| which.get(&messages).1).collect();
        let mut bytes = chosen.concat();
        for (at, byte, mutation) in mutations {
            let at = at.index(bytes.len());
            match mutation {
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << (byte % 8),
                2 => bytes.insert(at, byte),
                _ if bytes.len() > 1 => _ = bytes.remove(at),
                _ => {}
            }
        }
        check_stream(&bytes, &cuts)?;
    }
}

const PIECES: &[&[u8]] = &[
    b"*",
    b"#",
    b"+",
    b"$",
    b"T",
    b"|",
    b":",
    b"\r\n",
    b"\r",
    b"\n",
    b"0",
    b"1",
    b"2",
    b"7",
    b"-",
    b"*1\r\n",
    b"*2\r\n#G",
    b"*4\r\n#S:1\r\n",
    b"$3\r\nabc\r\n",
    b":1\r\n",
    b"+absent\r\n",
    b"+stale\r\n",
    b"+at\r\n",
    b"H",
    b"f",
    b"18446744073709551615",
    b"9223372036854775808",
    b"\xff",
    b"\x16\x03\x01",
];

/// The message with frames behind its last one.
fn with_frames(message: &[u8], frames: &[&[u8]]) -> Vec<u8> {
    let count = whole(&mut decoder(), message, |message| {
        let mut fields = message.fields();
        let mut count = 1;
        while !fields.is_empty() {
            let _ = fields.null()
                || fields.string_bytes().is_ok()
                || fields.bytes().is_ok()
                || fields.integer().is_ok()
                || fields.time().is_ok();
            count += 1;
        }
        count
    });
    let head = format!("*{count}\r\n");
    let body = message.strip_prefix(head.as_bytes()).expect("a canonical count");
    [format!("*{}\r\n", count + frames.len()).as_bytes(), body, &frames.concat()].concat()
}

/// Follows a stream, at once and in pieces: both ways the same messages, none above the limits, and
/// every parser runs on every message.
fn check_stream(stream: &[u8], cuts: &[usize]) -> Result<(), TestCaseError> {
    for limits in
        [BEFORE_AUTHENTICATION, FrameLimits { message_bytes: 60, frames: 4, line_bytes: 9 }]
    {
        let at_once = follow(limits, stream, &[stream.len().max(1)])?;
        let in_pieces = follow(limits, stream, cuts)?;
        prop_assert_eq!(at_once, in_pieces);
    }
    Ok(())
}

/// The lengths of the messages in a stream that arrives in pieces of these lengths, over and over;
/// and whether it could be followed to its end.
fn follow(
    limits: FrameLimits,
    stream: &[u8],
    pieces: &[usize],
) -> Result<(Vec<usize>, bool), TestCaseError> {
    let mut decoder = Decoder::new(limits);
    let (mut start, mut end) = (0, 0);
    let mut lengths = Vec::new();
    for piece in pieces.iter().cycle() {
        end = stream.len().min(end + piece);
        loop {
            match decoder.decode(&stream[start..end]) {
                Err(_) => return Ok((lengths, false)),
                Ok(None) => break,
                Ok(Some(message)) => {
                    prop_assert!(message.byte_len() <= limits.message_bytes);
                    parse_in_every_way(&message);
                    start += message.byte_len();
                    lengths.push(message.byte_len());
                }
            }
        }
        prop_assert!(end - start < limits.message_bytes, "more is kept than the limit");
        if end == stream.len() {
            break;
        }
    }
    Ok((lengths, true))
}

/// Results do not matter here: nothing may panic, whoever the message was meant for.
fn parse_in_every_way(message: &Message<'_>) {
    let _ = v1::Request::parse(message);
    let _ = Hello::parse(message);
    let _ = v2::Welcome::parse(message);
    let _ = Request::parse(message);
    let _ = Reply::parse(message);
    let _ = Part::parse(message);
    let _ = admin::Request::parse(message);
    let _ = admin::Reply::parse(message);
}
