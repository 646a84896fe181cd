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
//!
//! | type | reply | frames behind the id |
//! |---|---|---|
//! | `b` | [Made](Reply::Made) | how many tables, files and bytes the backup has (integers) |
//! | `p` | [Progress](Reply::Progress) | bytes done and bytes in all, both 0 if nothing is under way (integers) |
//! | `f` | [Fail](Reply::Fail) | code, message (strings) |
//!
//! A Backup is answered when it is made or has failed. One at a time may be under way on a
//! connection; Progress is about that one. A request of a type that is not known is answered with a
//! Fail, surplus frames of a request are refused, those of a reply are skipped. A Fail with a null
//! frame in the place of the id ends the connection.
//!
//! Next file to read: the server's.

use bytes::BytesMut;

use super::cut_fail_message;
use super::frame::{FieldError, Fields, FrameLimits, FrameWriter, Message};
use super::v2::{FailCode, RequestId};

/// What a message may cost, in either direction.
///
/// ```
/// use kvsd::protocol::admin;
/// use kvsd::protocol::frame::{Decoder, FrameError};
///
/// let error = Decoder::new(admin::LIMITS).decode(b"*17\r\n").unwrap_err();
/// assert_eq!(error, FrameError::TooManyFrames { limit: 16 });
/// ```
pub const LIMITS: FrameLimits = FrameLimits { message_bytes: 2048, frames: 16, line_bytes: 1024 };

const BACKUP: u8 = b'B';
const PROGRESS: u8 = b'P';
const MADE: u8 = b'b';
const PROGRESSED: u8 = b'p';
const FAIL: u8 = b'f';

/// What an administrator asks for.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::admin::Request;
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let request = Request::Backup { name: "monday" };
/// request.encode(RequestId::ZERO, &mut wire);
/// assert_eq!(&wire[..], b"*3\r\n#B:0\r\n+monday\r\n");
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// assert_eq!(Request::parse(&message), Ok((RequestId::ZERO, Some(request))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Make a backup. The name is as it came: checking it is the receiver's part.
    Backup {
        /// What it is to be called.
        name: &'a str,
    },
    /// How far is the backup?
    Progress,
}

/// What a server answers to its administrator.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::admin::Reply;
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let reply = Reply::Progress { done: 40, total: 100 };
/// reply.encode(Some(RequestId::ZERO), &mut wire);
/// assert_eq!(&wire[..], b"*4\r\n#p:0\r\n:40\r\n:100\r\n");
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// assert_eq!(Reply::parse(&message)?, (Some(RequestId::ZERO), Some(reply)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply<'a> {
    /// To Backup: it is made.
    Made {
        /// How many tables it holds.
        tables: u64,
        /// In how many files.
        files: u64,
        /// How many bytes these have.
        bytes: u64,
    },
    /// To Progress.
    Progress {
        /// The bytes that are in the backup.
        done: u64,
        /// Those that there will be, as far as that is known.
        total: u64,
    },
    /// To anything that was refused or has failed.
    Fail {
        /// Why, for programs.
        code: FailCode,
        /// Why, for people.
        message: &'a str,
    },
}

impl<'a> Request<'a> {
    /// Reads a message as a request: its id, and the request, or `None` if no request has its type.
    ///
    /// # Errors
    ///
    /// [`FieldError`] if the frames are not those of the type; with an id it can be answered.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use kvsd::protocol::admin::Request;
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// // A type that no request has: it has an id, so it can be answered.
    /// let message = decoder.decode(b"*2\r\n#!:7\r\n")?.ok_or("not whole")?;
    /// assert_eq!(Request::parse(&message), Ok((RequestId::new(7).ok_or("too large")?, None)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse(
        message: &Message<'a>,
    ) -> Result<(RequestId, Option<Self>), (Option<RequestId>, FieldError)> {
        let (id, mut fields) = RequestId::split(message).map_err(|error| (None, error))?;
        let request = match message.kind() {
            BACKUP => fields.string().map(|name| Request::Backup { name }),
            PROGRESS => Ok(Request::Progress),
            _ => return Ok((id, None)),
        };
        let request = request.and_then(|request| fields.finish().map(|()| request));
        request.map(|request| (id, Some(request))).map_err(|error| (Some(id), error))
    }

    /// Writes the message behind what `out` holds.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use kvsd::protocol::admin::Request;
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// Request::Progress.encode(RequestId::ZERO, &mut wire);
    /// assert_eq!(&wire[..], b"*2\r\n#P:0\r\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encode(&self, id: RequestId, out: &mut BytesMut) {
        let mut frames = FrameWriter::new(out);
        match self {
            Request::Backup { name } => {
                frames.message(3, BACKUP).integer(id.to_wire()).string(name);
            }
            Request::Progress => {
                frames.message(2, PROGRESS).integer(id.to_wire());
            }
        }
    }
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
    /// use kvsd::protocol::admin::Reply;
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let message = decoder.decode(b"*5\r\n#b:0\r\n:2\r\n:8\r\n:4096\r\n")?.ok_or("not whole")?;
    /// let made = Reply::Made { tables: 2, files: 8, bytes: 4096 };
    /// assert_eq!(Reply::parse(&message)?, (Some(RequestId::ZERO), Some(made)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse(message: &Message<'a>) -> Result<(Option<RequestId>, Option<Self>), FieldError> {
        let mut fields = message.fields();
        if message.kind() == FAIL && fields.null() {
            return Ok((None, Some(Self::fail(&mut fields)?)));
        }
        let (id, mut fields) = RequestId::split(message)?;
        let reply = match message.kind() {
            MADE => Reply::Made {
                tables: count(&mut fields)?,
                files: count(&mut fields)?,
                bytes: count(&mut fields)?,
            },
            PROGRESSED => Reply::Progress { done: count(&mut fields)?, total: count(&mut fields)? },
            FAIL => Self::fail(&mut fields)?,
            _ => return Ok((Some(id), None)),
        };
        Ok((Some(id), Some(reply)))
    }

    fn fail(fields: &mut Fields<'a>) -> Result<Self, FieldError> {
        let code = FailCode::parse(fields.string()?);
        Ok(Reply::Fail { code, message: fields.string()? })
    }

    /// Writes the message behind what `out` holds. Without an id it is to be the last one, and a
    /// Fail.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use kvsd::protocol::admin::Reply;
    /// use kvsd::protocol::v2::FailCode;
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// Reply::Fail { code: FailCode::DiskFull, message: "no room" }.encode(None, &mut wire);
    /// assert_eq!(&wire[..], b"*4\r\n#f|+DISK_FULL\r\n+no room\r\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encode(&self, id: Option<RequestId>, out: &mut BytesMut) {
        let mut frames = FrameWriter::new(out);
        let (count, kind) = match self {
            Reply::Made { .. } => (5, MADE),
            Reply::Progress { .. } => (4, PROGRESSED),
            Reply::Fail { .. } => (4, FAIL),
        };
        frames.message(count, kind);
        match id {
            Some(id) => frames.integer(id.to_wire()),
            None => frames.null(),
        };
        match self {
            Reply::Made { tables, files, bytes } => {
                frames.integer(wire(*tables)).integer(wire(*files)).integer(wire(*bytes));
            }
            Reply::Progress { done, total } => {
                frames.integer(wire(*done)).integer(wire(*total));
            }
            Reply::Fail { code, message } => {
                frames.string(code.as_str()).string(cut_fail_message(message));
            }
        }
    }
}

fn count(fields: &mut Fields<'_>) -> Result<u64, FieldError> {
    u64::try_from(fields.integer()?).map_err(|_| FieldError::OutOfRange { field: "a count" })
}

fn wire(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
