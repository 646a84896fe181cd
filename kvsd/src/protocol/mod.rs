//! The wire protocol: one frame grammar, two dialects.
//!
//! This module is the specification, and the code that client and server both use. It knows bytes
//! and the types of [`crate::types`]; never sockets, clients, clocks or logs. Read [`frame`] first,
//! then [`v2`]; [`v1`] is there for the clients of kvsd 0.1, and [`admin`] for who runs a server.
//!
//! # Frames
//!
//! A stream is a sequence of messages, a message a sequence of frames. Most of it can be read in a
//! terminal.
//!
//! | prefix | frame | form |
//! |---|---|---|
//! | `*` | message | `*` count CR LF, then that many frames |
//! | `#` | message type | `#` and one byte; always the first frame, and only that |
//! | `+` | string | `+` text CR LF; the text is UTF-8 and does not hold CR LF |
//! | `$` | bytes | `$` length CR LF, that many bytes, CR LF |
//! | `T` | time | `T` RFC 3339 CR LF; version 1 only |
//! | `:` | integer | `:` decimal CR LF, from -2^63 to 2^63 - 1; version 2 only |
//! | <code>&#124;</code> | null | <code>&#124;</code> |
//!
//! Counts, lengths and integers are canonical: no sign but a minus, no leading zero, no `-0`.
//!
//! A read of the key `hello` from the table `default`, as request number 7:
//!
//! ```text
//! *4\r\n    #G    :7\r\n        +default\r\n    $5\r\nhello\r\n
//! frames    type  request id    table           key
//! ```
//!
//! The same in code. What is encoded goes behind what a buffer holds, what is parsed borrows from it;
//! the examples of this module have a `wire` and a `decoder` as this one does.
//!
//! ```
//! use bytes::BytesMut;
//! use kvsd::protocol::frame::Decoder;
//! use kvsd::protocol::v2::{self, Freshness, Request, RequestId};
//!
//! let (id, mut wire) = (RequestId::new(7).ok_or("too large")?, BytesMut::new());
//! let freshness = Freshness::Latest;
//! let request = Request::Get { table: "default", key: b"hello", freshness };
//! request.encode(id, &mut wire);
//! assert_eq!(&wire[..], b"*4\r\n#G:7\r\n+default\r\n$5\r\nhello\r\n");
//!
//! let mut decoder = Decoder::new(v2::limits(1024));
//! let message = decoder.decode(&wire)?.ok_or("more is to come")?;
//! assert_eq!(Request::parse(&message)?, (id, Some(request)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Dialects
//!
//! The client speaks first; the first message decides for as long as the connection lives. One
//! that begins with Authenticate (type byte 2) speaks [`v1`], one that begins with Hello (`H`)
//! speaks [`v2`]. Anything else is answered with a Fail message, of version 1 if its type byte is 1
//! to 7 and of version 2 otherwise, and the connection is closed.
//!
//! # Limits
//!
//! A message is measured before it is believed, with the limits of the session's state.
//!
//! | state | whole message | frames | a line |
//! |---|---|---|---|
//! | before authentication | 1 KiB | 8 | 640 bytes |
//! | version 1 | value limit + 2 KiB | 3 | 1 KiB |
//! | version 2 | 66 KiB; in [parts](v2::part) value limit + 2 MiB | 16,384 | 1 KiB |
//! | a client of version 2, until the welcome | 4 KiB | 64 | 1 KiB |
//! | an administrator's, either way | 2 KiB | 16 | 1 KiB |
//!
//! The value limit is 10 MiB unless the server says otherwise in its welcome, and at most 64 MiB:
//! a client refuses a welcome that says more. A line is the content
//! of a string or time frame; counts, lengths and integers have at most 20 bytes. The message of
//! a Fail has at most 512 bytes; what is longer is cut.
//!
//! Over a limit, or off the grammar, the server answers with a Fail message that says so, and
//! closes. A message that follows the grammar but not its type's form is refused with a Fail
//! message, and the connection goes on, unless it was the first message or, in version 2, has no
//! id: then it ends too.

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation)]

pub mod admin;
pub mod frame;
pub mod v1;
pub mod v2;

use self::frame::FrameLimits;
use crate::types::MAX_KEY_BYTES;

/// The longest user name, in bytes.
///
/// ```
/// use kvsd::protocol::{BEFORE_AUTHENTICATION, MAX_USER_BYTES};
///
/// assert!(MAX_USER_BYTES <= BEFORE_AUTHENTICATION.line_bytes);
/// ```
pub const MAX_USER_BYTES: usize = 128;
/// The longest password, in bytes.
///
/// ```
/// use kvsd::protocol::{BEFORE_AUTHENTICATION, MAX_PASSWORD_BYTES};
///
/// assert!(MAX_PASSWORD_BYTES <= BEFORE_AUTHENTICATION.line_bytes);
/// ```
pub const MAX_PASSWORD_BYTES: usize = 512;

/// The longest message of a Fail, in bytes.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::MAX_FAIL_MESSAGE_BYTES;
/// use kvsd::protocol::v2::{FailCode, Reply};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let long = "x".repeat(600);
/// Reply::Fail { code: FailCode::Busy, message: &long }.encode(RequestId::ZERO, &mut wire);
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// let (_, Some(Reply::Fail { message, .. })) = Reply::parse(&message)? else { panic!() };
/// assert_eq!(message.len(), MAX_FAIL_MESSAGE_BYTES);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub const MAX_FAIL_MESSAGE_BYTES: usize = 512;

/// What a message may cost before the session is authenticated: enough for the longest user name
/// and password, and not more.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::BEFORE_AUTHENTICATION;
/// use kvsd::protocol::v2::hello::{Credentials, Hello};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// // The largest hello that there is fits.
/// let credentials = Some(Credentials { user: &[b'u'; 128], password: &[b'p'; 512] });
/// Hello { lowest: 2, highest: 2, credentials }.encode(RequestId::ZERO, &mut wire);
/// let mut decoder = Decoder::new(BEFORE_AUTHENTICATION);
/// assert!(decoder.decode(&wire)?.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub const BEFORE_AUTHENTICATION: FrameLimits =
    FrameLimits { message_bytes: 1024, frames: 8, line_bytes: 640 };

/// Room for all that a message holds beside its value.
const BESIDE_VALUE_BYTES: usize = 2 * MAX_KEY_BYTES;

/// As much of a Fail's message as is sent.
fn cut_fail_message(message: &str) -> &str {
    cut(message, MAX_FAIL_MESSAGE_BYTES)
}

/// The first so many bytes of a text, or a few less: no character is torn.
fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.split_at(end).0
}

#[cfg(test)]
mod tests;
