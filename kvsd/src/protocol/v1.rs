//! Version 1, as the clients of kvsd 0.1 speak it: one request at a time, on the table `default`.
//!
//! | type | message | frames behind the type |
//! |---|---|---|
//! | 1 | Ping | client time or null, server time or null; the answer is a Ping |
//! | 2 | Authenticate | user (string), password (string) |
//! | 3 | Success | value (bytes) or null |
//! | 4 | Fail | code (string), message (string) |
//! | 5 | Set | key (string), value (bytes) |
//! | 6 | Get | key (string) |
//! | 7 | Delete | key (string); the answer holds the deleted value |
//!
//! The first request is Authenticate, a second one is refused. Keys, users and passwords are the
//! bytes of their string frames, whatever they hold. The value of a Success is what a Get or a
//! Delete found. Those clients panic when a Get or a Delete is answered with Fail; the answer is
//! still the truth. Next file to read: [`super::v2`].

use bytes::BytesMut;

use super::frame::{FieldError, FrameLimits, FrameWriter, Message};
use super::{BESIDE_VALUE_BYTES, cut_fail_message};
use crate::types::{DEFAULT_MAX_VALUE_BYTES, MAX_KEY_BYTES};

/// The type byte of Authenticate, which opens a session of this version.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v1;
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let first = b"*3\r\n#\x02+app\r\n+secret\r\n";
/// assert_eq!(decoder.decode(first)?.ok_or("not whole")?.kind(), v1::AUTHENTICATE);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub const AUTHENTICATE: u8 = 2;
/// The largest value that a client of this version takes, in bytes.
///
/// ```
/// use kvsd::protocol::v1;
///
/// // What version 2 has stored beyond that, these clients cannot read.
/// assert!(v1::MAX_VALUE_BYTES < kvsd::types::LARGEST_MAX_VALUE_BYTES);
/// ```
pub const MAX_VALUE_BYTES: usize = DEFAULT_MAX_VALUE_BYTES;

const PING: u8 = 1;
const SUCCESS: u8 = 3;
const FAIL: u8 = 4;
const SET: u8 = 5;
const GET: u8 = 6;
const DELETE: u8 = 7;

/// What a message may cost after authentication, on a server that takes values of
/// `max_value_bytes`.
///
/// ```
/// use kvsd::protocol::v1;
///
/// assert_eq!(v1::limits(1024).message_bytes, 3 * 1024);
/// ```
#[must_use]
pub fn limits(max_value_bytes: usize) -> FrameLimits {
    FrameLimits {
        message_bytes: max_value_bytes.saturating_add(BESIDE_VALUE_BYTES),
        frames: 3,
        line_bytes: MAX_KEY_BYTES,
    }
}

/// Whether a message of this type belongs to this version.
///
/// ```
/// use kvsd::protocol::v1;
///
/// assert!(v1::is_type(v1::AUTHENTICATE));
/// assert!(!v1::is_type(b'H'), "a hello of version 2");
/// ```
#[must_use]
pub fn is_type(kind: u8) -> bool {
    (PING..=DELETE).contains(&kind)
}

/// What a client asks for.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v1::Request;
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let message = decoder.decode(b"*3\r\n#\x05+hello\r\n$5\r\nworld\r\n")?.ok_or("not whole")?;
/// let set = Request::Set { key: b"hello", value: b"world" };
/// assert_eq!(Request::parse(&message)?, Some(set));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Is the server there?
    Ping {
        /// The client's time, to be given back byte for byte.
        client_time: Option<&'a [u8]>,
    },
    /// Who is asking.
    Authenticate {
        /// The user's name.
        user: &'a [u8],
        /// The password.
        password: &'a [u8],
    },
    /// Store a value.
    Set {
        /// The key.
        key: &'a [u8],
        /// The value.
        value: &'a [u8],
    },
    /// Read a value.
    Get {
        /// The key.
        key: &'a [u8],
    },
    /// Remove a value and answer with it.
    Delete {
        /// The key.
        key: &'a [u8],
    },
}

impl<'a> Request<'a> {
    /// Reads a message as a request; `None` if its type is no request of this version. The server's
    /// time in a Ping is skipped, and the client's is not checked to be one.
    ///
    /// # Errors
    ///
    /// [`FieldError`] if the frames are not those of the type.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use kvsd::protocol::v1::Request;
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let message = decoder.decode(b"*2\r\n#\x06+hello\r\n")?.ok_or("not whole")?;
    /// assert_eq!(Request::parse(&message)?, Some(Request::Get { key: b"hello" }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse(message: &Message<'a>) -> Result<Option<Self>, FieldError> {
        let mut fields = message.fields();
        let request = match message.kind() {
            PING => {
                let client_time = if fields.null() { None } else { Some(fields.time()?) };
                if !fields.null() {
                    fields.time()?;
                }
                Request::Ping { client_time }
            }
            AUTHENTICATE => Request::Authenticate {
                user: fields.string_bytes()?,
                password: fields.string_bytes()?,
            },
            SET => Request::Set { key: fields.string_bytes()?, value: fields.bytes()? },
            GET => Request::Get { key: fields.string_bytes()? },
            DELETE => Request::Delete { key: fields.string_bytes()? },
            _ => return Ok(None),
        };
        fields.finish()?;
        Ok(Some(request))
    }
}

/// What the server answers.
///
/// ```
/// use bytes::BytesMut;
/// use kvsd::protocol::v1::Reply;
///
/// let mut wire = BytesMut::new();
/// Reply::Success { value: Some(b"world") }.encode(&mut wire);
/// assert_eq!(&wire[..], b"*2\r\n#\x03$5\r\nworld\r\n");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reply<'a> {
    /// To Ping.
    Pong {
        /// The client's time as it came.
        client_time: Option<&'a [u8]>,
        /// The server's time, RFC 3339.
        server_time: &'a str,
    },
    /// To everything else that went well.
    Success {
        /// The value of a Get or a Delete.
        value: Option<&'a [u8]>,
    },
    /// What did not go well.
    Fail {
        /// Why, for programs.
        code: FailCode,
        /// Why, for people.
        message: &'a str,
    },
}

impl Reply<'_> {
    /// Writes the answer behind what `out` holds.
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use kvsd::protocol::v1::Reply;
    ///
    /// let mut wire = BytesMut::new();
    /// Reply::Success { value: None }.encode(&mut wire);
    /// assert_eq!(&wire[..], b"*2\r\n#\x03|");
    /// ```
    pub fn encode(&self, out: &mut BytesMut) {
        let mut frames = FrameWriter::new(out);
        match self {
            Reply::Pong { client_time, server_time } => {
                frames.message(3, PING);
                match client_time {
                    Some(time) => frames.time(time),
                    None => frames.null(),
                };
                frames.time(server_time.as_bytes());
            }
            Reply::Success { value } => {
                frames.message(2, SUCCESS);
                match value {
                    Some(value) => frames.bytes(value),
                    None => frames.null(),
                };
            }
            Reply::Fail { code, message } => {
                frames.message(3, FAIL).string(code.as_str());
                frames.string(cut_fail_message(message));
            }
        }
    }
}

/// The codes of Fail.
///
/// ```
/// use bytes::BytesMut;
/// use kvsd::protocol::v1::{FailCode, Reply};
///
/// let mut wire = BytesMut::new();
/// let (code, message) = (FailCode::Unauthenticated, "wrong user or password");
/// Reply::Fail { code, message }.encode(&mut wire);
/// assert!(wire.starts_with(b"*3\r\n#\x04+UNAUTHENTICATED\r\n"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailCode {
    /// `UNAUTHENTICATED`: user or password are wrong, or were not given.
    Unauthenticated,
    /// `UNEXPECTED_MESSAGE`: the message has no place here.
    UnexpectedMessage,
    /// `UNDEFINED`: anything else; the message says what.
    Undefined,
}

impl FailCode {
    /// The code on the wire.
    ///
    /// ```
    /// use kvsd::protocol::v1::FailCode;
    ///
    /// assert_eq!(FailCode::UnexpectedMessage.as_str(), "UNEXPECTED_MESSAGE");
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FailCode::Unauthenticated => "UNAUTHENTICATED",
            FailCode::UnexpectedMessage => "UNEXPECTED_MESSAGE",
            FailCode::Undefined => "UNDEFINED",
        }
    }
}

/// Shows what is asked for and how large it is; never a password, a key or a value.
impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Request::Ping { .. } => f.write_str("Ping"),
            Request::Authenticate { .. } => f.write_str("Authenticate"),
            Request::Set { key, value } => {
                write!(f, "Set({} byte key, {} byte value)", key.len(), value.len())
            }
            Request::Get { key } => write!(f, "Get({} byte key)", key.len()),
            Request::Delete { key } => write!(f, "Delete({} byte key)", key.len()),
        }
    }
}

/// As the requests: never a value.
impl std::fmt::Debug for Reply<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reply::Pong { .. } => f.write_str("Pong"),
            Reply::Success { value } => {
                write!(f, "Success({:?} byte value)", value.map(<[u8]>::len))
            }
            Reply::Fail { code, message } => write!(f, "Fail({code:?}, {message})"),
        }
    }
}
