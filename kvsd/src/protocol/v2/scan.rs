//! A scan: which records of a table, in which order, and the page that answers.
//!
//! Next file to read: `entry`, then [`super::watch`].

use std::ops::Bound;

use super::entry::Entry;
use super::options::STALE;
use super::{Freshness, bytes_or_null, encode_bytes_or_null, version};
use crate::protocol::frame::{FieldError, Fields, FrameWriter};
use crate::types::{UnixMillis, Version};

const FROM: &str = "from";
const AFTER: &str = "after";
const TO: &str = "to";
const BEFORE: &str = "before";
const REVERSE: &str = "reverse";
const KEYS: &str = "keys";
const LIMIT: &str = "limit";
const AT: &str = "at";

/// Which records of a table are asked for.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use std::ops::Bound;
/// use kvsd::protocol::v2::{Detail, Freshness, Order, Request, Scan};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let scan = Request::Scan(Scan {
///     table: "t",
///     from: Bound::Included(b"a"),
///     to: Bound::Unbounded,
///     order: Order::Ascending,
///     detail: Detail::Keys,
///     limit: Some(10),
///     freshness: Freshness::Latest,
///     at: None,
/// });
/// scan.encode(RequestId::ZERO, &mut wire);
/// assert_eq!(&wire[..], b"*8\r\n#R:0\r\n+t\r\n+from\r\n$1\r\na\r\n+keys\r\n+limit\r\n:10\r\n");
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// assert_eq!(Request::parse(&message)?.1, Some(scan));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Scan<'a> {
    /// The table.
    pub table: &'a str,
    /// Where the lowest key is.
    pub from: Bound<&'a [u8]>,
    /// Where the highest key is.
    pub to: Bound<&'a [u8]>,
    /// Which of the two the page begins at.
    pub order: Order,
    /// How much of each record is wanted.
    pub detail: Detail,
    /// The most records of the page, at least 1; a server may send fewer.
    pub limit: Option<u64>,
    /// How old what it shows may be.
    pub freshness: Freshness,
    /// The moment at which an earlier page of the scan [stands](Page::at), for one that stands at
    /// the same.
    pub at: Option<Version>,
}

/// In which order keys come: byte by byte.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use std::ops::Bound::Unbounded;
/// use kvsd::protocol::v2::{Detail, Freshness, Order, Request, Scan};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let (from, to, detail) = (Unbounded, Unbounded, Detail::Records);
/// let (order, limit, freshness) = (Order::Descending, None, Freshness::Latest);
/// let scan = Scan { table: "t", from, to, order, detail, limit, freshness, at: None };
/// Request::Scan(scan).encode(RequestId::ZERO, &mut wire);
/// assert!(wire.ends_with(b"+t\r\n+reverse\r\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The lowest key first.
    #[default]
    Ascending,
    /// The highest key first.
    Descending,
}

/// How much of each record a scan reads.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use std::ops::Bound::Unbounded;
/// use kvsd::protocol::v2::{Detail, Freshness, Order, Request, Scan};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let (from, to, order) = (Unbounded, Unbounded, Order::Ascending);
/// let (detail, limit, freshness) = (Detail::Keys, None, Freshness::Latest);
/// let scan = Scan { table: "t", from, to, order, detail, limit, freshness, at: None };
/// Request::Scan(scan).encode(RequestId::ZERO, &mut wire);
/// assert!(wire.ends_with(b"+t\r\n+keys\r\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// All of it.
    #[default]
    Records,
    /// All but the value.
    Keys,
}

/// Some records, in the order that was asked for.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::{Page, Reply};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// // Nothing yet, and not the end either; what comes next can be had as of the same moment.
/// let at = kvsd::Version::new(9);
/// let reply = Reply::Page(Page { at, next: Some(b"k"), records: Vec::new() });
/// reply.encode(RequestId::ZERO, &mut wire);
/// assert_eq!(&wire[..], b"*4\r\n#s:0\r\n:9\r\n$1\r\nk\r\n");
/// let message = decoder.decode(&wire)?.ok_or("not whole")?;
/// assert_eq!(Reply::parse(&message)?.1, Some(reply));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Page<'a> {
    /// The version as of which it stands, for [`Scan::at`]; `None` if the server shows each page as
    /// of its own moment only.
    pub at: Option<Version>,
    /// Behind which key the next page goes on; `None` at the end of the range. A page without
    /// records need not be the end.
    pub next: Option<&'a [u8]>,
    /// The records.
    pub records: Vec<PageRecord<'a>>,
}

/// A record of a page.
///
/// ```
/// # use bytes::BytesMut;
/// # use kvsd::protocol::frame::Decoder;
/// # use kvsd::protocol::v2::{self, RequestId};
/// use kvsd::protocol::v2::{Page, PageRecord, Reply};
///
/// # let mut wire = BytesMut::new();
/// # let mut decoder = Decoder::new(v2::limits(1024));
/// let version = kvsd::Version::new(9).ok_or("no version")?;
/// let record = PageRecord { key: b"k", version, value: Some(b"v"), expires_at: None };
/// let page = Page { at: None, next: None, records: vec![record] };
/// Reply::Page(page).encode(RequestId::ZERO, &mut wire);
/// assert_eq!(&wire[..], b"*7\r\n#r:0\r\n|$1\r\nk\r\n:9\r\n$1\r\nv\r\n|");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PageRecord<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The write that made it.
    pub version: Version,
    /// The value; `None` with [`Detail::Keys`].
    pub value: Option<&'a [u8]>,
    /// When it ends.
    pub expires_at: Option<UnixMillis>,
}

impl<'a> Scan<'a> {
    pub(super) fn parse(fields: &mut Fields<'a>) -> Result<Self, FieldError> {
        let table = fields.string()?;
        let (mut from, mut to) = (Bound::Unbounded, Bound::Unbounded);
        let (mut order, mut detail, mut limit) = (None, None, None);
        let (mut freshness, mut at) = (None, None);
        while !fields.is_empty() {
            let is_new = match fields.string()? {
                FROM => set_bound(&mut from, Bound::Included(fields.bytes()?)),
                AFTER => set_bound(&mut from, Bound::Excluded(fields.bytes()?)),
                TO => set_bound(&mut to, Bound::Included(fields.bytes()?)),
                BEFORE => set_bound(&mut to, Bound::Excluded(fields.bytes()?)),
                REVERSE => order.replace(Order::Descending).is_none(),
                KEYS => detail.replace(Detail::Keys).is_none(),
                LIMIT => {
                    let number = u64::try_from(fields.integer()?).ok().filter(|n| *n > 0);
                    let number = number.ok_or(FieldError::OutOfRange { field: "limit" })?;
                    limit.replace(number).is_none()
                }
                STALE => freshness.replace(Freshness::Stale).is_none(),
                AT => at.replace(version(fields)?).is_none(),
                _ => return Err(FieldError::UnknownOption),
            };
            if !is_new {
                return Err(FieldError::ClashingOptions);
            }
        }
        let (order, detail) = (order.unwrap_or_default(), detail.unwrap_or_default());
        let freshness = freshness.unwrap_or_default();
        Ok(Self { table, from, to, order, detail, limit, freshness, at })
    }

    pub(super) fn frames(&self) -> usize {
        let bound = |bound: &Bound<_>| if let Bound::Unbounded = bound { 0 } else { 2 };
        let words = usize::from(self.order == Order::Descending)
            + usize::from(self.detail == Detail::Keys)
            + if self.limit.is_some() { 2 } else { 0 }
            + self.freshness.frames()
            + if self.at.is_some() { 2 } else { 0 };
        1 + bound(&self.from) + bound(&self.to) + words
    }

    pub(super) fn encode(&self, frames: &mut FrameWriter<'_>) {
        frames.string(self.table);
        match self.from {
            Bound::Included(key) => frames.string(FROM).bytes(key),
            Bound::Excluded(key) => frames.string(AFTER).bytes(key),
            Bound::Unbounded => frames,
        };
        match self.to {
            Bound::Included(key) => frames.string(TO).bytes(key),
            Bound::Excluded(key) => frames.string(BEFORE).bytes(key),
            Bound::Unbounded => frames,
        };
        if self.order == Order::Descending {
            frames.string(REVERSE);
        }
        if self.detail == Detail::Keys {
            frames.string(KEYS);
        }
        if let Some(limit) = self.limit {
            frames.string(LIMIT).integer(i64::try_from(limit).unwrap_or(i64::MAX));
        }
        self.freshness.encode(frames);
        if let Some(at) = self.at {
            frames.string(AT).integer(at.to_wire());
        }
    }
}

fn set_bound<'a>(bound: &mut Bound<&'a [u8]>, to: Bound<&'a [u8]>) -> bool {
    let is_new = *bound == Bound::Unbounded;
    *bound = to;
    is_new
}

impl<'a> Page<'a> {
    /// Reads one that does not say at which moment it stands.
    pub(super) fn parse(fields: &mut Fields<'a>) -> Result<Self, FieldError> {
        Self::parse_at(None, fields)
    }

    /// Reads one that begins with its moment.
    pub(super) fn parse_standing(fields: &mut Fields<'a>) -> Result<Self, FieldError> {
        let at = version(fields)?;
        Self::parse_at(Some(at), fields)
    }

    fn parse_at(at: Option<Version>, fields: &mut Fields<'a>) -> Result<Self, FieldError> {
        let next = bytes_or_null(fields)?;
        let mut records = Vec::new();
        while !fields.is_empty() {
            let Entry { key, version, value, expires_at } = Entry::parse(fields)?;
            records.push(PageRecord { key, version, value, expires_at });
        }
        Ok(Self { at, next, records })
    }

    pub(super) fn frames(&self) -> usize {
        usize::from(self.at.is_some()) + 1 + self.records.len() * Entry::FRAMES
    }

    pub(super) fn encode(&self, frames: &mut FrameWriter<'_>) {
        if let Some(at) = self.at {
            frames.integer(at.to_wire());
        }
        encode_bytes_or_null(frames, self.next);
        for &PageRecord { key, version, value, expires_at } in &self.records {
            Entry { key, version, value, expires_at }.encode(frames);
        }
    }
}

/// Shows what is asked for; never a key.
impl std::fmt::Debug for Scan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { table, order, detail, limit, freshness, at, from: _, to: _ } = self;
        write!(f, "Scan({table:?}, {order:?}, {detail:?}, {limit:?}, {freshness:?}, {at:?})")
    }
}

/// Counts the records; never shows one.
impl std::fmt::Debug for Page<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = if self.next.is_some() { "more follow" } else { "the last" };
        write!(f, "Page({} records, {end}", self.records.len())?;
        match self.at {
            Some(at) => write!(f, ", at {at})"),
            None => f.write_str(")"),
        }
    }
}

/// Shows how large it is; never a key or a value.
impl std::fmt::Debug for PageRecord<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key, version, value, expires_at } = self;
        let bytes = value.map(<[u8]>::len);
        write!(f, "({} byte key, {version}, {bytes:?} byte value, {expires_at:?})", key.len())
    }
}
