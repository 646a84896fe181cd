//! Why bytes are no messages, and why a message is not what its type asks for.

use thiserror::Error;

/// Why a stream of bytes cannot be followed any more.
///
/// ```
/// use kvsd::protocol::frame::{Decoder, FrameError};
/// use kvsd::protocol::v2;
///
/// let error = Decoder::new(v2::limits(1024)).decode(b"GET / HTTP/1.1\r\n").unwrap_err();
/// assert_eq!(error, FrameError::NoMessage { byte: b'G' });
/// assert_eq!(error.to_string(), "a message begins with '*', this one with byte 0x47");
/// ```
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
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::frame::FieldError;
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let message = decoder.decode(b"*2\r\n#X+text\r\n")?.ok_or("not whole")?;
/// let wrong = FieldError::Wrong { wanted: "an integer" };
/// assert_eq!(message.fields().integer(), Err(wrong));
/// assert_eq!(wrong.to_string(), "an integer was expected, another frame stands there");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
