//! Each limit at its bound and one past it.

use super::golden::{Said, messages};
use super::*;
use crate::protocol::v2::{Condition, FailCode, Previous, Request};
use crate::protocol::{
    BEFORE_AUTHENTICATION, MAX_FAIL_MESSAGE_BYTES, MAX_PASSWORD_BYTES, MAX_USER_BYTES, v1,
};
use crate::types::{DEFAULT_MAX_VALUE_BYTES, MAX_KEY_BYTES, MAX_TABLE_NAME_BYTES};

const UNLIMITED: FrameLimits =
    FrameLimits { message_bytes: usize::MAX, frames: usize::MAX, line_bytes: usize::MAX };

fn accepts(limits: FrameLimits, bytes: &[u8]) -> bool {
    Decoder::new(limits).decode(bytes).expect("within the limits").is_some()
}

#[test]
fn a_message_of_the_limit_is_taken_and_one_byte_more_is_refused() {
    for (said, bytes) in messages() {
        let limits = FrameLimits { message_bytes: bytes.len(), ..LIMITS };
        assert!(accepts(limits, bytes), "{said:?}");
        let limit = bytes.len() - 1;
        let limits = FrameLimits { message_bytes: limit, ..LIMITS };
        let refused = Decoder::new(limits).decode(bytes).err();
        assert_eq!(refused, Some(FrameError::MessageTooLarge { limit }), "{said:?}");
    }
}

#[test]
fn a_message_above_the_limit_is_refused_before_more_than_the_limit_is_kept() {
    for (said, bytes) in messages() {
        for limit in 1..bytes.len() {
            let mut decoder = Decoder::new(FrameLimits { message_bytes: limit, ..LIMITS });
            let refused = (0..=limit).find_map(|end| decoder.decode(&bytes[..end]).err());
            assert_eq!(refused, Some(FrameError::MessageTooLarge { limit }), "{said:?}, {limit}");
        }
    }
}

#[test]
fn a_large_value_is_refused_by_its_announced_length_alone() {
    let limits = v2::limits(1000);
    let set = |length: usize| format!("*5\r\n#S:1\r\n+t\r\n$1\r\nk\r\n${length}\r\n");
    assert!(!accepts(limits, set(1000).as_bytes()));
    let refused = refusal(limits, set(limits.message_bytes).as_bytes());
    assert_eq!(refused, FrameError::MessageTooLarge { limit: limits.message_bytes });
}

#[test]
fn frames_of_the_limit_are_taken_and_one_more_is_refused() {
    assert!(accepts(LIMITS, &message_of(31, &[b'|'; 31])));
    let refused = refusal(LIMITS, &message_of(32, &[b'|'; 32]));
    assert_eq!(refused, FrameError::TooManyFrames { limit: 32 });
}

#[test]
fn a_line_of_the_limit_is_taken_and_one_byte_more_is_refused() {
    for prefix in ["+", "T"] {
        let line = |length| message_of(1, format!("{prefix}{}\r\n", "x".repeat(length)).as_bytes());
        assert!(accepts(LIMITS, &line(1024)));
        assert_eq!(refusal(LIMITS, &line(1025)), FrameError::LineTooLong { limit: 1024 });
    }
}

#[test]
fn an_endless_line_is_refused_as_soon_as_it_cannot_fit() {
    for end in [&b""[..], b"\r", b"\n", b"\r\r", b"\n\n"] {
        let line = message_of(1, &[b"+", &[b'x'; 1024][..], end].concat());
        let mut decoder = decoder();
        match decoder.decode(&line) {
            Ok(None) => assert!(end.len() < 2),
            refused => assert_eq!(refused.err(), Some(FrameError::LineTooLong { limit: 1024 })),
        }
    }
}

#[test]
fn a_number_has_at_most_twenty_bytes() {
    let zeros = "0".repeat(20);
    let too_long = FrameError::LineTooLong { limit: 20 };
    assert_eq!(refusal(LIMITS, format!("*{zeros}\r\n").as_bytes()), FrameError::NotDecimal);
    assert_eq!(refusal(LIMITS, format!("*{zeros}1\r\n").as_bytes()), too_long);
    assert_eq!(refusal(LIMITS, &message_of(1, format!("${zeros}1\r\n").as_bytes())), too_long);
    assert!(accepts(LIMITS, &message_of(1, b":-9223372036854775808\r\n")));
    assert_eq!(refusal(LIMITS, &message_of(1, format!(":-{zeros}\r\n").as_bytes())), too_long);
}

#[test]
fn no_length_and_no_count_overflows_even_without_limits() {
    let four_gib = u64::from(u32::MAX);
    // The content begins at byte 19 and ends in CR LF: the last length whose end is below 4 GiB.
    let last = four_gib - 21;
    for length in (last - 8..=four_gib + 8).chain(u64::MAX - 40..=u64::MAX) {
        let bytes = message_of(1, format!("${length}\r\n").as_bytes());
        let too_large = FrameError::MessageTooLarge { limit: u32::MAX as usize };
        let expected = if length > last { Err(too_large) } else { Ok(true) };
        let mut later = Decoder::new(LIMITS);
        later.set_limits(UNLIMITED);
        for mut decoder in [Decoder::new(UNLIMITED), later] {
            let decoded = decoder.decode(&bytes).map(|message| message.is_none());
            assert_eq!(decoded, expected, "{length}");
        }
    }
    assert!(!accepts(UNLIMITED, b"*18446744073709551615\r\n#X|"));
    assert!(!accepts(UNLIMITED, b"*2\r\n#X+"));
    assert!(!accepts(UNLIMITED, b"*2\r\n#X+ab"));
    assert!(accepts(UNLIMITED, b"*2\r\n#X+ab\r\n"));
}

#[test]
fn other_limits_hold_from_the_next_message_on() {
    let mut decoder = Decoder::new(BEFORE_AUTHENTICATION);
    let large = message_of(1, &[&b"$1100\r\n"[..], &[b'x'; 1100], b"\r\n"].concat());
    assert!(decoder.decode(b"*1\r\n#X").expect("a message").is_some());
    decoder.set_limits(LIMITS);
    assert!(decoder.decode(&large).expect("a message").is_some());
    decoder.set_limits(BEFORE_AUTHENTICATION);
    let refused = decoder.decode(&large).err();
    assert_eq!(refused, Some(FrameError::MessageTooLarge { limit: 1024 }));
}

#[test]
fn the_longest_credentials_fit_into_what_is_read_before_authentication() {
    let (user, password) = ([b'u'; MAX_USER_BYTES], [b'p'; MAX_PASSWORD_BYTES]);
    let credentials = Some(v2::hello::Credentials { user: &user, password: &password });
    let hello = v2::Hello { lowest: i64::MIN, highest: i64::MIN, credentials };
    assert!(accepts(BEFORE_AUTHENTICATION, &Said::Hello(id(i64::MAX as u64), hello).encode()));
    let authenticate = v1::Request::Authenticate { user: &user, password: &password };
    assert!(accepts(BEFORE_AUTHENTICATION, &Said::V1Request(authenticate).encode()));
}

#[test]
fn the_largest_set_and_the_largest_answer_fit_into_the_limits_of_their_version() {
    let value = vec![0; DEFAULT_MAX_VALUE_BYTES];
    let key = [b'\xff'; MAX_KEY_BYTES];
    let table = "t".repeat(MAX_TABLE_NAME_BYTES);
    let (last_id, last_version) = (id(i64::MAX as u64), version(Version::MAX));
    let last_time = time(i64::MAX as u64);
    let set = Request::Set {
        table: &table,
        key: &key,
        value: &value,
        condition: Condition::Version(last_version),
        expiry: Some(v2::Expiry::At(last_time)),
        previous: Previous::Return,
    };
    let limits = v2::limits(DEFAULT_MAX_VALUE_BYTES);
    assert!(accepts(limits, &Said::Request(last_id, set).encode()));
    let record = v2::Record { version: last_version, expires_at: Some(last_time), value: &value };
    let written =
        v2::Reply::Written { version: Some(last_version), before: v2::Before::Record(record) };
    assert!(accepts(limits, &Said::Reply(last_id, written).encode()));

    let set = v1::Request::Set { key: &key, value: &value };
    assert!(accepts(v1::limits(DEFAULT_MAX_VALUE_BYTES), &Said::V1Request(set).encode()));
}

#[test]
fn a_fails_message_is_cut_so_that_every_reader_takes_it() {
    let long = format!("x{}", "\u{e9}".repeat(MAX_FAIL_MESSAGE_BYTES));
    let cut = &long[..MAX_FAIL_MESSAGE_BYTES - 1];
    let last = Said::LastFail(FailCode::Unauthenticated, &long).encode();
    let mut decoder = Decoder::new(BEFORE_AUTHENTICATION);
    let read = whole(&mut decoder, &last, v2::Reply::parse).expect("in form");
    let fail = v2::Reply::Fail { code: FailCode::Unauthenticated, message: cut };
    assert_eq!(read, (None, Some(fail)));

    let (code, message) = (FailCode::Corrupt, &*long);
    let answer = Said::Reply(id(1), v2::Reply::Fail { code, message });
    let mut decoder = Decoder::new(v2::limits(0));
    let bytes = answer.encode();
    let read = whole(&mut decoder, &bytes, |message| answer.parse_alike(message));
    assert_eq!(read, Said::Reply(id(1), v2::Reply::Fail { code, message: cut }));

    let answer = Said::V1Reply(v1::Reply::Fail { code: v1::FailCode::Undefined, message });
    let mut decoder = Decoder::new(v1::limits(0));
    let bytes = answer.encode();
    let read = whole(&mut decoder, &bytes, |message| answer.parse_alike(message));
    let fail = v1::Reply::Fail { code: v1::FailCode::Undefined, message: cut };
    assert_eq!(read, Said::V1Reply(fail));
}

#[test]
fn the_frames_of_an_unfinished_message_hold_little_and_are_given_back() {
    const FRAMES: usize = 16 * 1024;
    let mut bytes = format!("*{FRAMES}\r\n#S").into_bytes();
    bytes.resize(bytes.len() + FRAMES - 2, b'|');
    let mut decoder = Decoder::new(v2::limits(1024));
    assert!(decoder.decode(&bytes).unwrap().is_none(), "one frame is missing");
    assert!(decoder.held() <= 12 * FRAMES, "{} bytes for {} on the wire", decoder.held(), FRAMES);
    bytes.push(b'|');
    assert!(decoder.decode(&bytes).unwrap().is_some());
    assert!(decoder.decode(b"").unwrap().is_none());
    assert!(decoder.held() <= 4 * 1024, "{} bytes are kept", decoder.held());
}
