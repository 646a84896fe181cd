//! The administrator's requests. Next file to read: [`super::reply`].

use std::fmt;

use bytes::BytesMut;

use super::{count, wire};
use crate::protocol::frame::{FieldError, Fields, FrameWriter, Message};
use crate::protocol::v2::{RequestId, encode_string_or_null, string_or_null};

const BACKUP: u8 = b'B';
const PROGRESS: u8 = b'P';
const COMPACT: u8 = b'C';
const TABLES: u8 = b'T';
const RELOAD: u8 = b'R';
const USERS: u8 = b'U';
const ADD_USER: u8 = b'A';
const GRANT: u8 = b'O';
const REVOKE: u8 = b'V';
const SET_PASSWORD: u8 = b'W';
const REMOVE_USER: u8 = b'X';
const CONNECTIONS: u8 = b'L';
const KILL: u8 = b'K';
const LOG_FILTER: u8 = b'G';
const SET_LOG_FILTER: u8 = b'S';

/// What an administrator asks for. Names, hashes and filters are as they came: checking them is the
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// Make a backup.
    Backup {
        /// What it is to be called.
        name: &'a str,
    },
    /// How far is the backup?
    Progress,
    /// Free all of a table's garbage that may go.
    Compact {
        /// The table.
        table: &'a str,
    },
    /// How are the tables? In the order of their names.
    Tables {
        /// Those behind this name.
        after: Option<&'a str>,
    },
    /// Read the files again that can be read again.
    Reload,
    /// Who may log in? In the order of their names.
    Users {
        /// Those behind this name.
        after: Option<&'a str>,
    },
    /// Let somebody log in.
    AddUser {
        /// The user's name.
        name: &'a str,
        /// What the password is checked by.
        hash: PasswordHash<'a>,
        /// What the user may do, each as `write@orders-*`.
        grants: Vec<&'a str>,
    },
    /// Let a user do more. It ends the user's connections, as every change of what it may do.
    Grant {
        /// The user's name.
        name: &'a str,
        /// What it may do beside what it may already.
        grants: Vec<&'a str>,
    },
    /// Let a user do less.
    Revoke {
        /// The user's name.
        name: &'a str,
        /// What it may do no more, each as it was granted.
        grants: Vec<&'a str>,
    },
    /// Give a user another password. It ends the user's connections.
    SetPassword {
        /// The user's name.
        name: &'a str,
        /// What the password is checked by from now on.
        hash: PasswordHash<'a>,
    },
    /// Let a user log in no more. It ends the user's connections.
    RemoveUser {
        /// The user's name.
        name: &'a str,
    },
    /// Who is connected? In the order of their ids.
    Connections {
        /// Those behind this id; ids begin with 1.
        after: u64,
    },
    /// End a connection.
    Kill {
        /// Its id.
        connection: u64,
    },
    /// What is logged?
    LogFilter,
    /// Log this from now on, until the server ends.
    SetLogFilter {
        /// A filter as the setting `log` has it.
        filter: &'a str,
    },
}

/// The argon2id hash of a password, as a PHC string: made by the administrator's program, so that
/// no password crosses. Its `Debug` shows nothing of it.
///
/// ```
/// use kvsd::protocol::admin::PasswordHash;
///
/// assert_eq!(format!("{:?}", PasswordHash("$argon2id$..")), "PasswordHash(..)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PasswordHash<'a>(
    /// The PHC string.
    pub &'a str,
);

impl fmt::Debug for PasswordHash<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
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
        let request = Self::parse_fields(message.kind(), &mut fields);
        let request = request.and_then(|request| match request {
            Some(_) => fields.finish().map(|()| request),
            None => Ok(None),
        });
        request.map(|request| (id, request)).map_err(|error| (Some(id), error))
    }

    fn parse_fields(kind: u8, fields: &mut Fields<'a>) -> Result<Option<Self>, FieldError> {
        Ok(Some(match kind {
            BACKUP => Request::Backup { name: fields.string()? },
            PROGRESS => Request::Progress,
            COMPACT => Request::Compact { table: fields.string()? },
            TABLES => Request::Tables { after: string_or_null(fields)? },
            RELOAD => Request::Reload,
            USERS => Request::Users { after: string_or_null(fields)? },
            ADD_USER => Request::AddUser {
                name: fields.string()?,
                hash: PasswordHash(fields.string()?),
                grants: strings(fields)?,
            },
            GRANT => Request::Grant { name: fields.string()?, grants: strings(fields)? },
            REVOKE => Request::Revoke { name: fields.string()?, grants: strings(fields)? },
            SET_PASSWORD => Request::SetPassword {
                name: fields.string()?,
                hash: PasswordHash(fields.string()?),
            },
            REMOVE_USER => Request::RemoveUser { name: fields.string()? },
            CONNECTIONS => Request::Connections { after: count(fields)? },
            KILL => Request::Kill { connection: count(fields)? },
            LOG_FILTER => Request::LogFilter,
            SET_LOG_FILTER => Request::SetLogFilter { filter: fields.string()? },
            _ => return Ok(None),
        }))
    }

    /// Writes the message behind what `out` holds.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::v2::RequestId;
    /// use kvsd::protocol::admin::Request;
    ///
    /// # let mut wire = BytesMut::new();
    /// Request::Progress.encode(RequestId::ZERO, &mut wire);
    /// assert_eq!(&wire[..], b"*2\r\n#P:0\r\n");
    /// ```
    pub fn encode(&self, id: RequestId, out: &mut BytesMut) {
        let (kind, fields) = self.shape();
        let mut frames = FrameWriter::new(out);
        frames.message(2 + fields, kind).integer(id.to_wire());
        match self {
            Request::Progress | Request::Reload | Request::LogFilter => {}
            Request::Backup { name } | Request::RemoveUser { name } => {
                frames.string(name);
            }
            Request::Compact { table } => {
                frames.string(table);
            }
            Request::Tables { after } | Request::Users { after } => {
                encode_string_or_null(&mut frames, *after);
            }
            Request::SetPassword { name, hash } => {
                frames.string(name).string(hash.0);
            }
            Request::AddUser { name, hash, grants } => {
                frames.string(name).string(hash.0);
                encode_strings(&mut frames, grants);
            }
            Request::Grant { name, grants } | Request::Revoke { name, grants } => {
                frames.string(name);
                encode_strings(&mut frames, grants);
            }
            Request::Connections { after: id } | Request::Kill { connection: id } => {
                frames.integer(wire(*id));
            }
            Request::SetLogFilter { filter } => {
                frames.string(filter);
            }
        }
    }

    /// The type, and how many frames stand behind the id.
    fn shape(&self) -> (u8, usize) {
        match self {
            Request::Backup { .. } => (BACKUP, 1),
            Request::Progress => (PROGRESS, 0),
            Request::Compact { .. } => (COMPACT, 1),
            Request::Tables { .. } => (TABLES, 1),
            Request::Reload => (RELOAD, 0),
            Request::Users { .. } => (USERS, 1),
            Request::AddUser { grants, .. } => (ADD_USER, 2 + grants.len()),
            Request::Grant { grants, .. } => (GRANT, 1 + grants.len()),
            Request::Revoke { grants, .. } => (REVOKE, 1 + grants.len()),
            Request::SetPassword { .. } => (SET_PASSWORD, 2),
            Request::RemoveUser { .. } => (REMOVE_USER, 1),
            Request::Connections { .. } => (CONNECTIONS, 1),
            Request::Kill { .. } => (KILL, 1),
            Request::LogFilter => (LOG_FILTER, 0),
            Request::SetLogFilter { .. } => (SET_LOG_FILTER, 1),
        }
    }
}

/// Strings up to the last frame.
fn strings<'a>(fields: &mut Fields<'a>) -> Result<Vec<&'a str>, FieldError> {
    let mut strings = Vec::new();
    while !fields.is_empty() {
        strings.push(fields.string()?);
    }
    Ok(strings)
}

fn encode_strings(frames: &mut FrameWriter<'_>, strings: &[&str]) {
    for string in strings {
        frames.string(string);
    }
}
