//! Writes against an etcd in memory, and against what the engine promises.

use std::collections::BTreeMap;

use bytes::Bytes;
use kvsd::{TableName, UnixMillis, Version};
use proptest::prelude::*;

use super::super::super::layout::{DataKey, Hint, Layout, StoredRecord};
use super::super::plan::{self, Place, Plan, Scope, Seen};
use super::super::txn::{Nested, Reply, Snapshot, Step, Stood, Tells};
use crate::engine::{
    Action, Before, BeforeDetail, Change, Condition, EngineError, Record, Write, WriteResult,
    Written,
};

/// What etcd does with one write's part of a group: all compares first, then one operation after the
/// other, at one revision.
#[derive(Clone, Default)]
struct Etcd {
    revision: i64,
    keys: BTreeMap<Bytes, (i64, Bytes)>,
}

impl Etcd {
    fn apply(&mut self, nested: &Nested) -> Reply {
        self.revision += 1;
        let revision = |key: &Bytes| self.keys.get(key).map_or(0, |(revision, _)| *revision);
        let holds = nested.guards.iter().all(|guard| revision(&guard.key) == guard.revision);
        if !holds {
            return Reply::Else(nested.otherwise.iter().map(|key| self.get(key)).collect());
        }
        let mut told = Vec::new();
        for step in &nested.steps {
            let (key, tells) = match step {
                Step::Put { key, tells, .. } | Step::Delete { key, tells } => (key, *tells),
                Step::Get { key } => (key, Tells::Before),
            };
            told.push(if tells == Tells::Before { self.get(key) } else { None });
            match step {
                Step::Put { value, .. } => {
                    self.keys.insert(key.clone(), (self.revision, value.clone()));
                }
                Step::Delete { .. } => {
                    self.keys.remove(key);
                }
                Step::Get { .. } => {}
            }
        }
        Reply::Done(told)
    }

    fn get(&self, key: &Bytes) -> Option<Stood> {
        let (revision, value) = self.keys.get(key)?;
        Some(Stood { revision: *revision, value: value.clone() })
    }

    fn snapshot(&self, nested: &Nested) -> Snapshot {
        nested.keys().filter_map(|key| Some((key.clone(), self.get(key)?))).collect()
    }
}

/// What the engine promises, said once more.
#[derive(Default)]
struct Promised {
    records: BTreeMap<Bytes, Record>,
}

impl Promised {
    fn write(&mut self, write: &Write, now: UnixMillis, version: Version) -> WriteResult {
        let mut after = self.records.clone();
        after.retain(|_, record| record.expires_at.is_none_or(|end| end > now));
        let (mut before, mut counters, mut writes) = (Vec::new(), Vec::new(), false);
        for (place, change) in write.changes.iter().enumerate() {
            let record = after.get(&change.key).cloned();
            let current = record.as_ref().map(|record| record.version);
            let holds = match change.condition {
                Condition::Any => true,
                Condition::Absent => record.is_none(),
                Condition::Present => record.is_some(),
                Condition::Version(version) => current == Some(version),
            };
            if !holds {
                return Ok(Written::Conflict { change: place, current });
            }
            before.push(match (&record, write.before) {
                (None, _) => Before::Absent,
                (Some(_), BeforeDetail::Presence) => Before::Present,
                (Some(record), BeforeDetail::Record) => Before::Record(record.clone()),
            });
            let mut put = |value: Bytes, expires_at| {
                writes = true;
                after.insert(change.key.clone(), Record { version, expires_at, value });
            };
            match (&change.action, record) {
                (Action::Set { value, expires_at }, _) => put(value.clone(), *expires_at),
                (Action::Delete, Some(_)) => {
                    writes = true;
                    after.remove(&change.key);
                }
                (Action::Increment { by }, record) => {
                    let table = "t".to_owned();
                    let text = record.as_ref().map_or(&b"0"[..], |record| &record.value);
                    // Whatever else there is among the values of the test is a number.
                    if matches!(text, b"x" | b"07") {
                        return Err(EngineError::NotAnInteger { table });
                    }
                    let number: i64 = std::str::from_utf8(text).unwrap().parse().unwrap();
                    let Some(sum) = number.checked_add(*by) else {
                        return Err(EngineError::Overflow { table });
                    };
                    counters.push(sum);
                    put(sum.to_string().into(), record.and_then(|record| record.expires_at));
                }
                (Action::Expire { at }, Some(record)) => put(record.value, *at),
                (Action::Delete | Action::Expire { .. }, None) | (Action::Check, _) => {}
            }
        }
        if writes {
            self.records = after;
        }
        Ok(Written::Applied { version: writes.then_some(version), before: before.into(), counters })
    }
}

/// Carries a write out as the task does, on what was seen, right or wrong.
fn carry_out(
    etcd: &mut Etcd,
    layout: &Layout,
    write: &Write,
    mut seen: Seen,
    scope: Scope,
    now: UnixMillis,
) -> WriteResult {
    let table = TableName::parse("t").unwrap();
    let place = Place { layout, table: &table, id: 7, now, hint: etcd.revision.unsigned_abs() };
    loop {
        let plan = Plan::new(write, &seen, scope, &place);
        let before = etcd.snapshot(&plan.nested);
        let reply = etcd.apply(&plan.nested);
        assert!(reply == plan.nested.replay(&before), "a lost answer is not what it was");
        let told = match reply {
            Reply::Done(told) => return plan.result(write, &told, etcd.revision),
            Reply::Else(told) => told,
        };
        seen = plan.seen(write, told);
        if let Some(result) = Plan::new(write, &seen, scope, &place).settled() {
            return result.clone();
        }
    }
}

fn time(millis: u64) -> UnixMillis {
    UnixMillis::new(millis).unwrap()
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        4 => Just(Condition::Any),
        1 => Just(Condition::Absent),
        1 => Just(Condition::Present),
        1 => (1_u64..20).prop_map(|version| Condition::Version(Version::new(version).unwrap())),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let end = || prop::option::of((90_u64..200).prop_map(time));
    let values = ["7", "-3", "x", "07", "9223372036854775807"];
    let value = prop::sample::select(values.to_vec()).prop_map(Bytes::from);
    prop_oneof![
        3 => (value, end()).prop_map(|(value, expires_at)| Action::Set { value, expires_at }),
        1 => Just(Action::Delete),
        2 => (1_i64..3).prop_map(|by| Action::Increment { by }),
        1 => end().prop_map(|at| Action::Expire { at }),
        1 => Just(Action::Check),
    ]
}

fn write() -> impl Strategy<Value = Write> {
    let change = (condition(), action());
    let keys = Just(["a", "b", "c", "d"].map(Bytes::from).to_vec()).prop_shuffle();
    (prop::collection::vec(change, 1..4), keys, any::<bool>()).prop_map(|(changes, keys, whole)| {
        let change = |((condition, action), key)| Change { key, condition, action };
        let before = if whole { BeforeDetail::Record } else { BeforeDetail::Presence };
        Write { changes: changes.into_iter().zip(keys).map(change).collect(), before }
    })
}

/// How a write of the test is planned at first.
#[derive(Debug, Clone, Copy)]
enum Start {
    /// On what stands there, where that matters.
    Looked,
    /// On what stood there some time ago.
    Stale,
    /// On nothing.
    Blind,
    /// On all that stands there.
    All,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn writes_come_to_what_is_promised_and_a_lost_answer_to_the_same(
        writes in prop::collection::vec(
            (write(), 0_u64..20, prop::sample::select(
                vec![Start::Looked, Start::Stale, Start::Blind, Start::All],
            )),
            1..24,
        ),
    ) {
        let layout = Layout::new("kvsd");
        let (mut etcd, mut promised) = (Etcd::default(), Promised::default());
        let mut past = etcd.clone();
        let mut now = 100;
        for (write, pause, start) in writes {
            now += pause;
            let look = |etcd: &Etcd, scope: Scope| -> Seen {
                let at = |change: &Change| {
                    let key = layout.record(7, &change.key).into();
                    let looks = scope == Scope::All || plan::depends(change);
                    if looks { etcd.get(&key) } else { None }
                };
                write.changes.iter().map(at).collect()
            };
            let (seen, scope) = match start {
                Start::Looked => (look(&etcd, Scope::Needed), Scope::Needed),
                Start::Stale => (look(&past, Scope::Needed), Scope::Needed),
                Start::Blind => (plan::nothing_seen(&write), Scope::Needed),
                Start::All => (look(&etcd, Scope::All), Scope::All),
            };
            if now % 3 == 0 {
                past = etcd.clone();
            }
            let result = carry_out(&mut etcd, &layout, &write, seen, scope, time(now));
            let version = plan::version(etcd.revision).unwrap();
            prop_assert_eq!(result, promised.write(&write, time(now), version));
        }
        let mut hinted: Vec<(UnixMillis, Bytes)> = Vec::new();
        for (key, (_, value)) in &etcd.keys {
            if let Some(hint) = Hint::parse(value)
                && layout.data_of(7, key).is_none()
            {
                hinted.extend(hint.keys);
            }
        }
        let live = |record: &Record| record.expires_at.is_none_or(|end| end > time(now));
        let mut left = promised.records;
        left.retain(|_, record| live(record));
        for (key, (revision, value)) in &etcd.keys {
            let Some(DataKey::Record(key)) = layout.data_of(7, key) else { continue };
            let stored = StoredRecord::parse(value.clone()).unwrap();
            let entry = stored.expires_at.map(|end| (end, Bytes::copy_from_slice(key)));
            prop_assert!(entry.is_none_or(|entry| hinted.contains(&entry)));
            if !stored.has_ended(time(now)) {
                let record = left.remove(key).expect("nothing stands there that should not");
                prop_assert_eq!(record.version, plan::version(*revision).unwrap());
                prop_assert_eq!(&record.value, &stored.value);
                prop_assert_eq!(record.expires_at, stored.expires_at);
            }
        }
        prop_assert!(left.is_empty());
    }
}
