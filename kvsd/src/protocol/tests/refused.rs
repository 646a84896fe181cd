//! What is off the grammar ends the stream; what is off its type's form is named, and the stream
//! goes on.

use super::*;
use crate::protocol::v1;
use crate::protocol::v2::request::RequestError;
use crate::protocol::v2::{Before, FailCode, Hello, Reply, Request, Welcome};

#[test]
#[rustfmt::skip]
fn bytes_off_the_grammar_are_refused_by_name() {
    use FrameError::{
        MessageTooLarge, NoLineEnd, NoMessage, NoType, NotDecimal, Tls, TooManyFrames, UnknownFrame,
    };
    let too_large = MessageTooLarge {
        limit: LIMITS.message_bytes,
    };
    let too_many = TooManyFrames {
        limit: LIMITS.frames,
    };
    let cases: &[(&[u8], FrameError)] = &[
        // What stands in a message's place.
        (b"\x16\x03\x01\x02\x00\x01", Tls),
        (b"\x15\x03\x03\x00\x02\x02\x50", Tls),
        (b"GET / HTTP/1.1\r\n", NoMessage { byte: b'G' }),
        (b"\r\n", NoMessage { byte: b'\r' }),
        (b"\0", NoMessage { byte: 0 }),
        (b"+OK\r\n", NoMessage { byte: b'+' }),
        (b"\xff", NoMessage { byte: 0xff }),
        // The count of frames.
        (b"*0\r\n", NoType),
        (b"*-1\r\n", NotDecimal),
        (b"*-0\r\n", NotDecimal),
        (b"*+1\r\n", NotDecimal),
        (b"*01\r\n", NotDecimal),
        (b"*00\r\n", NotDecimal),
        (b"*\r\n", NotDecimal),
        (b"* 1\r\n", NotDecimal),
        (b"*1 \r\n", NotDecimal),
        (b"*1\r\r\n", NotDecimal),
        (b"*1\n\r\n", NotDecimal),
        (b"*\xb2\r\n", NotDecimal),
        (b"*:\r\n", NotDecimal),
        (b"*1/\r\n", NotDecimal),
        (b"*33\r\n", too_many),
        (b"*18446744073709551615\r\n", too_many),
        (b"*18446744073709551616\r\n", NotDecimal),
        (b"*99999999999999999999\r\n", NotDecimal),
        // The type.
        (b"*1\r\n|", NoType),
        (b"*1\r\n+P\r\n", NoType),
        (b"*1\r\n*1\r\n", NoType),
        (b"*1\r\n\r\n", NoType),
        (b"*2\r\n#X#Y", NoType),
        (b"*3\r\n#X|#Y", NoType),
        // A later frame.
        (b"*2\r\n#X*1\r\n", UnknownFrame { byte: b'*' }),
        (b"*2\r\n#X\r\n", UnknownFrame { byte: b'\r' }),
        (b"*2\r\n#X-1\r\n", UnknownFrame { byte: b'-' }),
        (b"*2\r\n#X\0", UnknownFrame { byte: 0 }),
        (b"*2\r\n#Xt", UnknownFrame { byte: b't' }),
        (b"*3\r\n#X|\xff", UnknownFrame { byte: 0xff }),
        // The length of a bytes frame.
        (b"*2\r\n#X$-1\r\n", NotDecimal),
        (b"*2\r\n#X$+1\r\n", NotDecimal),
        (b"*2\r\n#X$01\r\n", NotDecimal),
        (b"*2\r\n#X$\r\n", NotDecimal),
        (b"*2\r\n#X$1x\r\n", NotDecimal),
        (b"*2\r\n#X$18446744073709551613\r\n", too_large),
        (b"*2\r\n#X$18446744073709551614\r\n", too_large),
        (b"*2\r\n#X$18446744073709551615\r\n", too_large),
        (b"*2\r\n#X$18446744073709551616\r\n", NotDecimal),
        // What ends a bytes frame.
        (b"*2\r\n#X$5\r\nhelloworld", NoLineEnd),
        (b"*2\r\n#X$4\r\nhello\r\n", NoLineEnd),
        (b"*2\r\n#X$6\r\nhello\r\n\r\n", NoLineEnd),
        (b"*2\r\n#X$5\r\nhello\n\r", NoLineEnd),
        (b"*2\r\n#X$5\r\nhello\r\r", NoLineEnd),
        (b"*2\r\n#X$0\r\n||", NoLineEnd),
    ];
    for (bytes, error) in cases {
        assert_eq!(refusal(LIMITS, bytes), *error, "{}", bytes.escape_ascii());
    }
}

#[test]
fn an_empty_buffer_and_a_stream_that_stops_are_no_error() {
    for part in [&b""[..], b"*", b"*1", b"*1\r", b"*1\r\n", b"*1\r\n#", b"*2\r\n#X$5\r\nhello\r"] {
        let mut decoder = decoder();
        assert!(decoder.decode(part).expect("nothing wrong yet").is_none());
        assert!(decoder.decode(part).expect("nothing wrong yet").is_none());
    }
}

/// What version 2 makes of a message of this type with these frames.
fn request(kind: char, frames: usize, bytes: &str) -> Result<Option<()>, RequestError> {
    let bytes = format!("*{}\r\n#{kind}{bytes}", frames + 1);
    let mut decoder = decoder();
    let parsed = whole(&mut decoder, bytes.as_bytes(), Request::parse);
    parsed.map(|(_, request)| request.map(|_| ()))
}

#[test]
fn a_request_without_an_id_is_refused_without_an_id() {
    let refused = |bytes| request('P', 1, bytes).expect_err("refused");
    let not_an_integer = FieldError::Wrong { wanted: "an integer" };
    let negative = FieldError::OutOfRange { field: "the request's id" };
    for (bytes, cause) in [
        ("|", not_an_integer),
        ("+7\r\n", not_an_integer),
        (":-1\r\n", negative),
        (":-9223372036854775808\r\n", negative),
        (":9223372036854775808\r\n", FieldError::NotAnInteger),
        (":07\r\n", FieldError::NotAnInteger),
    ] {
        assert_eq!(refused(bytes), RequestError { id: None, cause }, "{bytes:?}");
    }
    let cause = FieldError::Missing { wanted: "an integer" };
    assert_eq!(request('P', 0, ""), Err(RequestError { id: None, cause }));
}

#[test]
#[rustfmt::skip]
fn a_request_off_its_form_is_refused_by_its_id_and_by_name() {
    use FieldError::{Missing, NotText, TooMany, UnknownOption, Wrong};
    let cases: &[(&[u8], FieldError)] = &[
        (b"*3\r\n#P:7\r\n|", TooMany),
        (b"*2\r\n#G:7\r\n", Missing { wanted: "a string" }),
        (b"*3\r\n#G:7\r\n+t\r\n", Missing { wanted: "bytes" }),
        (b"*4\r\n#G:7\r\n+t\r\n+k\r\n", Wrong { wanted: "bytes" }),
        (b"*4\r\n#G:7\r\n$1\r\nt\r\n$1\r\nk\r\n", Wrong { wanted: "a string" }),
        (b"*4\r\n#G:7\r\n+\xff\r\n$1\r\nk\r\n", NotText),
        (b"*5\r\n#G:7\r\n+t\r\n$1\r\nk\r\n|", Wrong { wanted: "a string" }),
        (b"*4\r\n#E:7\r\n+t\r\n|", Wrong { wanted: "bytes" }),
        (b"*5\r\n#E:7\r\n+t\r\n$1\r\nk\r\n+absent\r\n", UnknownOption),
        (b"*4\r\n#S:7\r\n+t\r\n$1\r\nk\r\n", Missing { wanted: "bytes" }),
        (b"*5\r\n#S:7\r\n+t\r\n$1\r\nk\r\n|", Wrong { wanted: "bytes" }),
        (b"*3\r\n#D:7\r\n+t\r\n", Missing { wanted: "bytes" }),
    ];
    for (bytes, cause) in cases {
        let refused = whole(&mut decoder(), bytes, |message| Request::parse(message).err());
        let expected = RequestError { id: Some(id(7)), cause: *cause };
        assert_eq!(refused, Some(expected), "{}", bytes.escape_ascii());
    }
}

#[test]
#[rustfmt::skip]
fn an_option_that_is_unknown_or_given_twice_or_clashes_is_refused() {
    use FieldError::{ClashingOptions, Missing, OutOfRange, UnknownOption, Wrong};
    let cases: &[(char, usize, &str, FieldError)] = &[
        ('S', 1, "+\r\n", UnknownOption),
        ('S', 1, "+Absent\r\n", UnknownOption),
        ('S', 1, "+absent \r\n", UnknownOption),
        ('S', 1, "+keep\r\n", UnknownOption),
        ('S', 1, "|", Wrong { wanted: "a string" }),
        ('S', 1, "$6\r\nabsent\r\n", Wrong { wanted: "a string" }),
        ('S', 2, "+absent\r\n+absent\r\n", ClashingOptions),
        ('S', 2, "+absent\r\n+present\r\n", ClashingOptions),
        ('S', 3, "+present\r\n+version\r\n:1\r\n", ClashingOptions),
        ('S', 4, "+version\r\n:1\r\n+version\r\n:1\r\n", ClashingOptions),
        ('S', 4, "+expires\r\n:1\r\n+expires\r\n:1\r\n", ClashingOptions),
        ('S', 2, "+previous\r\n+previous\r\n", ClashingOptions),
        ('S', 1, "+version\r\n", Missing { wanted: "an integer" }),
        ('S', 2, "+version\r\n+1\r\n", Wrong { wanted: "an integer" }),
        ('S', 2, "+version\r\n:0\r\n", OutOfRange { field: "a version" }),
        ('S', 2, "+version\r\n:-1\r\n", OutOfRange { field: "a version" }),
        ('S', 1, "+expires\r\n", Missing { wanted: "an integer" }),
        ('S', 2, "+expires\r\n:-1\r\n", OutOfRange { field: "a time" }),
        ('S', 2, "+absent\r\n:1\r\n", Wrong { wanted: "a string" }),
        ('S', 4, "+expires\r\n:1\r\n+ttl\r\n:1\r\n", ClashingOptions),
        ('D', 1, "+absent\r\n", UnknownOption),
        ('D', 1, "+present\r\n", UnknownOption),
        ('D', 2, "+expires\r\n:1\r\n", UnknownOption),
        ('D', 2, "+previous\r\n+previous\r\n", ClashingOptions),
        ('D', 4, "+version\r\n:1\r\n+version\r\n:2\r\n", ClashingOptions),
        ('D', 1, "|", Wrong { wanted: "a string" }),
    ];
    for &(kind, frames, options, cause) in cases {
        let (before, before_frames) = match kind {
            'S' => ("+t\r\n$1\r\nk\r\n$1\r\nv\r\n", 3),
            _ => ("+t\r\n$1\r\nk\r\n", 2),
        };
        let refused =
            request(kind, 1 + before_frames + frames, &format!(":7\r\n{before}{options}"));
        let expected = RequestError { id: Some(id(7)), cause };
        assert_eq!(refused, Err(expected), "{kind} {options:?}");
    }
}

#[test]
#[rustfmt::skip]
fn a_request_of_several_parts_off_its_form_is_refused_by_name() {
    use FieldError::{ClashingOptions, Missing, OutOfRange, UnknownOption, Wrong};
    let cases: &[(char, usize, &str, FieldError)] = &[
        ('B', 1, "+t\r\n", Missing { wanted: "a change" }),
        ('B', 2, "+t\r\n+set\r\n", Missing { wanted: "bytes" }),
        ('B', 3, "+t\r\n+set\r\n$1\r\nk\r\n", Missing { wanted: "bytes" }),
        ('B', 3, "+t\r\n+swap\r\n$1\r\nk\r\n", UnknownOption),
        ('B', 4, "+t\r\n+delete\r\n$1\r\nk\r\n+previous\r\n", UnknownOption),
        ('B', 5, "+t\r\n+delete\r\n$1\r\nk\r\n+ttl\r\n:1\r\n", UnknownOption),
        ('B', 5, "+t\r\n+check\r\n$1\r\nk\r\n+absent\r\n+present\r\n", ClashingOptions),
        ('B', 4, "+t\r\n+check\r\n$1\r\nk\r\n+typo\r\n", Missing { wanted: "bytes" }),
        ('I', 3, "+t\r\n$1\r\nk\r\n+1\r\n", Wrong { wanted: "an integer" }),
        ('I', 5, "+t\r\n$1\r\nk\r\n:1\r\n+ttl\r\n:1\r\n", UnknownOption),
        ('X', 3, "+t\r\n$1\r\nk\r\n+absent\r\n", UnknownOption),
        ('X', 3, "+t\r\n$1\r\nk\r\n+previous\r\n", UnknownOption),
        ('L', 0, "", Missing { wanted: "a request" }),
        ('L', 1, ":1\r\n", OutOfRange { field: "a number of frames" }),
        ('L', 1, ":0\r\n", Missing { wanted: "a string" }),
        ('L', 2, ":-1\r\n+G\r\n", OutOfRange { field: "a number of frames" }),
        ('L', 2, ":1\r\n+GG\r\n", Wrong { wanted: "a type of one letter" }),
        ('L', 2, ":1\r\n+G\r\n", Missing { wanted: "a string" }),
        ('L', 2, ":1\r\n+L\r\n", Wrong { wanted: "a type for a pipeline" }),
        ('L', 2, ":1\r\n+W\r\n", Wrong { wanted: "a type for a pipeline" }),
        ('L', 2, ":1\r\n+P\r\n", Wrong { wanted: "a type for a pipeline" }),
        ('G', 3, "+t\r\n$1\r\nk\r\n+fresh\r\n", UnknownOption),
        ('G', 4, "+t\r\n$1\r\nk\r\n+stale\r\n+stale\r\n", ClashingOptions),
        ('E', 3, "+t\r\n$1\r\nk\r\n+absent\r\n", UnknownOption),
        ('Y', 3, "+t\r\n$1\r\nk\r\n$5\r\nstale\r\n", Wrong { wanted: "a string" }),
        ('S', 4, "+t\r\n$1\r\nk\r\n$1\r\nv\r\n+stale\r\n", UnknownOption),
        ('L', 5, ":4\r\n+G\r\n+t\r\n$1\r\nk\r\n+at\r\n", UnknownOption),
        ('R', 3, "+t\r\n+stale\r\n+stale\r\n", ClashingOptions),
        ('R', 2, "+t\r\n+at\r\n", Missing { wanted: "an integer" }),
        ('R', 3, "+t\r\n+at\r\n:0\r\n", OutOfRange { field: "a version" }),
        ('R', 5, "+t\r\n+at\r\n:1\r\n+at\r\n:1\r\n", ClashingOptions),
        ('R', 2, "+t\r\n+sideways\r\n", UnknownOption),
        ('R', 3, "+t\r\n+reverse\r\n+reverse\r\n", ClashingOptions),
        ('R', 5, "+t\r\n+from\r\n$1\r\na\r\n+after\r\n$1\r\na\r\n", ClashingOptions),
        ('R', 3, "+t\r\n+limit\r\n:0\r\n", OutOfRange { field: "limit" }),
        ('W', 4, "+t\r\n:1\r\n|:0\r\n", Wrong { wanted: "an integer" }),
        ('W', 4, "+t\r\n|:-1\r\n:0\r\n", OutOfRange { field: "a version" }),
        ('W', 4, "+t\r\n||:-1\r\n", OutOfRange { field: "the wait" }),
        ('W', 6, "+t\r\n||:0\r\n+suffix\r\n$1\r\na\r\n", UnknownOption),
        ('T', 1, ":1\r\n", Wrong { wanted: "a string" }),
    ];
    for &(kind, frames, fields, cause) in cases {
        let refused = request(kind, 1 + frames, &format!(":7\r\n{fields}"));
        let expected = RequestError { id: Some(id(7)), cause };
        assert_eq!(refused, Err(expected), "{kind} {fields:?}");
    }
}

#[test]
fn a_batch_and_a_pipeline_have_a_bounded_number_of_parts() {
    let limits = v2::limits(1024);
    let parts = |kind: char, head: &str, part: &str, frames: usize, count: usize| {
        let head_frames = if head.is_empty() { 2 } else { 3 };
        let count_frames = head_frames + frames * count;
        let bytes = format!("*{count_frames}\r\n#{kind}:7\r\n{head}{}", part.repeat(count));
        let mut decoder = Decoder::new(limits);
        whole(&mut decoder, bytes.as_bytes(), |message| {
            Request::parse(message).map(|_| ()).map_err(|error| error.cause)
        })
    };
    let too_many = |field| Err(FieldError::OutOfRange { field });
    let (check, get) = ("+check\r\n$1\r\nk\r\n", ":3\r\n+G\r\n+t\r\n$1\r\nk\r\n");
    assert_eq!(parts('B', "+t\r\n", check, 2, v2::MAX_BATCH), Ok(()));
    let refused = parts('B', "+t\r\n", check, 2, v2::MAX_BATCH + 1);
    assert_eq!(refused, too_many("the number of changes"));
    assert_eq!(parts('L', "", get, 4, v2::MAX_BATCH), Ok(()));
    assert_eq!(parts('L', "", get, 4, v2::MAX_BATCH + 1), too_many("the number of requests"));
}

#[test]
fn options_come_in_any_order() {
    for bytes in [
        "+previous\r\n+expires\r\n:9\r\n+version\r\n:1\r\n",
        "+expires\r\n:9\r\n+version\r\n:1\r\n+previous\r\n",
        "+version\r\n:1\r\n+previous\r\n+expires\r\n:9\r\n",
    ] {
        let bytes = format!("*10\r\n#S:1\r\n+t\r\n$1\r\nk\r\n$1\r\nv\r\n{bytes}");
        let mut decoder = decoder();
        let (_, parsed) = whole(&mut decoder, bytes.as_bytes(), Request::parse).expect("in form");
        let expected = Request::Set {
            table: "t",
            key: b"k",
            value: b"v",
            condition: v2::Condition::Version(version(1)),
            expiry: Some(v2::Expiry::At(time(9))),
            previous: v2::Previous::Return,
        };
        assert_eq!(parsed, Some(expected));
    }
}

#[test]
fn a_type_that_is_no_request_is_told_apart_from_a_malformed_one() {
    for kind in ['H', 'h', 'g', 'w', 'f', 'J', '\u{1}', '\0'] {
        assert_eq!(request(kind, 1, ":7\r\n"), Ok(None), "{kind:?}");
    }
    let mut decoder = decoder();
    for kind in [0, 3, 4, 8, b'G'] {
        let bytes = [b"*2\r\n#", &[kind][..], b"|"].concat();
        assert_eq!(whole(&mut decoder, &bytes, v1::Request::parse), Ok(None), "{kind}");
    }
}

#[test]
#[rustfmt::skip]
fn a_request_of_version_1_off_its_form_is_refused_by_name() {
    use FieldError::{Missing, TooMany, Wrong};
    let cases: &[(&[u8], FieldError)] = &[
        (b"*1\r\n#\x01", Missing { wanted: "a time" }),
        (b"*2\r\n#\x01|", Missing { wanted: "a time" }),
        (b"*3\r\n#\x01+now\r\n|", Wrong { wanted: "a time" }),
        (b"*3\r\n#\x01|+now\r\n", Wrong { wanted: "a time" }),
        (b"*4\r\n#\x01|||", TooMany),
        (b"*2\r\n#\x02+app\r\n", Missing { wanted: "a string" }),
        (b"*3\r\n#\x02$3\r\napp\r\n+pw\r\n", Wrong { wanted: "a string" }),
        (b"*4\r\n#\x02+app\r\n+pw\r\n|", TooMany),
        (b"*3\r\n#\x05+key\r\n+value\r\n", Wrong { wanted: "bytes" }),
        (b"*3\r\n#\x05+key\r\n|", Wrong { wanted: "bytes" }),
        (b"*2\r\n#\x05+key\r\n", Missing { wanted: "bytes" }),
        (b"*1\r\n#\x06", Missing { wanted: "a string" }),
        (b"*2\r\n#\x06:7\r\n", Wrong { wanted: "a string" }),
        (b"*3\r\n#\x06+key\r\n+key\r\n", TooMany),
        (b"*2\r\n#\x07$3\r\nkey\r\n", Wrong { wanted: "a string" }),
        (b"*3\r\n#\x07+key\r\n|", TooMany),
    ];
    for (bytes, error) in cases {
        let mut decoder = decoder();
        let refused = whole(&mut decoder, bytes, v1::Request::parse);
        assert_eq!(refused, Err(*error), "{}", bytes.escape_ascii());
    }
}

#[test]
#[rustfmt::skip]
fn a_hello_off_its_form_is_refused_by_name() {
    use FieldError::{Missing, TooMany, Wrong};
    let cases: &[(&str, FieldError)] = &[
        ("*2\r\n#H:0\r\n", Missing { wanted: "an integer" }),
        ("*3\r\n#H:0\r\n:2\r\n", Missing { wanted: "an integer" }),
        ("*4\r\n#H:0\r\n:2\r\n:2\r\n", Missing { wanted: "bytes" }),
        ("*5\r\n#H:0\r\n:2\r\n:2\r\n|", Wrong { wanted: "null" }),
        ("*6\r\n#H:0\r\n:2\r\n:2\r\n|$1\r\np\r\n", Wrong { wanted: "null" }),
        ("*6\r\n#H:0\r\n:2\r\n:2\r\n$1\r\nu\r\n|", Wrong { wanted: "bytes" }),
        ("*6\r\n#H:0\r\n:2\r\n:2\r\n+u\r\n+p\r\n", Wrong { wanted: "bytes" }),
        ("*7\r\n#H:0\r\n:2\r\n:2\r\n|||", TooMany),
    ];
    for (bytes, error) in cases {
        let mut decoder = decoder();
        let refused = whole(&mut decoder, bytes.as_bytes(), Hello::parse);
        assert_eq!(refused, Err(*error), "{bytes:?}");
    }
}

#[test]
fn a_hello_of_a_later_version_is_understood_as_far_as_it_goes() {
    let bytes = b"*9\r\n#H:0\r\n:2\r\n:3\r\n||+token\r\n$1\r\nt\r\n|";
    let mut decoder = decoder();
    whole(&mut decoder, bytes, |message| {
        let (_, hello) = Hello::parse(message).unwrap();
        assert_eq!((hello.lowest, hello.highest, hello.credentials), (2, 3, None));
    });
}

#[test]
#[rustfmt::skip]
fn a_reply_off_its_form_is_refused_by_name() {
    use FieldError::{Missing, OutOfRange, Wrong};
    let cases: &[(&str, FieldError)] = &[
        ("*2\r\n#p|", Wrong { wanted: "an integer" }),
        ("*2\r\n#p:0\r\n", Missing { wanted: "an integer" }),
        ("*3\r\n#p:0\r\n:-1\r\n", OutOfRange { field: "a time" }),
        ("*5\r\n#g:0\r\n:0\r\n$0\r\n\r\n|", OutOfRange { field: "a version" }),
        ("*4\r\n#g:0\r\n:1\r\n$0\r\n\r\n", Missing { wanted: "an integer" }),
        ("*3\r\n#e:0\r\n:2\r\n", OutOfRange { field: "a flag" }),
        ("*3\r\n#e:0\r\n:-1\r\n", OutOfRange { field: "a flag" }),
        ("*4\r\n#w:0\r\n:1\r\n:3\r\n", OutOfRange { field: "what stood there before" }),
        ("*4\r\n#w:0\r\n:1\r\n:2\r\n", Missing { wanted: "an integer" }),
        ("*3\r\n#w:0\r\n:1\r\n", Missing { wanted: "an integer" }),
        ("*4\r\n#c:0\r\n:0\r\n:0\r\n", OutOfRange { field: "a version" }),
        ("*3\r\n#c:0\r\n:1\r\n", Missing { wanted: "an integer" }),
        ("*4\r\n#y:0\r\n:2\r\n:0\r\n", OutOfRange { field: "the time that is left" }),
        ("*3\r\n#y:0\r\n:3\r\n", OutOfRange { field: "a lifetime" }),
        ("*4\r\n#l:0\r\n:2\r\n+g\r\n", OutOfRange { field: "a number of frames" }),
        ("*4\r\n#l:0\r\n:1\r\n+l\r\n", Wrong { wanted: "a type in a pipeline" }),
        ("*3\r\n#s:0\r\n|", Wrong { wanted: "an integer" }),
        ("*4\r\n#s:0\r\n:0\r\n|", OutOfRange { field: "a version" }),
        ("*3\r\n#s:0\r\n:1\r\n", Missing { wanted: "bytes" }),
        ("*3\r\n#f:0\r\n+BUSY\r\n", Missing { wanted: "a string" }),
        ("*2\r\n#f|", Missing { wanted: "a string" }),
    ];
    for (bytes, error) in cases {
        let mut decoder = decoder();
        let refused = whole(&mut decoder, bytes.as_bytes(), Reply::parse);
        assert_eq!(refused, Err(*error), "{bytes:?}");
    }
}

#[test]
#[rustfmt::skip]
fn a_welcome_needs_its_type_and_the_largest_value() {
    use FieldError::{Missing, OutOfRange, Wrong};
    let cases: &[(&str, FieldError)] = &[
        ("*3\r\n#p:0\r\n:2\r\n", Wrong { wanted: "a welcome" }),
        ("*3\r\n#h:0\r\n:2\r\n", Missing { wanted: "max-value-bytes" }),
        ("*5\r\n#h:0\r\n:2\r\n+max-value-bytes\r\n:0\r\n", Missing { wanted: "max-value-bytes" }),
        ("*5\r\n#h:0\r\n:2\r\n+max-value-bytes\r\n:-1\r\n",
            OutOfRange { field: "max-value-bytes" }),
        ("*5\r\n#h:0\r\n:2\r\n+max-value-bytes\r\n:67108865\r\n",
            OutOfRange { field: "max-value-bytes" }),
        ("*5\r\n#h:0\r\n:2\r\n+max-value-bytes\r\n:9223372036854775807\r\n",
            OutOfRange { field: "max-value-bytes" }),
        ("*4\r\n#h:0\r\n:2\r\n+server\r\n", Missing { wanted: "a string" }),
        ("*5\r\n#h:0\r\n:2\r\n+server\r\n:1\r\n", Wrong { wanted: "a string" }),
    ];
    for (bytes, error) in cases {
        let mut decoder = decoder();
        let refused = whole(&mut decoder, bytes.as_bytes(), Welcome::parse);
        assert_eq!(refused, Err(*error), "{bytes:?}");
    }
}

#[test]
fn what_a_later_server_adds_is_skipped() {
    let mut decoder = decoder();
    let bytes =
        b"*9\r\n#h:0\r\n:2\r\n+history\r\n:7\r\n+region\r\n+north\r\n+max-value-bytes\r\n:1\r\n";
    let (_, welcome) = whole(&mut decoder, bytes, Welcome::parse).expect("in form");
    assert_eq!((welcome.version, welcome.max_value_bytes), (2, 1));

    let bytes = b"*4\r\n#f:7\r\n+QUOTA\r\n+no more\r\n";
    let fail = Reply::Fail { code: FailCode::Unknown, message: "no more" };
    let parsed = whole(&mut decoder, bytes, Reply::parse);
    assert_eq!(parsed, Ok((Some(id(7)), Some(fail))), "promises the least of all codes");

    let parsed = whole(&mut decoder, b"*3\r\n#z:7\r\n|", Reply::parse);
    assert_eq!(parsed, Ok((Some(id(7)), None)));

    let bytes = b"*6\r\n#w:7\r\n:9\r\n:1\r\n:5\r\n$1\r\nx\r\n";
    let written = Reply::Written { version: Some(version(9)), before: Before::Present };
    let parsed = whole(&mut decoder, bytes, Reply::parse);
    assert_eq!(parsed, Ok((Some(id(7)), Some(written))), "more frames make no record of it");
}
