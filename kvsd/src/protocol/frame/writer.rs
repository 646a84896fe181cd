//! Frames, written behind what a buffer holds.

use std::fmt;

use bytes::{Buf, BufMut, BytesMut};

use super::{LINE_END, MAX_DECIMAL_BYTES};

/// Writes frames behind what a buffer already holds.
///
/// ```
/// use bytes::BytesMut;
/// use kvsd::protocol::frame::FrameWriter;
///
/// let mut out = BytesMut::new();
/// FrameWriter::new(&mut out).message(4, b'G').integer(7).string("default").bytes(b"hello");
/// assert_eq!(&out[..], b"*4\r\n#G:7\r\n+default\r\n$5\r\nhello\r\n");
/// ```
pub struct FrameWriter<'a>(&'a mut BytesMut);

/// Shows how much is in the buffer; never what.
impl fmt::Debug for FrameWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameWriter({} bytes)", self.0.len())
    }
}

impl<'a> FrameWriter<'a> {
    /// Writes to the end of `out`.
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use kvsd::protocol::frame::FrameWriter;
    ///
    /// let mut out = BytesMut::from("*1\r\n#P");
    /// FrameWriter::new(&mut out).message(1, b'Q');
    /// assert_eq!(&out[..], b"*1\r\n#P*1\r\n#Q");
    /// ```
    pub fn new(out: &'a mut BytesMut) -> Self {
        Self(out)
    }

    /// Begins a message of `frames` frames, its type included.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::FrameWriter;
    /// # let mut out = BytesMut::new();
    /// FrameWriter::new(&mut out).message(2, b'X').null();
    /// assert_eq!(&out[..], b"*2\r\n#X|");
    /// ```
    pub fn message(&mut self, frames: usize, kind: u8) -> &mut Self {
        self.0.put_u8(b'*');
        self.number_line(frames as u64);
        self.0.extend_from_slice(&[b'#', kind]);
        self
    }

    /// A string frame. Bytes below 0x20 are written as spaces: none of them belongs in a name or in
    /// a message for people, and CR LF would end the frame. The text's length is the caller's part:
    /// beyond the reader's [`FrameLimits::line_bytes`](super::FrameLimits::line_bytes) it ends the connection.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::FrameWriter;
    /// # let mut out = BytesMut::new();
    /// FrameWriter::new(&mut out).string("two\nlines");
    /// assert_eq!(&out[..], b"+two lines\r\n");
    /// ```
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
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::FrameWriter;
    /// # let mut out = BytesMut::new();
    /// FrameWriter::new(&mut out).bytes(b"two\r\nlines");
    /// assert_eq!(&out[..], b"$10\r\ntwo\r\nlines\r\n");
    /// ```
    pub fn bytes(&mut self, content: &[u8]) -> &mut Self {
        self.0.reserve(content.len() + MAX_DECIMAL_BYTES + 5);
        self.0.put_u8(b'$');
        self.number_line(content.len() as u64);
        self.0.extend_from_slice(content);
        self.end_line()
    }

    /// A bytes frame of the next `length` bytes of `content`, which holds as many.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::FrameWriter;
    /// # let mut out = BytesMut::new();
    /// let mut content = &b"hello"[..];
    /// FrameWriter::new(&mut out).bytes_of(&mut content, 4).bytes_of(&mut content, 1);
    /// assert_eq!(&out[..], b"$4\r\nhell\r\n$1\r\no\r\n");
    /// ```
    pub fn bytes_of(&mut self, content: &mut impl Buf, length: usize) -> &mut Self {
        self.0.reserve(length + MAX_DECIMAL_BYTES + 5);
        self.0.put_u8(b'$');
        self.number_line(length as u64);
        self.0.put(content.take(length));
        self.end_line()
    }

    /// An integer frame.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::FrameWriter;
    /// # let mut out = BytesMut::new();
    /// FrameWriter::new(&mut out).integer(0).integer(i64::MIN);
    /// assert_eq!(&out[..], b":0\r\n:-9223372036854775808\r\n");
    /// ```
    pub fn integer(&mut self, number: i64) -> &mut Self {
        self.0.put_u8(b':');
        if number < 0 {
            self.0.put_u8(b'-');
        }
        self.number_line(number.unsigned_abs());
        self
    }

    /// A time frame; `text` is RFC 3339, or the content of a time frame that was read.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::FrameWriter;
    /// # let mut out = BytesMut::new();
    /// FrameWriter::new(&mut out).time(b"2026-01-01T00:00:00Z");
    /// assert_eq!(&out[..], b"T2026-01-01T00:00:00Z\r\n");
    /// ```
    pub fn time(&mut self, text: &[u8]) -> &mut Self {
        self.0.put_u8(b'T');
        self.0.extend_from_slice(text);
        self.end_line()
    }

    /// A null frame.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::FrameWriter;
    /// # let mut out = BytesMut::new();
    /// FrameWriter::new(&mut out).null().null();
    /// assert_eq!(&out[..], b"||");
    /// ```
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
