//! Whole messages at the start of a growing buffer.

use super::message::{Kind, Message, Span, unsigned};
use super::{FrameError, FrameLimits, LINE_END, MAX_DECIMAL_BYTES};

/// Finds messages at the start of a growing buffer. The work is linear in the bytes received,
/// however small the pieces are in which they arrive. A message has less than 4 GiB, whatever the
/// limits say.
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

impl Decoder {
    /// A decoder for the start of a stream.
    ///
    /// ```
    /// use kvsd::protocol::BEFORE_AUTHENTICATION;
    /// use kvsd::protocol::frame::Decoder;
    ///
    /// let mut decoder = Decoder::new(BEFORE_AUTHENTICATION);
    /// assert!(decoder.decode(b"*1\r\n#P")?.is_some());
    /// # Ok::<(), kvsd::protocol::frame::FrameError>(())
    /// ```
    #[must_use]
    pub fn new(limits: FrameLimits) -> Self {
        let limits = below_4_gib(limits);
        Self { limits, state: State::Start, spans: Vec::new(), cursor: 0, searched: 0, needed: 0 }
    }

    /// Takes other limits for what is decoded from now on. Between a message and the next call of
    /// [`Decoder::decode`], that is from the next message on.
    ///
    /// ```
    /// use kvsd::protocol::frame::Decoder;
    /// use kvsd::protocol::{BEFORE_AUTHENTICATION, v2};
    ///
    /// let large = [&b"*2\r\n#X$2000\r\n"[..], &[0; 2000], b"\r\n"].concat();
    /// let mut decoder = Decoder::new(BEFORE_AUTHENTICATION);
    /// assert!(decoder.decode(&large).is_err());
    ///
    /// let mut decoder = Decoder::new(BEFORE_AUTHENTICATION);
    /// decoder.set_limits(v2::limits(4096)); // the client has said who it is
    /// assert!(decoder.decode(&large)?.is_some());
    /// # Ok::<(), kvsd::protocol::frame::FrameError>(())
    /// ```
    pub fn set_limits(&mut self, limits: FrameLimits) {
        self.limits = below_4_gib(limits);
    }

    /// What the frames of an unfinished message hold, in bytes.
    #[cfg(test)]
    pub(in crate::protocol) fn held(&self) -> usize {
        self.spans.capacity() * size_of::<Span>()
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
    ///
    /// ```
    /// use kvsd::protocol::frame::Decoder;
    /// use kvsd::protocol::v2;
    ///
    /// let stream = b"*2\r\n#X:7\r\n*1\r\n#Y";
    /// let mut decoder = Decoder::new(v2::limits(1024));
    /// assert!(decoder.decode(&stream[..9])?.is_none(), "more is to come");
    /// let taken = decoder.decode(stream)?.ok_or("not whole")?.byte_len();
    /// let next = decoder.decode(&stream[taken..])?.ok_or("not whole")?;
    /// assert_eq!(next.kind(), b'Y');
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn decode<'a>(&'a mut self, buffer: &'a [u8]) -> Result<Option<Message<'a>>, FrameError> {
        if let State::Done = self.state {
            self.state = State::Start;
            self.spans.clear();
            self.spans.shrink_to(KEPT_SPANS);
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
        Ok(Some((self.span(kind, start, end)?, next)))
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
            Some(LINE_END) => Ok(Some((self.span(Kind::Bytes, start, end)?, next))),
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

    fn span(&self, kind: Kind, start: usize, end: usize) -> Result<Span, FrameError> {
        let too_large = FrameError::MessageTooLarge { limit: self.limits.message_bytes };
        Span::new(kind, start, end).ok_or(too_large)
    }

    fn check_size(&self, end: usize) -> Result<(), FrameError> {
        if end > self.limits.message_bytes {
            return Err(FrameError::MessageTooLarge { limit: self.limits.message_bytes });
        }
        Ok(())
    }
}

/// After a message of more frames than this, what was reserved for them is given back.
const KEPT_SPANS: usize = 256;

/// Places in a message are counted in 32 bits.
fn below_4_gib(limits: FrameLimits) -> FrameLimits {
    FrameLimits { message_bytes: limits.message_bytes.min(u32::MAX as usize), ..limits }
}

/// A canonical unsigned decimal: digits only, no leading zero.
fn decimal(text: &[u8]) -> Result<u64, FrameError> {
    unsigned(text).ok_or(FrameError::NotDecimal)
}
