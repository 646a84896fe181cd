//! The requests of version 2: their types, reading and writing them.
//!
//! Next file to read: [`super::reply`].

use bytes::BytesMut;
use thiserror::Error;

use super::{RequestId, time, version};
use crate::protocol::frame::{FieldError, Fields, FrameWriter, Message};
use crate::types::{UnixMillis, Version};

const PING: u8 = b'P';
const GET: u8 = b'G';
const EXISTS: u8 = b'E';
const SET: u8 = b'S';
const DELETE: u8 = b'D';

const ABSENT: &str = "absent";
const PRESENT: &str = "present";
const VERSION: &str = "version";
const EXPIRES: &str = "expires";
const PREVIOUS: &str = "previous";

/// What a client asks for. Tables and keys are as they came: checking them is the receiver's part.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Is the server there, and what time has it?
    Ping,
    /// Read a record.
    Get {
        /// The table.
        table: &'a str,
        /// The key.
        key: &'a [u8],
    },
    /// Is there a record?
    Exists {
        /// The table.
        table: &'a str,
        /// The key.
        key: &'a [u8],
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
        expires_at: Option<UnixMillis>,
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
}

/// What must hold for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    /// Nothing.
    #[default]
    Any,
    /// There is no record.
    Absent,
    /// There is a record.
    Present,
    /// The record is the one that this write made.
    Version(Version),
}

/// Whether a write answers with the record that stood there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Previous {
    /// It says only whether there was one.
    #[default]
    Omit,
    /// It answers with the record.
    Return,
}

impl<'a> Request<'a> {
    /// Reads a message as a request: its id, and the request, or `None` if no request has its type.
    ///
    /// # Errors
    ///
    /// [`RequestError`]; with an id it can be answered and the connection goes on.
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
            GET => Request::Get { table: fields.string()?, key: fields.bytes()? },
            EXISTS => Request::Exists { table: fields.string()?, key: fields.bytes()? },
            SET => {
                let (table, key, value) = (fields.string()?, fields.bytes()?, fields.bytes()?);
                let Options { condition, expires_at, previous } = Options::parse(&mut fields)?;
                Request::Set { table, key, value, condition, expires_at, previous }
            }
            DELETE => {
                let (table, key) = (fields.string()?, fields.bytes()?);
                let Options { condition, expires_at, previous } = Options::parse(&mut fields)?;
                let fits = matches!(condition, Condition::Any | Condition::Version(_));
                if !fits || expires_at.is_some() {
                    return Err(FieldError::UnknownOption);
                }
                Request::Delete { table, key, condition, previous }
            }
            _ => return Ok(None),
        };
        fields.finish()?;
        Ok(Some(request))
    }

    /// Writes the message behind what `out` holds.
    pub fn encode(&self, id: RequestId, out: &mut BytesMut) {
        let mut frames = FrameWriter::new(out);
        match *self {
            Request::Ping => {
                frames.message(2, PING).integer(id.to_wire());
            }
            Request::Get { table, key } => {
                frames.message(4, GET).integer(id.to_wire()).string(table).bytes(key);
            }
            Request::Exists { table, key } => {
                frames.message(4, EXISTS).integer(id.to_wire()).string(table).bytes(key);
            }
            Request::Set { table, key, value, condition, expires_at, previous } => {
                let options = Options { condition, expires_at, previous };
                frames.message(5 + options.frames(), SET).integer(id.to_wire());
                frames.string(table).bytes(key).bytes(value);
                options.encode(&mut frames);
            }
            Request::Delete { table, key, condition, previous } => {
                let options = Options { condition, expires_at: None, previous };
                frames.message(4 + options.frames(), DELETE).integer(id.to_wire());
                frames.string(table).bytes(key);
                options.encode(&mut frames);
            }
        }
    }
}

/// A message that is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("malformed request")]
pub struct RequestError {
    /// The request's id, if there was one.
    pub id: Option<RequestId>,
    /// What is wrong.
    #[source]
    pub cause: FieldError,
}

#[derive(Default)]
struct Options {
    condition: Condition,
    expires_at: Option<UnixMillis>,
    previous: Previous,
}

impl Options {
    fn parse(fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        let mut options = Self::default();
        while !fields.is_empty() {
            match fields.string()? {
                ABSENT => options.set_condition(Condition::Absent)?,
                PRESENT => options.set_condition(Condition::Present)?,
                VERSION => options.set_condition(Condition::Version(version(fields)?))?,
                EXPIRES if options.expires_at.is_none() => {
                    options.expires_at = Some(time(fields)?);
                }
                PREVIOUS if options.previous == Previous::Omit => {
                    options.previous = Previous::Return;
                }
                EXPIRES | PREVIOUS => return Err(FieldError::ClashingOptions),
                _ => return Err(FieldError::UnknownOption),
            }
        }
        Ok(options)
    }

    fn set_condition(&mut self, condition: Condition) -> Result<(), FieldError> {
        if self.condition != Condition::Any {
            return Err(FieldError::ClashingOptions);
        }
        self.condition = condition;
        Ok(())
    }

    fn frames(&self) -> usize {
        let condition = match self.condition {
            Condition::Any => 0,
            Condition::Absent | Condition::Present => 1,
            Condition::Version(_) => 2,
        };
        let expiry = if self.expires_at.is_some() { 2 } else { 0 };
        condition + expiry + usize::from(self.previous == Previous::Return)
    }

    fn encode(&self, frames: &mut FrameWriter<'_>) {
        match self.condition {
            Condition::Any => {}
            Condition::Absent => {
                frames.string(ABSENT);
            }
            Condition::Present => {
                frames.string(PRESENT);
            }
            Condition::Version(version) => {
                frames.string(VERSION).integer(version.to_wire());
            }
        }
        if let Some(time) = self.expires_at {
            frames.string(EXPIRES).integer(time.to_wire());
        }
        if self.previous == Previous::Return {
            frames.string(PREVIOUS);
        }
    }
}

/// Shows what is asked for and how large it is; never a key or a value.
impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Request::Ping => f.write_str("Ping"),
            Request::Get { table, key } => write!(f, "Get({table:?}, {} byte key)", key.len()),
            Request::Exists { table, key } => {
                write!(f, "Exists({table:?}, {} byte key)", key.len())
            }
            Request::Set { table, key, value, condition, expires_at, previous } => write!(
                f,
                "Set({table:?}, {} byte key, {} byte value, {condition:?}, {expires_at:?}, \
                 {previous:?})",
                key.len(),
                value.len()
            ),
            Request::Delete { table, key, condition, previous } => {
                write!(f, "Delete({table:?}, {} byte key, {condition:?}, {previous:?})", key.len())
            }
        }
    }
}
