//! What a server's administrator asks of it, over a Unix socket in the data folder.
//!
//! The frames are those of [`super::frame`], ids and codes those of [`super::v2`]; there is no hello
//! and no password: whoever may open the socket, a file of mode 0600, is the administrator. Any
//! number of requests may be in flight, and answers come in any order: who needs an order awaits the
//! answers. Nothing is pushed.
//!
//! | type | request | frames behind the id |
//! |---|---|---|
//! | `B` | [Backup](Request::Backup) | name (string) |
//! | `P` | [Progress](Request::Progress) | none |
//! | `C` | [Compact](Request::Compact) | table (string) |
//! | `T` | [Tables](Request::Tables) | the name to go on behind (string), or null |
//! | `R` | [Reload](Request::Reload) | none |
//! | `U` | [Users](Request::Users) | the name to go on behind (string), or null |
//! | `A` | [AddUser](Request::AddUser) | name, hash, and grants as `write@orders-*` (strings) |
//! | `O` | [Grant](Request::Grant) | name, and grants (strings) |
//! | `V` | [Revoke](Request::Revoke) | name, and grants (strings) |
//! | `W` | [SetPassword](Request::SetPassword) | name, hash (strings) |
//! | `X` | [RemoveUser](Request::RemoveUser) | name (string) |
//! | `L` | [Connections](Request::Connections) | the id to go on behind, 0 for the first page (integer) |
//! | `K` | [Kill](Request::Kill) | the connection's id (integer) |
//! | `G` | [LogFilter](Request::LogFilter) | none |
//! | `S` | [SetLogFilter](Request::SetLogFilter) | the filter (string) |
//!
//! | type | reply | frames behind the id |
//! |---|---|---|
//! | `b` | [Made](Reply::Made) | how many tables, files and bytes the backup has (integers) |
//! | `p` | [Progress](Reply::Progress) | bytes done and bytes in all, both 0 if nothing is under way (integers) |
//! | `c` | [Compacted](Reply::Compacted) | bytes freed, dead bytes that are left (integers) |
//! | `t` | [Tables](Reply::Tables) | whether there are more (0 or 1), and of each table its name (string) and its [statistics](super::v2::Statistics) |
//! | `r` | [Reloaded](Reply::Reloaded) | how many users have changed (integer) |
//! | `u` | [Users](Reply::Users) | whether there are more (0 or 1), and of each user its [row](User) |
//! | `l` | [Connections](Reply::Connections) | whether there are more (0 or 1), and of each connection its [row](Connection) |
//! | `g` | [LogFilter](Reply::LogFilter) | the filter (string) |
//! | `d` | [Done](Reply::Done) | none |
//! | `f` | [Fail](Reply::Fail) | code, message (strings) |
//!
//! Lists come in pages of at most [`MAX_PAGE_ROWS`]; whoever wants the next one asks for what stands
//! behind the last row. A page tells what is at its moment: what comes or goes between two pages is
//! in one of them or not.
//!
//! A Backup is answered when it is made or has failed, and so is a Compact. One Backup at a time may
//! be under way on a connection; Progress is about that one. A request of a type that is not known
//! is answered with a Fail, surplus frames of a request are refused, those of a reply are skipped
//! (behind rows there are none: they would be a row). A Fail with a null frame in the place of the id
//! ends the connection.
//!
//! Next file to read: `request`, then `reply`, and the server's `admin`.

mod reply;
mod request;
mod rows;

pub use reply::Reply;
pub use request::{PasswordHash, Request};
pub use rows::{Connection, TableHealth, User};

use super::frame::{FieldError, Fields, FrameLimits};

/// What a request may cost.
///
/// ```
/// use kvsd::protocol::admin;
/// use kvsd::protocol::frame::{Decoder, FrameError};
///
/// let error = Decoder::new(admin::REQUEST_LIMITS).decode(b"*97\r\n").unwrap_err();
/// assert_eq!(error, FrameError::TooManyFrames { limit: 96 });
/// ```
pub const REQUEST_LIMITS: FrameLimits =
    FrameLimits { message_bytes: 16 * 1024, frames: 96, line_bytes: 1024 };

/// What a reply may cost: enough for a page of the longest rows.
///
/// ```
/// use kvsd::protocol::admin;
/// use kvsd::protocol::frame::{Decoder, FrameError};
///
/// let error = Decoder::new(admin::REPLY_LIMITS).decode(b"*1025\r\n").unwrap_err();
/// assert_eq!(error, FrameError::TooManyFrames { limit: 1024 });
/// ```
pub const REPLY_LIMITS: FrameLimits =
    FrameLimits { message_bytes: 64 * 1024, frames: 1024, line_bytes: 1024 };

/// How many rows a page has, at most.
///
/// ```
/// use kvsd::protocol::admin::{MAX_PAGE_ROWS, REPLY_LIMITS};
///
/// assert!(MAX_PAGE_ROWS * 10 + 3 <= REPLY_LIMITS.frames, "a connection's row has ten frames");
/// ```
pub const MAX_PAGE_ROWS: usize = 64;

/// How long a log filter may be, in bytes: a line of a message.
///
/// ```
/// use kvsd::protocol::admin::{MAX_FILTER_BYTES, REQUEST_LIMITS};
///
/// assert_eq!(MAX_FILTER_BYTES, REQUEST_LIMITS.line_bytes);
/// ```
pub const MAX_FILTER_BYTES: usize = 1024;

fn count(fields: &mut Fields<'_>) -> Result<u64, FieldError> {
    u64::try_from(fields.integer()?).map_err(|_| FieldError::OutOfRange { field: "a count" })
}

fn wire(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
