//! Frames, written behind what a buffer holds.

use bytes::{Buf, BufMut, BytesMut};

use super::{LINE_END, MAX_DECIMAL_BYTES};

/// Writes frames behind what a buffer already holds.
#[derive(Debug)]
pub struct FrameWriter<'a>(&'a mut BytesMut);

impl<'a> FrameWriter<'a> {
    /// Writes to the end of `out`.
    pub fn new(out: &'a mut BytesMut) -> Self {
        Self(out)
    }

    /// Begins a message of `frames` frames, its type included.
    pub fn message(&mut self, frames: usize, kind: u8) -> &mut Self {
        self.0.put_u8(b'*');
        self.number_line(frames as u64);
        self.0.extend_from_slice(&[b'#', kind]);
        self
    }

    /// A string frame. Bytes below 0x20 are written as spaces: none of them belongs in a name or in
    /// a message for people, and CR LF would end the frame. The text's length is the caller's part:
    /// beyond the reader's [`FrameLimits::line_bytes`](super::FrameLimits::line_bytes) it ends the connection.
    pub fn string(&mut self, text: &str) -> &mut Self {
        self.0.put_u8(b'+');
        if text.bytes().any(|byte| byte < b' ') {
            self.0.extend(text.bytes().map(|byte| byte.max(b' ')));
        } else {
            self.0.extend_from_slice(text.as_bytes());
        }
        self.end_line()
    }

    /// A bytes frame.
    pub fn bytes(&mut self, content: &[u8]) -> &mut Self {
        self.0.reserve(content.len() + MAX_DECIMAL_BYTES + 5);
        self.0.put_u8(b'$');
        self.number_line(content.len() as u64);
        self.0.extend_from_slice(content);
        self.end_line()
    }

    /// A bytes frame of the next `length` bytes of `content`, which holds as many.
    pub fn bytes_of(&mut self, content: &mut impl Buf, length: usize) -> &mut Self {
        self.0.reserve(length + MAX_DECIMAL_BYTES + 5);
        self.0.put_u8(b'$');
        self.number_line(length as u64);
        self.0.put(content.take(length));
        self.end_line()
    }

    /// An integer frame.
    pub fn integer(&mut self, number: i64) -> &mut Self {
        self.0.put_u8(b':');
        if number < 0 {
            self.0.put_u8(b'-');
        }
        self.number_line(number.unsigned_abs());
        self
    }

    /// A time frame; `text` is RFC 3339, or the content of a time frame that was read.
    pub fn time(&mut self, text: &[u8]) -> &mut Self {
        self.0.put_u8(b'T');
        self.0.extend_from_slice(text);
        self.end_line()
    }

    /// A null frame.
    pub fn null(&mut self) -> &mut Self {
        self.0.put_u8(b'|');
        self
    }

    fn number_line(&mut self, number: u64) {
        let mut line = [0_u8; MAX_DECIMAL_BYTES];
        let mut start = line.len();
        let mut rest = number;
        for digit in line.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            start -= 1;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        let (_, digits) = line.split_at(start);
        self.0.extend_from_slice(digits);
        self.end_line();
    }

    fn end_line(&mut self) -> &mut Self {
        self.0.extend_from_slice(LINE_END);
        self
    }
}
