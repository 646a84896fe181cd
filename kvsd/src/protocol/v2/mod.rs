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
//! | `G` | [Get](Request::Get) | table (string), key (bytes), options |
//! | `E` | [Exists](Request::Exists) | table, key, options |
//! | `Y` | [Lifetime](Request::Lifetime) | table, key, options |
//! | `S` | [Set](Request::Set) | table, key, value (bytes), options |
//! | `D` | [Delete](Request::Delete) | table, key, options |
//! | `I` | [Increment](Request::Increment) | table, key, by (integer), options |
//! | `X` | [Expire](Request::Expire) | table, key, options; without `expires` and `ttl` the record no longer ends |
//! | `B` | [Batch](Request::Batch) | table, 1 to 1,024 changes |
//! | `L` | [Pipeline](Request::Pipeline) | 1 to 1,024 requests of the types `G E Y S D I X` |
//! | `R` | [Scan] | table, then any of `from` or `after` and a key, `to` or `before` and a key, `reverse`, `keys`, `limit` and an integer, `stale`, `at` and a version |
//! | `W` | [Watch] | table, position, wait (integer, milliseconds), then `key` or `prefix` and bytes, or nothing |
//! | `C` | [Cancel](Request::Cancel) | none; the id is that of the Watch |
//! | `N` | [CreateTable](Request::CreateTable) | table |
//! | `Z` | [DropTable](Request::DropTable) | table |
//! | `T` | [Tables](Request::Tables) | the name behind which to begin (string), or null |
//! | `Q` | [Statistics](Request::Statistics) | table |
//!
//! Options, each a string frame and what follows it, in any order, each at most once:
//!
//! | option | for | means |
//! |---|---|---|
//! | `absent` | `S I` | only if there is no record |
//! | `present` | `S I X` | only if there is one |
//! | `version` and an integer | `S D I X` | only if the record is the one of that version |
//! | `expires` and an integer | `S X` | the record ends at that time; one that is past is refused |
//! | `ttl` and an integer | `S X` | the record ends so many milliseconds after the server takes the request up |
//! | `previous` | `S D` | answer with the record that stood there |
//! | `stale` | `G E Y` | what stood some time ago will do |
//!
//! The first three exclude each other, and so do `expires` and `ttl`. **An unknown option or a
//! surplus frame is refused**: to skip a condition would lose an update.
//!
//! A read sees every write that was answered before it was asked. With `stale` it may show what
//! stood some time ago, if the server has that more cheaply, or while it cannot have the latest; a
//! server that has nothing older answers with the latest. How far it may lag is not bounded.
//!
//! A page is what stands at one moment. A server that can read at a moment again says which one it
//! is (a reply of type `s`), and shows the next page as of the same for `at` and that version. What
//! cannot be shown at that moment any more is refused with the code `SCAN_EXPIRED`, never shown as
//! of another.
//!
//! A change of a batch is a string (`set`, `delete`, `increment`, `expire` or `check`), the key,
//! for `set` the value and for `increment` an integer, and options: any condition for each; for
//! `set` and `expire` also `expires` or `ttl`. `check` changes nothing.
//!
//! A request in a pipeline is an integer, the number of frames behind it; its type, as a string of
//! one letter; and the frames that it has behind the id where it stands alone. So are the answers.
//! They are carried out one after the other, as if each had been sent when the one before it was
//! answered; one that fails does not stop the others.
//!
//! A position is an incarnation and a version: an integer whose 64 bits mean nothing, or null for
//! the table that has the name now, and an integer from 0. Two nulls ask where the table is now.
//! A Watch is answered when there is a change that it is about, when its wait is over (a server
//! waits at most 30 s), or when a Cancel comes; Cancel has no answer of its own, and one that comes
//! too late means nothing. A server that has read much that the watch is not about answers News
//! without changes before the wait is over. So empty News is no sign of the end: ask again from its
//! position. The end is reached when that is the position that two nulls are answered with.
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
//! | `e` | [Flag](Reply::Flag) | 0 or 1; to `E`, `N` and `Z` |
//! | `y` | [Lifetime](Reply::Lifetime) | 0 for no record; 1 for one that does not end; 2 and the milliseconds left, at least 1 |
//! | `w` | [Written](Reply::Written) | version, or null if nothing was written; then what stood there before: 0 for no record, 1 for a record, 2 and the record as in `g` |
//! | `i` | [Counter](Reply::Counter) | version, the integer now |
//! | `c` | [Conflict](Reply::Conflict) | the version that stands there, or null; which change of a batch it is, from 0 |
//! | `b` | [Batch](Reply::Batch) | version or null; for each change 0 or 1 (there was a record), and the integer now or null |
//! | `l` | [Pipeline](Reply::Pipeline) | answers of the types `g e y w i c f`, to the first requests; those behind them were not carried out |
//! | `r` | [Page] | the key behind which to go on, or null at the end; for each record key, version, value or null, expiry or null |
//! | `s` | [Page] | the version at which it stands, and then what `r` has |
//! | `n` | [News] | position; for each change key, version, value or null (deleted), expiry or null |
//! | `o` | [Gap](Reply::Gap) | position |
//! | `t` | [Names] | 0 or 1 (there are more); names |
//! | `q` | [Statistics] | null, or keys, live bytes, dead bytes, segments, bytes on disk, last version or null, incarnation, why it takes no writes (string) or null |
//! | `f` | [Fail](Reply::Fail) | code, message (strings) |
//!
//! The names of a Welcome: `server` (string: program and version), `engine` (string), `durability`
//! (string: when a write is acknowledged), `max-value-bytes` (integer, always there), and what else
//! the server limits, integers all: `max-user-bytes`, `max-password-bytes`, `max-key-bytes`,
//! `max-message-bytes` (a request's, its parts joined), `max-batch` (the changes of a batch),
//! `max-write-bytes` (the keys and values of one), `max-page`, `answer-bytes`, `max-tables`; of a
//! connection `max-watches`, `max-in-flight`, `max-output-bytes` (beyond which
//! nothing more is read from it), `max-output-bytes-hard` (beyond which it is closed),
//! `handshake-timeout-ms`, `idle-timeout-ms` (0 for none); of all connections `max-connections`,
//! `max-connections-per-address`, `max-unauthenticated`, `connection-memory` (bytes). Others are
//! skipped.
//!
//! A server ends a Page, News or the answer to a Pipeline once it holds [`ANSWER_BYTES`], so that no
//! message is longer than the limits say.
//!
//! **Surplus frames of a reply are skipped**, so that answers can grow; those that end in a list
//! (`b l r s n t`) have no such room, and grow by a new type. Times are integers, milliseconds
//! since 1970; versions are integers from 1. The codes of a Fail are those of [`FailCode`].
//!
//! # Access
//!
//! A user has a role on some tables: `read`, `write` or `admin`, each of which may do what the one
//! before it may. What it may not do is answered with a Fail of the code `DENIED`
//! ([`FailCode::Denied`]) before anything else is looked at, whether the table is there or not.
//! Nothing was done then, and the connection goes on.
//!
//! | takes | requests |
//! |---|---|
//! | nothing | `P C` |
//! | `read` on the table | `G E Y R W Q` |
//! | `write` on the table | `S D I X B N` |
//! | `admin` on the table | `Z` |
//! | what each of its requests takes; each is answered on its own | `L` |
//! | nothing; the tables are named that the user may read | `T` |
//!
//! When a user's grants change, its connections are ended with a Fail of the code
//! `UNAUTHENTICATED`, and what is under way on them with it.
//!
//! # Opening
//!
//! The first message is Hello; one whose highest version is above 2 may hold frames that are not
//! known here, which are skipped. The answer is Welcome, or a Fail behind which the connection is
//! closed. A second Hello is refused. A server that meets a null frame in the place of user and
//! password takes the client for nobody; only one that accepts anyone lets it in.
//!
//! Next file to read: [`part`], then [`request`] and [`reply`].

pub mod batch;
mod entry;
pub mod hello;
pub mod options;
pub mod part;
pub mod reply;
pub mod request;
pub mod scan;
pub mod table;
pub mod watch;

pub use self::batch::{Action, Change, Changed};
pub use self::hello::{Hello, Welcome};
pub use self::options::{Condition, Expiry, Freshness, Previous};
pub use self::reply::{Before, FailCode, Lifetime, PipelineReplies, Record, Reply};
pub use self::request::Request;
pub use self::scan::{Detail, Order, Page, PageRecord, Scan};
pub use self::table::{Names, Statistics};
pub use self::watch::{MAX_WAIT_MILLIS, News, NewsChange, Position, Select, Watch};

use super::frame::{FieldError, Fields, FrameLimits, FrameWriter, Message};
use crate::types::{LARGEST_MAX_VALUE_BYTES, UnixMillis, Version};

/// The version of the protocol that this module speaks.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::Hello;
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let hello = Hello { lowest: v2::VERSION, highest: v2::VERSION, credentials: None };
/// hello.encode(RequestId::ZERO, &mut wire);
/// assert_eq!(&wire[..], b"*6\r\n#H:0\r\n:2\r\n:2\r\n||");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub const VERSION: i64 = 2;

/// The most changes of a batch, and the most requests of a pipeline.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::{Freshness, MAX_BATCH, Request};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let look = Request::Exists { table: "t", key: b"k", freshness: Freshness::Latest };
/// let looks = vec![look; MAX_BATCH + 1];
/// Request::Pipeline(looks).encode(RequestId::ZERO, &mut wire);
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// assert!(Request::parse(&message).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub const MAX_BATCH: usize = 1024;
/// The most records of a page, and the most names in one answer.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use kvsd::protocol::v2::MAX_PAGE;
///
/// client.set_many((0..=MAX_PAGE).map(|number| (number.to_string(), "v"))).await?;
/// // One more than a page: the client asks twice, and nobody notices.
/// let (mut keys, mut count) = (client.scan::<String>(..).keys_only(), 0);
/// while let Some(key) = keys.next().await {
///     count += usize::from(!key?.key.is_empty());
/// }
/// assert_eq!(count, 1 + MAX_PAGE);
/// # server.close().await?;
/// # Ok(()) }
/// ```
pub const MAX_PAGE: usize = 1000;
/// Once the keys and values in an answer come to this, it takes no more: 1 MiB.
///
/// ```
/// use kvsd::protocol::v2;
///
/// // A page that is full but for one byte, and then the largest value, can be received.
/// let most = v2::limits(kvsd::types::DEFAULT_MAX_VALUE_BYTES).message_bytes;
/// assert!(v2::ANSWER_BYTES + kvsd::types::DEFAULT_MAX_VALUE_BYTES <= most);
/// ```
pub const ANSWER_BYTES: usize = 1024 * 1024;

/// What a message may cost after the hello, its parts joined, on a connection for values of
/// `max_value_bytes`: one value, and all that may stand beside it. What may stand on the stream at
/// once: [`part::stream_limits`].
///
/// ```
/// use kvsd::protocol::v2;
///
/// let limits = v2::limits(kvsd::types::DEFAULT_MAX_VALUE_BYTES);
/// assert_eq!(limits.message_bytes, 12 * 1024 * 1024);
/// ```
#[must_use]
pub fn limits(max_value_bytes: usize) -> FrameLimits {
    FrameLimits {
        message_bytes: max_value_bytes.saturating_add(2 * ANSWER_BYTES),
        frames: 16 * 1024,
        line_bytes: 1024,
    }
}

const _: () = assert!(LARGEST_MAX_VALUE_BYTES + 2 * ANSWER_BYTES < u32::MAX as usize);

/// The number of a request: 0 to 2^63 - 1, not used again while the request is in flight.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::Request;
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let id = RequestId::new(7).ok_or("too large")?;
/// Request::Ping.encode(id, &mut wire);
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// assert_eq!(Request::parse(&message)?, (id, Some(Request::Ping)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(i64);

impl RequestId {
    /// The lowest id.
    ///
    /// ```
    /// use kvsd::protocol::v2::RequestId;
    ///
    /// assert_eq!(RequestId::new(0), Some(RequestId::ZERO));
    /// ```
    pub const ZERO: Self = Self(0);

    /// The id with this number; `None` from 2^63 on.
    ///
    /// ```
    /// use kvsd::protocol::v2::RequestId;
    ///
    /// assert!(RequestId::new((1 << 63) - 1).is_some());
    /// assert!(RequestId::new(1 << 63).is_none());
    /// ```
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        i64::try_from(number).ok().map(Self)
    }

    /// The number.
    ///
    /// ```
    /// use kvsd::protocol::v2::RequestId;
    ///
    /// assert_eq!(RequestId::new(7).map(RequestId::get), Some(7));
    /// ```
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.unsigned_abs()
    }

    /// The id of a message, and the frames behind it.
    ///
    /// # Errors
    ///
    /// [`FieldError`] if the message's first field is no id.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let message = decoder.decode(b"*3\r\n#X:7\r\n+text\r\n")?.ok_or("not whole")?;
    /// let (id, mut fields) = RequestId::split(&message)?;
    /// assert_eq!((id.get(), fields.string()?), (7, "text"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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

fn version_or_null(fields: &mut Fields<'_>) -> Result<Option<Version>, FieldError> {
    if fields.null() { Ok(None) } else { version(fields).map(Some) }
}

fn time_or_null(fields: &mut Fields<'_>) -> Result<Option<UnixMillis>, FieldError> {
    if fields.null() { Ok(None) } else { time(fields).map(Some) }
}

fn bytes_or_null<'a>(fields: &mut Fields<'a>) -> Result<Option<&'a [u8]>, FieldError> {
    if fields.null() { Ok(None) } else { fields.bytes().map(Some) }
}

pub(in crate::protocol) fn string_or_null<'a>(
    fields: &mut Fields<'a>,
) -> Result<Option<&'a str>, FieldError> {
    if fields.null() { Ok(None) } else { fields.string().map(Some) }
}

fn integer_or_null(fields: &mut Fields<'_>) -> Result<Option<i64>, FieldError> {
    if fields.null() { Ok(None) } else { fields.integer().map(Some) }
}

/// An incarnation is any 64 bits; on the wire they are those of an integer.
fn incarnation(fields: &mut Fields<'_>) -> Result<u64, FieldError> {
    Ok(u64::from_le_bytes(fields.integer()?.to_le_bytes()))
}

fn encode_version_or_null(frames: &mut FrameWriter<'_>, version: Option<Version>) {
    encode_integer_or_null(frames, version.map(Version::to_wire));
}

fn encode_time_or_null(frames: &mut FrameWriter<'_>, time: Option<UnixMillis>) {
    encode_integer_or_null(frames, time.map(UnixMillis::to_wire));
}

fn encode_bytes_or_null(frames: &mut FrameWriter<'_>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => frames.bytes(bytes),
        None => frames.null(),
    };
}

pub(in crate::protocol) fn encode_string_or_null(
    frames: &mut FrameWriter<'_>,
    string: Option<&str>,
) {
    match string {
        Some(string) => frames.string(string),
        None => frames.null(),
    };
}

fn encode_integer_or_null(frames: &mut FrameWriter<'_>, integer: Option<i64>) {
    match integer {
        Some(integer) => frames.integer(integer),
        None => frames.null(),
    };
}

fn encode_incarnation(frames: &mut FrameWriter<'_>, incarnation: u64) {
    frames.integer(i64::from_le_bytes(incarnation.to_le_bytes()));
}

pub(in crate::protocol) fn flag(fields: &mut Fields<'_>) -> Result<bool, FieldError> {
    match fields.integer()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(FieldError::OutOfRange { field: "a flag" }),
    }
}

/// What a request or an answer in a pipeline has before its own frames: their number and its type.
const NESTED_FRAMES: usize = 2;

fn nest(kind: u8, frames: usize, out: &mut FrameWriter<'_>) {
    let kind = [kind];
    let kind = std::str::from_utf8(&kind).unwrap_or_default();
    out.integer(i64::try_from(1 + frames).unwrap_or(i64::MAX)).string(kind);
}

/// The type and the frames of what comes next in a pipeline.
fn nested<'a>(fields: &mut Fields<'a>) -> Result<(u8, Fields<'a>), FieldError> {
    let out_of_range = FieldError::OutOfRange { field: "a number of frames" };
    let frames = usize::try_from(fields.integer()?).map_err(|_| out_of_range)?;
    let mut own = fields.split(frames).ok_or(out_of_range)?;
    match own.string_bytes()? {
        [kind] => Ok((*kind, own)),
        _ => Err(FieldError::Wrong { wanted: "a type of one letter" }),
    }
}
