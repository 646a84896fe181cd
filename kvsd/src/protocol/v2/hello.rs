//! The opening of a version 2 session: who the client is, and what the server allows.
//!
//! Next file to read: [`super::request`].

use bytes::BytesMut;

use super::RequestId;
use crate::protocol::frame::{FieldError, FrameWriter, Message};
use crate::types::LARGEST_MAX_VALUE_BYTES;

/// The type byte of Hello.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::hello::HELLO;
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let message = decoder.decode(b"*6\r\n#H:0\r\n:2\r\n:2\r\n||")?.ok_or("not whole")?;
/// assert_eq!(message.kind(), HELLO);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub const HELLO: u8 = b'H';
pub(super) const WELCOME: u8 = b'h';

/// What a client opens with.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::hello::{Credentials, Hello};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let credentials = Some(Credentials { user: b"app", password: b"secret" });
/// let hello = Hello { lowest: 2, highest: 2, credentials };
/// hello.encode(RequestId::ZERO, &mut wire);
/// assert_eq!(&wire[..], b"*6\r\n#H:0\r\n:2\r\n:2\r\n$3\r\napp\r\n$6\r\nsecret\r\n");
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// assert_eq!(Hello::parse(&message)?, (RequestId::ZERO, hello));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hello<'a> {
    /// The lowest version that the client speaks.
    pub lowest: i64,
    /// The highest version that the client speaks.
    pub highest: i64,
    /// User and password.
    pub credentials: Option<Credentials<'a>>,
}

/// User and password, as bytes.
///
/// ```
/// use kvsd::protocol::v2::hello::Credentials;
///
/// let credentials = Credentials { user: b"app", password: b"secret" };
/// assert_eq!(format!("{credentials:?}"), "Credentials(app)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// The user's name, at most 128 bytes.
    pub user: &'a [u8],
    /// The password, at most 512 bytes.
    pub password: &'a [u8],
}

impl<'a> Hello<'a> {
    /// Reads a message of type [`HELLO`]. One that speaks of a later version may have more frames
    /// than this version knows; they are skipped, and the answer is negotiated all the same.
    ///
    /// # Errors
    ///
    /// [`FieldError`] if the frames are not those of a Hello.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use kvsd::protocol::v2::Hello;
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// // One that speaks later versions too says more than this one knows.
    /// let later = b"*7\r\n#H:0\r\n:2\r\n:9\r\n||+something new\r\n";
    /// let message = decoder.decode(later)?.ok_or("not whole")?;
    /// assert_eq!(Hello::parse(&message)?.1.highest, 9);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse(message: &Message<'a>) -> Result<(RequestId, Self), FieldError> {
        let (id, mut fields) = RequestId::split(message)?;
        let (lowest, highest) = (fields.integer()?, fields.integer()?);
        let credentials = if fields.null() {
            if !fields.null() {
                return Err(FieldError::Wrong { wanted: "null" });
            }
            None
        } else {
            Some(Credentials { user: fields.bytes()?, password: fields.bytes()? })
        };
        if highest <= super::VERSION {
            fields.finish()?;
        }
        Ok((id, Self { lowest, highest, credentials }))
    }

    /// Writes the message behind what `out` holds.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use kvsd::protocol::v2::Hello;
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// // Nobody in particular.
    /// Hello { lowest: 2, highest: 2, credentials: None }.encode(RequestId::ZERO, &mut wire);
    /// assert_eq!(&wire[..], b"*6\r\n#H:0\r\n:2\r\n:2\r\n||");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encode(&self, id: RequestId, out: &mut BytesMut) {
        let mut frames = FrameWriter::new(out);
        frames.message(6, HELLO).integer(id.to_wire()).integer(self.lowest).integer(self.highest);
        match self.credentials {
            Some(Credentials { user, password }) => frames.bytes(user).bytes(password),
            None => frames.null().null(),
        };
    }
}

/// What the server is and allows.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::Welcome;
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let welcome = Welcome {
///     version: 2,
///     server: "kvsd-server/0.2.0",
///     engine: "log",
///     durability: "always",
///     max_value_bytes: 10 * 1024 * 1024,
///     limits: vec![("max-in-flight", 4096)],
/// };
/// welcome.encode(RequestId::ZERO, &mut wire);
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// assert_eq!(Welcome::parse(&message)?, (RequestId::ZERO, welcome));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome<'a> {
    /// The version that is spoken from now on.
    pub version: i64,
    /// The server's program and version.
    pub server: &'a str,
    /// The engine that keeps the data.
    pub engine: &'a str,
    /// When a write is acknowledged: `always`, `interval` or `never` synced, or `replicated`.
    pub durability: &'a str,
    /// The largest value, in bytes, from 1 to [`LARGEST_MAX_VALUE_BYTES`].
    pub max_value_bytes: u64,
    /// What else the server limits, by name: `max-in-flight`, for one.
    pub limits: Vec<(&'a str, u64)>,
}

impl<'a> Welcome<'a> {
    /// Reads a message. Strings whose names are not known here are skipped, and so are negative
    /// numbers.
    ///
    /// # Errors
    ///
    /// [`FieldError`] if the frames are not those of a Welcome.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use kvsd::protocol::v2::Welcome;
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// // Of a later server, with a name that is not known here.
    /// let later = b"*7\r\n#h:0\r\n:2\r\n+something new\r\n:1\r\n+max-value-bytes\r\n:100\r\n";
    /// let message = decoder.decode(later)?.ok_or("not whole")?;
    /// assert_eq!(Welcome::parse(&message)?.1.max_value_bytes, 100);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse(message: &Message<'a>) -> Result<(RequestId, Self), FieldError> {
        if message.kind() != WELCOME {
            return Err(FieldError::Wrong { wanted: "a welcome" });
        }
        let (id, mut fields) = RequestId::split(message)?;
        let mut welcome = Self {
            version: fields.integer()?,
            server: "",
            engine: "",
            durability: "",
            max_value_bytes: 0,
            limits: Vec::new(),
        };
        while !fields.is_empty() {
            let name = fields.string()?;
            match name {
                "server" => welcome.server = fields.string()?,
                "engine" => welcome.engine = fields.string()?,
                "durability" => welcome.durability = fields.string()?,
                "max-value-bytes" => {
                    let bytes = u64::try_from(fields.integer()?).ok();
                    let bytes = bytes.filter(|bytes| *bytes <= LARGEST_MAX_VALUE_BYTES as u64);
                    welcome.max_value_bytes =
                        bytes.ok_or(FieldError::OutOfRange { field: "max-value-bytes" })?;
                }
                // A limit of a server is never negative.
                _ if fields.next_is_integer() => {
                    let limit = u64::try_from(fields.integer()?);
                    welcome.limits.extend(limit.ok().map(|limit| (name, limit)));
                }
                _ => {
                    fields.string()?;
                }
            }
        }
        if welcome.max_value_bytes == 0 {
            return Err(FieldError::Missing { wanted: "max-value-bytes" });
        }
        Ok((id, welcome))
    }

    /// Writes the message behind what `out` holds.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use kvsd::protocol::frame::Decoder;
    /// # use kvsd::protocol::v2::{self, RequestId};
    /// use kvsd::protocol::v2::Welcome;
    ///
    /// # let mut wire = BytesMut::new();
    /// # let mut decoder = Decoder::new(v2::limits(1024));
    /// let (server, engine, durability) = ("kvsd-server/0.2.0", "log", "always");
    /// let limits = vec![("max-batch", 1000)];
    /// let max_value_bytes = 1024;
    /// let welcome = Welcome { version: 2, server, engine, durability, max_value_bytes, limits };
    /// welcome.encode(RequestId::ZERO, &mut wire);
    /// assert!(wire.ends_with(b"+max-value-bytes\r\n:1024\r\n+max-batch\r\n:1000\r\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encode(&self, id: RequestId, out: &mut BytesMut) {
        let integer = |number| i64::try_from(number).unwrap_or(i64::MAX);
        let mut frames = FrameWriter::new(out);
        frames
            .message(11 + 2 * self.limits.len(), WELCOME)
            .integer(id.to_wire())
            .integer(self.version)
            .string("server")
            .string(self.server)
            .string("engine")
            .string(self.engine)
            .string("durability")
            .string(self.durability)
            .string("max-value-bytes")
            .integer(integer(self.max_value_bytes));
        for (name, limit) in &self.limits {
            frames.string(name).integer(integer(*limit));
        }
    }
}

/// Never shows the password.
impl std::fmt::Debug for Hello<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hello")
            .field("lowest", &self.lowest)
            .field("highest", &self.highest)
            .field("credentials", &self.credentials)
            .finish()
    }
}

/// Never shows the password.
impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", String::from_utf8_lossy(self.user).escape_debug())
    }
}
