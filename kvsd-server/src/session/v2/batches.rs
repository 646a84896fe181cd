//! Batches: changes of one table that happen together or not at all.
//!
//! Each is one write of the engine, under one version. Next file to read: `pipeline`.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::sync::Arc;

use kvsd::TableName;
use kvsd::protocol::v2::part::Chunk;
use kvsd::protocol::v2::{self, ANSWER_BYTES, Changed};

use super::answer::Answer;
use super::in_flight::{Held, READ_BYTES};
use super::rules::{Rules, reads_record};
use crate::engine::{Action, Before, BeforeDetail, Change, Engine, EngineError, Write, Written};

/// A batch that breaks no rule.
#[derive(Debug)]
pub(super) struct Batch {
    table: TableName,
    changes: Vec<Change>,
    bytes: usize,
}

impl Batch {
    /// Checks a batch.
    pub(super) fn check(
        rules: &Rules<'_>,
        table: &str,
        changes: &[v2::Change<'_>],
        chunk: &mut Chunk,
    ) -> Result<Self, String> {
        let table = TableName::parse(table).map_err(|error| error.to_string())?;
        let (most, count) = (rules.most, changes.len());
        if count > most.max_batch {
            let limit = most.max_batch;
            return Err(format!(
                "a batch has at most {limit} changes here (max-batch), this one has {count}; send \
                 several"
            ));
        }
        let mut places = HashMap::with_capacity(changes.len());
        let mut checked = Vec::with_capacity(changes.len());
        let mut bytes = 0;
        // One time for all of them: what has the same ttl ends together.
        let now = LazyCell::new(|| rules.engine.time(table.as_str()));
        for (place, change) in changes.iter().enumerate() {
            if let Some(first) = places.insert(change.key, place) {
                return Err(format!(
                    "change {place}, counted from 0: it has the key of change {first}; a batch \
                     names a key once"
                ));
            }
            let change = rules.change(change, chunk, || *now);
            let change = change.map_err(|why| format!("change {place}, counted from 0: {why}"))?;
            bytes += change.bytes();
            checked.push(change);
        }
        let limit = most.max_write_bytes;
        if bytes > limit {
            return Err(format!(
                "a batch has at most {limit} bytes of keys and values here (max-write-bytes), this \
                 one has {bytes}; send several"
            ));
        }
        Ok(Self { table, changes: checked, bytes })
    }

    /// What it is taken to hold in memory.
    pub(super) fn held(&self) -> Held {
        let read = self.changes.iter().filter(|change| reads_record(change)).count();
        let bytes = self.bytes + self.changes.len() * CHANGE_BYTES;
        Held { bytes: bytes + (read * READ_BYTES).min(ANSWER_BYTES), records: read.min(1) }
    }

    /// Carries it out.
    pub(super) async fn run(self, engine: Arc<dyn Engine>) -> Answer {
        let is_counter = |change: &Change| matches!(change.action, Action::Increment { .. });
        let counted: Vec<bool> = self.changes.iter().map(is_counter).collect();
        let write = Write { changes: self.changes.into(), before: BeforeDetail::Presence };
        match engine.write(&self.table, vec![write]).await.pop() {
            Some(Ok(Written::Applied { version, before, counters })) => {
                let mut counters = counters.into_iter();
                let changed = before.iter().zip(counted).map(|(before, counted)| Changed {
                    existed: !matches!(before, Before::Absent),
                    counter: if counted { counters.next() } else { None },
                });
                Answer::Batch { version, changed: changed.collect() }
            }
            Some(Ok(Written::Conflict { change, current })) => {
                Answer::Conflict { current, change: change as u64 }
            }
            Some(Err(error)) => error.into(),
            None => no_answer(),
        }
    }
}

/// The engine answers each write; should it not, nobody knows what has become of it.
pub(super) fn no_answer() -> Answer {
    debug_assert!(false, "the engine answers each write");
    EngineError::UnknownOutcome { cause: "the engine gave no answer".to_owned() }.into()
}

/// What a change holds beside its key and value.
const CHANGE_BYTES: usize = 128;
