//! The options of a write: what must hold, when the record ends, what the answer tells; and that of
//! a read: how old what it finds may be.
//!
//! Next file to read: [`super::batch`].

use super::{time, version};
use crate::protocol::frame::{FieldError, Fields, FrameWriter};
use crate::types::{UnixMillis, Version};

const ABSENT: &str = "absent";
const PRESENT: &str = "present";
const VERSION: &str = "version";
const EXPIRES: &str = "expires";
const TTL: &str = "ttl";
const PREVIOUS: &str = "previous";
pub(super) const STALE: &str = "stale";

/// What must hold for a write to happen.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::Version;
/// use kvsd::protocol::v2::{Condition, Previous, Request};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let seven = Condition::Version(Version::new(7).ok_or("no version")?);
/// let (table, key, previous) = ("t", &b"k"[..], Previous::Omit);
/// Request::Delete { table, key, condition: seven, previous }.encode(RequestId::ZERO, &mut wire);
/// assert!(wire.ends_with(b"+version\r\n:7\r\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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

/// When a record ends, by the server's clock.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::UnixMillis;
/// use kvsd::protocol::v2::{Condition, Expiry, Request};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let expiry = UnixMillis::new(60_000).map(Expiry::After); // a minute
/// let (table, key, condition) = ("t", &b"k"[..], Condition::Any);
/// Request::Expire { table, key, expiry, condition }.encode(RequestId::ZERO, &mut wire);
/// assert!(wire.ends_with(b"+ttl\r\n:60000\r\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// At this time.
    At(UnixMillis),
    /// So many milliseconds after the server has taken the request up.
    After(UnixMillis),
}

/// Whether a write answers with the record that stood there before.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::{Condition, Previous, Request};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let (table, key, condition) = ("t", &b"k"[..], Condition::Any);
/// let take = Request::Delete { table, key, condition, previous: Previous::Return };
/// take.encode(RequestId::ZERO, &mut wire);
/// assert!(wire.ends_with(b"+previous\r\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Previous {
    /// It says only whether there was one.
    #[default]
    Omit,
    /// It answers with the record.
    Return,
}

/// How old what a read finds may be.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::{Freshness, Request};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let (table, key) = ("t", &b"k"[..]);
/// Request::Get { table, key, freshness: Freshness::Stale }.encode(RequestId::ZERO, &mut wire);
/// assert_eq!(&wire[..], b"*5\r\n#G:0\r\n+t\r\n$1\r\nk\r\n+stale\r\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Freshness {
    /// Every write that was answered before is seen.
    #[default]
    Latest,
    /// What stood some time ago will do, where the server has that more cheaply, or while it cannot
    /// have the latest.
    Stale,
}

impl Freshness {
    /// Reads the option up to the end of the message.
    pub(super) fn parse(fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        let mut freshness = Self::Latest;
        while !fields.is_empty() {
            match (fields.string()?, freshness) {
                (STALE, Self::Latest) => freshness = Self::Stale,
                (STALE, Self::Stale) => return Err(FieldError::ClashingOptions),
                _ => return Err(FieldError::UnknownOption),
            }
        }
        Ok(freshness)
    }

    pub(super) fn frames(self) -> usize {
        usize::from(self == Self::Stale)
    }

    pub(super) fn encode(self, frames: &mut FrameWriter<'_>) {
        if self == Self::Stale {
            frames.string(STALE);
        }
    }
}

#[derive(Default)]
pub(super) struct Options {
    pub(super) condition: Condition,
    pub(super) expiry: Option<Expiry>,
    pub(super) previous: Previous,
}

impl Options {
    /// Reads options up to the end of the message.
    pub(super) fn parse(fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        let options = Self::parse_some(fields)?;
        if fields.is_empty() { Ok(options) } else { Err(FieldError::UnknownOption) }
    }

    /// Reads options up to the first word that is none.
    pub(super) fn parse_some(fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        let mut options = Self::default();
        while !fields.is_empty() {
            let before = *fields;
            match fields.string()? {
                ABSENT => options.set_condition(Condition::Absent)?,
                PRESENT => options.set_condition(Condition::Present)?,
                VERSION => options.set_condition(Condition::Version(version(fields)?))?,
                EXPIRES => options.set_expiry(Expiry::At(time(fields)?))?,
                TTL => options.set_expiry(Expiry::After(time(fields)?))?,
                PREVIOUS if options.previous == Previous::Omit => {
                    options.previous = Previous::Return;
                }
                PREVIOUS => return Err(FieldError::ClashingOptions),
                _ => {
                    *fields = before;
                    break;
                }
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

    fn set_expiry(&mut self, expiry: Expiry) -> Result<(), FieldError> {
        match self.expiry.replace(expiry) {
            None => Ok(()),
            Some(_) => Err(FieldError::ClashingOptions),
        }
    }

    /// Refuses what a request's type does not have.
    pub(super) fn only(self, fits: impl FnOnce(&Self) -> bool) -> Result<Self, FieldError> {
        if fits(&self) { Ok(self) } else { Err(FieldError::UnknownOption) }
    }

    pub(super) fn frames(&self) -> usize {
        let condition = match self.condition {
            Condition::Any => 0,
            Condition::Absent | Condition::Present => 1,
            Condition::Version(_) => 2,
        };
        let expiry = if self.expiry.is_some() { 2 } else { 0 };
        condition + expiry + usize::from(self.previous == Previous::Return)
    }

    pub(super) fn encode(&self, frames: &mut FrameWriter<'_>) {
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
        match self.expiry {
            None => {}
            Some(Expiry::At(time)) => {
                frames.string(EXPIRES).integer(time.to_wire());
            }
            Some(Expiry::After(millis)) => {
                frames.string(TTL).integer(millis.to_wire());
            }
        }
        if self.previous == Previous::Return {
            frames.string(PREVIOUS);
        }
    }
}
