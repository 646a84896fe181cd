//! What a write does to a map, and what its answer must be.

use bytes::Bytes;
use kvsd::{UnixMillis, Version};

use super::{ModelChange, ModelRecord, Snapshot};
use crate::engine::{Action, Before, BeforeDetail, Condition, EngineError, Record, Write, Written};

/// The version of a write that did something.
pub(super) fn applied(written: &Written) -> Option<u64> {
    match written {
        Written::Applied { version, .. } => version.map(Version::get),
        Written::Conflict { .. } => None,
    }
}

/// Carries a write out on a map, under a version, and tells of the changes; says what its answer
/// must be.
pub(super) fn carry_out(
    map: &mut Snapshot,
    write: &Write,
    now: u64,
    version: Option<u64>,
    told: &mut Vec<ModelChange>,
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
            (Action::Delete | Action::Expire { .. }, None) | (Action::Check, _) => {}
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
        told.push(ModelChange {
            version: version.unwrap_or_default(),
            key: key.clone(),
            record: record.as_ref().map(|it: &ModelRecord| (it.value.clone(), it.expires)),
        });
        match record {
            Some(record) => drop(map.insert(key.clone(), record)),
            None => drop(map.remove(key)),
        }
    }
    Ok(Written::Applied { version: wrote, before: before.into(), counters })
}
