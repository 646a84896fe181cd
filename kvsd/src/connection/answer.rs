//! A reply that owns its bytes, on its way from the read buffer to the caller.

use bytes::Bytes;

use crate::protocol::v2::part::Backing;
use crate::protocol::v2::{Before, FailCode, Record, Reply, Request};
use crate::types::{UnixMillis, Version};

/// What a request asked for, as far as its answer's form depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Ping,
    Get,
    Exists,
    Write,
}

impl Verb {
    pub(crate) fn of(request: &Request<'_>) -> Self {
        match request {
            Request::Ping => Verb::Ping,
            Request::Get { .. } => Verb::Get,
            Request::Exists { .. } => Verb::Exists,
            Request::Set { .. } | Request::Delete { .. } => Verb::Write,
        }
    }
}

/// A reply that owns its bytes.
pub(crate) enum Answer {
    Pong,
    Value(Option<Stored>),
    Exists(bool),
    Written { version: Option<Version>, before: Previously },
    Conflict { current: Option<Version> },
    Fail { code: FailCode, message: Box<str> },
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

impl Answer {
    /// Copies what the reply borrows, unless it is most of a large message of its own: a small value
    /// must not keep a large buffer alive.
    pub(crate) fn from_reply(reply: &Reply<'_>, backing: Backing<'_>) -> Self {
        let stored = |record: &Record<'_>| Stored::from_record(record, backing);
        match reply {
            Reply::Pong { .. } => Answer::Pong,
            Reply::Value(record) => Answer::Value(record.as_ref().map(stored)),
            Reply::Exists(exists) => Answer::Exists(*exists),
            Reply::Written { version, before } => Answer::Written {
                version: *version,
                before: match before {
                    Before::Absent => Previously::Absent,
                    Before::Present => Previously::Present,
                    Before::Record(record) => Previously::Record(stored(record)),
                },
            },
            Reply::Conflict { current } => Answer::Conflict { current: *current },
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
            Answer::Exists(_) => verb == Verb::Exists,
            Answer::Written { .. } | Answer::Conflict { .. } => verb == Verb::Write,
            Answer::Fail { .. } => true,
        }
    }
}

impl Stored {
    fn from_record(record: &Record<'_>, backing: Backing<'_>) -> Self {
        Self {
            version: record.version,
            expires_at: record.expires_at,
            value: backing.keep(record.value),
        }
    }
}

/// Names the kind alone: values do not belong into a log.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Answer::Pong => "Pong",
            Answer::Value(_) => "Value",
            Answer::Exists(_) => "Exists",
            Answer::Written { .. } => "Written",
            Answer::Conflict { .. } => "Conflict",
            Answer::Fail { .. } => "Fail",
        })
    }
}
