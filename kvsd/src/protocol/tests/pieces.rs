//! Messages that arrive in pieces: the same messages, and no work twice.
//!
//! That work is not done twice is proven by spoiling what was read already: between two calls the
//! bytes that the decoder has no reason to see again are overwritten with others that would change
//! its mind.

use super::golden::messages;
use super::*;

#[test]
fn a_message_cut_anywhere_is_the_same_message() {
    for (said, bytes) in messages() {
        for cut in 0..bytes.len() {
            let mut decoder = decoder();
            let part = decoder.decode(&bytes[..cut]).expect("a message so far");
            assert!(part.is_none(), "{said:?} is whole after {cut} bytes");
            assert_eq!(whole(&mut decoder, bytes, |message| said.parse_alike(message)), said);
        }
    }
}

#[test]
fn a_message_that_arrives_byte_by_byte_is_the_same_message() {
    for (said, bytes) in messages() {
        let mut decoder = decoder();
        for end in 0..bytes.len() {
            let part = decoder.decode(&bytes[..end]).expect("a message so far");
            assert!(part.is_none(), "{said:?} is whole after {end} bytes");
        }
        assert_eq!(whole(&mut decoder, bytes, |message| said.parse_alike(message)), said);
    }
}

#[test]
fn messages_follow_each_other_however_the_stream_is_cut() {
    let messages = messages();
    let stream: Vec<u8> = messages.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
    for piece in [1, 2, 3, 7, 64, 1000, stream.len()] {
        let mut decoder = decoder();
        let mut buffer = Vec::new();
        let mut expected = messages.iter();
        for piece in stream.chunks(piece) {
            buffer.extend_from_slice(piece);
            while let Some(message) = decoder.decode(&buffer).expect("messages only") {
                let (said, _) = expected.next().expect("no message too many");
                assert_eq!(said.parse_alike(&message), *said);
                let length = message.byte_len();
                buffer.drain(..length);
            }
        }
        assert!(buffer.is_empty());
        assert!(expected.next().is_none(), "a message is missing");
    }
}

#[test]
fn a_cr_at_the_buffers_end_waits_for_its_lf() {
    let mut decoder = decoder();
    for part in ["*", "*2", "*2\r", "*2\r\n#X+a\r", "*2\r\n#X+a\rb\r"] {
        assert!(decoder.decode(part.as_bytes()).expect("a message so far").is_none(), "{part:?}");
    }
    let text = whole(&mut decoder, b"*2\r\n#X+a\rb\r\n", |message| message.fields().string());
    assert_eq!(text, Ok("a\rb"));
}

#[test]
fn a_value_of_10_mib_in_small_pieces_is_looked_at_once() {
    const VALUE: usize = 10 * 1024 * 1024;
    let head = b"*3\r\n#\x05+key\r\n$10485760\r\n";
    let bytes = [&head[..], &vec![b'v'; VALUE], b"\r\n"].concat();
    let spoiled = vec![b'?'; bytes.len()];
    let mut decoder = Decoder::new(FrameLimits { message_bytes: VALUE + 2048, ..LIMITS });
    assert!(decoder.decode(head).expect("a message so far").is_none());
    for end in (head.len()..bytes.len()).step_by(100) {
        assert!(decoder.decode(&spoiled[..end]).expect("nothing read again").is_none());
    }
    let value = whole(&mut decoder, &bytes, |message| {
        let mut fields = message.fields();
        fields.string()?;
        fields.bytes()
    });
    assert_eq!(value.expect("the frames of a set").len(), VALUE);
}

#[test]
fn a_long_line_byte_by_byte_is_searched_once() {
    for prefix in ["+", "T"] {
        let head = format!("*2\r\n#X{prefix}");
        let bytes = [head.as_bytes(), &[b'k'; 1000], b"\r\n"].concat();
        let mut decoder = decoder();
        for end in head.len()..bytes.len() {
            let mut seen = bytes[..end].to_vec();
            // All but the last byte of the call before: that one might have been a CR.
            for (at, byte) in seen[..end - 1].iter_mut().enumerate().skip(head.len()).rev().skip(1)
            {
                *byte = if at % 2 == 0 { b'\r' } else { b'\n' };
            }
            let part = decoder.decode(&seen).expect("a message so far");
            assert!(part.is_none(), "searched again at {end}");
        }
        assert!(decoder.decode(&bytes).expect("a message").is_some());
    }
}

#[test]
fn whole_frames_of_an_unfinished_message_are_not_looked_at_again() {
    let frames: Vec<&[u8]> = [b"+text\r\n", &b"$3\r\nabc\r\n"[..], b":12\r\n", b"|", b"Tnow\r\n"]
        .into_iter()
        .cycle()
        .take(30)
        .collect();
    let mut bytes = b"*31\r\n#X".to_vec();
    let mut decoder = decoder();
    assert!(decoder.decode(&bytes).expect("a message so far").is_none());
    for frame in &frames[..29] {
        let mut seen = vec![b'?'; bytes.len()];
        seen.extend_from_slice(frame);
        bytes.extend_from_slice(frame);
        assert!(decoder.decode(&seen).expect("nothing read again").is_none());
    }
    bytes.extend_from_slice(frames[29]);
    let mut fields = fields(&mut decoder, &bytes);
    let texts = std::iter::from_fn(|| {
        let text = fields.string().ok()?;
        assert_eq!((fields.bytes(), fields.integer()), (Ok(&b"abc"[..]), Ok(12)));
        assert!(fields.null());
        fields.time().ok()?;
        Some(text)
    });
    assert_eq!(texts.collect::<Vec<_>>(), ["text"; 6]);
}
