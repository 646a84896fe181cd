//! One write of a batch: its conditions and actions against what stands at its keys.
//!
//! Everything is checked and computed before anything is added to the open group, so that a write
//! that fails leaves no part of itself.
//!
//! Next file to read: [`super::submission`].

use std::collections::HashSet;

use bytes::Bytes;
use kvsd::types::LARGEST_MAX_VALUE_BYTES;
use kvsd::{UnixMillis, Version};

use super::convert::{demand_of, holds, in_table, integer, record};
use super::storage::error::StorageError;
use super::storage::group::Content;
use super::storage::index::KeyHash;
use super::storage::reader::{Access, Extent, ReadError};
use super::storage::record::NEVER;
use super::storage::writer::{Current, Reserve};
use super::turn::{Failed, Turn};
use crate::engine::{Action, Before, BeforeDetail, EngineError, Write, WriteResult, Written};

/// A change whose condition holds.
#[derive(Debug)]
pub(super) struct Checked {
    hash: KeyHash,
    /// What stands at the key, expired or not.
    current: Option<Current>,
    effect: Effect,
}

/// What a change does to its key.
#[derive(Debug)]
enum Effect {
    Nothing,
    Set { value: Bytes, expires: u64 },
    Delete,
}

impl Turn {
    /// Checks one write, and adds it to the open group if its conditions hold.
    pub(super) fn write(
        &mut self,
        write: &Write,
        now: u64,
        access: Access,
        reserve: Reserve,
    ) -> Result<WriteResult, Failed> {
        if let Err(error) = self.admit(write, reserve) {
            return Ok(Err(error));
        }
        self.checked.clear();
        let mut before = Vec::with_capacity(write.changes.len());
        let mut counters = Vec::new();
        let mut held = 0;
        for (place, change) in write.changes.iter().enumerate() {
            let hash = self.writer.hash(&change.key);
            let extent = extent(write.before, &change.action);
            let current = match self.writer.current(hash, &change.key, access, extent) {
                // An expired record is replaced like any other, but counts as absent.
                Ok(current) => current,
                Err(ReadError::NotCached) => return Err(Failed::NotCached),
                Err(ReadError::Storage(error)) => return Ok(Err(in_table(&self.table, &error))),
            };
            let live = current.as_ref().filter(|current| current.expires > now);
            if !holds(change.condition, live) {
                let current = live.and_then(|live| Version::new(live.version));
                return Ok(Ok(Written::Conflict { change: place, current }));
            }
            let value = match (live, extent) {
                (Some(live), Extent::Whole) => Bytes::copy_from_slice(self.writer.value(live)),
                (None, _) | (_, Extent::Key) => Bytes::new(),
            };
            held += value.len();
            if held > MOST_READ_BYTES {
                return Ok(refused("it reads more than 64 MiB of values; send several"));
            }
            before.push(before_of(live, &value, write.before));
            let effect = match self.effect(&change.action, live, value, &mut counters) {
                Ok(effect) => effect,
                Err(error) => return Ok(Err(error)),
            };
            self.checked.push(Checked { hash, current, effect });
        }
        self.held += held;
        let version = self.append(write)?;
        Ok(Ok(Written::Applied { version, before, counters }))
    }

    /// Whether the write is one that may be carried out now.
    fn admit(&self, write: &Write, reserve: Reserve) -> Result<(), EngineError> {
        let takes_none = |action: &Action| matches!(action, Action::Delete | Action::Check);
        if reserve == Reserve::Use && !write.changes.iter().all(|c| takes_none(&c.action)) {
            return Err(EngineError::DiskFull);
        }
        if write.changes.len() > 1 {
            let mut keys = HashSet::with_capacity(write.changes.len());
            if !write.changes.iter().all(|change| keys.insert(&change.key)) {
                return refused("it names a key more than once");
            }
        }
        let demand = demand_of(std::slice::from_ref(write));
        if self.writer.group_bytes() as u64 + demand.bytes > MOST_GROUP_BYTES as u64 {
            return refused("it is larger than 1 GiB");
        }
        Ok(())
    }

    /// What an action does where this live record stands, the value of which was read.
    fn effect(
        &self,
        action: &Action,
        live: Option<&Current>,
        value: Bytes,
        counters: &mut Vec<i64>,
    ) -> Result<Effect, EngineError> {
        let expires = |at: &Option<UnixMillis>| at.map_or(NEVER, UnixMillis::get);
        match (action, live) {
            (Action::Set { value, expires_at }, _) => {
                Ok(Effect::Set { value: value.clone(), expires: expires(expires_at) })
            }
            (Action::Delete | Action::Expire { .. }, None) | (Action::Check, _) => {
                Ok(Effect::Nothing)
            }
            (Action::Delete, Some(_)) => Ok(Effect::Delete),
            (Action::Expire { at }, Some(_)) => Ok(Effect::Set { value, expires: expires(at) }),
            (Action::Increment { by }, live) => {
                let table = || self.table.to_string();
                let before = match live {
                    Some(_) => integer(&value)
                        .ok_or_else(|| EngineError::NotAnInteger { table: table() })?,
                    None => 0,
                };
                let after = before
                    .checked_add(*by)
                    .ok_or_else(|| EngineError::Overflow { table: table() })?;
                counters.push(after);
                let expires = live.map_or(NEVER, |live| live.expires);
                Ok(Effect::Set { value: after.to_string().into(), expires })
            }
        }
    }

    /// Adds the checked write's records to the group; the answer is its version, if it has any.
    fn append(&mut self, write: &Write) -> Result<Option<Version>, Failed> {
        let Some(version) = Version::new(self.version + 1) else {
            let error = std::io::Error::other("the table has used up its versions");
            return Err(Failed::Broken(StorageError::Io {
                action: "write",
                file: self.table.as_str().into(),
                source: error,
            }));
        };
        let mut written = None;
        for (change, Checked { hash, current, effect }) in write.changes.iter().zip(&self.checked) {
            let content = match effect {
                Effect::Nothing => continue,
                Effect::Set { value, expires } => Content::Set { value, expires: *expires },
                Effect::Delete => Content::Delete,
            };
            self.writer
                .append((*hash, &change.key), content, version.get(), current.as_ref())
                .map_err(Failed::Broken)?;
            written = Some(version);
        }
        // Values that a write has read or brought are not kept for the next one.
        self.checked.clear();
        if written.is_some() {
            self.version = version.get();
        }
        Ok(written)
    }
}

/// How much of a record a change needs.
fn extent(before: BeforeDetail, action: &Action) -> Extent {
    match (before, action) {
        (BeforeDetail::Record, _)
        | (BeforeDetail::Presence, Action::Increment { .. } | Action::Expire { .. }) => {
            Extent::Whole
        }
        (BeforeDetail::Presence, Action::Set { .. } | Action::Delete | Action::Check) => {
            Extent::Key
        }
    }
}

fn before_of(live: Option<&Current>, value: &Bytes, detail: BeforeDetail) -> Before {
    match (live, detail) {
        (None, _) => Before::Absent,
        (Some(_), BeforeDetail::Presence) => Before::Present,
        (Some(live), BeforeDetail::Record) => record(live.version, live.expires, value.clone())
            .map_or(Before::Present, Before::Record),
    }
}

fn refused<T>(reason: &'static str) -> Result<T, EngineError> {
    Err(EngineError::Refused { reason })
}

/// What one write may read, to answer with it or to write it again: any value, but not any value
/// for each of a thousand keys, which a few bytes on the wire could ask for.
const MOST_READ_BYTES: usize = LARGEST_MAX_VALUE_BYTES;
/// A group has 4-byte offsets; this keeps them far from their end.
const MOST_GROUP_BYTES: usize = 1 << 30;
