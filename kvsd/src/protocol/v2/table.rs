//! What a server tells of its tables.
//!
//! Next file to read: [`super::reply`].

use super::{
    encode_incarnation, encode_string_or_null, encode_version_or_null, incarnation, string_or_null,
    version_or_null,
};
use crate::protocol::cut_fail_message;
use crate::protocol::frame::{FieldError, Fields, FrameWriter};
use crate::types::Version;

/// Some names of tables, in order.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::{Names, Reply};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let reply = Reply::Tables(Names { more: false, names: vec!["orders", "users"] });
/// reply.encode(RequestId::ZERO, &mut wire);
/// assert_eq!(&wire[..], b"*5\r\n#t:0\r\n:0\r\n+orders\r\n+users\r\n");
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// assert_eq!(Reply::parse(&message)?.1, Some(reply));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names<'a> {
    /// Whether there are tables behind the last of these.
    pub more: bool,
    /// The names.
    pub names: Vec<&'a str>,
}

/// How much a table holds.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::{Reply, Statistics};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let reply = Reply::Statistics(Some(Statistics {
///     keys: 2,
///     live_bytes: 100,
///     dead_bytes: 50,
///     segments: 1,
///     disk_bytes: 4096,
///     last_version: kvsd::Version::new(3),
///     incarnation: 7,
///     stopped: None,
/// }));
/// reply.encode(RequestId::ZERO, &mut wire);
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// assert_eq!(Reply::parse(&message)?.1, Some(reply));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics<'a> {
    /// Keys with a record, those included that have expired and are not cleared away yet.
    pub keys: u64,
    /// Bytes of the records that keys have now, keys included.
    pub live_bytes: u64,
    /// Bytes of everything else that was written and is not cleared away yet.
    pub dead_bytes: u64,
    /// Files that hold records.
    pub segments: u64,
    /// Bytes that these files take on the disk.
    pub disk_bytes: u64,
    /// The highest version of a write; `None` before the first.
    pub last_version: Option<Version>,
    /// Which of the tables that have had this name it is.
    pub incarnation: u64,
    /// Why the table takes no more writes, if it does not.
    pub stopped: Option<&'a str>,
}

impl<'a> Names<'a> {
    pub(super) fn parse(fields: &mut Fields<'a>) -> Result<Self, FieldError> {
        let more = super::flag(fields)?;
        let mut names = Vec::new();
        while !fields.is_empty() {
            names.push(fields.string()?);
        }
        Ok(Self { more, names })
    }

    pub(super) fn frames(&self) -> usize {
        1 + self.names.len()
    }

    pub(super) fn encode(&self, frames: &mut FrameWriter<'_>) {
        frames.integer(i64::from(self.more));
        for name in &self.names {
            frames.string(name);
        }
    }
}

impl<'a> Statistics<'a> {
    pub(in crate::protocol) const FRAMES: usize = 8;

    pub(in crate::protocol) fn parse(fields: &mut Fields<'a>) -> Result<Self, FieldError> {
        let number = |fields: &mut Fields<'a>| {
            u64::try_from(fields.integer()?)
                .map_err(|_| FieldError::OutOfRange { field: "a count" })
        };
        Ok(Self {
            keys: number(fields)?,
            live_bytes: number(fields)?,
            dead_bytes: number(fields)?,
            segments: number(fields)?,
            disk_bytes: number(fields)?,
            last_version: version_or_null(fields)?,
            incarnation: incarnation(fields)?,
            stopped: string_or_null(fields)?,
        })
    }

    pub(in crate::protocol) fn encode(&self, frames: &mut FrameWriter<'_>) {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        for count in [self.keys, self.live_bytes, self.dead_bytes, self.segments, self.disk_bytes] {
            frames.integer(number(count));
        }
        encode_version_or_null(frames, self.last_version);
        encode_incarnation(frames, self.incarnation);
        encode_string_or_null(frames, self.stopped.map(cut_fail_message));
    }
}
