//! A watch: what has changed in a table since a position, asked for again and again.
//!
//! Next file to read: [`super::reply`].

use super::entry::Entry;
use super::{encode_incarnation, incarnation};
use crate::protocol::frame::{FieldError, Fields, FrameWriter};
use crate::types::{UnixMillis, Version};

const KEY: &str = "key";
const PREFIX: &str = "prefix";

/// The longest that a server waits for a change, in milliseconds; a longer wait counts as this.
///
/// ```
/// use std::time::Duration;
/// use kvsd::protocol::v2::MAX_WAIT_MILLIS;
///
/// assert_eq!(Duration::from_millis(MAX_WAIT_MILLIS), Duration::from_secs(30));
/// ```
pub const MAX_WAIT_MILLIS: u64 = 30_000;

/// What changes are asked for.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::{Position, Request, Select, Watch};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let since = Some(Position { incarnation: None, version: 9 });
/// let select = Select::Prefix(b"user/");
/// let request = Request::Watch(Watch { table: "t", since, wait_millis: 30_000, select });
/// request.encode(RequestId::ZERO, &mut wire);
/// assert_eq!(&wire[..], b"*8\r\n#W:0\r\n+t\r\n|:9\r\n:30000\r\n+prefix\r\n$5\r\nuser/\r\n");
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// assert_eq!(Request::parse(&message)?.1, Some(request));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Watch<'a> {
    /// The table.
    pub table: &'a str,
    /// Behind which position; `None` asks for the position now, and nothing else.
    pub since: Option<Position>,
    /// How long the server waits for a change if there is none, in milliseconds.
    pub wait_millis: u64,
    /// Which keys.
    pub select: Select<'a>,
}

/// A place in a table's past: behind one of its writes.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::{Position, Reply};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let reply = Reply::Gap { now: Position { incarnation: Some(7), version: 9 } };
/// reply.encode(RequestId::ZERO, &mut wire);
/// assert_eq!(&wire[..], b"*4\r\n#o:0\r\n:7\r\n:9\r\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Which of the tables that have had the name; `None` for the one that has it now.
    pub incarnation: Option<u64>,
    /// The version of the write; 0 stands before the first.
    pub version: u64,
}

/// Which keys a watch is about.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::{Request, Select, Watch};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let where_now = Watch { table: "t", since: None, wait_millis: 0, select: Select::All };
/// Request::Watch(where_now).encode(RequestId::ZERO, &mut wire);
/// assert_eq!(&wire[..], b"*6\r\n#W:0\r\n+t\r\n||:0\r\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Select<'a> {
    /// All of the table.
    All,
    /// This one.
    Key(&'a [u8]),
    /// Those that begin so.
    Prefix(&'a [u8]),
}

/// What has changed, in the order of the versions. Never ends inside a batch.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::{News, Position, Reply};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// // The wait is over, and nothing has happened.
/// let until = Position { incarnation: Some(7), version: 9 };
/// let reply = Reply::News(News { until, changes: Vec::new() });
/// reply.encode(RequestId::ZERO, &mut wire);
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// assert_eq!(Reply::parse(&message)?.1, Some(reply));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News<'a> {
    /// Up to where everything is told: where to go on from.
    pub until: Position,
    /// The changes.
    pub changes: Vec<NewsChange<'a>>,
}

/// One key's change.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::{News, NewsChange, Position, Reply};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let version = kvsd::Version::new(9).ok_or("no version")?;
/// let deleted = NewsChange { key: b"k", version, value: None, expires_at: None };
/// let until = Position { incarnation: Some(7), version: 9 };
/// Reply::News(News { until, changes: vec![deleted] }).encode(RequestId::ZERO, &mut wire);
/// assert_eq!(&wire[..], b"*8\r\n#n:0\r\n:7\r\n:9\r\n$1\r\nk\r\n:9\r\n||");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NewsChange<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The write that made the change; those of one batch share it.
    pub version: Version,
    /// The new value; `None` if the record was deleted.
    pub value: Option<&'a [u8]>,
    /// When the new record ends. That it does is no change of its own.
    pub expires_at: Option<UnixMillis>,
}

impl<'a> Watch<'a> {
    pub(super) fn parse(fields: &mut Fields<'a>) -> Result<Self, FieldError> {
        let table = fields.string()?;
        let incarnation = if fields.null() { None } else { Some(incarnation(fields)?) };
        let since = if incarnation.is_none() && fields.null() {
            None
        } else {
            Some(Position { incarnation, version: unsigned(fields, "a version")? })
        };
        let wait_millis = unsigned(fields, "the wait")?;
        let select = match fields.is_empty() {
            true => Select::All,
            false => match fields.string()? {
                KEY => Select::Key(fields.bytes()?),
                PREFIX => Select::Prefix(fields.bytes()?),
                _ => return Err(FieldError::UnknownOption),
            },
        };
        Ok(Self { table, since, wait_millis, select })
    }

    pub(super) fn frames(&self) -> usize {
        let select = if let Select::All = self.select { 0 } else { 2 };
        2 + Position::FRAMES + select
    }

    pub(super) fn encode(&self, frames: &mut FrameWriter<'_>) {
        frames.string(self.table);
        match self.since {
            Some(position) => position.encode(frames),
            None => {
                frames.null().null();
            }
        }
        frames.integer(i64::try_from(self.wait_millis).unwrap_or(i64::MAX));
        match self.select {
            Select::All => {}
            Select::Key(key) => {
                frames.string(KEY).bytes(key);
            }
            Select::Prefix(prefix) => {
                frames.string(PREFIX).bytes(prefix);
            }
        }
    }
}

impl Position {
    pub(super) const FRAMES: usize = 2;

    pub(super) fn parse(fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        let incarnation = if fields.null() { None } else { Some(incarnation(fields)?) };
        Ok(Self { incarnation, version: unsigned(fields, "a version")? })
    }

    pub(super) fn encode(&self, frames: &mut FrameWriter<'_>) {
        match self.incarnation {
            Some(incarnation) => encode_incarnation(frames, incarnation),
            None => {
                frames.null();
            }
        }
        frames.integer(i64::try_from(self.version).unwrap_or(i64::MAX));
    }
}

fn unsigned(fields: &mut Fields<'_>, field: &'static str) -> Result<u64, FieldError> {
    u64::try_from(fields.integer()?).map_err(|_| FieldError::OutOfRange { field })
}

impl<'a> News<'a> {
    pub(super) fn parse(fields: &mut Fields<'a>) -> Result<Self, FieldError> {
        let until = Position::parse(fields)?;
        let mut changes = Vec::new();
        while !fields.is_empty() {
            let Entry { key, version, value, expires_at } = Entry::parse(fields)?;
            changes.push(NewsChange { key, version, value, expires_at });
        }
        Ok(Self { until, changes })
    }

    pub(super) fn frames(&self) -> usize {
        Position::FRAMES + self.changes.len() * Entry::FRAMES
    }

    pub(super) fn encode(&self, frames: &mut FrameWriter<'_>) {
        self.until.encode(frames);
        for &NewsChange { key, version, value, expires_at } in &self.changes {
            Entry { key, version, value, expires_at }.encode(frames);
        }
    }
}

/// Shows what is asked for; never a key.
impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { table, since, wait_millis, select } = self;
        write!(f, "Watch({table:?}, {since:?}, {wait_millis} ms, {select:?})")
    }
}

/// Never shows the key.
impl std::fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Select::All => f.write_str("all keys"),
            Select::Key(key) => write!(f, "a {} byte key", key.len()),
            Select::Prefix(prefix) => write!(f, "a {} byte prefix", prefix.len()),
        }
    }
}

/// Shows how large it is; never a key or a value.
impl std::fmt::Debug for NewsChange<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key, version, value, expires_at } = self;
        let bytes = value.map(<[u8]>::len);
        write!(f, "({} byte key, {version}, {bytes:?} byte value, {expires_at:?})", key.len())
    }
}
