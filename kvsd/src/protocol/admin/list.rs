//! Who is connected and who may be: pages of both.
//!
//! Next file to read: [`super::reply`].

use super::{count, wire};
use crate::protocol::frame::{FieldError, Fields, FrameWriter};
use crate::protocol::v2::{encode_string_or_null, flag, string_or_null};

/// Some of what there is, in order.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::admin::{List, Reply, User};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let users = vec![User { name: "app", grants: "write@orders" }];
/// let reply = Reply::Users(List { more: false, items: users });
/// reply.encode(Some(RequestId::ZERO), &mut wire);
/// assert_eq!(&wire[..], b"*5\r\n#u:0\r\n:0\r\n+app\r\n+write@orders\r\n");
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// assert_eq!(Reply::parse(&message)?, (Some(RequestId::ZERO), Some(reply)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T> {
    /// Whether there is more behind the last of these.
    pub more: bool,
    /// What there is.
    pub items: Vec<T>,
}

/// A connection that a server has.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::admin::{Connection, List, Reply};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let connection = Connection {
///     id: 7,
///     peer: "192.0.2.1:50000",
///     tls: true,
///     user: Some("app"),
///     age_millis: 60_000,
///     idle_millis: 3,
///     read_bytes: 1_000,
///     written_bytes: 9_000,
///     requests: 40,
///     held_bytes: 12_288,
/// };
/// let reply = Reply::Connections(List { more: true, items: vec![connection] });
/// reply.encode(Some(RequestId::ZERO), &mut wire);
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// assert_eq!(Reply::parse(&message)?, (Some(RequestId::ZERO), Some(reply)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection<'a> {
    /// Its number: from 1 up in the order of their coming, and never used again.
    pub id: u64,
    /// Where the client is.
    pub peer: &'a str,
    /// Whether it is encrypted.
    pub tls: bool,
    /// Whose it is; `None` before that is known, and where anyone is let in.
    pub user: Option<&'a str>,
    /// How long it has been there, in milliseconds.
    pub age_millis: u64,
    /// For how long nothing was read or written, in milliseconds.
    pub idle_millis: u64,
    /// Bytes that came.
    pub read_bytes: u64,
    /// Bytes that went.
    pub written_bytes: u64,
    /// Requests that came.
    pub requests: u64,
    /// Memory that the server holds for it, in bytes.
    pub held_bytes: u64,
}

/// A user whom a server knows.
///
/// ```
/// use kvsd::protocol::admin::User;
///
/// let user = User { name: "app", grants: "write@orders-*,read@default" };
/// assert_eq!(user.grants.split(',').count(), 2);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User<'a> {
    /// The name.
    pub name: &'a str,
    /// What the user may do, as `ROLE@TABLE` with commas between them; empty for nothing.
    pub grants: &'a str,
}

/// What a list is made of.
pub(super) trait Item<'a>: Sized {
    const FRAMES: usize;

    fn parse(fields: &mut Fields<'a>) -> Result<Self, FieldError>;

    fn encode(&self, frames: &mut FrameWriter<'_>);
}

pub(super) fn parse<'a, T: Item<'a>>(fields: &mut Fields<'a>) -> Result<List<T>, FieldError> {
    let more = flag(fields)?;
    let mut items = Vec::new();
    while !fields.is_empty() {
        items.push(T::parse(fields)?);
    }
    Ok(List { more, items })
}

pub(super) fn frames<'a, T: Item<'a>>(list: &List<T>) -> usize {
    1 + list.items.len() * T::FRAMES
}

pub(super) fn encode<'a, T: Item<'a>>(list: &List<T>, frames: &mut FrameWriter<'_>) {
    frames.integer(i64::from(list.more));
    list.items.iter().for_each(|item| item.encode(frames));
}

impl<'a> Item<'a> for Connection<'a> {
    const FRAMES: usize = 10;

    fn parse(fields: &mut Fields<'a>) -> Result<Self, FieldError> {
        Ok(Self {
            id: count(fields)?,
            peer: fields.string()?,
            tls: flag(fields)?,
            user: string_or_null(fields)?,
            age_millis: count(fields)?,
            idle_millis: count(fields)?,
            read_bytes: count(fields)?,
            written_bytes: count(fields)?,
            requests: count(fields)?,
            held_bytes: count(fields)?,
        })
    }

    fn encode(&self, frames: &mut FrameWriter<'_>) {
        frames.integer(wire(self.id)).string(self.peer).integer(i64::from(self.tls));
        encode_string_or_null(frames, self.user);
        for number in [
            self.age_millis,
            self.idle_millis,
            self.read_bytes,
            self.written_bytes,
            self.requests,
            self.held_bytes,
        ] {
            frames.integer(wire(number));
        }
    }
}

impl<'a> Item<'a> for User<'a> {
    const FRAMES: usize = 2;

    fn parse(fields: &mut Fields<'a>) -> Result<Self, FieldError> {
        Ok(Self { name: fields.string()?, grants: fields.string()? })
    }

    fn encode(&self, frames: &mut FrameWriter<'_>) {
        frames.string(self.name).string(self.grants);
    }
}
