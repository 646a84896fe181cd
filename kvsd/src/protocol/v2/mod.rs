//! Version 2: multiplexed, with conditions, versions and expiry.
//!
//! Any number of requests may be in flight; each names an id, an integer from 0 to 2^63 - 1 that is
//! not used again before its answer has come, and answers come in any order. The id is the frame
//! behind the type, in requests and replies alike. Only a Fail that ends the connection may carry a
//! null frame in its place.
//!
//! # Requests
//!
//! | type | message | frames behind the id |
//! |---|---|---|
//! | `H` | [Hello] | lowest and highest version (integers), user and password (bytes, or both null) |
//! | `P` | [Ping](Request::Ping) | none |
//! | `G` | [Get](Request::Get) | table (string), key (bytes) |
//! | `E` | [Exists](Request::Exists) | table, key |
//! | `S` | [Set](Request::Set) | table, key, value (bytes), options |
//! | `D` | [Delete](Request::Delete) | table, key, options |
//!
//! Options, each a string frame and what follows it, in any order, each at most once:
//!
//! | option | for | means |
//! |---|---|---|
//! | `absent` | `S` | only if there is no record |
//! | `present` | `S` | only if there is one |
//! | `version` and an integer | `S`, `D` | only if the record is the one of that version |
//! | `expires` and an integer | `S` | the record ends at that time |
//! | `previous` | `S`, `D` | answer with the record that stood there |
//!
//! The first three exclude each other. **An unknown option or a surplus frame is refused**: to skip
//! a condition would lose an update.
//!
//! A request of more than 64 KiB goes as messages of type `K`, a reply as messages of type `k`, each
//! with a [part] of it; the parts of up to four messages of a direction, and small messages,
//! may alternate.
//!
//! # Replies
//!
//! | type | message | frames behind the id |
//! |---|---|---|
//! | `h` | [Welcome] | the version spoken, then pairs of a name (string) and an integer or a string |
//! | `p` | [Pong](Reply::Pong) | the server's time |
//! | `g` | [Value](Reply::Value) | null, or version, value (bytes), expiry (integer or null) |
//! | `e` | [Exists](Reply::Exists) | 0 or 1 |
//! | `w` | [Written](Reply::Written) | version, or null if nothing was written; then what stood there before: 0 for no record, 1 for a record, 2 and the record as in `g` |
//! | `c` | [Conflict](Reply::Conflict) | the version that stands there, or null |
//! | `f` | [Fail](Reply::Fail) | code, message (strings) |
//!
//! The names of a Welcome: `server` (string: program and version), `engine` (string), `durability`
//! (string: when a write is acknowledged) and `max-value-bytes` (integer, always there). Others are
//! skipped.
//!
//! **Surplus frames of a reply are skipped**, so that answers can grow. Times are integers,
//! milliseconds since 1970; versions are integers from 1. The codes of a Fail are those of
//! [`FailCode`].
//!
//! # Opening
//!
//! The first message is Hello; one whose highest version is above 2 may hold frames that are not
//! known here, which are skipped. The answer is Welcome, or a Fail behind which the connection is
//! closed. A second Hello is refused. A server that meets a null frame in the place of user and
//! password takes the client for nobody; only one that accepts anyone lets it in.
//!
//! Next file to read: [`part`], then [`request`] and [`reply`].

pub mod hello;
pub mod part;
pub mod reply;
pub mod request;

pub use self::hello::{Hello, Welcome};
pub use self::reply::{Before, FailCode, Record, Reply};
pub use self::request::{Condition, Previous, Request};

use super::BESIDE_VALUE_BYTES;
use super::frame::{FieldError, Fields, FrameLimits, Message};
use crate::types::{UnixMillis, Version};

/// The version of the protocol that this module speaks.
pub const VERSION: i64 = 2;

/// What a message may cost after the hello, its parts joined, on a connection for values of
/// `max_value_bytes`. What may stand on the stream at once: [`part::stream_limits`].
#[must_use]
pub fn limits(max_value_bytes: usize) -> FrameLimits {
    FrameLimits {
        message_bytes: max_value_bytes.saturating_add(BESIDE_VALUE_BYTES),
        frames: 32,
        line_bytes: 1024,
    }
}

/// The number of a request: 0 to 2^63 - 1, not used again while the request is in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(i64);

impl RequestId {
    /// The lowest id.
    pub const ZERO: Self = Self(0);

    /// The id with this number; `None` from 2^63 on.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        i64::try_from(number).ok().map(Self)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.unsigned_abs()
    }

    /// The id of a message, and the frames behind it.
    ///
    /// # Errors
    ///
    /// [`FieldError`] if the message's first field is no id.
    pub fn split<'a>(message: &Message<'a>) -> Result<(Self, Fields<'a>), FieldError> {
        let mut fields = message.fields();
        let number = fields.integer()?;
        if number < 0 {
            return Err(FieldError::OutOfRange { field: "the request's id" });
        }
        Ok((Self(number), fields))
    }

    pub(in crate::protocol) fn to_wire(self) -> i64 {
        self.0
    }
}

fn version(fields: &mut Fields<'_>) -> Result<Version, FieldError> {
    let number = u64::try_from(fields.integer()?).ok();
    number.and_then(Version::new).ok_or(FieldError::OutOfRange { field: "a version" })
}

fn time(fields: &mut Fields<'_>) -> Result<UnixMillis, FieldError> {
    let number = u64::try_from(fields.integer()?).ok();
    number.and_then(UnixMillis::new).ok_or(FieldError::OutOfRange { field: "a time" })
}
