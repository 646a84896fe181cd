//! The bytes of every frame and every message, in both directions. They never change: a server of
//! today meets clients of years.

use std::ops::Bound;

use bytes::BytesMut;

use super::*;
use crate::protocol::frame::FrameWriter;
use crate::protocol::v1;
use crate::protocol::v2::hello::Credentials;
use crate::protocol::v2::{
    Action, Before, Change, Changed, Condition, Detail, Expiry, FailCode, Freshness, Hello,
    Lifetime, Names, News, NewsChange, Order, Page, PageRecord, Position, Previous, Record, Scan,
    Select, Statistics, Watch, Welcome,
};

/// What a message says, and to which parser.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said<'a> {
    V1Request(v1::Request<'a>),
    V1Reply(v1::Reply<'a>),
    Hello(v2::RequestId, Hello<'a>),
    Welcome(v2::RequestId, Welcome<'a>),
    Request(v2::RequestId, v2::Request<'a>),
    Reply(v2::RequestId, v2::Reply<'a>),
    LastFail(FailCode, &'a str),
}

impl Said<'_> {
    /// The message's bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = BytesMut::new();
        match self {
            Said::V1Request(request) => encode_v1_request(request, &mut out),
            Said::V1Reply(reply) => reply.encode(&mut out),
            Said::Hello(id, hello) => hello.encode(*id, &mut out),
            Said::Welcome(id, welcome) => welcome.encode(*id, &mut out),
            Said::Request(id, request) => request.encode(*id, &mut out),
            Said::Reply(id, reply) => reply.encode(*id, &mut out),
            Said::LastFail(code, message) => v2::Reply::encode_last(*code, message, &mut out),
        }
        out.to_vec()
    }

    /// What the parser for this kind of message makes of one.
    pub(super) fn parse_alike<'b>(&self, message: &Message<'b>) -> Said<'b> {
        match self {
            Said::V1Request(_) => Said::V1Request(
                v1::Request::parse(message).expect("in form").expect("a type of version 1"),
            ),
            Said::V1Reply(_) => Said::V1Reply(parse_v1_reply(message)),
            Said::Hello(..) => {
                assert_eq!(message.kind(), v2::hello::HELLO);
                let (id, hello) = Hello::parse(message).expect("in form");
                Said::Hello(id, hello)
            }
            Said::Welcome(..) => {
                let (id, welcome) = Welcome::parse(message).expect("in form");
                Said::Welcome(id, welcome)
            }
            Said::Request(..) => {
                let (id, request) = v2::Request::parse(message).expect("in form");
                Said::Request(id, request.expect("a type of version 2"))
            }
            Said::Reply(..) | Said::LastFail(..) => {
                match v2::Reply::parse(message).expect("in form") {
                    (Some(id), Some(reply)) => Said::Reply(id, reply),
                    (None, Some(v2::Reply::Fail { code, message })) => {
                        Said::LastFail(code, message)
                    }
                    other => panic!("a reply: {other:?}"),
                }
            }
        }
    }
}

/// Version 1's client side is not ours; the tests play it.
fn encode_v1_request(request: &v1::Request<'_>, out: &mut BytesMut) {
    let line = |prefix: &str, text: &[u8]| [prefix.as_bytes(), text, b"\r\n"].concat();
    let bytes = |content: &[u8]| line(&format!("${}\r\n", content.len()), content);
    let message = match *request {
        v1::Request::Ping { client_time } => {
            let time = client_time.map_or_else(|| b"|".to_vec(), |time| line("T", time));
            [b"*3\r\n#\x01", &time[..], b"|"].concat()
        }
        v1::Request::Authenticate { user, password } => {
            [b"*3\r\n#\x02", &line("+", user)[..], &line("+", password)].concat()
        }
        v1::Request::Set { key, value } => {
            [b"*3\r\n#\x05", &line("+", key)[..], &bytes(value)].concat()
        }
        v1::Request::Get { key } => [b"*2\r\n#\x06", &line("+", key)[..]].concat(),
        v1::Request::Delete { key } => [b"*2\r\n#\x07", &line("+", key)[..]].concat(),
    };
    out.extend_from_slice(&message);
}

/// As version 1's client reads: exactly these frames, and nothing behind.
fn parse_v1_reply<'a>(message: &Message<'a>) -> v1::Reply<'a> {
    let mut fields = message.fields();
    let reply = match message.kind() {
        1 => v1::Reply::Pong {
            client_time: if fields.null() { None } else { Some(fields.time().expect("a time")) },
            server_time: std::str::from_utf8(fields.time().expect("a time")).expect("ASCII"),
        },
        3 => v1::Reply::Success {
            value: if fields.null() { None } else { Some(fields.bytes().expect("bytes")) },
        },
        4 => {
            let code = match fields.string().expect("a string") {
                "UNAUTHENTICATED" => v1::FailCode::Unauthenticated,
                "UNEXPECTED_MESSAGE" => v1::FailCode::UnexpectedMessage,
                "UNDEFINED" => v1::FailCode::Undefined,
                other => panic!("{other} is no code of version 1"),
            };
            v1::Reply::Fail { code, message: fields.string().expect("a string") }
        }
        other => panic!("no reply of version 1 has type {other}"),
    };
    fields.finish().expect("nothing behind");
    reply
}

const SET: v2::Request<'static> = v2::Request::Set {
    table: "default",
    key: b"hello",
    value: b"rust",
    condition: Condition::Any,
    expiry: None,
    previous: Previous::Omit,
};
const DELETE: v2::Request<'static> = v2::Request::Delete {
    table: "default",
    key: b"hello",
    condition: Condition::Any,
    previous: Previous::Omit,
};

/// A set of `hello` to `rust` with these options.
fn set(condition: Condition, expiry: Option<Expiry>, previous: Previous) -> v2::Request<'static> {
    let (table, key, value) = ("default", b"hello", b"rust");
    v2::Request::Set { table, key, value, condition, expiry, previous }
}

fn delete(condition: Condition, previous: Previous) -> v2::Request<'static> {
    v2::Request::Delete { table: "default", key: b"hello", condition, previous }
}

fn record(expires_at: Option<UnixMillis>) -> Record<'static> {
    Record { version: version(42), expires_at, value: b"rust" }
}

/// Every message of both versions: what it says, and its bytes.
#[rustfmt::skip]
pub(super) fn messages() -> Vec<(Said<'static>, &'static [u8])> {
    use Said::{LastFail, Reply, Request, V1Reply, V1Request};
    let now = Some(&b"2020-12-05T01:02:03.123456789+00:00"[..]);
    let end = Some(time(1_700_000_000_000));
    let at_end = end.map(Expiry::At);
    let after = Some(Expiry::After(time(900_000)));
    let of_version = Condition::Version(version(42));
    let fail = |code| v2::Reply::Fail { code, message: "why" };
    vec![
        (V1Request(v1::Request::Ping { client_time: now }),
            b"*3\r\n#\x01T2020-12-05T01:02:03.123456789+00:00\r\n|"),
        (V1Request(v1::Request::Ping { client_time: None }),
            b"*3\r\n#\x01||"),
        (V1Request(v1::Request::Authenticate { user: b"app", password: b"secret" }),
            b"*3\r\n#\x02+app\r\n+secret\r\n"),
        (V1Request(v1::Request::Authenticate { user: b"", password: b"" }),
            b"*3\r\n#\x02+\r\n+\r\n"),
        (V1Request(v1::Request::Set { key: b"hello", value: b"ru\r\nst" }),
            b"*3\r\n#\x05+hello\r\n$6\r\nru\r\nst\r\n"),
        (V1Request(v1::Request::Set { key: b"hello", value: b"" }),
            b"*3\r\n#\x05+hello\r\n$0\r\n\r\n"),
        (V1Request(v1::Request::Get { key: b"hello" }),
            b"*2\r\n#\x06+hello\r\n"),
        (V1Request(v1::Request::Get { key: b"caf\xe9" }),
            b"*2\r\n#\x06+caf\xe9\r\n"),
        (V1Request(v1::Request::Delete { key: b"hello" }),
            b"*2\r\n#\x07+hello\r\n"),

        (V1Reply(v1::Reply::Pong { client_time: now, server_time: "2020-12-05T01:02:04Z" }),
            b"*3\r\n#\x01T2020-12-05T01:02:03.123456789+00:00\r\nT2020-12-05T01:02:04Z\r\n"),
        (V1Reply(v1::Reply::Pong { client_time: None, server_time: "2020-12-05T01:02:04Z" }),
            b"*3\r\n#\x01|T2020-12-05T01:02:04Z\r\n"),
        (V1Reply(v1::Reply::Success { value: Some(b"ru\r\nst") }),
            b"*2\r\n#\x03$6\r\nru\r\nst\r\n"),
        (V1Reply(v1::Reply::Success { value: Some(b"") }),
            b"*2\r\n#\x03$0\r\n\r\n"),
        (V1Reply(v1::Reply::Success { value: None }),
            b"*2\r\n#\x03|"),
        (V1Reply(v1::Reply::Fail { code: v1::FailCode::Unauthenticated, message: "why" }),
            b"*3\r\n#\x04+UNAUTHENTICATED\r\n+why\r\n"),
        (V1Reply(v1::Reply::Fail { code: v1::FailCode::UnexpectedMessage, message: "" }),
            b"*3\r\n#\x04+UNEXPECTED_MESSAGE\r\n+\r\n"),
        (V1Reply(v1::Reply::Fail { code: v1::FailCode::Undefined, message: "why" }),
            b"*3\r\n#\x04+UNDEFINED\r\n+why\r\n"),

        (Said::Hello(id(0), Hello { lowest: 2, highest: 2, credentials: Some(
            Credentials { user: b"app", password: b"se\r\ncret" }) }),
            b"*6\r\n#H:0\r\n:2\r\n:2\r\n$3\r\napp\r\n$8\r\nse\r\ncret\r\n"),
        (Said::Hello(id(1), Hello { lowest: 2, highest: 9, credentials: None }),
            b"*6\r\n#H:1\r\n:2\r\n:9\r\n||"),
        (Said::Welcome(id(0), Welcome {
            version: 2, server: "kvsd-server/0.2.0", engine: "log", durability: "always",
            max_value_bytes: 10_485_760, limits: vec![("max-batch", 1024), ("new", 0)] }),
            b"*15\r\n#h:0\r\n:2\r\n+server\r\n+kvsd-server/0.2.0\r\n+engine\r\n+log\r\n\
              +durability\r\n+always\r\n+max-value-bytes\r\n:10485760\r\n\
              +max-batch\r\n:1024\r\n+new\r\n:0\r\n"),

        (Request(id(0), v2::Request::Ping),
            b"*2\r\n#P:0\r\n"),
        (Request(id(i64::MAX as u64), v2::Request::Ping),
            b"*2\r\n#P:9223372036854775807\r\n"),
        (Request(id(7), v2::Request::Get {
            table: "default", key: b"hello", freshness: Freshness::Latest }),
            b"*4\r\n#G:7\r\n+default\r\n$5\r\nhello\r\n"),
        (Request(id(7), v2::Request::Get {
            table: "default", key: b"\r\n\0\xff", freshness: Freshness::Latest }),
            b"*4\r\n#G:7\r\n+default\r\n$4\r\n\r\n\0\xff\r\n"),
        (Request(id(8), v2::Request::Exists {
            table: "users", key: b"user/7", freshness: Freshness::Latest }),
            b"*4\r\n#E:8\r\n+users\r\n$6\r\nuser/7\r\n"),
        (Request(id(7), v2::Request::Get {
            table: "default", key: b"hello", freshness: Freshness::Stale }),
            b"*5\r\n#G:7\r\n+default\r\n$5\r\nhello\r\n+stale\r\n"),
        (Request(id(8), v2::Request::Exists {
            table: "users", key: b"user/7", freshness: Freshness::Stale }),
            b"*5\r\n#E:8\r\n+users\r\n$6\r\nuser/7\r\n+stale\r\n"),
        (Request(id(11), v2::Request::Lifetime {
            table: "default", key: b"hello", freshness: Freshness::Stale }),
            b"*5\r\n#Y:11\r\n+default\r\n$5\r\nhello\r\n+stale\r\n"),
        (Request(id(9), SET),
            b"*5\r\n#S:9\r\n+default\r\n$5\r\nhello\r\n$4\r\nrust\r\n"),
        (Request(id(9), set(Condition::Absent, None, Previous::Omit)),
            b"*6\r\n#S:9\r\n+default\r\n$5\r\nhello\r\n$4\r\nrust\r\n+absent\r\n"),
        (Request(id(9), set(Condition::Present, None, Previous::Omit)),
            b"*6\r\n#S:9\r\n+default\r\n$5\r\nhello\r\n$4\r\nrust\r\n+present\r\n"),
        (Request(id(9), set(Condition::Version(version(42)), None, Previous::Omit)),
            b"*7\r\n#S:9\r\n+default\r\n$5\r\nhello\r\n$4\r\nrust\r\n+version\r\n:42\r\n"),
        (Request(id(9), set(Condition::Any, at_end, Previous::Omit)),
            b"*7\r\n#S:9\r\n+default\r\n$5\r\nhello\r\n$4\r\nrust\r\n\
              +expires\r\n:1700000000000\r\n"),
        (Request(id(9), set(Condition::Any, None, Previous::Return)),
            b"*6\r\n#S:9\r\n+default\r\n$5\r\nhello\r\n$4\r\nrust\r\n+previous\r\n"),
        (Request(id(9), set(Condition::Version(version(42)), at_end, Previous::Return)),
            b"*10\r\n#S:9\r\n+default\r\n$5\r\nhello\r\n$4\r\nrust\r\n+version\r\n:42\r\n\
              +expires\r\n:1700000000000\r\n+previous\r\n"),
        (Request(id(10), DELETE),
            b"*4\r\n#D:10\r\n+default\r\n$5\r\nhello\r\n"),
        (Request(id(10), delete(Condition::Version(version(42)), Previous::Omit)),
            b"*6\r\n#D:10\r\n+default\r\n$5\r\nhello\r\n+version\r\n:42\r\n"),
        (Request(id(10), delete(Condition::Any, Previous::Return)),
            b"*5\r\n#D:10\r\n+default\r\n$5\r\nhello\r\n+previous\r\n"),

        (Request(id(9), set(Condition::Any, after, Previous::Omit)),
            b"*7\r\n#S:9\r\n+default\r\n$5\r\nhello\r\n$4\r\nrust\r\n+ttl\r\n:900000\r\n"),
        (Request(id(11), v2::Request::Lifetime {
            table: "default", key: b"hello", freshness: Freshness::Latest }),
            b"*4\r\n#Y:11\r\n+default\r\n$5\r\nhello\r\n"),
        (Request(id(12), v2::Request::Increment {
            table: "default", key: b"n", by: -7, condition: Condition::Any }),
            b"*5\r\n#I:12\r\n+default\r\n$1\r\nn\r\n:-7\r\n"),
        (Request(id(12), v2::Request::Increment {
            table: "default", key: b"n", by: 1, condition: of_version }),
            b"*7\r\n#I:12\r\n+default\r\n$1\r\nn\r\n:1\r\n+version\r\n:42\r\n"),
        (Request(id(13), v2::Request::Expire {
            table: "default", key: b"hello", expiry: None, condition: Condition::Any }),
            b"*4\r\n#X:13\r\n+default\r\n$5\r\nhello\r\n"),
        (Request(id(13), v2::Request::Expire {
            table: "default", key: b"hello", expiry: after, condition: Condition::Present }),
            b"*7\r\n#X:13\r\n+default\r\n$5\r\nhello\r\n+present\r\n+ttl\r\n:900000\r\n"),
        (Request(id(14), v2::Request::Batch { table: "bank", changes: vec![
            Change { key: b"a", condition: of_version,
                action: Action::Set { value: b"1", expiry: at_end } },
            Change { key: b"b", condition: Condition::Any, action: Action::Delete },
            Change { key: b"c", condition: Condition::Any, action: Action::Increment { by: -5 } },
            Change { key: b"d", condition: Condition::Present,
                action: Action::Expire { expiry: None } },
            Change { key: b"e", condition: Condition::Absent, action: Action::Check },
        ] }),
            b"*21\r\n#B:14\r\n+bank\r\n\
              +set\r\n$1\r\na\r\n$1\r\n1\r\n+version\r\n:42\r\n+expires\r\n:1700000000000\r\n\
              +delete\r\n$1\r\nb\r\n\
              +increment\r\n$1\r\nc\r\n:-5\r\n\
              +expire\r\n$1\r\nd\r\n+present\r\n\
              +check\r\n$1\r\ne\r\n+absent\r\n"),
        (Request(id(15), v2::Request::Pipeline(vec![
            v2::Request::Get {
            table: "default", key: b"hello", freshness: Freshness::Latest },
            set(Condition::Absent, None, Previous::Omit),
        ])),
            b"*12\r\n#L:15\r\n\
              :3\r\n+G\r\n+default\r\n$5\r\nhello\r\n\
              :5\r\n+S\r\n+default\r\n$5\r\nhello\r\n$4\r\nrust\r\n+absent\r\n"),
        (Request(id(16), v2::Request::Scan(Scan {
            table: "users", from: Bound::Unbounded, to: Bound::Unbounded,
            order: Order::Ascending, detail: Detail::Records, limit: None,
            freshness: Freshness::Latest, at: None })),
            b"*3\r\n#R:16\r\n+users\r\n"),
        (Request(id(16), v2::Request::Scan(Scan {
            table: "users", from: Bound::Included(b"a"), to: Bound::Excluded(b"b"),
            order: Order::Descending, detail: Detail::Keys, limit: Some(100),
            freshness: Freshness::Latest, at: None })),
            b"*11\r\n#R:16\r\n+users\r\n+from\r\n$1\r\na\r\n+before\r\n$1\r\nb\r\n\
              +reverse\r\n+keys\r\n+limit\r\n:100\r\n"),
        (Request(id(16), v2::Request::Scan(Scan {
            table: "users", from: Bound::Excluded(b"a"), to: Bound::Unbounded,
            order: Order::Ascending, detail: Detail::Records, limit: Some(1),
            freshness: Freshness::Stale, at: Some(version(42)) })),
            b"*10\r\n#R:16\r\n+users\r\n+after\r\n$1\r\na\r\n+limit\r\n:1\r\n\
              +stale\r\n+at\r\n:42\r\n"),
        (Request(id(16), v2::Request::Scan(Scan {
            table: "users", from: Bound::Excluded(b"a"), to: Bound::Included(b"b"),
            order: Order::Ascending, detail: Detail::Records, limit: None,
            freshness: Freshness::Latest, at: None })),
            b"*7\r\n#R:16\r\n+users\r\n+after\r\n$1\r\na\r\n+to\r\n$1\r\nb\r\n"),
        (Request(id(17), v2::Request::Watch(Watch {
            table: "users", since: None, wait_millis: 0, select: Select::All })),
            b"*6\r\n#W:17\r\n+users\r\n||:0\r\n"),
        (Request(id(17), v2::Request::Watch(Watch {
            table: "users", since: Some(Position { incarnation: None, version: 42 }),
            wait_millis: 30_000, select: Select::Key(b"user/7") })),
            b"*8\r\n#W:17\r\n+users\r\n|:42\r\n:30000\r\n+key\r\n$6\r\nuser/7\r\n"),
        (Request(id(17), v2::Request::Watch(Watch {
            table: "users", since: Some(Position { incarnation: Some(u64::MAX), version: 0 }),
            wait_millis: 30_000, select: Select::Prefix(b"user/") })),
            b"*8\r\n#W:17\r\n+users\r\n:-1\r\n:0\r\n:30000\r\n+prefix\r\n$5\r\nuser/\r\n"),
        (Request(id(17), v2::Request::Cancel),
            b"*2\r\n#C:17\r\n"),
        (Request(id(18), v2::Request::CreateTable { table: "users" }),
            b"*3\r\n#N:18\r\n+users\r\n"),
        (Request(id(18), v2::Request::DropTable { table: "users" }),
            b"*3\r\n#Z:18\r\n+users\r\n"),
        (Request(id(19), v2::Request::Tables { after: None }),
            b"*3\r\n#T:19\r\n|"),
        (Request(id(19), v2::Request::Tables { after: Some("users") }),
            b"*3\r\n#T:19\r\n+users\r\n"),
        (Request(id(20), v2::Request::Statistics { table: "users" }),
            b"*3\r\n#Q:20\r\n+users\r\n"),

        (Reply(id(0), v2::Reply::Pong { server_time: time(1_700_000_000_000) }),
            b"*3\r\n#p:0\r\n:1700000000000\r\n"),
        (Reply(id(7), v2::Reply::Value(None)),
            b"*3\r\n#g:7\r\n|"),
        (Reply(id(7), v2::Reply::Value(Some(record(None)))),
            b"*5\r\n#g:7\r\n:42\r\n$4\r\nrust\r\n|"),
        (Reply(id(7), v2::Reply::Value(Some(record(end)))),
            b"*5\r\n#g:7\r\n:42\r\n$4\r\nrust\r\n:1700000000000\r\n"),
        (Reply(id(8), v2::Reply::Flag(false)),
            b"*3\r\n#e:8\r\n:0\r\n"),
        (Reply(id(8), v2::Reply::Flag(true)),
            b"*3\r\n#e:8\r\n:1\r\n"),
        (Reply(id(9), v2::Reply::Written { version: Some(version(43)), before: Before::Absent }),
            b"*4\r\n#w:9\r\n:43\r\n:0\r\n"),
        (Reply(id(9), v2::Reply::Written { version: Some(version(43)), before: Before::Present }),
            b"*4\r\n#w:9\r\n:43\r\n:1\r\n"),
        (Reply(id(9), v2::Reply::Written {
            version: Some(version(43)), before: Before::Record(record(None)) }),
            b"*7\r\n#w:9\r\n:43\r\n:2\r\n:42\r\n$4\r\nrust\r\n|"),
        (Reply(id(10), v2::Reply::Written { version: None, before: Before::Absent }),
            b"*4\r\n#w:10\r\n|:0\r\n"),
        (Reply(id(9), v2::Reply::Conflict { current: Some(version(43)), change: 0 }),
            b"*4\r\n#c:9\r\n:43\r\n:0\r\n"),
        (Reply(id(9), v2::Reply::Conflict { current: None, change: 3 }),
            b"*4\r\n#c:9\r\n|:3\r\n"),
        (Reply(id(11), v2::Reply::Lifetime(Lifetime::Absent)),
            b"*3\r\n#y:11\r\n:0\r\n"),
        (Reply(id(11), v2::Reply::Lifetime(Lifetime::Endless)),
            b"*3\r\n#y:11\r\n:1\r\n"),
        (Reply(id(11), v2::Reply::Lifetime(Lifetime::Left { millis: 900_000 })),
            b"*4\r\n#y:11\r\n:2\r\n:900000\r\n"),
        (Reply(id(12), v2::Reply::Counter { version: version(43), value: -7 }),
            b"*4\r\n#i:12\r\n:43\r\n:-7\r\n"),
        (Reply(id(14), v2::Reply::Batch { version: Some(version(43)), changed: vec![
            Changed { existed: true, counter: None }, Changed { existed: false, counter: Some(-5) },
        ] }),
            b"*7\r\n#b:14\r\n:43\r\n:1\r\n|:0\r\n:-5\r\n"),
        (Reply(id(14), v2::Reply::Batch { version: None, changed: vec![
            Changed { existed: false, counter: None } ] }),
            b"*5\r\n#b:14\r\n|:0\r\n|"),
        (Reply(id(15), v2::Reply::Pipeline(vec![
            v2::Reply::Value(Some(record(None))),
            v2::Reply::Conflict { current: Some(version(42)), change: 0 },
            fail(FailCode::Invalid),
        ])),
            b"*15\r\n#l:15\r\n:4\r\n+g\r\n:42\r\n$4\r\nrust\r\n|\
              :3\r\n+c\r\n:42\r\n:0\r\n:3\r\n+f\r\n+INVALID\r\n+why\r\n"),
        (Reply(id(16), v2::Reply::Page(Page { at: None, next: None, records: Vec::new() })),
            b"*3\r\n#r:16\r\n|"),
        (Reply(id(16), v2::Reply::Page(Page { at: None, next: Some(b"b"), records: vec![
            PageRecord { key: b"a", version: version(42), value: Some(b"1"), expires_at: end },
            PageRecord { key: b"b", version: version(43), value: None, expires_at: None },
        ] })),
            b"*11\r\n#r:16\r\n$1\r\nb\r\n$1\r\na\r\n:42\r\n$1\r\n1\r\n:1700000000000\r\n\
              $1\r\nb\r\n:43\r\n||"),
        (Reply(id(16), v2::Reply::Page(Page {
            at: Some(version(43)), next: None, records: vec![
            PageRecord { key: b"a", version: version(42), value: Some(b"1"), expires_at: end },
        ] })),
            b"*8\r\n#s:16\r\n:43\r\n|$1\r\na\r\n:42\r\n$1\r\n1\r\n:1700000000000\r\n"),
        (Reply(id(16), v2::Reply::Page(Page {
            at: Some(version(43)), next: Some(b"b"), records: Vec::new() })),
            b"*4\r\n#s:16\r\n:43\r\n$1\r\nb\r\n"),
        (Reply(id(17), v2::Reply::News(News {
            until: Position { incarnation: Some(7), version: 43 }, changes: vec![
            NewsChange { key: b"a", version: version(43), value: Some(b"1"), expires_at: end },
            NewsChange { key: b"b", version: version(43), value: None, expires_at: None },
        ] })),
            b"*12\r\n#n:17\r\n:7\r\n:43\r\n$1\r\na\r\n:43\r\n$1\r\n1\r\n:1700000000000\r\n\
              $1\r\nb\r\n:43\r\n||"),
        (Reply(id(17), v2::Reply::Gap { now: Position { incarnation: None, version: 0 } }),
            b"*4\r\n#o:17\r\n|:0\r\n"),
        (Reply(id(19), v2::Reply::Tables(Names { more: true, names: vec!["a", "users"] })),
            b"*5\r\n#t:19\r\n:1\r\n+a\r\n+users\r\n"),
        (Reply(id(20), v2::Reply::Statistics(None)),
            b"*3\r\n#q:20\r\n|"),
        (Reply(id(20), v2::Reply::Statistics(Some(Statistics {
            keys: 1, live_bytes: 2, dead_bytes: 3, segments: 4, disk_bytes: 5,
            last_version: Some(version(42)), incarnation: 7, stopped: None }))),
            b"*10\r\n#q:20\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:42\r\n:7\r\n|"),
        (Reply(id(20), v2::Reply::Statistics(Some(Statistics {
            keys: 0, live_bytes: 0, dead_bytes: 0, segments: 1, disk_bytes: 0,
            last_version: None, incarnation: u64::MAX, stopped: Some("an I/O error") }))),
            b"*10\r\n#q:20\r\n:0\r\n:0\r\n:0\r\n:1\r\n:0\r\n|:-1\r\n+an I/O error\r\n"),

        (Reply(id(9), fail(FailCode::Unauthenticated)),
            b"*4\r\n#f:9\r\n+UNAUTHENTICATED\r\n+why\r\n"),
        (Reply(id(9), fail(FailCode::Protocol)),
            b"*4\r\n#f:9\r\n+PROTOCOL\r\n+why\r\n"),
        (Reply(id(9), fail(FailCode::Version)),
            b"*4\r\n#f:9\r\n+VERSION\r\n+why\r\n"),
        (Reply(id(9), fail(FailCode::Invalid)),
            b"*4\r\n#f:9\r\n+INVALID\r\n+why\r\n"),
        (Reply(id(9), fail(FailCode::Denied)),
            b"*4\r\n#f:9\r\n+DENIED\r\n+why\r\n"),
        (Reply(id(9), fail(FailCode::NotAnInteger)),
            b"*4\r\n#f:9\r\n+NOT_AN_INTEGER\r\n+why\r\n"),
        (Reply(id(9), fail(FailCode::Overflow)),
            b"*4\r\n#f:9\r\n+OVERFLOW\r\n+why\r\n"),
        (Reply(id(9), fail(FailCode::NoTable)),
            b"*4\r\n#f:9\r\n+NO_TABLE\r\n+why\r\n"),
        (Reply(id(9), fail(FailCode::TooManyTables)),
            b"*4\r\n#f:9\r\n+TOO_MANY_TABLES\r\n+why\r\n"),
        (Reply(id(9), fail(FailCode::Unsupported)),
            b"*4\r\n#f:9\r\n+UNSUPPORTED\r\n+why\r\n"),
        (Reply(id(9), fail(FailCode::Busy)),
            b"*4\r\n#f:9\r\n+BUSY\r\n+why\r\n"),
        (Reply(id(9), fail(FailCode::Unavailable)),
            b"*4\r\n#f:9\r\n+UNAVAILABLE\r\n+why\r\n"),
        (Reply(id(9), fail(FailCode::ScanExpired)),
            b"*4\r\n#f:9\r\n+SCAN_EXPIRED\r\n+why\r\n"),
        (Reply(id(9), fail(FailCode::DiskFull)),
            b"*4\r\n#f:9\r\n+DISK_FULL\r\n+why\r\n"),
        (Reply(id(9), fail(FailCode::ReadOnly)),
            b"*4\r\n#f:9\r\n+READ_ONLY\r\n+why\r\n"),
        (Reply(id(9), fail(FailCode::Corrupt)),
            b"*4\r\n#f:9\r\n+CORRUPT\r\n+why\r\n"),
        (Reply(id(9), fail(FailCode::Unknown)),
            b"*4\r\n#f:9\r\n+UNKNOWN\r\n+why\r\n"),
        (Reply(id(9), fail(FailCode::Closing)),
            b"*4\r\n#f:9\r\n+CLOSING\r\n+why\r\n"),
        (Reply(id(9), fail(FailCode::Internal)),
            b"*4\r\n#f:9\r\n+INTERNAL\r\n+why\r\n"),
        (LastFail(FailCode::Protocol, "why"),
            b"*4\r\n#f|+PROTOCOL\r\n+why\r\n"),
    ]
}

#[test]
fn the_bytes_of_every_frame_are_fixed() {
    let write = |frame: fn(&mut FrameWriter<'_>)| {
        let mut out = BytesMut::new();
        frame(&mut FrameWriter::new(&mut out));
        out.to_vec()
    };
    assert_eq!(write(|w| _ = w.message(2, b'P')), b"*2\r\n#P");
    assert_eq!(write(|w| _ = w.message(10, b'\x01')), b"*10\r\n#\x01");
    assert_eq!(write(|w| _ = w.string("a b")), b"+a b\r\n");
    assert_eq!(write(|w| _ = w.string("")), b"+\r\n");
    assert_eq!(write(|w| _ = w.bytes(b"\r\n")), b"$2\r\n\r\n\r\n");
    assert_eq!(write(|w| _ = w.bytes(b"")), b"$0\r\n\r\n");
    assert_eq!(write(|w| _ = w.time(b"2020-12-05T01:02:03Z")), b"T2020-12-05T01:02:03Z\r\n");
    assert_eq!(write(|w| _ = w.null()), b"|");
    assert_eq!(write(|w| _ = w.integer(0)), b":0\r\n");
    assert_eq!(write(|w| _ = w.integer(-1)), b":-1\r\n");
    assert_eq!(write(|w| _ = w.integer(i64::MAX)), b":9223372036854775807\r\n");
    assert_eq!(write(|w| _ = w.integer(i64::MIN)), b":-9223372036854775808\r\n");
}

#[test]
fn the_bytes_of_every_message_are_fixed_and_say_what_was_meant() {
    for (said, bytes) in messages() {
        assert_eq!(said.encode().escape_ascii().to_string(), bytes.escape_ascii().to_string());
        let mut decoder = decoder();
        assert_eq!(whole(&mut decoder, bytes, |message| said.parse_alike(message)), said);
    }
}

#[test]
fn every_code_and_every_type_has_its_golden_bytes() {
    let messages = messages();
    let kinds = |of: fn(&Said<'_>) -> bool| {
        let mut kinds: Vec<u8> = messages
            .iter()
            .filter(|(said, _)| of(said))
            .map(|(_, bytes)| whole(&mut decoder(), bytes, Message::kind))
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    };
    assert_eq!(kinds(|said| matches!(said, Said::V1Request(_))), [1, 2, 5, 6, 7]);
    assert_eq!(kinds(|said| matches!(said, Said::V1Reply(_))), [1, 3, 4]);
    assert_eq!(
        kinds(|said| matches!(said, Said::Hello(..) | Said::Request(..))),
        *b"BCDEGHILNPQRSTWXYZ"
    );
    assert_eq!(
        kinds(|said| matches!(said, Said::Welcome(..) | Said::Reply(..))),
        *b"bcefghilnopqrstwy"
    );

    let codes = messages.iter().filter_map(|(said, _)| match said {
        Said::Reply(_, v2::Reply::Fail { code, .. }) => Some(*code),
        _ => None,
    });
    // A new code fails to compile here, and belongs into the table above too.
    let codes = codes.inspect(|code| match code {
        FailCode::Unauthenticated
        | FailCode::Denied
        | FailCode::Protocol
        | FailCode::Version
        | FailCode::Invalid
        | FailCode::NotAnInteger
        | FailCode::Overflow
        | FailCode::NoTable
        | FailCode::TooManyTables
        | FailCode::Unsupported
        | FailCode::Busy
        | FailCode::Unavailable
        | FailCode::ScanExpired
        | FailCode::DiskFull
        | FailCode::ReadOnly
        | FailCode::Corrupt
        | FailCode::Unknown
        | FailCode::Closing
        | FailCode::Internal => {}
    });
    assert_eq!(codes.count(), 19);
}
