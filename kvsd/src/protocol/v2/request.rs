//! The requests of version 2: their types, reading and writing them.
//!
//! Next file to read: [`super::options`], then [`super::reply`].

use bytes::BytesMut;
use thiserror::Error;

use super::options::Options;
use super::{Change, Condition, Expiry, Freshness, MAX_BATCH, Previous, RequestId, Scan, Watch};
use crate::protocol::frame::{FieldError, Fields, FrameWriter, Message};

const PING: u8 = b'P';
const GET: u8 = b'G';
const EXISTS: u8 = b'E';
const LIFETIME: u8 = b'Y';
const SET: u8 = b'S';
const DELETE: u8 = b'D';
const INCREMENT: u8 = b'I';
const EXPIRE: u8 = b'X';
const BATCH: u8 = b'B';
const PIPELINE: u8 = b'L';
const SCAN: u8 = b'R';
const WATCH: u8 = b'W';
const CANCEL: u8 = b'C';
const CREATE_TABLE: u8 = b'N';
const DROP_TABLE: u8 = b'Z';
const TABLES: u8 = b'T';
const STATISTICS: u8 = b'Q';

/// What a client asks for. Tables and keys are as they came: checking them is the receiver's part.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::Request;
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let freshness = v2::Freshness::Latest;
/// let request = Request::Get { table: "default", key: b"hello", freshness };
/// request.encode(RequestId::ZERO, &mut wire);
/// assert_eq!(&wire[..], b"*4\r\n#G:0\r\n+default\r\n$5\r\nhello\r\n");
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// assert_eq!(Request::parse(&message)?, (RequestId::ZERO, Some(request)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// Is the server there, and what time has it?
    Ping,
    /// Read a record.
    Get {
        /// The table.
        table: &'a str,
        /// The key.
        key: &'a [u8],
        /// How old the answer may be.
        freshness: Freshness,
    },
    /// Is there a record?
    Exists {
        /// The table.
        table: &'a str,
        /// The key.
        key: &'a [u8],
        /// How old the answer may be.
        freshness: Freshness,
    },
    /// How long does a record still have?
    Lifetime {
        /// The table.
        table: &'a str,
        /// The key.
        key: &'a [u8],
        /// How old the answer may be.
        freshness: Freshness,
    },
    /// Store a value.
    Set {
        /// The table.
        table: &'a str,
        /// The key.
        key: &'a [u8],
        /// The value.
        value: &'a [u8],
        /// When it may be stored.
        condition: Condition,
        /// When it ends.
        expiry: Option<Expiry>,
        /// Whether to answer with what stood there.
        previous: Previous,
    },
    /// Remove a record.
    Delete {
        /// The table.
        table: &'a str,
        /// The key.
        key: &'a [u8],
        /// When it may be removed; never [`Condition::Absent`] or [`Condition::Present`].
        condition: Condition,
        /// Whether to answer with what stood there.
        previous: Previous,
    },
    /// Add to the integer that a record holds as decimal text; without a record, to 0.
    Increment {
        /// The table.
        table: &'a str,
        /// The key.
        key: &'a [u8],
        /// How much, perhaps below 0.
        by: i64,
        /// When it may be done.
        condition: Condition,
    },
    /// Let a record end at another time, and keep its value.
    Expire {
        /// The table.
        table: &'a str,
        /// The key.
        key: &'a [u8],
        /// When it ends; `None` for never.
        expiry: Option<Expiry>,
        /// When it may be done; never [`Condition::Absent`].
        condition: Condition,
    },
    /// Change several records, together or not at all.
    Batch {
        /// The table.
        table: &'a str,
        /// What changes: 1 to [`MAX_BATCH`], no key twice.
        changes: Vec<Change<'a>>,
    },
    /// Several requests, carried out one after the other: 1 to [`MAX_BATCH`], each a Get, Exists,
    /// Lifetime, Set, Delete, Increment or Expire.
    Pipeline(Vec<Request<'a>>),
    /// Read a page of a table in the order of its keys.
    Scan(Scan<'a>),
    /// Tell what has changed.
    Watch(Watch<'a>),
    /// Answer the Watch with this id now. Has no id and no answer of its own.
    Cancel,
    /// Make a table.
    CreateTable {
        /// The table.
        table: &'a str,
    },
    /// Remove a table and all that is in it.
    DropTable {
        /// The table.
        table: &'a str,
    },
    /// Name the tables.
    Tables {
        /// Behind which name to begin.
        after: Option<&'a str>,
    },
    /// How much does a table hold?
    Statistics {
        /// The table.
        table: &'a str,
    },
}

impl<'a> Request<'a> {
    /// Reads a message as a request: its id, and the request, or `None` if no request has its type.
    ///
    /// # Errors
    ///
    /// [`RequestError`]; with an id it can be answered and the connection goes on.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use kvsd::protocol::v2::Request;
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let message = decoder.decode(b"*3\r\n#Z:7\r\n+old\r\n")?.ok_or("not whole")?;
    /// let (id, request) = Request::parse(&message)?;
    /// assert_eq!((id.get(), request), (7, Some(Request::DropTable { table: "old" })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse(message: &Message<'a>) -> Result<(RequestId, Option<Self>), RequestError> {
        let (id, fields) =
            RequestId::split(message).map_err(|cause| RequestError { id: None, cause })?;
        match Self::parse_fields(message.kind(), fields) {
            Ok(request) => Ok((id, request)),
            Err(cause) => Err(RequestError { id: Some(id), cause }),
        }
    }

    fn parse_fields(kind: u8, mut fields: Fields<'a>) -> Result<Option<Self>, FieldError> {
        let request = match kind {
            PING => Request::Ping,
            BATCH => {
                let table = fields.string()?;
                Request::Batch { table, changes: Change::parse_all(&mut fields)? }
            }
            PIPELINE => Request::Pipeline(Self::parse_pipeline(&mut fields)?),
            SCAN => Request::Scan(Scan::parse(&mut fields)?),
            WATCH => Request::Watch(Watch::parse(&mut fields)?),
            CANCEL => Request::Cancel,
            CREATE_TABLE => Request::CreateTable { table: fields.string()? },
            DROP_TABLE => Request::DropTable { table: fields.string()? },
            TABLES => Request::Tables { after: super::string_or_null(&mut fields)? },
            STATISTICS => Request::Statistics { table: fields.string()? },
            kind => return Self::parse_single(kind, fields),
        };
        fields.finish()?;
        Ok(Some(request))
    }

    /// What is about one record, and may stand in a pipeline.
    fn parse_single(kind: u8, mut fields: Fields<'a>) -> Result<Option<Self>, FieldError> {
        let (is_known, fields) = (
            matches!(kind, GET | EXISTS | LIFETIME | SET | DELETE | INCREMENT | EXPIRE),
            &mut fields,
        );
        if !is_known {
            return Ok(None);
        }
        let (table, key) = (fields.string()?, fields.bytes()?);
        let request = match kind {
            GET => Request::Get { table, key, freshness: Freshness::parse(fields)? },
            EXISTS => Request::Exists { table, key, freshness: Freshness::parse(fields)? },
            LIFETIME => Request::Lifetime { table, key, freshness: Freshness::parse(fields)? },
            SET => {
                let value = fields.bytes()?;
                let Options { condition, expiry, previous } = Options::parse(fields)?;
                Request::Set { table, key, value, condition, expiry, previous }
            }
            DELETE => {
                let Options { condition, previous, .. } =
                    Options::parse(fields)?.only(|options| {
                        let fits =
                            matches!(options.condition, Condition::Any | Condition::Version(_));
                        fits && options.expiry.is_none()
                    })?;
                Request::Delete { table, key, condition, previous }
            }
            INCREMENT => {
                let by = fields.integer()?;
                let options = Options::parse(fields)?.only(|options| {
                    options.expiry.is_none() && options.previous == Previous::Omit
                })?;
                Request::Increment { table, key, by, condition: options.condition }
            }
            _ => {
                let Options { condition, expiry, .. } =
                    Options::parse(fields)?.only(|options| {
                        options.condition != Condition::Absent && options.previous == Previous::Omit
                    })?;
                Request::Expire { table, key, expiry, condition }
            }
        };
        fields.finish()?;
        Ok(Some(request))
    }

    fn parse_pipeline(fields: &mut Fields<'a>) -> Result<Vec<Self>, FieldError> {
        // A read names a table and a key.
        let most = (fields.len() / (super::NESTED_FRAMES + 2)).min(MAX_BATCH);
        let mut requests = Vec::with_capacity(most);
        while !fields.is_empty() {
            if requests.len() == MAX_BATCH {
                return Err(FieldError::OutOfRange { field: "the number of requests" });
            }
            let (kind, rest) = super::nested(fields)?;
            let request = Self::parse_single(kind, rest)?;
            requests.push(request.ok_or(FieldError::Wrong { wanted: "a type for a pipeline" })?);
        }
        if requests.is_empty() {
            return Err(FieldError::Missing { wanted: "a request" });
        }
        Ok(requests)
    }

    /// Writes the message behind what `out` holds.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use kvsd::protocol::v2::Request;
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// Request::CreateTable { table: "new" }.encode(RequestId::ZERO, &mut wire);
    /// assert_eq!(&wire[..], b"*3\r\n#N:0\r\n+new\r\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encode(&self, id: RequestId, out: &mut BytesMut) {
        let mut frames = FrameWriter::new(out);
        frames.message(2 + self.frames(), self.kind()).integer(id.to_wire());
        self.encode_fields(&mut frames);
    }

    fn kind(&self) -> u8 {
        match self {
            Request::Ping => PING,
            Request::Get { .. } => GET,
            Request::Exists { .. } => EXISTS,
            Request::Lifetime { .. } => LIFETIME,
            Request::Set { .. } => SET,
            Request::Delete { .. } => DELETE,
            Request::Increment { .. } => INCREMENT,
            Request::Expire { .. } => EXPIRE,
            Request::Batch { .. } => BATCH,
            Request::Pipeline(_) => PIPELINE,
            Request::Scan(_) => SCAN,
            Request::Watch(_) => WATCH,
            Request::Cancel => CANCEL,
            Request::CreateTable { .. } => CREATE_TABLE,
            Request::DropTable { .. } => DROP_TABLE,
            Request::Tables { .. } => TABLES,
            Request::Statistics { .. } => STATISTICS,
        }
    }

    /// The frames behind the id.
    fn frames(&self) -> usize {
        match self {
            Request::Ping | Request::Cancel => 0,
            Request::Get { freshness, .. }
            | Request::Exists { freshness, .. }
            | Request::Lifetime { freshness, .. } => 2 + freshness.frames(),
            Request::Set { .. } | Request::Increment { .. } => 3 + self.options().frames(),
            Request::Delete { .. } | Request::Expire { .. } => 2 + self.options().frames(),
            Request::Batch { changes, .. } => 1 + changes.iter().map(Change::frames).sum::<usize>(),
            Request::Pipeline(requests) => {
                requests.iter().map(|request| super::NESTED_FRAMES + request.frames()).sum()
            }
            Request::Scan(scan) => scan.frames(),
            Request::Watch(watch) => watch.frames(),
            Request::CreateTable { .. }
            | Request::DropTable { .. }
            | Request::Tables { .. }
            | Request::Statistics { .. } => 1,
        }
    }

    fn options(&self) -> Options {
        match *self {
            Request::Set { condition, expiry, previous, .. } => {
                Options { condition, expiry, previous }
            }
            Request::Delete { condition, previous, .. } => {
                Options { condition, expiry: None, previous }
            }
            Request::Increment { condition, .. } => Options { condition, ..Options::default() },
            Request::Expire { condition, expiry, .. } => {
                Options { condition, expiry, ..Options::default() }
            }
            Request::Ping
            | Request::Get { .. }
            | Request::Exists { .. }
            | Request::Lifetime { .. }
            | Request::Batch { .. }
            | Request::Pipeline(_)
            | Request::Scan(_)
            | Request::Watch(_)
            | Request::Cancel
            | Request::CreateTable { .. }
            | Request::DropTable { .. }
            | Request::Tables { .. }
            | Request::Statistics { .. } => Options::default(),
        }
    }

    fn encode_fields(&self, frames: &mut FrameWriter<'_>) {
        match self {
            Request::Ping | Request::Cancel => {}
            Request::Get { table, key, freshness }
            | Request::Exists { table, key, freshness }
            | Request::Lifetime { table, key, freshness } => {
                frames.string(table).bytes(key);
                freshness.encode(frames);
            }
            Request::Delete { table, key, .. } | Request::Expire { table, key, .. } => {
                frames.string(table).bytes(key);
            }
            Request::Set { table, key, value, .. } => {
                frames.string(table).bytes(key).bytes(value);
            }
            Request::Increment { table, key, by, .. } => {
                frames.string(table).bytes(key).integer(*by);
            }
            Request::Batch { table, changes } => {
                frames.string(table);
                changes.iter().for_each(|change| change.encode(frames));
            }
            Request::Pipeline(requests) => {
                for request in requests {
                    super::nest(request.kind(), request.frames(), frames);
                    request.encode_fields(frames);
                }
            }
            Request::Scan(scan) => scan.encode(frames),
            Request::Watch(watch) => watch.encode(frames),
            Request::CreateTable { table }
            | Request::DropTable { table }
            | Request::Statistics { table } => {
                frames.string(table);
            }
            Request::Tables { after } => super::encode_string_or_null(frames, *after),
        }
        self.options().encode(frames);
    }
}

/// A message that is no request.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::frame::FieldError;
/// use kvsd::protocol::v2::Request;
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// // A get without a key: it has an id, so it can be answered.
/// let message = decoder.decode(b"*3\r\n#G:7\r\n+t\r\n")?.ok_or("not whole")?;
/// let error = Request::parse(&message).unwrap_err();
/// assert_eq!(error.id.map(RequestId::get), Some(7));
/// assert_eq!(error.cause, FieldError::Missing { wanted: "bytes" });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("malformed request")]
pub struct RequestError {
    /// The request's id, if there was one.
    pub id: Option<RequestId>,
    /// What is wrong.
    #[source]
    pub cause: FieldError,
}

/// Shows what is asked for and how large it is; never a key or a value.
impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Request::Ping => f.write_str("Ping"),
            Request::Get { table, key, freshness } => {
                write!(f, "Get({table:?}, {} byte key, {freshness:?})", key.len())
            }
            Request::Exists { table, key, freshness } => {
                write!(f, "Exists({table:?}, {} byte key, {freshness:?})", key.len())
            }
            Request::Lifetime { table, key, freshness } => {
                write!(f, "Lifetime({table:?}, {} byte key, {freshness:?})", key.len())
            }
            Request::Set { table, key, value, condition, expiry, previous } => write!(
                f,
                "Set({table:?}, {} byte key, {} byte value, {condition:?}, {expiry:?}, {previous:?})",
                key.len(),
                value.len()
            ),
            Request::Delete { table, key, condition, previous } => {
                write!(f, "Delete({table:?}, {} byte key, {condition:?}, {previous:?})", key.len())
            }
            Request::Increment { table, key, by: _, condition } => {
                write!(f, "Increment({table:?}, {} byte key, {condition:?})", key.len())
            }
            Request::Expire { table, key, expiry, condition } => {
                write!(f, "Expire({table:?}, {} byte key, {expiry:?}, {condition:?})", key.len())
            }
            Request::Batch { table, changes } => write!(f, "Batch({table:?}, {changes:?})"),
            Request::Pipeline(requests) => write!(f, "Pipeline({requests:?})"),
            Request::Scan(scan) => scan.fmt(f),
            Request::Watch(watch) => watch.fmt(f),
            Request::Cancel => f.write_str("Cancel"),
            Request::CreateTable { table } => write!(f, "CreateTable({table:?})"),
            Request::DropTable { table } => write!(f, "DropTable({table:?})"),
            Request::Tables { after } => write!(f, "Tables({after:?})"),
            Request::Statistics { table } => write!(f, "Statistics({table:?})"),
        }
    }
}
