//! What has changed in a table, in the order of its versions.

use kvsd::{UnixMillis, Version};

/// A place in a table's past: behind one of its writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The table's incarnation: another for each table that has ever been made. `None` stands for
    /// the one that has the name now.
    pub incarnation: Option<u64>,
    /// The version of the write; 0 stands before the first one.
    pub version: u64,
}

/// What has changed since a position.
#[derive(Debug, Clone)]
pub enum Changes {
    /// The changes, or the first of them.
    Page(ChangePage),
    /// The changes are not all known any more; or the first of them are one write that is larger than
    /// any that the engine takes today; or the table has never been at the position. Read the table
    /// as it is, and go on from here.
    Gap {
        /// Where the table is now.
        now: Position,
    },
}

/// Changes in the order of their versions: none of a write, or all of them.
#[derive(Clone)]
pub struct ChangePage {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    until: Position,
}

/// A change of a page; its key begins where the change before it ends.
#[derive(Debug, Clone, Copy)]
struct Span {
    key_end: usize,
    end: usize,
    kind: SpanKind,
    version: Version,
    expires_at: Option<UnixMillis>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SpanKind {
    Set,
    Delete,
}

/// Shows how much it holds; never a key or a value.
impl std::fmt::Debug for ChangePage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChangePage")
            .field("changes", &self.spans.len())
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

impl ChangePage {
    /// A page without changes, which tells everything up to a position.
    #[must_use]
    pub fn empty(until: Position) -> Self {
        Self::of_bytes(Vec::new(), 0, until)
    }

    /// A page of keys and values that stand one after the other in `bytes`, without changes yet.
    pub(crate) fn of_bytes(bytes: Vec<u8>, changes: usize, until: Position) -> Self {
        Self { bytes, spans: Vec::with_capacity(changes), until }
    }

    /// The same page, up to another name of its position.
    #[cfg(feature = "etcd")]
    pub(crate) fn named(self, until: Position) -> Self {
        Self { until, ..self }
    }

    /// Adds the change whose key, and value if it was set, come next in the bytes.
    pub(crate) fn push_span(
        &mut self,
        key_bytes: usize,
        value_bytes: Option<usize>,
        version: Version,
        expires_at: Option<UnixMillis>,
    ) {
        let start = self.spans.last().map_or(0, |span| span.end);
        let key_end = start + key_bytes;
        let kind = if value_bytes.is_some() { SpanKind::Set } else { SpanKind::Delete };
        let end = key_end + value_bytes.unwrap_or_default();
        self.spans.push(Span { key_end, end, kind, version, expires_at });
    }

    /// The changes. Those of one write follow each other and share its version.
    pub fn iter(&self) -> impl Iterator<Item = Changed<'_>> {
        let starts = [0].into_iter().chain(self.spans.iter().map(|span| span.end));
        starts.zip(&self.spans).map(|(start, span)| Changed {
            key: self.bytes.get(start..span.key_end).unwrap_or_default(),
            version: span.version,
            expires_at: span.expires_at,
            value: match span.kind {
                SpanKind::Set => self.bytes.get(span.key_end..span.end),
                SpanKind::Delete => None,
            },
        })
    }

    /// Up to where the page tells everything: where to go on from.
    #[must_use]
    pub fn until(&self) -> Position {
        self.until
    }
}

/// One key's change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Changed<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The write that made the change.
    pub version: Version,
    /// When the new record ends. That it does is no change of its own.
    pub expires_at: Option<UnixMillis>,
    /// The new value; `None` if the record was deleted.
    pub value: Option<&'a [u8]>,
}
