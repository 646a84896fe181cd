//! What a server's administrator asks of it, over a Unix socket in the data folder.
//!
//! The frames are those of [`super::frame`], ids and codes those of [`super::v2`]; there is no hello
//! and no password: whoever may open the socket, a file of mode 0600, is the administrator. Any
//! number of requests may be in flight, and answers come in any order. Nothing is pushed.
//!
//! | type | request | frames behind the id |
//! |---|---|---|
//! | `B` | [Backup](Request::Backup) | name (string) |
//! | `P` | [Progress](Request::Progress) | none |
//! | `C` | [Compact](Request::Compact) | table (string) |
//! | `L` | [Reload](Request::Reload) | none |
//! | `F` | [LogFilter](Request::LogFilter) | a filter (string), or null |
//! | `N` | [Connections](Request::Connections) | the id behind which to begin (integer) |
//! | `K` | [Kill](Request::Kill) | a connection's id (integer) |
//! | `U` | [Users](Request::Users) | the name behind which to begin (string), or null |
//! | `A` | [AddUser](Request::AddUser) | name, hash, grants (strings) |
//! | `R` | [RemoveUser](Request::RemoveUser) | name |
//! | `W` | [SetPassword](Request::SetPassword) | name, hash |
//! | `G` | [Grant](Request::Grant) | name, grants |
//! | `V` | [Revoke](Request::Revoke) | name, grants |
//!
//! | type | reply | frames behind the id |
//! |---|---|---|
//! | `b` | [Made](Reply::Made) | how many tables, files and bytes the backup has (integers) |
//! | `p` | [Progress](Reply::Progress) | bytes done and bytes in all, both 0 if nothing is under way (integers) |
//! | `c` | [Compacted](Reply::Compacted) | bytes on the disk before and after (integers) |
//! | `s` | [Text](Reply::Text) | the filter, or the grants, now (string) |
//! | `e` | [Flag](Reply::Flag) | 0 or 1 |
//! | `n` | [Connections](Reply::Connections) | 0 or 1 (there are more); for each id, peer (string), TLS (0 or 1), user (string or null), age and idle time in milliseconds, bytes read, bytes written, requests, bytes held (integers) |
//! | `u` | [Users](Reply::Users) | 0 or 1 (there are more); for each name and grants (strings) |
//! | `d` | [Done](Reply::Done) | none |
//! | `f` | [Fail](Reply::Fail) | code, message (strings) |
//!
//! A Backup is answered when it is made or has failed. One at a time may be under way on a
//! connection; Progress is about that one. Other requests are answered one after the other; Compact
//! when the table is compacted, which may take minutes. A request of a type that is not known is
//! answered with a Fail, surplus frames of a request are refused, those of a reply are skipped but in
//! lists, which grow by a new type. A Fail with a null frame in the place of the id ends the
//! connection.
//!
//! Next file to read: [`request`].

pub mod list;
pub mod reply;
pub mod request;

pub use self::list::{Connection, List, User};
pub use self::reply::Reply;
pub use self::request::Request;

use super::frame::{FieldError, Fields, FrameLimits};

/// What a message may cost, in either direction.
///
/// ```
/// use kvsd::protocol::admin;
/// use kvsd::protocol::frame::{Decoder, FrameError};
///
/// let error = Decoder::new(admin::LIMITS).decode(b"*1025\r\n").unwrap_err();
/// assert_eq!(error, FrameError::TooManyFrames { limit: 1024 });
/// ```
pub const LIMITS: FrameLimits =
    FrameLimits { message_bytes: 512 * 1024, frames: 1024, line_bytes: 8 * 1024 };

/// The most connections, or users, of one list.
///
/// ```
/// // With all their frames they fit into a message.
/// assert!(kvsd::protocol::admin::MAX_LIST * 10 < kvsd::protocol::admin::LIMITS.frames);
/// ```
pub const MAX_LIST: usize = 50;

fn count(fields: &mut Fields<'_>) -> Result<u64, FieldError> {
    u64::try_from(fields.integer()?).map_err(|_| FieldError::OutOfRange { field: "a count" })
}

fn wire(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
