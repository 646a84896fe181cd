//! What the wire protocol promises: bytes that never change, work that stays linear, limits that
//! hold, and nothing a peer sends that panics.

mod admin;
mod golden;
mod limits;
mod parts;
mod pieces;
mod random;
mod refused;
mod writer;

use super::frame::{Decoder, FieldError, Fields, FrameError, FrameLimits, Message};
use super::v2;
use crate::types::{UnixMillis, Version};

/// Roomy, and as small as a test of bounds wants it.
const LIMITS: FrameLimits = FrameLimits { message_bytes: 4096, frames: 32, line_bytes: 1024 };

/// What `read` makes of the one message that `bytes` are.
fn whole<'a, T>(decoder: &'a mut Decoder, bytes: &'a [u8], read: impl Fn(&Message<'a>) -> T) -> T {
    match decoder.decode(bytes) {
        Ok(Some(message)) => {
            assert_eq!(message.byte_len(), bytes.len());
            read(&message)
        }
        other => panic!("{} is no whole message: {other:?}", bytes.escape_ascii()),
    }
}

/// The frames behind the type, of the one message that `bytes` are.
fn fields<'a>(decoder: &'a mut Decoder, bytes: &'a [u8]) -> Fields<'a> {
    whole(decoder, bytes, Message::fields)
}

fn decoder() -> Decoder {
    Decoder::new(LIMITS)
}

/// Why `bytes` are refused, however they arrive: at once or one after the other.
fn refusal(limits: FrameLimits, bytes: &[u8]) -> FrameError {
    let mut decoder = Decoder::new(limits);
    let at_once = decoder.decode(bytes).expect_err("refused at once");
    let mut decoder = Decoder::new(limits);
    let in_bytes = (0..=bytes.len()).find_map(|end| decoder.decode(&bytes[..end]).err());
    assert_eq!(in_bytes, Some(at_once), "byte by byte: {}", bytes.escape_ascii());
    at_once
}

fn id(number: u64) -> v2::RequestId {
    v2::RequestId::new(number).expect("below 2^63")
}

fn version(number: u64) -> Version {
    Version::new(number).expect("positive and below 2^63")
}

fn time(millis: u64) -> UnixMillis {
    UnixMillis::new(millis).expect("below 2^63")
}

/// A message of type `X` with these frames.
fn message_of(frames: usize, bytes: &[u8]) -> Vec<u8> {
    [format!("*{}\r\n#X", frames + 1).as_bytes(), bytes].concat()
}

#[test]
fn a_message_hands_out_its_frames_in_their_order_and_only_by_their_kind() {
    let bytes = message_of(5, b"+text\r\n$3\r\n\r\n\0\r\n:-7\r\nTnow\r\n|");
    let mut decoder = decoder();
    let mut fields = fields(&mut decoder, &bytes);
    assert_eq!(fields.integer(), Err(FieldError::Wrong { wanted: "an integer" }));
    assert_eq!(fields.string(), Ok("text"));
    assert_eq!(fields.string(), Err(FieldError::Wrong { wanted: "a string" }));
    assert!(fields.next_is_bytes());
    assert_eq!(fields.bytes(), Ok(&b"\r\n\0"[..]));
    assert!(fields.next_is_integer());
    assert_eq!(fields.integer(), Ok(-7));
    assert!(!fields.null());
    assert_eq!(fields.time(), Ok(&b"now"[..]));
    assert_eq!(fields.finish(), Err(FieldError::TooMany));
    assert!(fields.null());
    assert_eq!(fields.finish(), Ok(()));
    assert_eq!(fields.bytes(), Err(FieldError::Missing { wanted: "bytes" }));
}

#[test]
fn an_integer_is_read_only_in_its_one_canonical_form() {
    let read = |text: &str| {
        let bytes = message_of(1, format!(":{text}\r\n").as_bytes());
        fields(&mut decoder(), &bytes).integer()
    };
    for number in [0, 1, -1, 9, 10, -10, i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1] {
        assert_eq!(read(&number.to_string()), Ok(number));
    }
    for text in [
        "",
        "-",
        "-0",
        "+1",
        "00",
        "01",
        "-01",
        " 1",
        "1 ",
        "1.0",
        "1e3",
        "0x1",
        "--1",
        "1\r",
        "\n1",
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "99999999999999999999",
    ] {
        assert_eq!(read(text), Err(FieldError::NotAnInteger), "{text:?}");
    }
}

#[test]
fn a_string_may_be_empty_and_may_hold_a_lone_cr_or_lf() {
    for text in ["", "\r", "\n", "a\rb", "a\nb", "\n\r", "ends in\r", "\u{1f980}"] {
        let bytes = message_of(2, format!("+{text}\r\n|").as_bytes());
        let mut decoder = decoder();
        let mut fields = fields(&mut decoder, &bytes);
        assert_eq!(fields.string(), Ok(text));
        assert!(fields.null(), "the frame behind {text:?}");
    }
}

#[test]
fn a_string_that_is_not_utf_8_is_refused_as_text_and_handed_out_as_bytes() {
    for text in [&b"\xff"[..], b"\xc3", b"caf\xe9", b"\xed\xa0\x80", b"\xc0\x80"] {
        let bytes = message_of(1, &[b"+", text, b"\r\n"].concat());
        let mut decoder = decoder();
        let fields = fields(&mut decoder, &bytes);
        assert_eq!(fields.clone().string(), Err(FieldError::NotText));
        assert_eq!(fields.clone().string_bytes(), Ok(text));
    }
}
