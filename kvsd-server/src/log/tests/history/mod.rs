//! What a table must hold and tell, as an ordered map and a list of changes, and what it may hold
//! and tell after a crash.

mod effect;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kvsd::Version;

use crate::engine::{EngineError, Write, WriteResult};
use effect::{applied, carry_out};

/// A record of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModelRecord {
    pub(super) version: u64,
    pub(super) expires: Option<u64>,
    pub(super) value: Bytes,
}

/// A change as watches are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModelChange {
    pub(super) version: u64,
    pub(super) key: Bytes,
    /// Nothing for a delete.
    pub(super) record: Option<(Bytes, Option<u64>)>,
}

/// A table's records, those that have expired included.
pub(super) type Snapshot = BTreeMap<Bytes, ModelRecord>;

/// A violation, in words.
pub(super) type Checked<T> = Result<T, String>;

/// What a table must answer to who asks for the changes since a version.
#[derive(Debug)]
pub(super) enum Told<'a> {
    /// These, and no others.
    Changes(&'a [ModelChange]),
    /// These, or that they are not all there any more.
    ChangesOrGap(&'a [ModelChange]),
    /// That nobody can go on from there.
    Gap,
}

/// A state that a crash may take the table to.
#[derive(Debug, Clone, Default)]
struct State {
    records: Snapshot,
    /// How many of the changes that were shown belong to it, and those that nobody was told of.
    changes: usize,
    unknown: Vec<ModelChange>,
    /// Whether it is that of another table, made after this one was dropped.
    is_dropped: bool,
}

/// A table's past: what was acknowledged, and every state that a crash may take it back to.
#[derive(Debug, Clone)]
pub(super) struct History {
    /// States from the last that is durable for sure to the latest that may survive.
    allowed: Vec<State>,
    /// The states before each batch.
    past: Vec<State>,
    /// What readers see.
    pub(super) shown: Snapshot,
    /// The changes that led there.
    changes: Vec<ModelChange>,
    /// Every version that was ever shown, of whatever table had the name.
    versions: BTreeSet<u64>,
    /// Those that were shown of this table and are lost.
    lost: BTreeSet<u64>,
    /// Where versions went on after the last end that was not clean.
    jumped_to: u64,
    /// From a version below this on the changes may be gone.
    floor: u64,
    incarnation: Option<u64>,
    last_version: u64,
    time: u64,
}

/// Stands for the version of a write whose answer did not tell it.
const ANY_VERSION: u64 = Version::MAX;

/// What a table says of itself when it is opened.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) records: Snapshot,
    pub(super) incarnation: u64,
    /// Where versions go on, and the highest clock reading.
    pub(super) version: u64,
    pub(super) time: u64,
}

impl History {
    pub(super) fn new() -> Self {
        Self {
            allowed: vec![State::default()],
            past: Vec::new(),
            shown: Snapshot::new(),
            changes: Vec::new(),
            versions: BTreeSet::new(),
            lost: BTreeSet::new(),
            jumped_to: 0,
            floor: 0,
            incarnation: None,
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
    pub(super) fn is_shown(&self, found: &Snapshot) -> bool {
        live_at(found, self.time).eq(live_at(&self.shown, self.time))
    }

    /// Everything shown is durable now.
    pub(super) fn all_durable(&mut self) {
        self.allowed = vec![self.current()];
    }

    fn current(&self) -> State {
        State { records: self.shown.clone(), changes: self.changes.len(), ..State::default() }
    }

    /// Checks the answers to a batch, and takes it into the history.
    pub(super) fn take(
        &mut self,
        batch: &[Vec<Write>],
        results: &[Vec<WriteResult>],
        now: u64,
    ) -> Checked<()> {
        let now = self.advance(now);
        self.past.push(self.current());
        let (mut published, mut told) = (self.shown.clone(), Vec::new());
        let (mut possible, mut untold) = (self.shown.clone(), Vec::new());
        let mut is_unknown = false;
        let mut next = self.last_version;
        for (write, result) in batch.iter().flatten().zip(results.iter().flatten()) {
            match result {
                Ok(written) => {
                    let version = applied(written);
                    let expected = carry_out(&mut published, write, now, version, &mut told);
                    if expected.as_ref() != Ok(written) {
                        return Err(format!("{write:?} gave {written:?}, not {expected:?}"));
                    }
                    if let Some(version) = version {
                        if version <= next || !self.versions.insert(version) {
                            return Err(format!("version {version} after {next}"));
                        }
                        next = version;
                    }
                    let _ = carry_out(&mut possible, write, now, version, &mut untold);
                }
                Err(EngineError::UnknownOutcome { .. }) => {
                    is_unknown = true;
                    // Its version was never shown.
                    let _ = carry_out(&mut possible, write, now, Some(ANY_VERSION), &mut untold);
                }
                Err(EngineError::NotAnInteger { .. } | EngineError::Overflow { .. }) => {
                    let mut copy = published.clone();
                    let expected = carry_out(&mut copy, write, now, None, &mut Vec::new());
                    if expected.as_ref().err() != result.as_ref().err() {
                        return Err(format!("{write:?} gave {result:?}, not {expected:?}"));
                    }
                }
                Err(_) => {}
            }
        }
        self.last_version = next;
        if is_unknown {
            let changes = self.changes.len();
            let state = State { records: possible, changes, unknown: untold, is_dropped: false };
            self.allowed.push(state);
        } else {
            self.shown = published;
            self.changes.extend(told);
            self.allowed.push(self.current());
        }
        Ok(())
    }

    /// Allows the states before the last so many batches, all of which did something.
    pub(super) fn allow_past(&mut self, batches: usize) {
        self.allowed.extend(self.past.iter().rev().take(batches).cloned());
    }

    /// A compaction takes changes up to this version at most, and what has expired by then.
    pub(super) fn may_forget(&mut self, version: u64, now: u64) {
        self.floor = self.floor.max(version);
        self.time = self.time.max(now);
    }

    /// The table was dropped; none of its versions comes again.
    pub(super) fn dropped(&mut self) {
        self.shown.clear();
        self.changes.clear();
        self.lost.clear();
        self.incarnation = None;
        (self.jumped_to, self.floor, self.time) = (0, 0, 0);
        self.all_durable();
    }

    /// Nobody knows whether the table was dropped.
    pub(super) fn may_be_dropped(&mut self) {
        self.allowed.push(State { is_dropped: true, ..State::default() });
    }

    /// Versions from which somebody may want to go on: those of changes, lost ones, and others.
    pub(super) fn places(&self) -> Vec<u64> {
        let changes = self.changes.iter().map(|change| change.version);
        let others = [0, self.jumped_to, self.last_version, self.floor];
        changes.chain(self.lost.iter().copied()).chain(others).collect()
    }

    /// What the table must tell of the changes since a version, if it has reached `version`.
    pub(super) fn since(&self, since: u64, version: u64) -> Told<'_> {
        let start = self.changes.partition_point(|change| change.version <= since);
        let changes = &self.changes[start..];
        let recovered = self.changes.partition_point(|change| change.version <= self.jumped_to);
        let recovered = self.changes[..recovered].last().map_or(0, |change| change.version);
        if since > version || self.lost.contains(&since) {
            Told::Gap
        } else if since < self.floor || (since > recovered && since < self.jumped_to) {
            Told::ChangesOrGap(changes)
        } else {
            Told::Changes(changes)
        }
    }

    /// Checks what a table holds after it was opened again; that is durable now. `tell` is what it
    /// tells of the changes since a version; `None` for a gap.
    pub(super) fn reopened(
        &mut self,
        found: Found,
        mut tell: impl FnMut(u64) -> Checked<Option<Vec<ModelChange>>>,
    ) -> Checked<()> {
        let is_other = self.incarnation.is_some_and(|before| before != found.incarnation);
        let fits = |state: &&State| {
            state.is_dropped == is_other && is_same(&state.records, &found.records, found.time)
        };
        let fitting: Vec<&State> = self.allowed.iter().filter(fits).collect();
        if fitting.is_empty() {
            return Err(self.difference(&found));
        }
        let same_table = self.allowed.iter().filter(|state| !state.is_dropped);
        let durable = same_table.map(|state| state.changes).min().unwrap_or_default();
        let base = self.changes[..durable].last().map_or(0, |change| change.version);
        let behind = self.changes[durable..].iter().map(|change| change.version);
        // What compaction has taken by now is told from a later place on, if from any.
        let others = [base, self.jumped_to, found.version];
        let places: BTreeSet<u64> = behind.chain(others).filter(|it| *it >= base).collect();
        let (mut gaps, mut told) = (Vec::new(), None);
        for place in places {
            if let Some(changes) = tell(place)? {
                told = Some((place, changes));
                break;
            }
            gaps.push(place);
        }
        let Some((place, told)) = told else {
            return Err("nobody can go on from the version that the table has".into());
        };
        let fits = |state: &&&State| {
            let known = self.changes[..state.changes].iter().filter(|it| it.version > place);
            let expected: Vec<_> = known.chain(&state.unknown).collect();
            place == found.version || is_told(&expected, &told)
        };
        let Some(state) = fitting.iter().rev().find(fits) else {
            return Err(format!("since {place} it tells {told:?}, which is not allowed"));
        };
        let count = state.changes;
        if is_other {
            self.dropped();
        } else {
            let lost = self.changes[count..].iter().map(|change| change.version);
            self.lost.extend(lost);
            if found.version > self.last_version + (1 << 31) {
                // Only one gap is told: of two, what is before the second is gone.
                self.floor = self.floor.max(self.jumped_to);
                self.jumped_to = found.version;
            }
            self.changes.truncate(count);
            self.changes.retain(|change| change.version <= place);
            self.changes.extend(told);
            let last = self.changes.last().map_or(0, |change| change.version);
            // What is behind the last change that is there may have been lost.
            let is_allowed = |gap: &u64| *gap < self.floor || *gap > last;
            if !gaps.iter().all(is_allowed) {
                return Err(format!("gaps at {gaps:?}, and the floor is {}", self.floor));
            }
        }
        let versions = found.records.values().map(|record| record.version);
        self.last_version = versions.chain([self.last_version]).max().unwrap();
        self.shown = found.records;
        self.entered(found.incarnation, found.time);
        self.shown.retain(|_, record| record.expires.is_none_or(|end| end > found.time));
        self.all_durable();
        Ok(())
    }

    /// A table was opened, or made.
    pub(super) fn entered(&mut self, incarnation: u64, time: u64) {
        self.incarnation = Some(incarnation);
        self.time = time;
    }

    fn difference(&self, found: &Found) -> String {
        let brief = |record: Option<&ModelRecord>| {
            record.map(|record| (record.version, record.expires, record.value.len()))
        };
        let differing = self.allowed.iter().map(|State { records: allowed, .. }| {
            let keys: BTreeSet<_> = allowed.keys().chain(found.records.keys()).collect();
            let pairs = keys.into_iter().map(|key| (key, allowed.get(key), found.records.get(key)));
            let differing = pairs.filter(|(_, allowed, found)| allowed != found);
            differing.map(|(key, a, f)| (key, brief(a), brief(f))).collect::<Vec<_>>()
        });
        let differing: Vec<_> = differing.collect();
        format!("recovered what is not allowed at {}: {differing:?}", found.time)
    }
}

/// What has expired counts as absent, whether compaction has dropped it yet or not.
fn live_at(records: &Snapshot, time: u64) -> impl Iterator<Item = (&Bytes, &ModelRecord)> {
    records.iter().filter(move |(_, record)| record.expires.is_none_or(|end| end > time))
}

fn is_same(allowed: &Snapshot, found: &Snapshot, time: u64) -> bool {
    let is_same = |((key, a), (found_key, f)): ((&Bytes, &ModelRecord), (&Bytes, &ModelRecord))| {
        key == found_key
            && a.value == f.value
            && a.expires == f.expires
            && (a.version == f.version || a.version == ANY_VERSION)
    };
    live_at(allowed, time).count() == live_at(found, time).count()
        && live_at(allowed, time).zip(live_at(found, time)).all(is_same)
}

fn is_told(expected: &[&ModelChange], told: &[ModelChange]) -> bool {
    let is_same = |(expected, told): (&&ModelChange, &ModelChange)| {
        expected.key == told.key
            && expected.record == told.record
            && (expected.version == told.version || expected.version == ANY_VERSION)
    };
    expected.len() == told.len() && expected.iter().zip(told).all(is_same)
}
