//! What the administrator is answered. Next file to read: [`super::rows`].

use bytes::BytesMut;

use super::{Connection, MAX_FILTER_BYTES, TableHealth, User, count, wire};
use crate::protocol::frame::{FieldError, Fields, FrameWriter, Message};
use crate::protocol::v2::{FailCode, RequestId, flag};
use crate::protocol::{cut, cut_fail_message};

const MADE: u8 = b'b';
const PROGRESSED: u8 = b'p';
const COMPACTED: u8 = b'c';
const TABLES: u8 = b't';
const RELOADED: u8 = b'r';
const USERS: u8 = b'u';
const CONNECTIONS: u8 = b'l';
const LOG_FILTER: u8 = b'g';
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
        /// By how many bytes the table's files are shorter.
        freed_bytes: u64,
        /// The dead bytes that had to stay: what watches may still ask for, and what holds the
        /// records together.
        dead_bytes: u64,
    },
    /// To Tables: some of them.
    Tables {
        /// Whether there are more behind the last.
        more: bool,
        /// At most [`MAX_PAGE_ROWS`](super::MAX_PAGE_ROWS).
        rows: Vec<TableHealth<'a>>,
    },
    /// To Reload: the files were read again.
    Reloaded {
        /// How many users were added, removed or changed.
        users: u64,
    },
    /// To Users: some of them.
    Users {
        /// Whether there are more behind the last.
        more: bool,
        /// At most [`MAX_PAGE_ROWS`](super::MAX_PAGE_ROWS), and as many as fit the limits of a reply.
        rows: Vec<User<'a>>,
    },
    /// To Connections: some of them.
    Connections {
        /// Whether there are more behind the last.
        more: bool,
        /// At most [`MAX_PAGE_ROWS`](super::MAX_PAGE_ROWS).
        rows: Vec<Connection<'a>>,
    },
    /// To LogFilter.
    LogFilter {
        /// What is logged; the first [`MAX_FILTER_BYTES`](super::MAX_FILTER_BYTES) of it.
        filter: &'a str,
    },
    /// It is done, and there is nothing to tell of it.
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
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use kvsd::protocol::admin::Reply;
    ///
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
        let fields = &mut fields;
        let reply = match message.kind() {
            MADE => {
                Reply::Made { tables: count(fields)?, files: count(fields)?, bytes: count(fields)? }
            }
            PROGRESSED => Reply::Progress { done: count(fields)?, total: count(fields)? },
            COMPACTED => {
                Reply::Compacted { freed_bytes: count(fields)?, dead_bytes: count(fields)? }
            }
            TABLES => {
                Reply::Tables { more: flag(fields)?, rows: rows(fields, TableHealth::parse)? }
            }
            RELOADED => Reply::Reloaded { users: count(fields)? },
            USERS => Reply::Users { more: flag(fields)?, rows: rows(fields, User::parse)? },
            CONNECTIONS => {
                Reply::Connections { more: flag(fields)?, rows: rows(fields, Connection::parse)? }
            }
            LOG_FILTER => Reply::LogFilter { filter: fields.string()? },
            DONE => Reply::Done,
            FAIL => Self::fail(fields)?,
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
    /// use kvsd::protocol::admin::Reply;
    /// use kvsd::protocol::v2::FailCode;
    ///
    /// # let mut wire = BytesMut::new();
    /// Reply::Fail { code: FailCode::DiskFull, message: "no room" }.encode(None, &mut wire);
    /// assert_eq!(&wire[..], b"*4\r\n#f|+DISK_FULL\r\n+no room\r\n");
    /// ```
    pub fn encode(&self, id: Option<RequestId>, out: &mut BytesMut) {
        let (kind, fields) = self.shape();
        let mut frames = FrameWriter::new(out);
        frames.message(2 + fields, kind);
        match id {
            Some(id) => frames.integer(id.to_wire()),
            None => frames.null(),
        };
        match self {
            Reply::Made { tables, files, bytes } => {
                frames.integer(wire(*tables)).integer(wire(*files)).integer(wire(*bytes));
            }
            Reply::Progress { done: first, total: second }
            | Reply::Compacted { freed_bytes: first, dead_bytes: second } => {
                frames.integer(wire(*first)).integer(wire(*second));
            }
            Reply::Tables { more, rows } => {
                frames.integer(i64::from(*more));
                rows.iter().for_each(|row| row.encode(&mut frames));
            }
            Reply::Reloaded { users } => {
                frames.integer(wire(*users));
            }
            Reply::Users { more, rows } => {
                frames.integer(i64::from(*more));
                rows.iter().for_each(|row| row.encode(&mut frames));
            }
            Reply::Connections { more, rows } => {
                frames.integer(i64::from(*more));
                rows.iter().for_each(|row| row.encode(&mut frames));
            }
            Reply::LogFilter { filter } => {
                frames.string(cut(filter, MAX_FILTER_BYTES));
            }
            Reply::Done => {}
            Reply::Fail { code, message } => {
                frames.string(code.as_str()).string(cut_fail_message(message));
            }
        }
    }

    /// The type, and how many frames stand behind the id.
    fn shape(&self) -> (u8, usize) {
        match self {
            Reply::Made { .. } => (MADE, 3),
            Reply::Progress { .. } => (PROGRESSED, 2),
            Reply::Compacted { .. } => (COMPACTED, 2),
            Reply::Tables { rows, .. } => (TABLES, 1 + rows.len() * TableHealth::FRAMES),
            Reply::Reloaded { .. } => (RELOADED, 1),
            Reply::Users { rows, .. } => (USERS, 1 + rows.iter().map(User::frames).sum::<usize>()),
            Reply::Connections { rows, .. } => (CONNECTIONS, 1 + rows.len() * Connection::FRAMES),
            Reply::LogFilter { .. } => (LOG_FILTER, 1),
            Reply::Done => (DONE, 0),
            Reply::Fail { .. } => (FAIL, 2),
        }
    }
}

/// Rows up to the last frame.
fn rows<'a, T>(
    fields: &mut Fields<'a>,
    parse: impl Fn(&mut Fields<'a>) -> Result<T, FieldError>,
) -> Result<Vec<T>, FieldError> {
    let mut rows = Vec::new();
    while !fields.is_empty() {
        rows.push(parse(fields)?);
    }
    Ok(rows)
}
