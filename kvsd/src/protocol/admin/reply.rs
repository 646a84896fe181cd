//! The server's answers to its administrator: their types, reading and writing them.
//!
//! Next file to read: the server's.

use bytes::BytesMut;

use super::{Connection, List, User, count, list, wire};
use crate::protocol::cut_fail_message;
use crate::protocol::frame::{FieldError, Fields, FrameWriter, Message};
use crate::protocol::v2::{FailCode, RequestId, flag};

const MADE: u8 = b'b';
const PROGRESSED: u8 = b'p';
const COMPACTED: u8 = b'c';
const TEXT: u8 = b's';
const FLAG: u8 = b'e';
const CONNECTIONS: u8 = b'n';
const USERS: u8 = b'u';
const DONE: u8 = b'd';
const FAIL: u8 = b'f';

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
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// To Compact: it is done.
    Compacted {
        /// Bytes that the table's files had on the disk.
        before: u64,
        /// Bytes that they have now.
        after: u64,
    },
    /// To LogFilter, Grant and Revoke: the filter, or what the user may do now.
    Text(&'a str),
    /// To Kill: whether there was such a connection.
    Flag(bool),
    /// To Connections.
    Connections(List<Connection<'a>>),
    /// To Users.
    Users(List<User<'a>>),
    /// To what changes something and tells nothing: it is done.
    Done,
    /// To anything that was refused or has failed.
    Fail {
        /// Why, for programs.
        code: FailCode,
        /// Why, for people.
        message: &'a str,
    },
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
            COMPACTED => {
                Reply::Compacted { before: count(&mut fields)?, after: count(&mut fields)? }
            }
            TEXT => Reply::Text(fields.string()?),
            FLAG => Reply::Flag(flag(&mut fields)?),
            CONNECTIONS => Reply::Connections(list::parse(&mut fields)?),
            USERS => Reply::Users(list::parse(&mut fields)?),
            DONE => Reply::Done,
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
            Reply::Compacted { .. } => (4, COMPACTED),
            Reply::Text(_) => (3, TEXT),
            Reply::Flag(_) => (3, FLAG),
            Reply::Connections(items) => (2 + list::frames(items), CONNECTIONS),
            Reply::Users(items) => (2 + list::frames(items), USERS),
            Reply::Done => (2, DONE),
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
            Reply::Compacted { before, after } => {
                frames.integer(wire(*before)).integer(wire(*after));
            }
            Reply::Text(text) => {
                frames.string(text);
            }
            Reply::Flag(flag) => {
                frames.integer(i64::from(*flag));
            }
            Reply::Connections(items) => list::encode(items, &mut frames),
            Reply::Users(items) => list::encode(items, &mut frames),
            Reply::Done => {}
            Reply::Fail { code, message } => {
                frames.string(code.as_str()).string(cut_fail_message(message));
            }
        }
    }
}
