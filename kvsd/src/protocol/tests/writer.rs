//! Whatever is written stays inside its frame.

use std::ops::Bound;

use bytes::BytesMut;

use super::golden::Said;
use super::*;
use crate::protocol::frame::FrameWriter;
use crate::protocol::v1;

#[test]
fn control_characters_in_a_string_become_spaces_and_never_end_its_frame() {
    let hostile = "a\r\n*1\r\n#P\0\u{1b}[31m\tz\u{e9}\u{7f}";
    let mut out = BytesMut::new();
    FrameWriter::new(&mut out).message(3, b'X').string(hostile).null();
    let mut decoder = decoder();
    let mut fields = fields(&mut decoder, &out);
    assert_eq!(fields.string(), Ok("a  *1  #P  [31m z\u{e9}\u{7f}"));
    assert!(fields.null());
    for control in 0..b' ' {
        let mut out = BytesMut::new();
        let text = format!("{}", char::from(control));
        FrameWriter::new(&mut out).message(2, b'X').string(&text);
        assert_eq!(&out[..], b"*2\r\n#X+ \r\n", "control character {control}");
    }
}

#[test]
fn a_table_name_or_a_message_with_a_line_end_makes_no_second_message() {
    let text = "t\r\n$1\r\nk\r\n*2\r\n#P:1\r\n";
    for said in [
        Said::Request(
            id(1),
            v2::Request::Get {
                table: text,
                key: text.as_bytes(),
                freshness: v2::Freshness::Latest,
            },
        ),
        Said::Reply(id(1), v2::Reply::Fail { code: v2::FailCode::Internal, message: text }),
        Said::V1Reply(v1::Reply::Fail { code: v1::FailCode::Undefined, message: text }),
    ] {
        let bytes = said.encode();
        whole(&mut decoder(), &bytes, |_| ());
    }
}

#[test]
fn writing_appends_to_what_the_buffer_holds() {
    let mut out = BytesMut::from(&b"before"[..]);
    v2::Request::Ping.encode(id(1), &mut out);
    v2::Request::Ping.encode(id(2), &mut out);
    assert_eq!(&out[..], b"before*2\r\n#P:1\r\n*2\r\n#P:2\r\n");
}

#[test]
fn neither_password_nor_key_nor_value_shows_in_debug_output() {
    let canary = "canary";
    let bytes = canary.as_bytes();
    // As a derived Debug writes bytes.
    let numbers = format!("{bytes:?}");
    let numbers = numbers.trim_matches(['[', ']']);
    let mut shown: Vec<String> = secrets(bytes).iter().map(|said| format!("{said:?}")).collect();
    // These two no message shows.
    let (key, value) = (bytes, Some(bytes));
    let on_page = v2::PageRecord { key, version: version(1), value, expires_at: None };
    shown.push(format!("{on_page:?}"));
    shown.push(format!("{:?}", v2::part::Part { remaining: 0, bytes }));
    for shown in shown {
        assert!(!shown.contains(canary) && !shown.contains(numbers), "{shown}");
    }
}

/// Every message that holds bytes of somebody's, with these in each place.
fn secrets(bytes: &[u8]) -> Vec<Said<'_>> {
    let credentials = v2::hello::Credentials { user: b"app", password: bytes };
    let (table, key, value) = ("t", bytes, bytes);
    let (condition, previous) = (v2::Condition::Any, v2::Previous::Omit);
    let freshness = v2::Freshness::Stale;
    let (version, expires_at, expiry) = (version(1), None, None);
    let set = v2::Change { key, condition, action: v2::Action::Set { value, expiry } };
    let scan = v2::Scan {
        table,
        from: Bound::Included(key),
        to: Bound::Excluded(key),
        order: v2::Order::Ascending,
        detail: v2::Detail::Records,
        limit: None,
        freshness,
        at: Some(version),
    };
    let watch =
        |select| v2::Request::Watch(v2::Watch { table, since: None, wait_millis: 0, select });
    let requests = vec![
        v2::Request::Get { table, key, freshness },
        v2::Request::Exists { table, key, freshness },
        v2::Request::Lifetime { table, key, freshness },
        v2::Request::Set { table, key, value, condition, expiry, previous },
        v2::Request::Delete { table, key, condition, previous },
        v2::Request::Increment { table, key, by: 1, condition },
        v2::Request::Expire { table, key, expiry, condition },
        v2::Request::Batch { table, changes: vec![set] },
        v2::Request::Pipeline(vec![v2::Request::Get { table, key, freshness }]),
        v2::Request::Scan(scan),
        watch(v2::Select::Key(key)),
        watch(v2::Select::Prefix(key)),
    ];
    let record = v2::Record { version, expires_at, value: bytes };
    let on_page = v2::PageRecord { key, version, value: Some(value), expires_at };
    let change = v2::NewsChange { key, version, value: Some(value), expires_at };
    let until = v2::Position { incarnation: None, version: 1 };
    let replies = vec![
        v2::Reply::Value(Some(record)),
        v2::Reply::Written { version: None, before: v2::Before::Record(record) },
        v2::Reply::Pipeline(vec![v2::Reply::Value(Some(record))]),
        v2::Reply::Page(v2::Page { at: Some(version), next: Some(key), records: vec![on_page] }),
        v2::Reply::News(v2::News { until, changes: vec![change] }),
    ];
    let mut said = vec![
        Said::V1Request(v1::Request::Authenticate { user: bytes, password: bytes }),
        Said::V1Request(v1::Request::Set { key, value }),
        Said::V1Request(v1::Request::Get { key }),
        Said::V1Request(v1::Request::Delete { key }),
        Said::V1Reply(v1::Reply::Success { value: Some(value) }),
        Said::Hello(id(1), v2::Hello { lowest: 2, highest: 2, credentials: Some(credentials) }),
    ];
    said.extend(requests.into_iter().map(|request| Said::Request(id(1), request)));
    said.extend(replies.into_iter().map(|reply| Said::Reply(id(1), reply)));
    said
}
