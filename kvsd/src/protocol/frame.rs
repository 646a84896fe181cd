//! The frame grammar: finding whole messages in a stream of bytes, and writing frames.
//!
//! Knows prefixes, lengths and limits; never what a message means. Reading copies nothing and
//! allocates nothing by a promised length. Next file to read: [`super::v2`].

use bytes::{BufMut, BytesMut};
use thiserror::Error;

/// What a message may cost before its bytes are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// The whole message, in bytes, its frames' prefixes and line ends included.
    pub message_bytes: usize,
    /// The frames of a message, its type included.
    pub frames: usize,
    /// The text of a string or time frame, in bytes.
    pub line_bytes: usize,
}

/// Finds messages at the start of a growing buffer. The work is linear in the bytes received,
/// however small the pieces are in which they arrive.
///
/// ```
/// use kvsd::protocol::frame::Decoder;
/// use kvsd::protocol::BEFORE_AUTHENTICATION;
///
/// let mut decoder = Decoder::new(BEFORE_AUTHENTICATION);
/// assert!(decoder.decode(b"*2\r\n#P:")?.is_none());
/// let message = decoder.decode(b"*2\r\n#P:7\r\nrest")?.expect("a whole message");
/// assert_eq!(message.kind(), b'P');
/// assert_eq!(message.byte_len(), 10);
/// assert_eq!(message.fields().integer()?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    limits: FrameLimits,
    state: State,
    spans: Vec<Span>,
    /// The first byte that belongs to no finished frame.
    cursor: usize,
    /// Up to where the line at `cursor` was searched for its end in vain.
    searched: usize,
    /// How long the buffer must be for the bytes frame at `cursor` to be whole.
    needed: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// A message begins at byte 0.
    Start,
    /// The message has this many frames.
    Frames(usize),
    /// A message was handed out: the buffer now begins behind it.
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Type,
    String,
    Bytes,
    Time,
    Null,
    Integer,
}

/// Where a frame's content lies, counted from the message's first byte.
#[derive(Debug, Clone, Copy)]
struct Span {
    kind: Kind,
    start: usize,
    end: usize,
}

impl Decoder {
    /// A decoder for the start of a stream.
    #[must_use]
    pub fn new(limits: FrameLimits) -> Self {
        Self { limits, state: State::Start, spans: Vec::new(), cursor: 0, searched: 0, needed: 0 }
    }

    /// Takes other limits for what is decoded from now on. Between a message and the next call of
    /// [`Decoder::decode`], that is from the next message on.
    pub fn set_limits(&mut self, limits: FrameLimits) {
        self.limits = limits;
    }

    /// The message at the start of `buffer`, or `None` until more has arrived.
    ///
    /// After `None`, the next call must see the same bytes again, with more behind them. After a
    /// message, the next call must see the buffer without that message's [`Message::byte_len`]
    /// bytes. `None` means that the buffer is shorter than [`FrameLimits::message_bytes`].
    ///
    /// # Errors
    ///
    /// [`FrameError`], after which the stream cannot be followed any more.
    pub fn decode<'a>(&'a mut self, buffer: &'a [u8]) -> Result<Option<Message<'a>>, FrameError> {
        if let State::Done = self.state {
            self.state = State::Start;
            self.spans.clear();
            (self.cursor, self.searched, self.needed) = (0, 0, 0);
        }
        if buffer.len() < self.needed {
            return Ok(None);
        }
        if !self.advance(buffer)? {
            // At least one byte is still to come: a message that fills its limit is refused here,
            // not once its next line end arrives.
            self.check_size(buffer.len() + 1)?;
            return Ok(None);
        }
        self.state = State::Done;
        let (bytes, _) = buffer.split_at(self.cursor);
        Ok(Some(Message { bytes, spans: &self.spans }))
    }

    /// Goes on to the message's end; `false` if the buffer ends first.
    fn advance(&mut self, buffer: &[u8]) -> Result<bool, FrameError> {
        if let State::Start = self.state {
            let Some(count) = self.message_start(buffer)? else {
                return Ok(false);
            };
            self.state = State::Frames(count);
        }
        if let State::Frames(count) = self.state {
            while self.spans.len() < count {
                let Some((span, next)) = self.frame(buffer)? else {
                    return Ok(false);
                };
                self.spans.push(span);
                (self.cursor, self.searched) = (next, 0);
            }
        }
        Ok(true)
    }

    /// `*` count CR LF.
    fn message_start(&mut self, buffer: &[u8]) -> Result<Option<usize>, FrameError> {
        match buffer.first() {
            None => return Ok(None),
            Some(b'*') => {}
            // A TLS record of type alert (21) or handshake (22): what a TLS side sends first.
            Some(0x15 | 0x16) => return Err(FrameError::Tls),
            Some(byte) => return Err(FrameError::NoMessage { byte: *byte }),
        }
        let Some((line, next)) = self.line(buffer, 1, MAX_DECIMAL_BYTES)? else {
            return Ok(None);
        };
        let count = decimal(line)?;
        if count == 0 {
            return Err(FrameError::NoType);
        }
        let frames = usize::try_from(count).unwrap_or(usize::MAX);
        if frames > self.limits.frames {
            return Err(FrameError::TooManyFrames { limit: self.limits.frames });
        }
        (self.cursor, self.searched) = (next, 0);
        Ok(Some(frames))
    }

    /// The frame at the cursor and the position behind it.
    fn frame(&mut self, buffer: &[u8]) -> Result<Option<(Span, usize)>, FrameError> {
        let Some(&prefix) = buffer.get(self.cursor) else {
            return Ok(None);
        };
        if self.spans.is_empty() != (prefix == b'#') {
            return Err(FrameError::NoType);
        }
        let start = self.cursor + 1;
        let (kind, end, next) = match prefix {
            b'#' => {
                if buffer.len() <= start {
                    return Ok(None);
                }
                (Kind::Type, start + 1, start + 1)
            }
            b'|' => (Kind::Null, start, start),
            b'+' | b'T' | b':' => {
                let (kind, limit) = match prefix {
                    b'+' => (Kind::String, self.limits.line_bytes),
                    b'T' => (Kind::Time, self.limits.line_bytes),
                    _ => (Kind::Integer, MAX_DECIMAL_BYTES),
                };
                let Some((line, next)) = self.line(buffer, start, limit)? else {
                    return Ok(None);
                };
                (kind, start + line.len(), next)
            }
            b'$' => {
                let Some((line, start)) = self.line(buffer, start, MAX_DECIMAL_BYTES)? else {
                    return Ok(None);
                };
                return self.bytes_frame(buffer, start, decimal(line)?);
            }
            byte => return Err(FrameError::UnknownFrame { byte }),
        };
        self.check_size(next)?;
        Ok(Some((Span { kind, start, end }, next)))
    }

    /// The bytes frame whose content begins at `start`.
    fn bytes_frame(
        &mut self,
        buffer: &[u8],
        start: usize,
        length: u64,
    ) -> Result<Option<(Span, usize)>, FrameError> {
        let too_large = FrameError::MessageTooLarge { limit: self.limits.message_bytes };
        let length = usize::try_from(length).map_err(|_| too_large)?;
        let end = start.checked_add(length).ok_or(too_large)?;
        let next = end.checked_add(LINE_END.len()).ok_or(too_large)?;
        self.check_size(next)?;
        match buffer.get(end..next) {
            None => {
                self.needed = next;
                Ok(None)
            }
            Some(LINE_END) => Ok(Some((Span { kind: Kind::Bytes, start, end }, next))),
            Some(_) => Err(FrameError::NoLineEnd),
        }
    }

    /// The text from `start` to the next CR LF, and the position behind that.
    fn line<'b>(
        &mut self,
        buffer: &'b [u8],
        start: usize,
        limit: usize,
    ) -> Result<Option<(&'b [u8], usize)>, FrameError> {
        let longest = start.saturating_add(limit).saturating_add(LINE_END.len());
        let arrived = buffer.get(..longest).unwrap_or(buffer);
        let from = self.searched.max(start);
        let unsearched = arrived.get(from..).unwrap_or_default();
        if let Some(at) = unsearched.windows(2).position(|pair| pair == LINE_END) {
            let end = from + at;
            return Ok(arrived.get(start..end).map(|line| (line, end + LINE_END.len())));
        }
        if arrived.len() == longest {
            return Err(FrameError::LineTooLong { limit });
        }
        // The last byte may be the CR of a line end whose LF has not arrived.
        self.searched = arrived.len().saturating_sub(1);
        Ok(None)
    }

    fn check_size(&self, end: usize) -> Result<(), FrameError> {
        if end > self.limits.message_bytes {
            return Err(FrameError::MessageTooLarge { limit: self.limits.message_bytes });
        }
        Ok(())
    }
}

/// A whole message, its bytes still in the read buffer.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Message<'a> {
    /// How many bytes the message took.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// The message's type: the byte of its first frame.
    #[must_use]
    pub fn kind(&self) -> u8 {
        let at = self.spans.first().map_or(0, |span| span.start);
        self.bytes.get(at).copied().unwrap_or_default()
    }

    /// The frames behind the type, to be taken one after the other.
    #[must_use]
    pub fn fields(&self) -> Fields<'a> {
        Fields { bytes: self.bytes, spans: self.spans.get(1..).unwrap_or_default() }
    }
}

/// The frames of a message that have not been taken yet.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Fields<'a> {
    /// Whether every frame was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Takes a string frame.
    ///
    /// # Errors
    ///
    /// [`FieldError`] if the next frame is none, or not UTF-8. So for the other takers.
    pub fn string(&mut self) -> Result<&'a str, FieldError> {
        let text = self.take(Kind::String, "a string")?;
        std::str::from_utf8(text).map_err(|_| FieldError::NotText)
    }

    /// Takes a string frame as the bytes it holds.
    ///
    /// # Errors
    ///
    /// As [`Fields::string`], save that any bytes do.
    pub fn string_bytes(&mut self) -> Result<&'a [u8], FieldError> {
        self.take(Kind::String, "a string")
    }

    /// Takes a bytes frame.
    ///
    /// # Errors
    ///
    /// As [`Fields::string`].
    pub fn bytes(&mut self) -> Result<&'a [u8], FieldError> {
        self.take(Kind::Bytes, "bytes")
    }

    /// Takes an integer frame.
    ///
    /// # Errors
    ///
    /// As [`Fields::string`]; also for a number that is not written canonically or does not fit.
    pub fn integer(&mut self) -> Result<i64, FieldError> {
        let text = self.take(Kind::Integer, "an integer")?;
        integer(text).ok_or(FieldError::NotAnInteger)
    }

    /// Takes a time frame as the text it holds, unchecked.
    ///
    /// # Errors
    ///
    /// As [`Fields::string`].
    pub fn time(&mut self) -> Result<&'a [u8], FieldError> {
        self.take(Kind::Time, "a time")
    }

    /// Takes the next frame if it is a null frame.
    pub fn null(&mut self) -> bool {
        match self.spans.split_first() {
            Some((Span { kind: Kind::Null, .. }, rest)) => {
                self.spans = rest;
                true
            }
            _ => false,
        }
    }

    /// Whether the next frame is a bytes frame.
    #[must_use]
    pub fn next_is_bytes(&self) -> bool {
        self.spans.first().is_some_and(|span| span.kind == Kind::Bytes)
    }

    /// Whether the next frame is an integer frame.
    #[must_use]
    pub fn next_is_integer(&self) -> bool {
        self.spans.first().is_some_and(|span| span.kind == Kind::Integer)
    }

    /// Checks that every frame was taken.
    ///
    /// # Errors
    ///
    /// [`FieldError::TooMany`] if not.
    pub fn finish(&self) -> Result<(), FieldError> {
        if self.is_empty() { Ok(()) } else { Err(FieldError::TooMany) }
    }

    fn take(&mut self, kind: Kind, wanted: &'static str) -> Result<&'a [u8], FieldError> {
        let Some((span, rest)) = self.spans.split_first() else {
            return Err(FieldError::Missing { wanted });
        };
        if span.kind != kind {
            return Err(FieldError::Wrong { wanted });
        }
        self.spans = rest;
        Ok(self.bytes.get(span.start..span.end).unwrap_or_default())
    }
}

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
    /// beyond the reader's [`FrameLimits::line_bytes`] it ends the connection.
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

/// Why a stream of bytes cannot be followed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The bytes are a TLS record.
    #[error("the other side speaks TLS on a connection that is plain here")]
    Tls,
    /// A message does not begin with `*`.
    #[error("a message begins with '*', this one with byte 0x{byte:02x}")]
    NoMessage {
        /// The byte in its place.
        byte: u8,
    },
    /// A message's first frame is not its type, or a later one is a type.
    #[error("a message has exactly one type, its first frame")]
    NoType,
    /// An unknown frame prefix.
    #[error("unknown frame prefix, byte 0x{byte:02x}")]
    UnknownFrame {
        /// The prefix.
        byte: u8,
    },
    /// More frames than allowed.
    #[error("a message has at most {limit} frames here")]
    TooManyFrames {
        /// The limit.
        limit: usize,
    },
    /// More bytes than allowed.
    #[error("a message has at most {limit} bytes here")]
    MessageTooLarge {
        /// The limit.
        limit: usize,
    },
    /// A line longer than allowed.
    #[error("a line has at most {limit} bytes here")]
    LineTooLong {
        /// The limit.
        limit: usize,
    },
    /// A bytes frame that does not end where its length says.
    #[error("a bytes frame does not end in CR LF where its length says")]
    NoLineEnd,
    /// A count or a length that is no canonical decimal number below 2^64.
    #[error("a count or length is not a decimal number")]
    NotDecimal,
}

/// Why a message's frames are not those that its type asks for. The stream is still in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FieldError {
    /// No frame left.
    #[error("{wanted} is missing")]
    Missing {
        /// What should stand there.
        wanted: &'static str,
    },
    /// Another kind of frame.
    #[error("{wanted} was expected, another frame stands there")]
    Wrong {
        /// What should stand there.
        wanted: &'static str,
    },
    /// Frames behind the last that was expected.
    #[error("there are more frames than the message's type has")]
    TooMany,
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    NotText,
    /// An integer that is not canonical decimal or does not fit into 64 bits.
    #[error("an integer is not a 64-bit decimal number")]
    NotAnInteger,
    /// An integer outside the range of its field.
    #[error("{field} is out of range")]
    OutOfRange {
        /// The field.
        field: &'static str,
    },
    /// A word that is no option of the message's type.
    #[error("unknown option")]
    UnknownOption,
    /// An option twice, or two that exclude each other.
    #[error("options that exclude each other")]
    ClashingOptions,
}

const LINE_END: &[u8] = b"\r\n";
/// The digits of 2^64 - 1, and of an i64 with its sign.
const MAX_DECIMAL_BYTES: usize = 20;

/// A canonical unsigned decimal: digits only, no leading zero.
fn decimal(text: &[u8]) -> Result<u64, FrameError> {
    unsigned(text).ok_or(FrameError::NotDecimal)
}

fn unsigned(text: &[u8]) -> Option<u64> {
    if text.is_empty() || (text.len() > 1 && text.first() == Some(&b'0')) {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

fn integer(text: &[u8]) -> Option<i64> {
    match text.split_first() {
        Some((b'-', digits)) => match unsigned(digits)? {
            0 => None,
            number => 0_i64.checked_sub_unsigned(number),
        },
        _ => i64::try_from(unsigned(text)?).ok(),
    }
}
