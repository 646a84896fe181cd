//! What a write is in terms of etcd, and what etcd's reply means for the write. No I/O.
//!
//! A change that depends on the record is decided here, on the record that was seen, and bound to
//! that: if another one stands there when it comes to it, nothing is done, and the write is planned
//! again with what stands there then. What was seen may be old: it costs another try, never a wrong
//! answer. Next file to read: `group`.

use bytes::Bytes;
use kvsd::{TableName, UnixMillis, Version};

use super::super::config::EtcdConfig;
use super::super::layout::{Hint, Layout, StoredRecord};
use super::txn::{Guard, Nested, Step, Stood, Tells};
use crate::engine::{
    Action, Before, BeforeDetail, Change, Condition, EngineError, Record, Write, WriteResult,
    Written,
};

/// What was seen at the key of each change; `None`: nothing, or nobody looked because the change does
/// not depend on it.
pub(super) type Seen = Vec<Option<Stood>>;

/// Of which changes it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Of those that depend on it.
    Needed,
    /// Of all.
    All,
}

/// Where and when a write is carried out.
pub(super) struct Place<'a> {
    pub(super) layout: &'a Layout,
    pub(super) table: &'a TableName,
    pub(super) id: u64,
    /// What expiry goes by.
    pub(super) now: UnixMillis,
    /// What the write's hint is called, if it needs one.
    pub(super) hint: u64,
}

/// What is sent for a write, and what it then comes to.
pub(super) struct Plan {
    pub(super) nested: Nested,
    outcome: Outcome,
    scope: Scope,
    now: UnixMillis,
    /// How many of the first guards are others'.
    inherited: usize,
}

enum Outcome {
    /// Nothing is written, and the answer is this.
    Settled(WriteResult),
    /// Something is done, and this is told of each change.
    Done { changes: Vec<Told>, counters: Vec<i64> },
}

/// Where the answer to a change comes from.
#[derive(Clone)]
enum Told {
    /// It is known, and the change writes or does not.
    Known(Before, Writes),
    /// The step of this number tells.
    ByStep(usize, Writes),
}

/// Whether a change writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writes {
    Always,
    /// If there is a record.
    Record,
    Never,
}

/// Whether the write needs a look at its records before it can be planned.
pub(super) fn needs_look(write: &Write) -> bool {
    write.changes.iter().any(|change| match (change.condition, &change.action) {
        (Condition::Any, Action::Set { .. } | Action::Delete | Action::Check) => false,
        // It is tried as if there were none.
        (Condition::Absent, _) => false,
        (Condition::Any, Action::Increment { .. } | Action::Expire { .. })
        | (Condition::Present | Condition::Version(_), _) => true,
    })
}

/// Whether what a change does depends on the record.
pub(super) fn depends(change: &Change) -> bool {
    match change.action {
        Action::Increment { .. } | Action::Expire { .. } => true,
        Action::Set { .. } | Action::Delete | Action::Check => change.condition != Condition::Any,
    }
}

/// Nothing seen: right for a write that needs no look, and for a table that does not exist.
pub(super) fn nothing_seen(write: &Write) -> Seen {
    vec![None; write.changes.len()]
}

impl Plan {
    /// Plans a write on what was seen.
    pub(super) fn new(write: &Write, seen: &Seen, scope: Scope, place: &Place<'_>) -> Self {
        let mut nested = Nested::default();
        let mut keys = Vec::with_capacity(write.changes.len());
        for (change, seen) in write.changes.iter().zip(seen) {
            let key = Bytes::from(place.layout.record(place.id, &change.key));
            if scope.covers(change) {
                let revision = seen.as_ref().map_or(0, |stood| stood.revision);
                nested.guards.push(Guard { key: key.clone(), revision });
                nested.otherwise.push(key.clone());
            }
            keys.push(key);
        }
        let outcome = match effects(write, seen, scope, place, &keys) {
            Ok(effects) => {
                let Effects { steps, changes, counters } = effects;
                nested.steps = steps;
                match nested.steps.is_empty() {
                    true => Outcome::Settled(told(&changes, &[], counters, None, write, place.now)),
                    false => Outcome::Done { changes, counters },
                }
            }
            Err(result) => Outcome::Settled(*result),
        };
        Self { nested, outcome, scope, now: place.now, inherited: 0 }
    }

    /// The answer, if nothing has to be done for it: right as long as the guards hold.
    pub(super) fn settled(&self) -> Option<&WriteResult> {
        match &self.outcome {
            Outcome::Settled(result) => Some(result),
            Outcome::Done { .. } => None,
        }
    }

    /// Whether it writes for certain if it is carried out.
    pub(super) fn puts(&self) -> bool {
        self.nested.steps.iter().any(|step| matches!(step, Step::Put { .. }))
    }

    /// Whether it deletes what nobody has looked at: that may have ended.
    pub(super) fn deletes_unseen(&self) -> bool {
        let is_unseen = |step: &Step| matches!(step, Step::Delete { tells: Tells::Before, .. });
        self.nested.steps.iter().any(is_unseen)
    }

    /// Answers an error instead of doing anything, as long as the guards hold.
    pub(super) fn refuse(&mut self, error: EngineError) {
        self.nested.steps.clear();
        self.outcome = Outcome::Settled(Err(error));
    }

    /// The answer after everything was done, at a revision.
    pub(super) fn result(
        &self,
        write: &Write,
        told_by_steps: &[Option<Stood>],
        revision: i64,
    ) -> WriteResult {
        match &self.outcome {
            Outcome::Settled(result) => result.clone(),
            Outcome::Done { changes, counters } => {
                let at = Some(revision);
                told(changes, told_by_steps, counters.clone(), at, write, self.now)
            }
        }
    }

    /// What the write's keys hold, from a reply that tells it because the guards did not hold.
    pub(super) fn seen(&self, write: &Write, told: Vec<Option<Stood>>) -> Seen {
        let mut told = told.into_iter();
        let seen = |change| if self.scope.covers(change) { told.next().flatten() } else { None };
        write.changes.iter().map(seen).collect()
    }

    pub(super) fn scope(&self) -> Scope {
        self.scope
    }

    pub(super) fn now(&self) -> UnixMillis {
        self.now
    }

    /// What the write is bound to on its own account, if that may not hold: in a table that is made
    /// with it there is nothing.
    pub(super) fn own_guards(&self) -> impl Iterator<Item = &Guard> {
        let own = self.nested.guards.iter().skip(self.inherited);
        own.filter(|_| self.scope == Scope::Needed)
    }

    /// Binds the write to what others are bound to.
    pub(super) fn bind(&mut self, mut others: Vec<Guard>) {
        self.inherited = others.len();
        others.append(&mut self.nested.guards);
        self.nested.guards = others;
    }
}

impl Scope {
    fn covers(self, change: &Change) -> bool {
        match self {
            Self::All => true,
            Self::Needed => depends(change),
        }
    }
}

struct Effects {
    steps: Vec<Step>,
    changes: Vec<Told>,
    counters: Vec<i64>,
}

/// What each change does, or the answer if one of them forbids it.
fn effects(
    write: &Write,
    seen: &Seen,
    scope: Scope,
    place: &Place<'_>,
    keys: &[Bytes],
) -> Result<Effects, Box<WriteResult>> {
    let mut effects = Effects { steps: Vec::new(), changes: Vec::new(), counters: Vec::new() };
    let mut ends = Ends::default();
    let mut bytes = 0;
    for (at, change) in write.changes.iter().enumerate() {
        let Some((seen, key)) = seen.get(at).zip(keys.get(at)) else { break };
        let live = live(seen.as_ref(), place)?;
        if let Some(current) = conflict(change.condition, live.as_ref()) {
            return Err(Box::new(Ok(Written::Conflict { change: at, current })));
        }
        let known = before(live.as_ref(), write.before);
        let is_known = scope.covers(change);
        let tells = if is_known { Tells::Nothing } else { Tells::Before };
        let step = effects.steps.len();
        let told = |writes| match tells {
            Tells::Nothing => Told::Known(known.clone(), writes),
            Tells::Before => Told::ByStep(step, writes),
        };
        let mut put = |effects: &mut Effects, value: &[u8], end: Option<UnixMillis>, is_new| {
            if let (Some(end), true) = (end, is_new) {
                ends.add(end, &change.key);
            }
            bytes += change.key.len() + value.len();
            let value = StoredRecord::encode(end, value).into();
            effects.steps.push(Step::Put { key: key.clone(), value, tells });
        };
        let told = match (&change.action, &live) {
            (Action::Set { value, expires_at }, _) => {
                put(&mut effects, value, *expires_at, true);
                told(Writes::Always)
            }
            (Action::Delete, None) if is_known => told(Writes::Never),
            (Action::Delete, _) => {
                effects.steps.push(Step::Delete { key: key.clone(), tells });
                told(Writes::Record)
            }
            (Action::Increment { by }, _) => {
                let counter = add(live.as_ref(), *by, place.table)?;
                effects.counters.push(counter);
                // Its end was hinted at when it was set.
                let end = live.as_ref().and_then(|live| live.record.expires_at);
                put(&mut effects, counter.to_string().as_bytes(), end, false);
                told(Writes::Always)
            }
            (Action::Expire { .. }, None) => told(Writes::Never),
            (Action::Expire { at }, Some(live)) => {
                put(&mut effects, &live.record.value, *at, true);
                told(Writes::Always)
            }
            (Action::Check, _) if is_known => told(Writes::Never),
            (Action::Check, _) => {
                effects.steps.push(Step::Get { key: key.clone() });
                told(Writes::Never)
            }
        };
        effects.changes.push(told);
    }
    if write.changes.len() > 1 && bytes > EtcdConfig::MAX_WRITE_BYTES {
        return Err(Box::new(Err(EngineError::Refused {
            reason: format!(
                "with the values that it keeps it has more than {} bytes; send several",
                EtcdConfig::MAX_WRITE_BYTES
            ),
        })));
    }
    effects.steps.extend(ends.step(place));
    Ok(effects)
}

/// A record that has not ended.
struct Live {
    version: Version,
    record: StoredRecord,
}

fn live(stood: Option<&Stood>, place: &Place<'_>) -> Result<Option<Live>, Box<WriteResult>> {
    let Some(stood) = stood else { return Ok(None) };
    let damaged = || {
        let place_in_etcd = format!("a record of revision {} in etcd", stood.revision);
        Box::new(Err(EngineError::Corrupt { table: place.table.to_string(), place: place_in_etcd }))
    };
    let record = StoredRecord::parse(stood.value.clone()).ok_or_else(damaged)?;
    let version = version(stood.revision).ok_or_else(damaged)?;
    Ok((!record.has_ended(place.now)).then_some(Live { version, record }))
}

/// What stands there instead, if a condition does not hold.
#[expect(clippy::option_option, reason = "outside: whether it conflicts, inside: with what")]
fn conflict(condition: Condition, live: Option<&Live>) -> Option<Option<Version>> {
    let current = live.map(|live| live.version);
    let holds = match condition {
        Condition::Any => true,
        Condition::Absent => current.is_none(),
        Condition::Present => current.is_some(),
        Condition::Version(version) => current == Some(version),
    };
    (!holds).then_some(current)
}

fn before(live: Option<&Live>, detail: BeforeDetail) -> Before {
    match (live, detail) {
        (None, _) => Before::Absent,
        (Some(_), BeforeDetail::Presence) => Before::Present,
        (Some(Live { version, record }), BeforeDetail::Record) => Before::Record(Record {
            version: *version,
            expires_at: record.expires_at,
            value: record.value.clone(),
        }),
    }
}

/// What a step has told of the record before. A damaged one was there, and is not any more.
fn before_of(stood: Option<&Stood>, detail: BeforeDetail, now: UnixMillis) -> Before {
    let Some(stood) = stood else { return Before::Absent };
    match (StoredRecord::parse(stood.value.clone()), version(stood.revision)) {
        (Some(record), _) if record.has_ended(now) => Before::Absent,
        (Some(record), Some(version)) => before(Some(&Live { version, record }), detail),
        (None, _) | (_, None) => Before::Present,
    }
}

fn add(live: Option<&Live>, by: i64, table: &TableName) -> Result<i64, Box<WriteResult>> {
    let table = || table.to_string();
    let before = match live {
        None => 0,
        Some(live) => integer(&live.record.value)
            .ok_or_else(|| Box::new(Err(EngineError::NotAnInteger { table: table() })))?,
    };
    before.checked_add(by).ok_or_else(|| Box::new(Err(EngineError::Overflow { table: table() })))
}

/// The integer that a value holds, if it is written as integers are stored.
fn integer(value: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == value).then_some(number)
}

fn told(
    changes: &[Told],
    by_steps: &[Option<Stood>],
    counters: Vec<i64>,
    revision: Option<i64>,
    write: &Write,
    now: UnixMillis,
) -> WriteResult {
    let mut has_written = false;
    let before = changes.iter().map(|told| {
        let (before, writes) = match told {
            Told::Known(before, writes) => (before.clone(), *writes),
            Told::ByStep(step, writes) => {
                let stood = by_steps.get(*step).and_then(Option::as_ref);
                (before_of(stood, write.before, now), *writes)
            }
        };
        has_written |= match writes {
            Writes::Always => true,
            Writes::Record => before != Before::Absent,
            Writes::Never => false,
        };
        before
    });
    let before = before.collect();
    let version = if has_written {
        let version = revision.and_then(version).ok_or_else(|| EngineError::UnknownOutcome {
            cause: "etcd named a revision that cannot be".to_owned(),
        })?;
        Some(version)
    } else {
        None
    };
    Ok(Written::Applied { version, before, counters })
}

/// A revision as a version.
pub(super) fn version(revision: i64) -> Option<Version> {
    Version::new(u64::try_from(revision).ok()?)
}

/// What of a write ends.
#[derive(Default)]
struct Ends {
    keys: Vec<(UnixMillis, Bytes)>,
}

impl Ends {
    fn add(&mut self, end: UnixMillis, key: &Bytes) {
        self.keys.push((end, key.clone()));
    }

    /// One hint for the whole write.
    fn step(self, place: &Place<'_>) -> Option<Step> {
        let hint = Hint { id: place.id, keys: self.keys };
        let bucket = hint.first_bucket()?;
        Some(Step::Put {
            key: place.layout.hint(bucket, place.hint).into(),
            value: hint.encode().into(),
            tells: Tells::Nothing,
        })
    }
}
