//! The frame grammar: finding whole messages in a stream of bytes, and writing frames.
//!
//! Knows prefixes, lengths and limits; never what a message means. Reading copies nothing and
//! allocates nothing by a promised length. Reading order: `decoder`, `message`, `writer`, `error`;
//! then [`super::v2`].

mod decoder;
mod error;
mod message;
mod writer;

pub use decoder::Decoder;
pub use error::{FieldError, FrameError};
pub use message::{Fields, Message};
pub use writer::FrameWriter;

/// What a message may cost before its bytes are believed.
///
/// ```
/// use kvsd::protocol::frame::{Decoder, FrameError, FrameLimits};
///
/// let limits = FrameLimits { message_bytes: 1024, frames: 8, line_bytes: 100 };
/// // Refused by what it promises, before any of it has come.
/// let error = Decoder::new(limits).decode(b"*2\r\n#X$1000000\r\n").unwrap_err();
/// assert_eq!(error, FrameError::MessageTooLarge { limit: 1024 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// The whole message, in bytes, its frames' prefixes and line ends included.
    pub message_bytes: usize,
    /// The frames of a message, its type included.
    pub frames: usize,
    /// The text of a string or time frame, in bytes.
    pub line_bytes: usize,
}

const LINE_END: &[u8] = b"\r\n";
/// The digits of 2^64 - 1, and of an i64 with its sign.
const MAX_DECIMAL_BYTES: usize = 20;
