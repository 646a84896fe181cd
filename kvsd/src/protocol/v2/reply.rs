//! The replies of version 2: their types, reading and writing them.
//!
//! Next file to read: [`crate::protocol::frame`] if you came from the top, else the client's
//! connection or the server's session.

use bytes::BytesMut;

use super::{RequestId, time, version};
use crate::protocol::cut_fail_message;
use crate::protocol::frame::{FieldError, Fields, FrameWriter, Message};
use crate::types::{UnixMillis, Version};

const PONG: u8 = b'p';
const VALUE: u8 = b'g';
const EXISTS: u8 = b'e';
const WRITTEN: u8 = b'w';
const CONFLICT: u8 = b'c';
const FAIL: u8 = b'f';

const ABSENT: i64 = 0;
const PRESENT: i64 = 1;
const RECORD: i64 = 2;

/// What a server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply<'a> {
    /// To Ping.
    Pong {
        /// The server's time.
        server_time: UnixMillis,
    },
    /// To Get: the record, if there is one.
    Value(Option<Record<'a>>),
    /// To Exists.
    Exists(bool),
    /// To a Set or a Delete that happened.
    Written {
        /// The version it got; `None` if nothing had to be written.
        version: Option<Version>,
        /// What stood there before.
        before: Before<'a>,
    },
    /// To a Set or a Delete whose condition does not hold.
    Conflict {
        /// The version of the record that stands there.
        current: Option<Version>,
    },
    /// To anything that was refused.
    Fail {
        /// Why, for programs.
        code: FailCode,
        /// Why, for people.
        message: &'a str,
    },
}

/// A stored record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The write that made it.
    pub version: Version,
    /// When it ends.
    pub expires_at: Option<UnixMillis>,
    /// The value.
    pub value: &'a [u8],
}

/// What stood at a key before a write.
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
    pub fn parse(message: &Message<'a>) -> Result<(Option<RequestId>, Option<Self>), FieldError> {
        let mut fields = message.fields();
        if message.kind() == FAIL && fields.null() {
            return Ok((None, Self::parse_fields(FAIL, fields)?));
        }
        let (id, fields) = RequestId::split(message)?;
        Ok((Some(id), Self::parse_fields(message.kind(), fields)?))
    }

    fn parse_fields(kind: u8, mut fields: Fields<'a>) -> Result<Option<Self>, FieldError> {
        Ok(Some(match kind {
            PONG => Reply::Pong { server_time: time(&mut fields)? },
            VALUE => {
                let record = if fields.null() { None } else { Some(Record::parse(&mut fields)?) };
                Reply::Value(record)
            }
            EXISTS => Reply::Exists(flag(&mut fields)?),
            WRITTEN => Reply::Written {
                version: if fields.null() { None } else { Some(version(&mut fields)?) },
                before: match fields.integer()? {
                    ABSENT => Before::Absent,
                    PRESENT => Before::Present,
                    RECORD => Before::Record(Record::parse(&mut fields)?),
                    _ => {
                        return Err(FieldError::OutOfRange { field: "what stood there before" });
                    }
                },
            },
            CONFLICT => Reply::Conflict {
                current: if fields.null() { None } else { Some(version(&mut fields)?) },
            },
            FAIL => {
                Reply::Fail { code: FailCode::parse(fields.string()?), message: fields.string()? }
            }
            _ => return Ok(None),
        }))
    }

    /// Writes the message behind what `out` holds.
    pub fn encode(&self, id: RequestId, out: &mut BytesMut) {
        let mut frames = FrameWriter::new(out);
        match self {
            Reply::Pong { server_time } => {
                frames.message(3, PONG).integer(id.to_wire()).integer(server_time.to_wire());
            }
            Reply::Value(None) => {
                frames.message(3, VALUE).integer(id.to_wire()).null();
            }
            Reply::Value(Some(record)) => {
                frames.message(2 + Record::FRAMES, VALUE).integer(id.to_wire());
                record.encode(&mut frames);
            }
            Reply::Exists(exists) => {
                frames.message(3, EXISTS).integer(id.to_wire()).integer(i64::from(*exists));
            }
            Reply::Written { version, before } => {
                let record_frames =
                    if matches!(before, Before::Record(_)) { Record::FRAMES } else { 0 };
                frames.message(4 + record_frames, WRITTEN).integer(id.to_wire());
                version_or_null(&mut frames, *version);
                match before {
                    Before::Absent => {
                        frames.integer(ABSENT);
                    }
                    Before::Present => {
                        frames.integer(PRESENT);
                    }
                    Before::Record(record) => {
                        frames.integer(RECORD);
                        record.encode(&mut frames);
                    }
                }
            }
            Reply::Conflict { current } => {
                frames.message(3, CONFLICT).integer(id.to_wire());
                version_or_null(&mut frames, *current);
            }
            Reply::Fail { code, message } => {
                frames.message(4, FAIL).integer(id.to_wire());
                frames.string(code.as_str()).string(cut_fail_message(message));
            }
        }
    }

    /// Writes the Fail that ends a connection and answers no request in particular.
    pub fn encode_last(code: FailCode, message: &str, out: &mut BytesMut) {
        let mut frames = FrameWriter::new(out);
        frames.message(4, FAIL).null().string(code.as_str()).string(cut_fail_message(message));
    }
}

impl<'a> Record<'a> {
    const FRAMES: usize = 3;

    fn parse(fields: &mut Fields<'a>) -> Result<Self, FieldError> {
        let version = version(fields)?;
        let value = fields.bytes()?;
        let expires_at = if fields.null() { None } else { Some(time(fields)?) };
        Ok(Self { version, expires_at, value })
    }

    fn encode(&self, frames: &mut FrameWriter<'_>) {
        frames.integer(self.version.to_wire()).bytes(self.value);
        match self.expires_at {
            Some(time) => frames.integer(time.to_wire()),
            None => frames.null(),
        };
    }
}

/// The codes of Fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailCode {
    /// `UNAUTHENTICATED`: user or password are wrong, or were not given. The connection is closed.
    Unauthenticated,
    /// `PROTOCOL`: the message is not one of this protocol, or not at this point. The connection is
    /// closed.
    Protocol,
    /// `VERSION`: no version of the protocol that both sides speak. The connection is closed.
    Version,
    /// `INVALID`: the request is malformed or asks for what cannot be: a bad table name, key, option.
    Invalid,
    /// `UNSUPPORTED`: the request's type is unknown to this server.
    Unsupported,
    /// `BUSY`: the server has no room for this now. Nothing was done; try again later.
    Busy,
    /// `DISK_FULL`: the disk is full. Nothing was written.
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
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FailCode::Unauthenticated => "UNAUTHENTICATED",
            FailCode::Protocol => "PROTOCOL",
            FailCode::Version => "VERSION",
            FailCode::Invalid => "INVALID",
            FailCode::Unsupported => "UNSUPPORTED",
            FailCode::Busy => "BUSY",
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
    #[must_use]
    pub fn parse(text: &str) -> Self {
        ALL_CODES.into_iter().find(|code| code.as_str() == text).unwrap_or(FailCode::Unknown)
    }
}

const ALL_CODES: [FailCode; 12] = [
    FailCode::Unauthenticated,
    FailCode::Protocol,
    FailCode::Version,
    FailCode::Invalid,
    FailCode::Unsupported,
    FailCode::Busy,
    FailCode::DiskFull,
    FailCode::ReadOnly,
    FailCode::Corrupt,
    FailCode::Unknown,
    FailCode::Closing,
    FailCode::Internal,
];

fn flag(fields: &mut Fields<'_>) -> Result<bool, FieldError> {
    match fields.integer()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(FieldError::OutOfRange { field: "a flag" }),
    }
}

fn version_or_null(frames: &mut FrameWriter<'_>, version: Option<Version>) {
    match version {
        Some(version) => frames.integer(version.to_wire()),
        None => frames.null(),
    };
}

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
