//! A message that was found: its type and its frames, still in the read buffer.

use std::fmt;

use super::FieldError;

/// A whole message, its bytes still in the read buffer.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let message = decoder.decode(b"*3\r\n#X+text\r\n:7\r\nbehind it")?.ok_or("not whole")?;
/// let mut fields = message.fields();
/// assert_eq!((fields.string()?, fields.integer()?), ("text", 7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct Message<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) spans: &'a [Span],
}

impl<'a> Message<'a> {
    /// How many bytes the message took.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let message = decoder.decode(b"*1\r\n#Xbehind it")?.ok_or("not whole")?;
    /// assert_eq!(message.byte_len(), b"*1\r\n#X".len());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// The message's type: the byte of its first frame.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let message = decoder.decode(b"*1\r\n#X")?.ok_or("not whole")?;
    /// assert_eq!(message.kind(), b'X');
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn kind(&self) -> u8 {
        let first = self.spans.first().map_or(&[][..], |span| span.content(self.bytes));
        first.first().copied().unwrap_or_default()
    }

    /// The frames behind the type, to be taken one after the other.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let message = decoder.decode(b"*2\r\n#X:7\r\n")?.ok_or("not whole")?;
    /// // Each time all of them.
    /// assert_eq!((message.fields().integer()?, message.fields().integer()?), (7, 7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn fields(&self) -> Fields<'a> {
        Fields { bytes: self.bytes, spans: self.spans.get(1..).unwrap_or_default() }
    }
}

/// The frames of a message that have not been taken yet.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let message = decoder.decode(b"*3\r\n#X+text\r\n|")?.ok_or("not whole")?;
/// let mut fields = message.fields();
/// assert_eq!(fields.string()?, "text");
/// assert!(fields.null());
/// fields.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

/// Shows the type and the size; never what the frames hold, which may be a password, a key or a value.
impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind().escape_ascii();
        write!(f, "Message('{kind}', {} frames, {} bytes)", self.spans.len(), self.bytes.len())
    }
}

/// Shows how many are left; never what they hold.
impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fields({} left)", self.spans.len())
    }
}

impl<'a> Fields<'a> {
    /// Whether every frame was taken.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let message = decoder.decode(b"*2\r\n#X:7\r\n")?.ok_or("not whole")?;
    /// let mut fields = message.fields();
    /// assert!(!fields.is_empty());
    /// fields.integer()?;
    /// assert!(fields.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Takes a string frame.
    ///
    /// # Errors
    ///
    /// [`FieldError`] if the next frame is none, or not UTF-8. So for the other takers.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use kvsd::protocol::frame::FieldError;
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let message = decoder.decode(b"*3\r\n#X+text\r\n+\xFF\r\n")?.ok_or("not whole")?;
    /// let mut fields = message.fields();
    /// assert_eq!(fields.string(), Ok("text"));
    /// assert_eq!(fields.string(), Err(FieldError::NotText));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn string(&mut self) -> Result<&'a str, FieldError> {
        let text = self.take(Kind::String, "a string")?;
        std::str::from_utf8(text).map_err(|_| FieldError::NotText)
    }

    /// Takes a string frame as the bytes it holds.
    ///
    /// # Errors
    ///
    /// As [`Fields::string`], save that any bytes do.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let message = decoder.decode(b"*2\r\n#X+\xFF\r\n")?.ok_or("not whole")?;
    /// assert_eq!(message.fields().string_bytes()?, b"\xFF");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn string_bytes(&mut self) -> Result<&'a [u8], FieldError> {
        self.take(Kind::String, "a string")
    }

    /// Takes a bytes frame.
    ///
    /// # Errors
    ///
    /// As [`Fields::string`].
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let message = decoder.decode(b"*2\r\n#X$4\r\n\0\r\n\xFF\r\n")?.ok_or("not whole")?;
    /// assert_eq!(message.fields().bytes()?, b"\0\r\n\xFF");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn bytes(&mut self) -> Result<&'a [u8], FieldError> {
        self.take(Kind::Bytes, "bytes")
    }

    /// Takes an integer frame.
    ///
    /// # Errors
    ///
    /// As [`Fields::string`]; also for a number that is not written canonically or does not fit.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use kvsd::protocol::frame::FieldError;
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let message = decoder.decode(b"*3\r\n#X:-7\r\n:007\r\n")?.ok_or("not whole")?;
    /// let mut fields = message.fields();
    /// assert_eq!(fields.integer(), Ok(-7));
    /// assert_eq!(fields.integer(), Err(FieldError::NotAnInteger));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn integer(&mut self) -> Result<i64, FieldError> {
        let text = self.take(Kind::Integer, "an integer")?;
        integer(text).ok_or(FieldError::NotAnInteger)
    }

    /// Takes a time frame as the text it holds, unchecked.
    ///
    /// # Errors
    ///
    /// As [`Fields::string`].
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let message = decoder.decode(b"*2\r\n#XT2026-01-01T00:00:00Z\r\n")?.ok_or("not whole")?;
    /// assert_eq!(message.fields().time()?, b"2026-01-01T00:00:00Z");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn time(&mut self) -> Result<&'a [u8], FieldError> {
        self.take(Kind::Time, "a time")
    }

    /// How many frames are left.
    pub(in crate::protocol) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Takes the next `count` frames as a whole; `None` if there are fewer.
    pub(in crate::protocol) fn split(&mut self, count: usize) -> Option<Self> {
        let (own, rest) = self.spans.split_at_checked(count)?;
        self.spans = rest;
        Some(Self { bytes: self.bytes, spans: own })
    }

    /// Takes the next frame if it is a null frame.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let message = decoder.decode(b"*3\r\n#X|:7\r\n")?.ok_or("not whole")?;
    /// let mut fields = message.fields();
    /// assert!(fields.null());
    /// assert!(!fields.null(), "another frame stays where it is");
    /// assert_eq!(fields.integer()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let message = decoder.decode(b"*2\r\n#X$1\r\nk\r\n")?.ok_or("not whole")?;
    /// assert!(message.fields().next_is_bytes());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn next_is_bytes(&self) -> bool {
        self.spans.first().is_some_and(|span| span.kind == Kind::Bytes)
    }

    /// Whether the next frame is an integer frame.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let message = decoder.decode(b"*2\r\n#X$1\r\nk\r\n")?.ok_or("not whole")?;
    /// assert!(!message.fields().next_is_integer());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn next_is_integer(&self) -> bool {
        self.spans.first().is_some_and(|span| span.kind == Kind::Integer)
    }

    /// Checks that every frame was taken.
    ///
    /// # Errors
    ///
    /// [`FieldError::TooMany`] if not.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use kvsd::protocol::frame::FieldError;
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let message = decoder.decode(b"*2\r\n#X:7\r\n")?.ok_or("not whole")?;
    /// let mut fields = message.fields();
    /// assert_eq!(fields.finish(), Err(FieldError::TooMany));
    /// fields.integer()?;
    /// assert_eq!(fields.finish(), Ok(()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
        Ok(span.content(self.bytes))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Type,
    String,
    Bytes,
    Time,
    Null,
    Integer,
}

/// Where a frame's content lies, counted from the message's first byte. A frame may be a single
/// byte: this is what it costs beside that until its message is whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    kind: Kind,
    start: u32,
    end: u32,
}

const _: () = assert!(size_of::<Span>() == 12);

impl Span {
    /// `None` past 4 GiB, where no message reaches.
    pub(super) fn new(kind: Kind, start: usize, end: usize) -> Option<Self> {
        Some(Self { kind, start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()? })
    }

    /// The frame's content, of the message's bytes.
    fn content(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

pub(super) fn unsigned(text: &[u8]) -> Option<u64> {
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
