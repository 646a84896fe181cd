//! The rows of the administrator's lists. Next file to read: the server's.

use super::{count, wire};
use crate::protocol::frame::{FieldError, Fields, FrameWriter};
use crate::protocol::v2::{Statistics, encode_string_or_null, flag, string_or_null};

/// How a table is.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId, Statistics};
/// use kvsd::protocol::admin::{Reply, TableHealth};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let statistics = Statistics {
///     keys: 1, live_bytes: 40, dead_bytes: 0, segments: 1, disk_bytes: 64, last_version: None,
///     incarnation: 9, stopped: Some("the disk has failed"),
/// };
/// let rows = vec![TableHealth { name: "users", statistics }];
/// let reply = Reply::Tables { more: false, rows };
/// reply.encode(Some(RequestId::ZERO), &mut wire);
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// assert_eq!(Reply::parse(&message)?.1, Some(reply));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableHealth<'a> {
    /// The table's name.
    pub name: &'a str,
    /// What it says of itself; [`Statistics::stopped`] is why it takes no writes.
    pub statistics: Statistics<'a>,
}

/// A user, and what it may do.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::v2::RequestId;
/// use kvsd::protocol::admin::{Reply, User};
///
/// # let mut wire = BytesMut::new();
/// let row = User { name: "app", grants: vec!["write@orders-*", "read@default"] };
/// Reply::Users { more: false, rows: vec![row] }.encode(Some(RequestId::ZERO), &mut wire);
/// let row = b"+app\r\n:2\r\n+write@orders-*\r\n+read@default\r\n";
/// assert!(wire.ends_with(row));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User<'a> {
    /// The user's name.
    pub name: &'a str,
    /// What it may do, each as `write@orders-*`.
    pub grants: Vec<&'a str>,
}

/// A connection that is open.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::v2::RequestId;
/// use kvsd::protocol::admin::{Connection, Reply};
///
/// # let mut wire = BytesMut::new();
/// let row = Connection {
///     id: 7, peer: "192.0.2.1:50000", is_encrypted: true, user: Some("app"), age_millis: 9000,
///     idle_millis: 10, read_bytes: 100, written_bytes: 200, requests: 3, memory_bytes: 4096,
/// };
/// Reply::Connections { more: false, rows: vec![row] }.encode(Some(RequestId::ZERO), &mut wire);
/// assert!(wire.starts_with(b"*13\r\n#l:0\r\n:0\r\n:7\r\n+192.0.2.1:50000\r\n:1\r\n+app\r\n"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection<'a> {
    /// Its number: never used again while the server runs.
    pub id: u64,
    /// Its address.
    pub peer: &'a str,
    /// Whether it has TLS.
    pub is_encrypted: bool,
    /// Whose it is, once that is known.
    pub user: Option<&'a str>,
    /// How long it has been there, in milliseconds.
    pub age_millis: u64,
    /// For how long it has done nothing, in milliseconds.
    pub idle_millis: u64,
    /// What was read from it, in bytes.
    pub read_bytes: u64,
    /// What was written to it, in bytes.
    pub written_bytes: u64,
    /// How many requests it has made.
    pub requests: u64,
    /// What it holds in the server's memory, in bytes.
    pub memory_bytes: u64,
}

impl<'a> TableHealth<'a> {
    pub(super) const FRAMES: usize = 1 + Statistics::FRAMES;

    pub(super) fn parse(fields: &mut Fields<'a>) -> Result<Self, FieldError> {
        Ok(Self { name: fields.string()?, statistics: Statistics::parse(fields)? })
    }

    pub(super) fn encode(&self, frames: &mut FrameWriter<'_>) {
        frames.string(self.name);
        self.statistics.encode(frames);
    }
}

impl<'a> User<'a> {
    /// How many frames the row has.
    ///
    /// ```
    /// use kvsd::protocol::admin::User;
    ///
    /// assert_eq!(User { name: "app", grants: vec!["read@*"] }.frames(), 3);
    /// ```
    #[must_use]
    pub fn frames(&self) -> usize {
        2 + self.grants.len()
    }

    /// How many bytes the row has, at most.
    ///
    /// ```
    /// use kvsd::protocol::admin::User;
    ///
    /// assert!(User { name: "app", grants: vec!["read@*"] }.max_byte_len() >= 19);
    /// ```
    #[must_use]
    pub fn max_byte_len(&self) -> usize {
        // Prefix and line end of each string, and the number.
        let grants: usize = self.grants.iter().map(|grant| grant.len() + 3).sum();
        self.name.len() + 3 + 23 + grants
    }

    pub(super) fn parse(fields: &mut Fields<'a>) -> Result<Self, FieldError> {
        let name = fields.string()?;
        let mut left = count(fields)?;
        let mut grants = Vec::new();
        // Only what stands there is kept, whatever was promised.
        while left > 0 {
            grants.push(fields.string()?);
            left -= 1;
        }
        Ok(Self { name, grants })
    }

    pub(super) fn encode(&self, frames: &mut FrameWriter<'_>) {
        frames.string(self.name).integer(wire(self.grants.len() as u64));
        for grant in &self.grants {
            frames.string(grant);
        }
    }
}

impl<'a> Connection<'a> {
    pub(super) const FRAMES: usize = 10;

    pub(super) fn parse(fields: &mut Fields<'a>) -> Result<Self, FieldError> {
        Ok(Self {
            id: count(fields)?,
            peer: fields.string()?,
            is_encrypted: flag(fields)?,
            user: string_or_null(fields)?,
            age_millis: count(fields)?,
            idle_millis: count(fields)?,
            read_bytes: count(fields)?,
            written_bytes: count(fields)?,
            requests: count(fields)?,
            memory_bytes: count(fields)?,
        })
    }

    pub(super) fn encode(&self, frames: &mut FrameWriter<'_>) {
        frames.integer(wire(self.id)).string(self.peer).integer(i64::from(self.is_encrypted));
        encode_string_or_null(frames, self.user);
        for count in [
            self.age_millis,
            self.idle_millis,
            self.read_bytes,
            self.written_bytes,
            self.requests,
            self.memory_bytes,
        ] {
            frames.integer(wire(count));
        }
    }
}
