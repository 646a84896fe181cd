//! The administrator's requests: their types, reading and writing them.
//!
//! Next file to read: [`super::reply`].

use std::fmt;

use bytes::BytesMut;

use super::wire;
use crate::protocol::frame::{FieldError, Fields, FrameWriter, Message};
use crate::protocol::v2::{RequestId, encode_string_or_null, string_or_null};

const BACKUP: u8 = b'B';
const PROGRESS: u8 = b'P';
const COMPACT: u8 = b'C';
const RELOAD: u8 = b'L';
const LOG_FILTER: u8 = b'F';
const CONNECTIONS: u8 = b'N';
const KILL: u8 = b'K';
const USERS: u8 = b'U';
const ADD_USER: u8 = b'A';
const REMOVE_USER: u8 = b'R';
const SET_PASSWORD: u8 = b'W';
const GRANT: u8 = b'G';
const REVOKE: u8 = b'V';

/// What an administrator asks for. Names, hashes and grants are as they came: checking them is the
/// receiver's part.
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
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Make a backup.
    Backup {
        /// What it is to be called.
        name: &'a str,
    },
    /// How far is the backup?
    Progress,
    /// Clear a table of what was overwritten, deleted or has expired.
    Compact {
        /// The table.
        table: &'a str,
    },
    /// Read configuration, users and certificates again.
    Reload,
    /// What does the log show? With a filter: show that from now on.
    LogFilter {
        /// The filter to take.
        set: Option<&'a str>,
    },
    /// Who is connected?
    Connections {
        /// Behind which id to begin.
        after: u64,
    },
    /// End a connection.
    Kill {
        /// Its id.
        connection: u64,
    },
    /// Which users are there?
    Users {
        /// Behind which name to begin.
        after: Option<&'a str>,
    },
    /// Let a user log in.
    AddUser {
        /// The name.
        name: &'a str,
        /// The password's hash, a PHC string of argon2id: the password itself does not travel.
        hash: &'a str,
        /// What the user may do, as `ROLE@TABLE` with commas between them.
        grants: &'a str,
    },
    /// Let a user log in no more.
    RemoveUser {
        /// The name.
        name: &'a str,
    },
    /// Give a user another password.
    SetPassword {
        /// The name.
        name: &'a str,
        /// The password's hash.
        hash: &'a str,
    },
    /// Let a user do more.
    Grant {
        /// The name.
        name: &'a str,
        /// What.
        grants: &'a str,
    },
    /// Take away what a user was granted.
    Revoke {
        /// The name.
        name: &'a str,
        /// What.
        grants: &'a str,
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
        match Self::parse_fields(message.kind(), &mut fields) {
            Ok(request) => Ok((id, request)),
            Err(error) => Err((Some(id), error)),
        }
    }

    fn parse_fields(kind: u8, fields: &mut Fields<'a>) -> Result<Option<Self>, FieldError> {
        let request = match kind {
            BACKUP => Request::Backup { name: fields.string()? },
            PROGRESS => Request::Progress,
            COMPACT => Request::Compact { table: fields.string()? },
            RELOAD => Request::Reload,
            LOG_FILTER => Request::LogFilter { set: string_or_null(fields)? },
            CONNECTIONS => Request::Connections { after: super::count(fields)? },
            KILL => Request::Kill { connection: super::count(fields)? },
            USERS => Request::Users { after: string_or_null(fields)? },
            ADD_USER => Request::AddUser {
                name: fields.string()?,
                hash: fields.string()?,
                grants: fields.string()?,
            },
            REMOVE_USER => Request::RemoveUser { name: fields.string()? },
            SET_PASSWORD => Request::SetPassword { name: fields.string()?, hash: fields.string()? },
            GRANT => Request::Grant { name: fields.string()?, grants: fields.string()? },
            REVOKE => Request::Revoke { name: fields.string()?, grants: fields.string()? },
            _ => return Ok(None),
        };
        fields.finish()?;
        Ok(Some(request))
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
        let (kind, count) = match self {
            Request::Backup { .. } => (BACKUP, 1),
            Request::Progress => (PROGRESS, 0),
            Request::Compact { .. } => (COMPACT, 1),
            Request::Reload => (RELOAD, 0),
            Request::LogFilter { .. } => (LOG_FILTER, 1),
            Request::Connections { .. } => (CONNECTIONS, 1),
            Request::Kill { .. } => (KILL, 1),
            Request::Users { .. } => (USERS, 1),
            Request::AddUser { .. } => (ADD_USER, 3),
            Request::RemoveUser { .. } => (REMOVE_USER, 1),
            Request::SetPassword { .. } => (SET_PASSWORD, 2),
            Request::Grant { .. } => (GRANT, 2),
            Request::Revoke { .. } => (REVOKE, 2),
        };
        frames.message(2 + count, kind).integer(id.to_wire());
        match *self {
            Request::Progress | Request::Reload => {}
            Request::Backup { name } | Request::RemoveUser { name } => {
                frames.string(name);
            }
            Request::Compact { table } => {
                frames.string(table);
            }
            Request::LogFilter { set: text } | Request::Users { after: text } => {
                encode_string_or_null(&mut frames, text);
            }
            Request::Connections { after: id } | Request::Kill { connection: id } => {
                frames.integer(wire(id));
            }
            Request::AddUser { name, hash, grants } => {
                frames.string(name).string(hash).string(grants);
            }
            Request::SetPassword { name, hash } => {
                frames.string(name).string(hash);
            }
            Request::Grant { name, grants } | Request::Revoke { name, grants } => {
                frames.string(name).string(grants);
            }
        }
    }
}

/// Never shows a hash.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::Backup { name } => write!(f, "Backup({name})"),
            Request::Progress => f.write_str("Progress"),
            Request::Compact { table } => write!(f, "Compact({table})"),
            Request::Reload => f.write_str("Reload"),
            Request::LogFilter { set } => write!(f, "LogFilter({set:?})"),
            Request::Connections { after } => write!(f, "Connections({after})"),
            Request::Kill { connection } => write!(f, "Kill({connection})"),
            Request::Users { after } => write!(f, "Users({after:?})"),
            Request::AddUser { name, hash: _, grants } => write!(f, "AddUser({name}, {grants})"),
            Request::RemoveUser { name } => write!(f, "RemoveUser({name})"),
            Request::SetPassword { name, hash: _ } => write!(f, "SetPassword({name})"),
            Request::Grant { name, grants } => write!(f, "Grant({name}, {grants})"),
            Request::Revoke { name, grants } => write!(f, "Revoke({name}, {grants})"),
        }
    }
}
