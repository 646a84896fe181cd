//! What a table must hold, as an ordered map, and what it may hold after a crash.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kvsd::{UnixMillis, Version};

use crate::engine::{
    Action, Before, BeforeDetail, Condition, EngineError, Record, Write, WriteResult, Written,
};

/// A record of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModelRecord {
    pub(super) version: u64,
    pub(super) expires: Option<u64>,
    pub(super) value: Bytes,
}

/// A table's records, those that have expired included.
pub(super) type Snapshot = BTreeMap<Bytes, ModelRecord>;

/// A table's past: what was acknowledged, and every state that a crash may take it back to.
#[derive(Debug, Clone)]
pub(super) struct History {
    /// States from the last that is durable for sure to the latest that may survive.
    allowed: Vec<Snapshot>,
    /// The states before each batch.
    past: Vec<Snapshot>,
    /// What readers see.
    pub(super) shown: Snapshot,
    /// Every version that was ever shown, by what it wrote.
    versions: BTreeSet<u64>,
    last_version: u64,
    time: u64,
}

/// Stands for the version of a write whose answer did not tell it.
const ANY_VERSION: u64 = Version::MAX;

/// A violation, in words.
pub(super) type Checked<T> = Result<T, String>;

impl History {
    pub(super) fn new() -> Self {
        Self {
            allowed: vec![Snapshot::new()],
            past: Vec::new(),
            shown: Snapshot::new(),
            versions: BTreeSet::new(),
            last_version: 0,
            time: 0,
        }
    }

    /// Takes a clock reading as the table does.
    pub(super) fn advance(&mut self, now: u64) -> u64 {
        self.time = self.time.max(now);
        self.time
    }

    /// Whether a record that ends then counts as absent.
    pub(super) fn has_expired(&self, expires: Option<u64>) -> bool {
        expires.is_some_and(|end| end <= self.time)
    }

    /// Whether a reader may find this.
    pub(super) fn is_shown(&self, mut found: Snapshot) -> bool {
        let mut shown = self.shown.clone();
        drop_expired(&mut found, self.time);
        drop_expired(&mut shown, self.time);
        found == shown
    }

    /// Everything shown is durable now.
    pub(super) fn all_durable(&mut self) {
        self.allowed = vec![self.shown.clone()];
    }

    /// Checks the answers to a batch, and takes it into the history.
    pub(super) fn take(
        &mut self,
        batch: &[Vec<Write>],
        results: &[Vec<WriteResult>],
        now: u64,
    ) -> Checked<()> {
        let now = self.advance(now);
        self.past.push(self.shown.clone());
        let mut published = self.shown.clone();
        let mut possible = self.shown.clone();
        let mut is_unknown = false;
        let mut next = self.last_version;
        for (write, result) in batch.iter().flatten().zip(results.iter().flatten()) {
            match result {
                Ok(written) => {
                    let expected = carry_out(&mut published, write, now, applied(written));
                    if expected.as_ref() != Ok(written) {
                        return Err(format!("{write:?} gave {written:?}, not {expected:?}"));
                    }
                    if let Some(version) = applied(written) {
                        if version <= next || !self.versions.insert(version) {
                            return Err(format!("version {version} after {next}"));
                        }
                        next = version;
                    }
                    let _ = carry_out(&mut possible, write, now, applied(written));
                }
                Err(EngineError::UnknownOutcome { .. }) => {
                    is_unknown = true;
                    // Its version was never shown.
                    let _ = carry_out(&mut possible, write, now, Some(ANY_VERSION));
                }
                Err(EngineError::NotAnInteger { .. } | EngineError::Overflow { .. }) => {
                    let expected = carry_out(&mut published.clone(), write, now, None);
                    if expected.as_ref().err() != result.as_ref().err() {
                        return Err(format!("{write:?} gave {result:?}, not {expected:?}"));
                    }
                }
                Err(_) => {}
            }
        }
        self.last_version = next;
        if is_unknown {
            self.allowed.push(possible);
        } else {
            self.shown = published;
            self.allowed.push(self.shown.clone());
        }
        Ok(())
    }

    /// Allows the states before the last so many batches, all of which did something.
    pub(super) fn allow_past(&mut self, batches: usize) {
        self.allowed.extend(self.past.iter().rev().take(batches).cloned());
    }

    /// Checks what a table holds after it was opened again; that is durable now.
    pub(super) fn reopened(&mut self, found: Snapshot, time: u64) -> Checked<()> {
        let mut found = found;
        drop_expired(&mut found, time);
        self.allowed.iter_mut().for_each(|allowed| drop_expired(allowed, time));
        if !self.allowed.iter().any(|allowed| is_same(allowed, &found)) {
            let brief = |record: Option<&ModelRecord>| {
                record.map(|record| (record.version, record.expires, record.value.len()))
            };
            let differing = self.allowed.iter().map(|allowed| {
                let keys: BTreeSet<_> = allowed.keys().chain(found.keys()).collect();
                let pairs = keys.into_iter().map(|key| (key, allowed.get(key), found.get(key)));
                let differing = pairs.filter(|(_, allowed, found)| allowed != found);
                differing.map(|(key, a, f)| (key, brief(a), brief(f))).collect::<Vec<_>>()
            });
            let differing: Vec<_> = differing.collect();
            return Err(format!("recovered what is not allowed: {differing:?}"));
        }
        self.last_version =
            found.values().map(|record| record.version).chain([self.last_version]).max().unwrap();
        self.shown = found;
        self.time = time;
        self.all_durable();
        Ok(())
    }
}

/// What has expired counts as absent, whether compaction has dropped it yet or not.
fn drop_expired(snapshot: &mut Snapshot, time: u64) {
    snapshot.retain(|_, record| record.expires.is_none_or(|end| end > time));
}

fn is_same(allowed: &Snapshot, found: &Snapshot) -> bool {
    allowed.len() == found.len()
        && allowed.iter().zip(found).all(|((key, a), (found_key, f))| {
            key == found_key
                && a.value == f.value
                && a.expires == f.expires
                && (a.version == f.version || a.version == ANY_VERSION)
        })
}

fn applied(written: &Written) -> Option<u64> {
    match written {
        Written::Applied { version, .. } => version.map(Version::get),
        Written::Conflict { .. } => None,
    }
}

/// What a write does to a map, under a version; and what its answer must be.
fn carry_out(
    map: &mut Snapshot,
    write: &Write,
    now: u64,
    version: Option<u64>,
) -> Result<Written, EngineError> {
    let live = |map: &Snapshot, key: &Bytes| {
        map.get(key).filter(|record| record.expires.is_none_or(|end| end > now)).cloned()
    };
    let (mut before, mut counters) = (Vec::new(), Vec::new());
    let mut changed = Vec::new();
    for (place, change) in write.changes.iter().enumerate() {
        let current = live(map, &change.key);
        let holds = match change.condition {
            Condition::Any => true,
            Condition::Absent => current.is_none(),
            Condition::Present => current.is_some(),
            Condition::Version(v) => current.as_ref().is_some_and(|c| c.version == v.get()),
        };
        if !holds {
            let current = current.and_then(|record| Version::new(record.version));
            return Ok(Written::Conflict { change: place, current });
        }
        let record = |value, expires| {
            Some(ModelRecord { version: version.unwrap_or_default(), expires, value })
        };
        match (&change.action, &current) {
            (Action::Set { value, expires_at }, _) => {
                changed.push((&change.key, record(value.clone(), expires_at.map(UnixMillis::get))));
            }
            (Action::Delete | Action::Expire { .. }, None) => {}
            (Action::Delete, Some(_)) => changed.push((&change.key, None)),
            (Action::Expire { at }, Some(current)) => {
                let expires = at.map(UnixMillis::get);
                changed.push((&change.key, record(current.value.clone(), expires)));
            }
            (Action::Increment { by }, current) => {
                let table = "model".to_owned();
                let stored = current.as_ref().map_or(&b"0"[..], |record| &record.value);
                let number = std::str::from_utf8(stored).ok().and_then(|text| text.parse().ok());
                let Some(number) = number.filter(|n: &i64| n.to_string().as_bytes() == stored)
                else {
                    return Err(EngineError::NotAnInteger { table });
                };
                let sum = number.checked_add(*by).ok_or(EngineError::Overflow { table })?;
                counters.push(sum);
                let expires = current.as_ref().and_then(|record| record.expires);
                changed.push((&change.key, record(sum.to_string().into(), expires)));
            }
        }
        before.push(match (current, write.before) {
            (None, _) => Before::Absent,
            (Some(_), BeforeDetail::Presence) => Before::Present,
            (Some(record), BeforeDetail::Record) => Before::Record(Record {
                version: Version::new(record.version).expect("it was written"),
                expires_at: record.expires.and_then(UnixMillis::new),
                value: record.value,
            }),
        });
    }
    let wrote = version.filter(|_| !changed.is_empty()).and_then(Version::new);
    for (key, record) in changed {
        match record {
            Some(record) => drop(map.insert(key.clone(), record)),
            None => drop(map.remove(key)),
        }
    }
    Ok(Written::Applied { version: wrote, before, counters })
}
