//! One write of a batch: its conditions and actions against what stands at its keys.
//!
//! Everything is checked and computed before anything is added to the open group, so that a write
//! that fails leaves no part of itself.
//!
//! Next file to read: [`super::submission`].

use std::collections::HashSet;

use bytes::Bytes;
use kvsd::{UnixMillis, Version};

use super::convert::{MOST_INTEGER_BYTES, demand_of, holds, in_table, integer, record};
use super::storage::error::StorageError;
use super::storage::group::Content;
use super::storage::index::KeyHash;
use super::storage::reader::{Access, Extent, ReadError};
use super::storage::record::NEVER;
use super::storage::writer::{Current, Reserve};
use super::turn::{Failed, Turn};
use crate::engine::{
    Action, Before, BeforeDetail, Change, EngineError, Few, Write, WriteResult, Written,
};

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
    /// The key has the value that the change brings.
    Set {
        expires: u64,
    },
    /// The key has this value, which was computed or stood there.
    Keep {
        value: Bytes,
        expires: u64,
    },
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
        let mut bytes = write.changes.iter().map(Change::bytes).sum();
        if let Err(error) = self.admit(write, bytes, reserve) {
            return Ok(Err(error));
        }
        self.checked.clear();
        let mut before = Few::with_capacity(write.changes.len());
        let mut counters = Vec::new();
        for (place, change) in write.changes.iter().enumerate() {
            let hashed = (self.writer.hash(&change.key), &*change.key);
            let needs_value = needs_value(write.before, &change.action);
            // A large value is read only once it is clear that it matters.
            let extent = if needs_value { Extent::UpTo(SMALL_BYTES) } else { Extent::Key };
            let mut current = match self.look(hashed, access, extent)? {
                Ok(current) => current,
                Err(error) => return Ok(Err(error)),
            };
            // An expired record is replaced like any other, but counts as absent.
            let is_live = |current: &&Current| current.expires > now;
            let live = current.as_ref().filter(is_live);
            if !holds(change.condition, live) {
                let current = live.and_then(|live| Version::new(live.version));
                return Ok(Ok(Written::Conflict { change: place, current }));
            }
            let mut value = Bytes::new();
            if let Some(found) = live.filter(|_| needs_value) {
                bytes += found.value_bytes;
                if let Err(error) = self.admit_value(write, &change.action, found, bytes) {
                    return Ok(Err(error));
                }
                if self.writer.value(found).is_none() {
                    current = match self.look(hashed, access, Extent::Whole)? {
                        Ok(current) => current,
                        Err(error) => return Ok(Err(error)),
                    };
                }
                let read = current.as_ref().and_then(|current| self.writer.value(current));
                value = read.map(Bytes::copy_from_slice).unwrap_or_default();
            }
            let live = current.as_ref().filter(is_live);
            before.push(before_of(live, &value, write.before));
            let effect = match self.effect(&change.action, live, value, &mut counters) {
                Ok(effect) => effect,
                Err(error) => return Ok(Err(error)),
            };
            self.checked.push(Checked { hash: hashed.0, current, effect });
        }
        let version = self.append(write)?;
        Ok(Ok(Written::Applied { version, before, counters }))
    }

    /// What stands at a key. Whatever is read of values counts, whether it comes to something or not.
    fn look(
        &mut self,
        (hash, key): (KeyHash, &[u8]),
        access: Access,
        extent: Extent,
    ) -> Result<Result<Option<Current>, EngineError>, Failed> {
        let current = match self.writer.current(hash, key, access, extent) {
            Ok(current) => current,
            Err(ReadError::NotCached) => return Err(Failed::NotCached),
            Err(ReadError::Storage(error)) => return Ok(Err(in_table(&self.table, &error))),
        };
        let read = current.as_ref().and_then(|current| self.writer.value(current));
        self.held += match extent {
            Extent::Key => 0,
            Extent::UpTo(_) | Extent::Whole => read.map_or(0, <[u8]>::len),
        };
        Ok(Ok(current))
    }

    /// Whether the write, which brings so many bytes, may be carried out as far as it is known
    /// before anything is read.
    fn admit(&self, write: &Write, bytes: usize, reserve: Reserve) -> Result<(), EngineError> {
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
        self.admit_bytes(write, bytes)
    }

    /// Whether an action may have the value of a record, with which the write has so many bytes.
    fn admit_value(
        &self,
        write: &Write,
        action: &Action,
        found: &Current,
        bytes: usize,
    ) -> Result<(), EngineError> {
        if matches!(action, Action::Increment { .. }) && found.value_bytes > MOST_INTEGER_BYTES {
            return Err(self.not_an_integer());
        }
        self.admit_bytes(write, bytes)
    }

    /// A write of one change may have any value, for there is no smaller one.
    fn admit_bytes(&self, write: &Write, bytes: usize) -> Result<(), EngineError> {
        if write.changes.len() > 1 && bytes > self.most_write_bytes {
            let most = self.most_write_bytes;
            return refused(format!(
                "it has, and reads, more than {most} bytes of keys and values; send several"
            ));
        }
        Ok(())
    }

    fn not_an_integer(&self) -> EngineError {
        EngineError::NotAnInteger { table: self.table.to_string() }
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
            (Action::Set { expires_at, .. }, _) => Ok(Effect::Set { expires: expires(expires_at) }),
            (Action::Delete | Action::Expire { .. }, None) | (Action::Check, _) => {
                Ok(Effect::Nothing)
            }
            (Action::Delete, Some(_)) => Ok(Effect::Delete),
            (Action::Expire { at }, Some(_)) => Ok(Effect::Keep { value, expires: expires(at) }),
            (Action::Increment { by }, live) => {
                let before = match live {
                    Some(_) => integer(&value).ok_or_else(|| self.not_an_integer())?,
                    None => 0,
                };
                let after = before
                    .checked_add(*by)
                    .ok_or_else(|| EngineError::Overflow { table: self.table.to_string() })?;
                counters.push(after);
                let expires = live.map_or(NEVER, |live| live.expires);
                Ok(Effect::Keep { value: after.to_string().into(), expires })
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
            let content = match (effect, &change.action) {
                (Effect::Set { expires }, Action::Set { value, .. })
                | (Effect::Keep { value, expires }, _) => Content::Set { value, expires: *expires },
                (Effect::Delete, _) => Content::Delete,
                // Only a Set is told to set what it brings.
                (Effect::Nothing | Effect::Set { .. }, _) => continue,
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

/// Whether a change needs the value that stands at its key.
fn needs_value(before: BeforeDetail, action: &Action) -> bool {
    match (before, action) {
        (BeforeDetail::Record, _)
        | (BeforeDetail::Presence, Action::Increment { .. } | Action::Expire { .. }) => true,
        (BeforeDetail::Presence, Action::Set { .. } | Action::Delete | Action::Check) => false,
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

fn refused<T>(reason: impl Into<String>) -> Result<T, EngineError> {
    Err(EngineError::Refused { reason: reason.into() })
}

/// A record of so many bytes is read as a whole at once.
const SMALL_BYTES: usize = 64 * 1024;
/// A group has 4-byte offsets; this keeps them far from their end.
const MOST_GROUP_BYTES: usize = 1 << 30;
