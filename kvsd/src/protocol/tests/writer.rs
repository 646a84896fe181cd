//! Whatever is written stays inside its frame.

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
        Said::Request(id(1), v2::Request::Get { table: text, key: text.as_bytes() }),
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
    let credentials = v2::hello::Credentials { user: b"app", password: bytes };
    let record = v2::Record { version: version(1), expires_at: None, value: bytes };
    let (table, key, value) = ("t", bytes, bytes);
    let (condition, previous) = (v2::Condition::Any, v2::Previous::Omit);
    for said in [
        Said::V1Request(v1::Request::Authenticate { user: bytes, password: bytes }),
        Said::V1Request(v1::Request::Set { key, value }),
        Said::V1Request(v1::Request::Get { key }),
        Said::V1Request(v1::Request::Delete { key }),
        Said::V1Reply(v1::Reply::Success { value: Some(value) }),
        Said::Hello(id(1), v2::Hello { lowest: 2, highest: 2, credentials: Some(credentials) }),
        Said::Request(id(1), v2::Request::Get { table, key }),
        Said::Request(id(1), v2::Request::Exists { table, key }),
        Said::Request(
            id(1),
            v2::Request::Set { table, key, value, condition, expiry: None, previous },
        ),
        Said::Request(id(1), v2::Request::Delete { table, key, condition, previous }),
        Said::Reply(id(1), v2::Reply::Value(Some(record))),
        Said::Reply(
            id(1),
            v2::Reply::Written { version: None, before: v2::Before::Record(record) },
        ),
    ] {
        assert!(!format!("{said:?}").contains(canary), "{said:?}");
    }
}
