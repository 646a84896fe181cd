//! The replies of version 2: their types, reading and writing them.
//!
//! Next file to read: [`crate::protocol::frame`] if you came from the top, else the client's
//! connection or the server's session.

use bytes::BytesMut;

use super::{
    Changed, Names, News, Page, Position, RequestId, Statistics, encode_time_or_null,
    encode_version_or_null, flag, time, time_or_null, version, version_or_null,
};
use crate::protocol::cut_fail_message;
use crate::protocol::frame::{FieldError, Fields, FrameWriter, Message};
use crate::types::{UnixMillis, Version};

const PONG: u8 = b'p';
const VALUE: u8 = b'g';
const FLAG: u8 = b'e';
const LIFETIME: u8 = b'y';
const COUNTER: u8 = b'i';
const BATCH: u8 = b'b';
const PIPELINE: u8 = b'l';
const PAGE: u8 = b'r';
const STANDING_PAGE: u8 = b's';
const NEWS: u8 = b'n';
const GAP: u8 = b'o';
const TABLES: u8 = b't';
const STATISTICS: u8 = b'q';
const WRITTEN: u8 = b'w';
const CONFLICT: u8 = b'c';
const FAIL: u8 = b'f';

const ABSENT: i64 = 0;
const PRESENT: i64 = 1;
const RECORD: i64 = 2;

/// What a server answers.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::Version;
/// use kvsd::protocol::v2::{Record, Reply};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let version = Version::new(9).ok_or("no version")?;
/// let reply = Reply::Value(Some(Record { version, expires_at: None, value: b"world" }));
/// reply.encode(RequestId::ZERO, &mut wire);
/// assert_eq!(&wire[..], b"*5\r\n#g:0\r\n:9\r\n$5\r\nworld\r\n|");
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// assert_eq!(Reply::parse(&message)?, (Some(RequestId::ZERO), Some(reply)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply<'a> {
    /// To Ping.
    Pong {
        /// The server's time.
        server_time: UnixMillis,
    },
    /// To Get: the record, if there is one.
    Value(Option<Record<'a>>),
    /// To Exists: whether there is a record. To CreateTable and DropTable: whether they changed
    /// anything.
    Flag(bool),
    /// To Lifetime.
    Lifetime(Lifetime),
    /// To an Increment that happened.
    Counter {
        /// The version it got.
        version: Version,
        /// What the integer is now.
        value: i64,
    },
    /// To a Set, a Delete or an Expire that happened.
    Written {
        /// The version it got; `None` if nothing had to be written.
        version: Option<Version>,
        /// What stood there before.
        before: Before<'a>,
    },
    /// To a write whose condition does not hold: nothing was written.
    Conflict {
        /// The version of the record that stands there.
        current: Option<Version>,
        /// Which change of a batch it is, from 0; 0 for a write of one record.
        change: u64,
    },
    /// To a Batch that happened.
    Batch {
        /// The version it got; `None` if nothing had to be written.
        version: Option<Version>,
        /// What came of each change, in their order.
        changed: Vec<Changed>,
    },
    /// To a Pipeline: the answers to its first requests, at least one. Those behind them were not
    /// carried out, for want of room in the message.
    Pipeline(Vec<Reply<'a>>),
    /// To Scan.
    Page(Page<'a>),
    /// To Watch.
    News(News<'a>),
    /// To a Watch since a position from which on not everything is known any more, or which the
    /// table has never been at.
    Gap {
        /// Where the table is now.
        now: Position,
    },
    /// To Tables.
    Tables(Names<'a>),
    /// To Statistics: `None` if there is no such table.
    Statistics(Option<Statistics<'a>>),
    /// To anything that was refused.
    Fail {
        /// Why, for programs.
        code: FailCode,
        /// Why, for people.
        message: &'a str,
    },
}

/// A stored record.
///
/// ```
/// use kvsd::protocol::v2::Record;
/// use kvsd::{UnixMillis, Version};
///
/// let version = Version::new(9).ok_or("no version")?;
/// let record = Record { version, expires_at: UnixMillis::new(1_000), value: b"secret" };
/// assert_eq!(format!("{record:?}"), "Record(9, Some(UnixMillis(1000)), 6 byte value)");
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The write that made it.
    pub version: Version,
    /// When it ends.
    pub expires_at: Option<UnixMillis>,
    /// The value.
    pub value: &'a [u8],
}

/// How long a record still has, by the server's clock.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::{Lifetime, Reply};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let reply = Reply::Lifetime(Lifetime::Left { millis: 1500 });
/// reply.encode(RequestId::ZERO, &mut wire);
/// assert_eq!(&wire[..], b"*4\r\n#y:0\r\n:2\r\n:1500\r\n");
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// assert_eq!(Reply::parse(&message)?.1, Some(reply));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// There is no record.
    Absent,
    /// It does not end.
    Endless,
    /// It ends in so many milliseconds, at least 1.
    Left {
        /// The milliseconds.
        millis: u64,
    },
}

/// What stood at a key before a write.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::Version;
/// use kvsd::protocol::v2::{Before, Reply};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let reply = Reply::Written { version: Version::new(9), before: Before::Present };
/// reply.encode(RequestId::ZERO, &mut wire);
/// assert_eq!(&wire[..], b"*4\r\n#w:0\r\n:9\r\n:1\r\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before<'a> {
    /// No record.
    Absent,
    /// A record.
    Present,
    /// This record.
    Record(Record<'a>),
}

impl<'a> Reply<'a> {
    /// Reads a message as a reply: its id, and the reply, or `None` if no reply has its type. The
    /// id is `None` in a Fail that ends the connection.
    ///
    /// # Errors
    ///
    /// [`FieldError`] if the frames are not those of the type.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use kvsd::protocol::v2::Reply;
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// // Of a later server: this one does not know the type, but whose answer it is.
    /// let message = decoder.decode(b"*2\r\n#!:7\r\n")?.ok_or("not whole")?;
    /// let (id, reply) = Reply::parse(&message)?;
    /// assert_eq!((id.map(RequestId::get), reply), (Some(7), None));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse(message: &Message<'a>) -> Result<(Option<RequestId>, Option<Self>), FieldError> {
        let mut fields = message.fields();
        if message.kind() == FAIL && fields.null() {
            return Ok((None, Self::parse_fields(FAIL, fields)?));
        }
        let (id, fields) = RequestId::split(message)?;
        Ok((Some(id), Self::parse_fields(message.kind(), fields)?))
    }

    fn parse_fields(kind: u8, mut fields: Fields<'a>) -> Result<Option<Self>, FieldError> {
        let fields = &mut fields;
        Ok(Some(match kind {
            PONG => Reply::Pong { server_time: time(fields)? },
            VALUE => {
                let record = if fields.null() { None } else { Some(Record::parse(fields)?) };
                Reply::Value(record)
            }
            FLAG => Reply::Flag(flag(fields)?),
            LIFETIME => Reply::Lifetime(Lifetime::parse(fields)?),
            COUNTER => Reply::Counter { version: version(fields)?, value: fields.integer()? },
            WRITTEN => Reply::Written {
                version: version_or_null(fields)?,
                before: match fields.integer()? {
                    ABSENT => Before::Absent,
                    PRESENT => Before::Present,
                    RECORD => Before::Record(Record::parse(fields)?),
                    _ => {
                        return Err(FieldError::OutOfRange { field: "what stood there before" });
                    }
                },
            },
            CONFLICT => {
                let current = version_or_null(fields)?;
                let change = u64::try_from(fields.integer()?)
                    .map_err(|_| FieldError::OutOfRange { field: "a change's place" })?;
                Reply::Conflict { current, change }
            }
            BATCH => {
                let version = version_or_null(fields)?;
                let mut changed = Vec::new();
                while !fields.is_empty() {
                    changed.push(Changed::parse(fields)?);
                }
                Reply::Batch { version, changed }
            }
            PIPELINE => {
                let most = fields.len() / (super::NESTED_FRAMES + Record::FRAMES);
                let mut replies = Vec::with_capacity(most);
                while !fields.is_empty() {
                    let (kind, rest) = super::nested(fields)?;
                    let is_nested = matches!(
                        kind,
                        VALUE | FLAG | LIFETIME | COUNTER | WRITTEN | CONFLICT | FAIL
                    );
                    let reply = if is_nested { Self::parse_fields(kind, rest)? } else { None };
                    replies
                        .push(reply.ok_or(FieldError::Wrong { wanted: "a type in a pipeline" })?);
                }
                Reply::Pipeline(replies)
            }
            PAGE => Reply::Page(Page::parse(fields)?),
            STANDING_PAGE => Reply::Page(Page::parse_standing(fields)?),
            NEWS => Reply::News(News::parse(fields)?),
            GAP => Reply::Gap { now: Position::parse(fields)? },
            TABLES => Reply::Tables(Names::parse(fields)?),
            STATISTICS => Reply::Statistics(if fields.null() {
                None
            } else {
                Some(Statistics::parse(fields)?)
            }),
            FAIL => {
                Reply::Fail { code: FailCode::parse(fields.string()?), message: fields.string()? }
            }
            _ => return Ok(None),
        }))
    }

    /// Writes the message behind what `out` holds.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use kvsd::protocol::v2::Reply;
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// Reply::Flag(true).encode(RequestId::ZERO, &mut wire);
    /// assert_eq!(&wire[..], b"*3\r\n#e:0\r\n:1\r\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encode(&self, id: RequestId, out: &mut BytesMut) {
        let mut frames = FrameWriter::new(out);
        frames.message(2 + self.frames(), self.kind()).integer(id.to_wire());
        self.encode_fields(&mut frames);
    }

    fn kind(&self) -> u8 {
        match self {
            Reply::Pong { .. } => PONG,
            Reply::Value(_) => VALUE,
            Reply::Flag(_) => FLAG,
            Reply::Lifetime(_) => LIFETIME,
            Reply::Counter { .. } => COUNTER,
            Reply::Written { .. } => WRITTEN,
            Reply::Conflict { .. } => CONFLICT,
            Reply::Batch { .. } => BATCH,
            Reply::Pipeline(_) => PIPELINE,
            Reply::Page(Page { at: None, .. }) => PAGE,
            Reply::Page(Page { at: Some(_), .. }) => STANDING_PAGE,
            Reply::News(_) => NEWS,
            Reply::Gap { .. } => GAP,
            Reply::Tables(_) => TABLES,
            Reply::Statistics(_) => STATISTICS,
            Reply::Fail { .. } => FAIL,
        }
    }

    /// The frames behind the id.
    fn frames(&self) -> usize {
        match self {
            Reply::Pong { .. } | Reply::Value(None) | Reply::Flag(_) => 1,
            Reply::Statistics(None) => 1,
            Reply::Value(Some(_)) => Record::FRAMES,
            Reply::Lifetime(Lifetime::Absent | Lifetime::Endless) => 1,
            Reply::Lifetime(Lifetime::Left { .. }) => 2,
            Reply::Counter { .. } | Reply::Conflict { .. } | Reply::Fail { .. } => 2,
            Reply::Written { before: Before::Absent | Before::Present, .. } => 2,
            Reply::Written { before: Before::Record(_), .. } => 2 + Record::FRAMES,
            Reply::Batch { changed, .. } => 1 + changed.len() * Changed::FRAMES,
            Reply::Pipeline(replies) => {
                replies.iter().map(|reply| super::NESTED_FRAMES + reply.frames()).sum()
            }
            Reply::Page(page) => page.frames(),
            Reply::News(news) => news.frames(),
            Reply::Gap { .. } => Position::FRAMES,
            Reply::Tables(names) => names.frames(),
            Reply::Statistics(Some(_)) => Statistics::FRAMES,
        }
    }

    fn encode_fields(&self, frames: &mut FrameWriter<'_>) {
        match self {
            Reply::Pong { server_time } => {
                frames.integer(server_time.to_wire());
            }
            Reply::Value(None) | Reply::Statistics(None) => {
                frames.null();
            }
            Reply::Value(Some(record)) => record.encode(frames),
            Reply::Flag(flag) => {
                frames.integer(i64::from(*flag));
            }
            Reply::Lifetime(lifetime) => lifetime.encode(frames),
            Reply::Counter { version, value } => {
                frames.integer(version.to_wire()).integer(*value);
            }
            Reply::Written { version, before } => {
                encode_version_or_null(frames, *version);
                match before {
                    Before::Absent => {
                        frames.integer(ABSENT);
                    }
                    Before::Present => {
                        frames.integer(PRESENT);
                    }
                    Before::Record(record) => {
                        frames.integer(RECORD);
                        record.encode(frames);
                    }
                }
            }
            Reply::Conflict { current, change } => {
                encode_version_or_null(frames, *current);
                frames.integer(i64::try_from(*change).unwrap_or(i64::MAX));
            }
            Reply::Batch { version, changed } => {
                encode_version_or_null(frames, *version);
                changed.iter().for_each(|changed| changed.encode(frames));
            }
            Reply::Pipeline(replies) => replies.iter().for_each(|reply| reply.nest(frames)),
            Reply::Page(page) => page.encode(frames),
            Reply::News(news) => news.encode(frames),
            Reply::Gap { now } => now.encode(frames),
            Reply::Tables(names) => names.encode(frames),
            Reply::Statistics(Some(statistics)) => statistics.encode(frames),
            Reply::Fail { code, message } => {
                frames.string(code.as_str()).string(cut_fail_message(message));
            }
        }
    }

    /// Writes the reply as a part of a Pipeline's.
    fn nest(&self, frames: &mut FrameWriter<'_>) {
        super::nest(self.kind(), self.frames(), frames);
        self.encode_fields(frames);
    }

    /// Writes the Fail that ends a connection and answers no request in particular.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use kvsd::protocol::v2::{FailCode, Reply};
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// Reply::encode_last(FailCode::Closing, "the server is shutting down", &mut wire);
    /// let message = decoder.decode(&wire)?.ok_or("not whole")?;
    /// let (id, Some(Reply::Fail { code, .. })) = Reply::parse(&message)? else { panic!() };
    /// assert_eq!((id, code), (None, FailCode::Closing));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encode_last(code: FailCode, message: &str, out: &mut BytesMut) {
        let mut frames = FrameWriter::new(out);
        frames.message(4, FAIL).null().string(code.as_str()).string(cut_fail_message(message));
    }
}

/// The replies to a [Pipeline](Reply::Pipeline), encoded as they come: what they say need not be
/// kept until the last of them is there.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::v2::RequestId;
/// use kvsd::protocol::v2::{PipelineReplies, Reply};
///
/// # let (mut wire, mut same) = (BytesMut::new(), BytesMut::new());
/// let mut replies = PipelineReplies::default();
/// replies.push(&Reply::Flag(true));
/// replies.push(&Reply::Value(None));
/// replies.encode(RequestId::ZERO, &mut wire);
///
/// let replies = Reply::Pipeline(vec![Reply::Flag(true), Reply::Value(None)]);
/// replies.encode(RequestId::ZERO, &mut same);
/// assert_eq!(wire, same);
/// ```
#[derive(Default)]
pub struct PipelineReplies {
    count: usize,
    frames: usize,
    encoded: BytesMut,
}

impl PipelineReplies {
    /// Adds the reply to the next request. Only a reply to Get, Exists, Lifetime or a write of one
    /// record may stand here.
    ///
    /// ```
    /// use kvsd::protocol::v2::{PipelineReplies, Reply};
    ///
    /// let mut replies = PipelineReplies::default();
    /// replies.push(&Reply::Flag(true));
    /// assert_eq!(format!("{replies:?}"), "PipelineReplies(1 replies, 12 bytes)");
    /// ```
    pub fn push(&mut self, reply: &Reply<'_>) {
        self.count += 1;
        self.frames += super::NESTED_FRAMES + reply.frames();
        reply.nest(&mut FrameWriter::new(&mut self.encoded));
    }

    /// How many replies there are.
    ///
    /// ```
    /// use kvsd::protocol::v2::{PipelineReplies, Reply};
    ///
    /// let mut replies = PipelineReplies::default();
    /// replies.push(&Reply::Flag(true));
    /// assert_eq!(replies.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    ///
    /// ```
    /// use kvsd::protocol::v2::PipelineReplies;
    ///
    /// assert!(PipelineReplies::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many bytes they are so far.
    ///
    /// ```
    /// use kvsd::protocol::v2::{PipelineReplies, Reply};
    ///
    /// let mut replies = PipelineReplies::default();
    /// replies.push(&Reply::Flag(true));
    /// assert_eq!(replies.byte_len(), ":2\r\n+e\r\n:1\r\n".len());
    /// ```
    pub fn byte_len(&self) -> usize {
        self.encoded.len()
    }

    /// Writes the message behind what `out` holds.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::v2::RequestId;
    /// use kvsd::protocol::v2::{PipelineReplies, Reply};
    ///
    /// # let mut wire = BytesMut::new();
    /// let mut replies = PipelineReplies::default();
    /// replies.push(&Reply::Flag(true));
    /// replies.encode(RequestId::ZERO, &mut wire);
    /// assert_eq!(&wire[..], b"*5\r\n#l:0\r\n:2\r\n+e\r\n:1\r\n");
    /// ```
    pub fn encode(&self, id: RequestId, out: &mut BytesMut) {
        FrameWriter::new(out).message(2 + self.frames, PIPELINE).integer(id.to_wire());
        out.extend_from_slice(&self.encoded);
    }
}

/// Shows how much it is; never what.
impl std::fmt::Debug for PipelineReplies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PipelineReplies({} replies, {} bytes)", self.count, self.encoded.len())
    }
}

impl<'a> Record<'a> {
    const FRAMES: usize = 3;

    fn parse(fields: &mut Fields<'a>) -> Result<Self, FieldError> {
        let version = version(fields)?;
        let value = fields.bytes()?;
        let expires_at = time_or_null(fields)?;
        Ok(Self { version, expires_at, value })
    }

    fn encode(&self, frames: &mut FrameWriter<'_>) {
        frames.integer(self.version.to_wire()).bytes(self.value);
        encode_time_or_null(frames, self.expires_at);
    }
}

impl Lifetime {
    const ENDLESS: i64 = 1;
    const LEFT: i64 = 2;

    fn parse(fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        match fields.integer()? {
            ABSENT => Ok(Self::Absent),
            Self::ENDLESS => Ok(Self::Endless),
            Self::LEFT => match u64::try_from(fields.integer()?) {
                Ok(millis @ 1..) => Ok(Self::Left { millis }),
                _ => Err(FieldError::OutOfRange { field: "the time that is left" }),
            },
            _ => Err(FieldError::OutOfRange { field: "a lifetime" }),
        }
    }

    fn encode(self, frames: &mut FrameWriter<'_>) {
        match self {
            Self::Absent => frames.integer(ABSENT),
            Self::Endless => frames.integer(Self::ENDLESS),
            Self::Left { millis } => {
                frames.integer(Self::LEFT).integer(i64::try_from(millis).unwrap_or(i64::MAX))
            }
        };
    }
}

/// The codes of Fail.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::v2::RequestId;
/// use kvsd::ErrorKind;
/// use kvsd::protocol::v2::{FailCode, Reply};
///
/// # let mut wire = BytesMut::new();
/// let (code, message) = (FailCode::Busy, "too many requests");
/// Reply::Fail { code, message }.encode(RequestId::ZERO, &mut wire);
/// assert_eq!(&wire[..], b"*4\r\n#f:0\r\n+BUSY\r\n+too many requests\r\n");
/// // What the client makes of it.
/// assert_eq!(ErrorKind::Server(code).to_string(), "the server says BUSY");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailCode {
    /// `UNAUTHENTICATED`: user or password are wrong, or were not given; of a connection that was
    /// open: its user has gone, or has another password or other grants. The connection is closed.
    Unauthenticated,
    /// `DENIED`: the user may not do this with this table. Nothing was done; trying again is of no use
    /// until an administrator has granted it.
    Denied,
    /// `PROTOCOL`: the message is not one of this protocol, or not at this point. The connection is
    /// closed.
    Protocol,
    /// `VERSION`: no version of the protocol that both sides speak. The connection is closed.
    Version,
    /// `INVALID`: the request is malformed or asks for what cannot be: a bad table name, key, option.
    Invalid,
    /// `NOT_AN_INTEGER`: the value is not an integer as it is stored, canonical decimal text of 64
    /// bits. Nothing was written.
    NotAnInteger,
    /// `OVERFLOW`: the integer would leave the range of 64 bits. Nothing was written.
    Overflow,
    /// `NO_TABLE`: there is no such table, and this server makes none with a write.
    NoTable,
    /// `TOO_MANY_TABLES`: the server has as many tables as it is allowed to. Nothing was written.
    TooManyTables,
    /// `UNSUPPORTED`: the request's type is unknown to this server.
    Unsupported,
    /// `BUSY`: the server has no room for this now. Nothing was done; try again later.
    Busy,
    /// `UNAVAILABLE`: whoever keeps the data for the server cannot be reached, or does not serve
    /// now. Nothing was done; try again later.
    Unavailable,
    /// `SCAN_EXPIRED`: what stood when the scan began is not kept any more. Begin the scan again.
    ScanExpired,
    /// `DISK_FULL`: the disk is full, or whoever keeps the data for the server takes no more.
    /// Nothing was written.
    DiskFull,
    /// `READ_ONLY`: the table takes no writes since an I/O error. Nothing was written.
    ReadOnly,
    /// `CORRUPT`: stored data is damaged.
    Corrupt,
    /// `UNKNOWN`: the write may or may not have happened.
    Unknown,
    /// `CLOSING`: the server is shutting down. Nothing was done.
    Closing,
    /// `INTERNAL`: another failure of the server; nothing was done.
    Internal,
}

impl FailCode {
    /// The code on the wire.
    ///
    /// ```
    /// use kvsd::protocol::v2::FailCode;
    ///
    /// assert_eq!(FailCode::DiskFull.as_str(), "DISK_FULL");
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FailCode::Unauthenticated => "UNAUTHENTICATED",
            FailCode::Denied => "DENIED",
            FailCode::Protocol => "PROTOCOL",
            FailCode::Version => "VERSION",
            FailCode::Invalid => "INVALID",
            FailCode::NotAnInteger => "NOT_AN_INTEGER",
            FailCode::Overflow => "OVERFLOW",
            FailCode::NoTable => "NO_TABLE",
            FailCode::TooManyTables => "TOO_MANY_TABLES",
            FailCode::Unsupported => "UNSUPPORTED",
            FailCode::Busy => "BUSY",
            FailCode::Unavailable => "UNAVAILABLE",
            FailCode::ScanExpired => "SCAN_EXPIRED",
            FailCode::DiskFull => "DISK_FULL",
            FailCode::ReadOnly => "READ_ONLY",
            FailCode::Corrupt => "CORRUPT",
            FailCode::Unknown => "UNKNOWN",
            FailCode::Closing => "CLOSING",
            FailCode::Internal => "INTERNAL",
        }
    }

    /// The code that stands on the wire as `text`. A code from a later server is taken for
    /// [`FailCode::Unknown`]: the one that promises least.
    ///
    /// ```
    /// use kvsd::protocol::v2::FailCode;
    ///
    /// assert_eq!(FailCode::parse("BUSY"), FailCode::Busy);
    /// assert_eq!(FailCode::parse("SOMETHING_NEW"), FailCode::Unknown);
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Self {
        ALL_CODES.into_iter().find(|code| code.as_str() == text).unwrap_or(FailCode::Unknown)
    }
}

const ALL_CODES: [FailCode; 19] = [
    FailCode::Unauthenticated,
    FailCode::Denied,
    FailCode::Protocol,
    FailCode::Version,
    FailCode::Invalid,
    FailCode::NotAnInteger,
    FailCode::Overflow,
    FailCode::NoTable,
    FailCode::TooManyTables,
    FailCode::Unsupported,
    FailCode::Busy,
    FailCode::Unavailable,
    FailCode::ScanExpired,
    FailCode::DiskFull,
    FailCode::ReadOnly,
    FailCode::Corrupt,
    FailCode::Unknown,
    FailCode::Closing,
    FailCode::Internal,
];

/// Never shows the value.
impl std::fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Record({}, {:?}, {} byte value)",
            self.version,
            self.expires_at,
            self.value.len()
        )
    }
}
