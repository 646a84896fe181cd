//! The one primitive that changes data: an atomic write, its conditions, and its answer.

use bytes::Bytes;
use kvsd::{UnixMillis, Version};
use smallvec::SmallVec;

use super::{EngineError, Record};

/// One as a rule, which stands here without an allocation of its own.
pub type Few<T> = SmallVec<[T; 1]>;

/// One atomic write: every condition holds and every action is carried out under one version, or
/// nothing happens. Names a key at most once.
#[derive(Debug, Clone)]
pub struct Write {
    /// What changes, at least one entry.
    pub changes: Few<Change>,
    /// What the answer tells of the records before.
    pub before: BeforeDetail,
}

/// One key's part of a write.
#[derive(Clone)]
pub struct Change {
    /// The key, checked by [`kvsd::types::check_key`].
    pub key: Bytes,
    /// What must hold for the write to happen.
    pub condition: Condition,
    /// What to do.
    pub action: Action,
}

impl Change {
    /// How many bytes of keys and values it brings.
    pub(crate) fn bytes(&self) -> usize {
        let value = match &self.action {
            Action::Set { value, .. } => value.len(),
            Action::Delete | Action::Increment { .. } | Action::Expire { .. } | Action::Check => 0,
        };
        self.key.len() + value
    }
}

/// What must hold of a key. An expired record counts as absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Any,
    /// There is no record.
    Absent,
    /// There is a record.
    Present,
    /// The record is the one that this write made.
    Version(Version),
}

/// What to do with a key.
#[derive(Clone, PartialEq, Eq)]
pub enum Action {
    /// Store a value, which ends at `expires_at` if that is given.
    Set {
        /// The value, at most the server's limit.
        value: Bytes,
        /// When it ends.
        expires_at: Option<UnixMillis>,
    },
    /// Remove the record. Without one, nothing is written.
    Delete,
    /// Add to the integer that the record holds as decimal text; without a record, to 0. The record
    /// keeps its end. [`EngineError::NotAnInteger`] and [`EngineError::Overflow`] refuse the write.
    Increment {
        /// How much, perhaps below 0.
        by: i64,
    },
    /// Let the record end at another time, even one that is past, and keep its value. Without a
    /// record, nothing is written.
    Expire {
        /// When it ends; `None` for never.
        at: Option<UnixMillis>,
    },
    /// Leave the record as it is: only the condition counts. Nothing is written.
    Check,
}

/// How much a write's answer tells of the records before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeforeDetail {
    /// Whether there was one.
    Presence,
    /// The whole record.
    Record,
}

/// What stood at a key before a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// No record.
    Absent,
    /// A record ([`BeforeDetail::Presence`]).
    Present,
    /// This record ([`BeforeDetail::Record`]).
    Record(Record),
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It happened.
    Applied {
        /// The version it got; `None` if nothing had to be written (a delete without a record, a
        /// check).
        version: Option<Version>,
        /// What stood there before, in the order of the changes.
        before: Few<Before>,
        /// What each [`Action::Increment`] came to, in their order.
        counters: Vec<i64>,
    },
    /// A condition does not hold; nothing happened.
    Conflict {
        /// Which change, by its place.
        change: usize,
        /// The version of that key's record; `None` if there is none.
        current: Option<Version>,
    },
}

/// The answer to one write.
pub type WriteResult = Result<Written, EngineError>;
