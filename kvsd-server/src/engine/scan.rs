//! Reading a table in the order of its keys, page by page.

use std::ops::Bound;

use bytes::Bytes;
use kvsd::{UnixMillis, Version};

use super::Freshness;

/// What a page of a scan is to show.
#[derive(Clone, PartialEq, Eq)]
pub struct Scan {
    /// Where the lowest key is.
    pub from: Bound<Bytes>,
    /// Where the highest key is.
    pub to: Bound<Bytes>,
    /// Which of the two the page begins at.
    pub order: Order,
    /// Whether the values are read.
    pub detail: ScanDetail,
    /// How long the page may be.
    pub limits: PageLimits,
    /// How old what it shows may be.
    pub freshness: Freshness,
    /// The moment of an earlier page, [`ScanPage::at`], for a page that stands at the same.
    pub at: Option<Version>,
}

/// In which order keys come: byte by byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The lowest key first.
    Ascending,
    /// The highest key first.
    Descending,
}

/// How much of each record a scan reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanDetail {
    /// All but the value.
    Keys,
    /// All of it.
    Records,
}

/// How long a page may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimits {
    /// The most records; with 0 it is 1.
    pub records: usize,
    /// The most bytes of keys and values together, but for the first record, which always fits.
    pub bytes: usize,
}

/// Some records of a table, as they were at one moment.
#[derive(Clone, Default)]
pub struct ScanPage {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    next: Option<Bytes>,
    at: Option<Version>,
}

/// A record of a page; its key begins where the record before it ends.
#[derive(Debug, Clone, Copy)]
struct Span {
    key_end: usize,
    end: usize,
    version: Version,
    expires_at: Option<UnixMillis>,
}

/// Shows how much it holds; never a key or a value.
impl std::fmt::Debug for ScanPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScanPage")
            .field("records", &self.spans.len())
            .field("has_more", &self.next.is_some())
            .finish_non_exhaustive()
    }
}

impl ScanPage {
    /// Adds a record.
    pub fn push(
        &mut self,
        key: &[u8],
        value: &[u8],
        version: Version,
        expires_at: Option<UnixMillis>,
    ) {
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.push_span(key.len(), value.len(), version, expires_at);
    }

    /// A page of keys and values that stand one after the other in `bytes`, without records yet.
    pub(crate) fn of_bytes(bytes: Vec<u8>, records: usize, next: Option<Bytes>) -> Self {
        Self { bytes, spans: Vec::with_capacity(records), next, at: None }
    }

    /// The same page, behind which the range goes on.
    #[must_use]
    pub fn going_on_behind(self, key: Option<Bytes>) -> Self {
        Self { next: key, ..self }
    }

    /// The same page, as one that stands at the moment of a version.
    #[must_use]
    pub fn standing_at(self, version: Version) -> Self {
        Self { at: Some(version), ..self }
    }

    /// Adds the record whose key and value come next in the bytes.
    pub(crate) fn push_span(
        &mut self,
        key_bytes: usize,
        value_bytes: usize,
        version: Version,
        expires_at: Option<UnixMillis>,
    ) {
        let start = self.spans.last().map_or(0, |span| span.end);
        let key_end = start + key_bytes;
        self.spans.push(Span { key_end, end: key_end + value_bytes, version, expires_at });
    }

    /// The records, in the order that was asked for.
    pub fn iter(&self) -> impl Iterator<Item = ScanRecord<'_>> {
        let starts = [0].into_iter().chain(self.spans.iter().map(|span| span.end));
        starts.zip(&self.spans).map(|(start, span)| ScanRecord {
            key: self.bytes.get(start..span.key_end).unwrap_or_default(),
            version: span.version,
            expires_at: span.expires_at,
            value: self.bytes.get(span.key_end..span.end).unwrap_or_default(),
        })
    }

    /// How many records there are; none need not be the end.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The key behind which the next page goes on; `None` at the end of the range.
    #[must_use]
    pub fn next(&self) -> Option<&Bytes> {
        self.next.as_ref()
    }

    /// The moment at which the page stands, for [`Scan::at`]; `None` if the engine shows each page
    /// as of its own moment only.
    #[must_use]
    pub fn at(&self) -> Option<Version> {
        self.at
    }
}

/// A record of a page.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ScanRecord<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The write that made it.
    pub version: Version,
    /// When it ends.
    pub expires_at: Option<UnixMillis>,
    /// The value; empty with [`ScanDetail::Keys`].
    pub value: &'a [u8],
}
