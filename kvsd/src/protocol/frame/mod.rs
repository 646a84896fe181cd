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
