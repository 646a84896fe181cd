//! A stream of arbitrary bytes, at once and in pieces: the same messages, no panic, and never more
//! kept than the limit. The first two bytes choose the pieces and the limits.
#![no_main]

use kvsd::protocol::BEFORE_AUTHENTICATION;
use kvsd::protocol::frame::{Decoder, FrameLimits, Message};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [piece, limit, stream @ ..] = data else {
        return;
    };
    let limits = FrameLimits {
        message_bytes: 16 + 4 * usize::from(*limit),
        frames: 1 + usize::from(*limit % 16),
        line_bytes: usize::from(*limit),
    };
    for limits in [limits, BEFORE_AUTHENTICATION] {
        let at_once = follow(limits, stream, stream.len());
        assert_eq!(at_once, follow(limits, stream, usize::from(*piece)));
        assert_eq!(at_once, follow(limits, stream, 1));
    }
});

/// The lengths of the messages in a stream that arrives in pieces, and whether it could be followed
/// to its end.
fn follow(limits: FrameLimits, stream: &[u8], piece: usize) -> (Vec<usize>, bool) {
    let mut decoder = Decoder::new(limits);
    let (mut start, mut end) = (0, 0);
    let mut lengths = Vec::new();
    while end < stream.len() {
        end = stream.len().min(end + piece.max(1));
        loop {
            match decoder.decode(&stream[start..end]) {
                Err(_) => return (lengths, false),
                Ok(None) => break,
                Ok(Some(message)) => {
                    assert!(message.byte_len() <= limits.message_bytes);
                    assert!(frames(&message) <= limits.frames);
                    start += message.byte_len();
                    lengths.push(message.byte_len());
                }
            }
        }
        assert!(
            end - start < limits.message_bytes,
            "more is kept than the limit"
        );
    }
    (lengths, true)
}

fn frames(message: &Message<'_>) -> usize {
    let mut fields = message.fields();
    let mut frames = 1;
    while !fields.is_empty() {
        // An integer that is off its form is taken all the same.
        let _ = fields.null()
            || fields.string_bytes().is_ok()
            || fields.bytes().is_ok()
            || fields.time().is_ok()
            || fields.integer().is_ok();
        frames += 1;
    }
    frames
}
