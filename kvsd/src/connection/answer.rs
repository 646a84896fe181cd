//! A reply that owns its bytes, on its way from the read buffer to the caller.

use bytes::Bytes;

use super::statistics::TableStatistics;
use super::verb::Verb;
use crate::protocol::v2::part::{Backing, Chunk};
use crate::protocol::v2::{
    Before, Changed, FailCode, Lifetime, NewsChange, PageRecord, Position, Record, Reply,
};
use crate::types::{UnixMillis, Version};

/// A reply that owns its bytes.
pub(crate) enum Answer {
    Pong,
    Value(Option<Stored>),
    Flag(bool),
    Lifetime(Lifetime),
    Written {
        version: Option<Version>,
        before: Previously,
    },
    Counter {
        value: i64,
    },
    Conflict {
        current: Option<Version>,
        change: u64,
    },
    Batch {
        version: Option<Version>,
        changed: Vec<Changed>,
    },
    /// At least one answer.
    Pipeline(Vec<Answer>),
    Page {
        /// The moment at which it stands, if the server can show the next one as of the same.
        at: Option<Version>,
        /// Behind which key the next page goes on.
        next: Option<Bytes>,
        records: Vec<RecordAt>,
    },
    News {
        until: Position,
        changes: Vec<RecordAt>,
    },
    Gap {
        now: Position,
    },
    Tables {
        more: bool,
        names: Vec<Box<str>>,
    },
    Statistics(Option<Box<TableStatistics>>),
    Fail {
        code: FailCode,
        message: Box<str>,
    },
}

/// A record that owns its value.
pub(crate) struct Stored {
    pub(crate) version: Version,
    pub(crate) expires_at: Option<UnixMillis>,
    pub(crate) value: Bytes,
}

/// What stood at a key before a write.
pub(crate) enum Previously {
    Absent,
    Present,
    Record(Stored),
}

/// A record of a page, or what a change made of one. Key and value share the memory of all that came
/// with them.
pub(crate) struct RecordAt {
    pub(crate) key: Bytes,
    pub(crate) version: Version,
    /// `None` if only keys were asked for, and if the record was deleted.
    pub(crate) value: Option<Bytes>,
    pub(crate) expires_at: Option<UnixMillis>,
}

impl Answer {
    /// Copies what the reply borrows, unless it is most of a large message of its own: a small value
    /// must not keep the read buffer, or a large message, alive. The copies of small values stand
    /// side by side in `chunk`.
    pub(super) fn from_reply(reply: &Reply<'_>, backing: Backing<'_>, chunk: &mut Chunk) -> Self {
        let mut keeper = Keeper::for_reply(reply, backing, chunk);
        Self::keep(reply, &mut keeper)
    }

    fn keep(reply: &Reply<'_>, keeper: &mut Keeper<'_>) -> Self {
        match reply {
            Reply::Pong { .. } => Answer::Pong,
            Reply::Value(record) => {
                Answer::Value(record.as_ref().map(|record| Stored::keep(record, keeper)))
            }
            Reply::Flag(flag) => Answer::Flag(*flag),
            Reply::Lifetime(lifetime) => Answer::Lifetime(*lifetime),
            Reply::Written { version, before } => Answer::Written {
                version: *version,
                before: match before {
                    Before::Absent => Previously::Absent,
                    Before::Present => Previously::Present,
                    Before::Record(record) => Previously::Record(Stored::keep(record, keeper)),
                },
            },
            Reply::Counter { value, .. } => Answer::Counter { value: *value },
            Reply::Conflict { current, change } => {
                Answer::Conflict { current: *current, change: *change }
            }
            Reply::Batch { version, changed } => {
                Answer::Batch { version: *version, changed: changed.clone() }
            }
            Reply::Pipeline(replies) => {
                let keep = |reply| Self::keep(reply, keeper);
                Answer::Pipeline(replies.iter().map(keep).collect())
            }
            Reply::Page(page) => {
                let next = page.next.map(|next| keeper.keep(next));
                let keep = |record: &PageRecord<'_>| RecordAt {
                    key: keeper.keep(record.key),
                    version: record.version,
                    value: record.value.map(|value| keeper.keep(value)),
                    expires_at: record.expires_at,
                };
                let records = page.records.iter().map(keep).collect();
                Answer::Page { at: page.at, next, records }
            }
            Reply::News(news) => {
                let keep = |change: &NewsChange<'_>| RecordAt {
                    key: keeper.keep(change.key),
                    version: change.version,
                    value: change.value.map(|value| keeper.keep(value)),
                    expires_at: change.expires_at,
                };
                Answer::News { until: news.until, changes: news.changes.iter().map(keep).collect() }
            }
            Reply::Gap { now } => Answer::Gap { now: *now },
            Reply::Tables(names) => Answer::Tables {
                more: names.more,
                names: names.names.iter().map(|name| (*name).into()).collect(),
            },
            Reply::Statistics(statistics) => {
                Answer::Statistics(statistics.map(|statistics| Box::new(statistics.into())))
            }
            Reply::Fail { code, message } => {
                Answer::Fail { code: *code, message: (*message).into() }
            }
        }
    }

    /// Whether this can be the answer to such a request.
    pub(crate) fn fits(&self, verb: Verb) -> bool {
        match self {
            Answer::Pong => verb == Verb::Ping,
            Answer::Value(_) => verb == Verb::Get,
            Answer::Flag(_) => matches!(verb, Verb::Exists | Verb::ChangeTables),
            Answer::Lifetime(_) => verb == Verb::Lifetime,
            Answer::Written { .. } => verb == Verb::Write,
            Answer::Counter { .. } => verb == Verb::Increment,
            Answer::Conflict { change: 0, .. } => {
                matches!(verb, Verb::Write | Verb::Increment | Verb::Batch)
            }
            Answer::Conflict { .. } | Answer::Batch { .. } => verb == Verb::Batch,
            // Which answer stands at which place is for the pipeline to compare.
            Answer::Pipeline(answers) => matches!(verb, Verb::Pipeline(_)) && !answers.is_empty(),
            Answer::Page { .. } => verb == Verb::Scan,
            Answer::News { .. } | Answer::Gap { .. } => verb == Verb::Watch,
            Answer::Tables { .. } => verb == Verb::Tables,
            Answer::Statistics(_) => verb == Verb::Statistics,
            Answer::Fail { .. } => true,
        }
    }
}

impl Stored {
    fn keep(record: &Record<'_>, keeper: &mut Keeper<'_>) -> Self {
        Self {
            version: record.version,
            expires_at: record.expires_at,
            value: keeper.keep(record.value),
        }
    }

    /// The record for who keeps it: its value lies in no [`Chunk`].
    pub(crate) fn apart(self) -> Self {
        let is_apart = self.value.len() > Chunk::MAX_FIELD_BYTES;
        let value = if is_apart { self.value } else { Bytes::copy_from_slice(&self.value) };
        Self { value, ..self }
    }
}

/// Takes copies of what a reply borrows: one small value into the chunk, one large one into memory
/// of its own, many into one memory that they share, some 1 MiB at most unless one value is larger.
/// Values that are decoded leave it at once; who keeps one of the [`Bytes`] of a scan keeps all of
/// its page, and who keeps a large one of a pipeline keeps all of that.
struct Keeper<'a> {
    backing: Backing<'a>,
    chunk: &'a mut Chunk,
    /// The copies of many that nobody has taken yet.
    shared: Option<Bytes>,
}

impl<'a> Keeper<'a> {
    /// Copies all of many at once: to count who shares their memory waits until each copy is there.
    fn for_reply(reply: &Reply<'_>, backing: Backing<'a>, chunk: &'a mut Chunk) -> Self {
        if !matches!(reply, Reply::Pipeline(_) | Reply::Page(_) | Reply::News(_)) {
            return Self { backing, chunk, shared: None };
        }
        let mut bytes = 0;
        each_of_many(reply, |field| bytes += field.len());
        let mut shared = Vec::with_capacity(bytes);
        each_of_many(reply, |field| shared.extend_from_slice(field));
        Self { backing, chunk, shared: Some(shared.into()) }
    }

    /// The copy of a field. Of many, each is kept once and in its turn.
    fn keep(&mut self, field: &[u8]) -> Bytes {
        match &mut self.shared {
            None => self.backing.keep(field, self.chunk),
            Some(shared) => {
                let kept = shared.split_to(field.len());
                debug_assert!(kept == field, "each in its turn");
                kept
            }
        }
    }
}

/// The fields of a reply that has many, in the order in which they are kept.
fn each_of_many<'r>(reply: &Reply<'r>, mut tell: impl FnMut(&'r [u8])) {
    match reply {
        Reply::Pipeline(replies) => replies.iter().filter_map(value_of).for_each(tell),
        Reply::Page(page) => {
            page.next.into_iter().for_each(&mut tell);
            for record in &page.records {
                tell(record.key);
                record.value.into_iter().for_each(&mut tell);
            }
        }
        Reply::News(news) => {
            for change in &news.changes {
                tell(change.key);
                change.value.into_iter().for_each(&mut tell);
            }
        }
        _ => {}
    }
}

/// The value in an answer that may stand in a pipeline.
fn value_of<'r>(reply: &Reply<'r>) -> Option<&'r [u8]> {
    match reply {
        Reply::Value(Some(record)) | Reply::Written { before: Before::Record(record), .. } => {
            Some(record.value)
        }
        _ => None,
    }
}

/// Names the kind alone: values do not belong into a log.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Answer::Pong => "Pong",
            Answer::Value(_) => "Value",
            Answer::Flag(_) => "Flag",
            Answer::Lifetime(_) => "Lifetime",
            Answer::Written { .. } => "Written",
            Answer::Counter { .. } => "Counter",
            Answer::Conflict { .. } => "Conflict",
            Answer::Batch { .. } => "Batch",
            Answer::Pipeline(_) => "Pipeline",
            Answer::Page { .. } => "Page",
            Answer::News { .. } => "News",
            Answer::Gap { .. } => "Gap",
            Answer::Tables { .. } => "Tables",
            Answer::Statistics(_) => "Statistics",
            Answer::Fail { .. } => "Fail",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(value: Bytes) -> Stored {
        Stored { version: Version::new(1).unwrap(), expires_at: None, value }
    }

    #[test]
    fn a_small_value_leaves_its_chunk_when_somebody_keeps_it() {
        let small = Chunk::default().keep(b"small");
        let (in_chunk, apart) = (small.as_ptr(), stored(small).apart().value);
        assert_eq!(&apart[..], b"small");
        assert_ne!(apart.as_ptr(), in_chunk);
    }

    #[test]
    fn a_large_value_has_memory_of_its_own_and_is_not_copied_again() {
        let large = Chunk::default().keep(&[7; Chunk::MAX_FIELD_BYTES + 1]);
        let at = large.as_ptr();
        assert_eq!(stored(large).apart().value.as_ptr(), at);
    }
}
