//! A stream of version 1, before and after authentication: every request is within its limits, and
//! an answer that gives back what was sent is one whole message.
#![no_main]

use bytes::BytesMut;
use kvsd::protocol::BEFORE_AUTHENTICATION;
use kvsd::protocol::frame::Decoder;
use kvsd::protocol::v1::{self, FailCode, Reply, Request};
use kvsd::types::MAX_KEY_BYTES;
use libfuzzer_sys::fuzz_target;

const MAX_VALUE_BYTES: usize = 300;

fuzz_target!(|stream: &[u8]| {
    let mut decoder = Decoder::new(BEFORE_AUTHENTICATION);
    let mut rest = stream;
    while let Ok(Some(message)) = decoder.decode(rest) {
        let answer = match Request::parse(&message) {
            Ok(Some(Request::Ping { client_time })) => Reply::Pong {
                client_time,
                server_time: "2020-12-05T01:02:04Z",
            },
            Ok(Some(Request::Authenticate { .. })) => Reply::Success { value: None },
            Ok(Some(Request::Set { key, value })) => {
                assert!(key.len() <= MAX_KEY_BYTES);
                Reply::Success { value: Some(value) }
            }
            Ok(Some(Request::Get { key } | Request::Delete { key })) => {
                assert!(key.len() <= MAX_KEY_BYTES);
                Reply::Success { value: Some(key) }
            }
            Ok(None) => Reply::Fail {
                code: FailCode::UnexpectedMessage,
                message: "type",
            },
            Err(_) => Reply::Fail {
                code: FailCode::Undefined,
                message: std::str::from_utf8(rest).unwrap_or_default(),
            },
        };
        let mut out = BytesMut::new();
        answer.encode(&mut out);
        let mut reader = Decoder::new(v1::limits(v1::MAX_VALUE_BYTES));
        let read = reader.decode(&out).expect("an answer follows the grammar");
        assert_eq!(read.map(|answer| answer.byte_len()), Some(out.len()));
        rest = &rest[message.byte_len()..];
        decoder.set_limits(v1::limits(MAX_VALUE_BYTES));
    }
});
