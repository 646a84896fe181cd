//! A batch: changes of one table that happen together or not at all, and what came of them.
//!
//! Next file to read: [`super::scan`].

use super::options::Options;
use super::{Condition, Expiry, MAX_BATCH};
use crate::protocol::frame::{FieldError, Fields, FrameWriter};

const SET: &str = "set";
const DELETE: &str = "delete";
const INCREMENT: &str = "increment";
const EXPIRE: &str = "expire";
const CHECK: &str = "check";

/// One key's part of a batch.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::{Action, Change, Condition, Request};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let action = Action::Increment { by: -1 };
/// let sold = Change { key: b"stock", condition: Condition::Present, action };
/// let request = Request::Batch { table: "t", changes: vec![sold] };
/// request.encode(RequestId::ZERO, &mut wire);
/// let change = b"+increment\r\n$5\r\nstock\r\n:-1\r\n+present\r\n";
/// assert!(wire.ends_with(change));
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// assert_eq!(Request::parse(&message)?, (RequestId::ZERO, Some(request)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    /// The key.
    pub key: &'a [u8],
    /// What must hold of it, or the whole batch is refused.
    pub condition: Condition,
    /// What happens to it.
    pub action: Action<'a>,
}

/// What happens to a key.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::{Action, Change, Condition, Request};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let change = |key, action| Change { key, condition: Condition::Any, action };
/// let changes = vec![
///     change(b"name", Action::Set { value: b"Ada", expiry: None }),
///     change(b"cart", Action::Delete),
/// ];
/// Request::Batch { table: "t", changes }.encode(RequestId::ZERO, &mut wire);
/// assert!(wire.ends_with(b"+set\r\n$4\r\nname\r\n$3\r\nAda\r\n+delete\r\n$4\r\ncart\r\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Action<'a> {
    /// Store a value.
    Set {
        /// The value.
        value: &'a [u8],
        /// When it ends.
        expiry: Option<Expiry>,
    },
    /// Remove the record.
    Delete,
    /// Add to the integer that the record holds, or to 0.
    Increment {
        /// How much.
        by: i64,
    },
    /// Let the record end at another time.
    Expire {
        /// When it ends; `None` for never.
        expiry: Option<Expiry>,
    },
    /// Nothing: only the condition counts.
    Check,
}

/// What a batch came to for one key.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::Version;
/// use kvsd::protocol::v2::{Changed, Reply};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let changed = vec![
///     Changed { existed: true, counter: Some(41) },
///     Changed { existed: false, counter: None },
/// ];
/// let reply = Reply::Batch { version: Version::new(9), changed };
/// reply.encode(RequestId::ZERO, &mut wire);
/// assert_eq!(&wire[..], b"*7\r\n#b:0\r\n:9\r\n:1\r\n:41\r\n:0\r\n|");
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// assert_eq!(Reply::parse(&message)?, (Some(RequestId::ZERO), Some(reply)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// Whether there was a record before.
    pub existed: bool,
    /// What the integer is now, if it was to be incremented.
    pub counter: Option<i64>,
}

impl<'a> Change<'a> {
    pub(super) fn parse_all(fields: &mut Fields<'a>) -> Result<Vec<Self>, FieldError> {
        let mut changes = Vec::new();
        while !fields.is_empty() {
            if changes.len() == MAX_BATCH {
                return Err(FieldError::OutOfRange { field: "the number of changes" });
            }
            changes.push(Self::parse(fields)?);
        }
        if changes.is_empty() {
            return Err(FieldError::Missing { wanted: "a change" });
        }
        Ok(changes)
    }

    fn parse(fields: &mut Fields<'a>) -> Result<Self, FieldError> {
        let kind = fields.string()?;
        let key = fields.bytes()?;
        let no_previous = |options: &Options| options.previous == super::Previous::Omit;
        let plain = |options: &Options| no_previous(options) && options.expiry.is_none();
        let (condition, action) = match kind {
            SET => {
                let value = fields.bytes()?;
                let options = Options::parse_some(fields)?.only(no_previous)?;
                (options.condition, Action::Set { value, expiry: options.expiry })
            }
            DELETE => (Options::parse_some(fields)?.only(plain)?.condition, Action::Delete),
            INCREMENT => {
                let by = fields.integer()?;
                let options = Options::parse_some(fields)?.only(plain)?;
                (options.condition, Action::Increment { by })
            }
            EXPIRE => {
                let options = Options::parse_some(fields)?.only(no_previous)?;
                (options.condition, Action::Expire { expiry: options.expiry })
            }
            CHECK => (Options::parse_some(fields)?.only(plain)?.condition, Action::Check),
            _ => return Err(FieldError::UnknownOption),
        };
        Ok(Self { key, condition, action })
    }

    fn options(&self) -> Options {
        let expiry = match self.action {
            Action::Set { expiry, .. } | Action::Expire { expiry } => expiry,
            Action::Delete | Action::Increment { .. } | Action::Check => None,
        };
        Options { condition: self.condition, expiry, ..Options::default() }
    }

    pub(super) fn frames(&self) -> usize {
        let argument = match self.action {
            Action::Set { .. } | Action::Increment { .. } => 1,
            Action::Delete | Action::Expire { .. } | Action::Check => 0,
        };
        2 + argument + self.options().frames()
    }

    pub(super) fn encode(&self, frames: &mut FrameWriter<'_>) {
        match self.action {
            Action::Set { value, .. } => frames.string(SET).bytes(self.key).bytes(value),
            Action::Delete => frames.string(DELETE).bytes(self.key),
            Action::Increment { by } => frames.string(INCREMENT).bytes(self.key).integer(by),
            Action::Expire { .. } => frames.string(EXPIRE).bytes(self.key),
            Action::Check => frames.string(CHECK).bytes(self.key),
        };
        self.options().encode(frames);
    }
}

impl Changed {
    pub(super) const FRAMES: usize = 2;

    pub(super) fn parse(fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        let existed = super::flag(fields)?;
        Ok(Self { existed, counter: super::integer_or_null(fields)? })
    }

    pub(super) fn encode(&self, frames: &mut FrameWriter<'_>) {
        frames.integer(i64::from(self.existed));
        super::encode_integer_or_null(frames, self.counter);
    }
}

/// Shows what is to happen and how large it is; never a key or a value.
impl std::fmt::Debug for Change<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({} byte key, {:?}, {:?})", self.key.len(), self.condition, self.action)
    }
}

/// As [`Change`].
impl std::fmt::Debug for Action<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Action::Set { value, expiry } => {
                write!(f, "Set({} byte value, {expiry:?})", value.len())
            }
            Action::Delete => f.write_str("Delete"),
            Action::Increment { .. } => f.write_str("Increment"),
            Action::Expire { expiry } => write!(f, "Expire({expiry:?})"),
            Action::Check => f.write_str("Check"),
        }
    }
}
