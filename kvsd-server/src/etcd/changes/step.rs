//! What one revision has changed in a table, put together from the events of a watch. No I/O.
//!
//! etcd tells of a revision as a whole, but may cut what it says into messages; events of one
//! revision follow each other. What is no change for who watches is left out here: what a sweep has
//! removed, and deletes of what had ended by then. Next file to read: [`super::ring`].

use std::collections::HashMap;

use bytes::Bytes;
use kvsd::UnixMillis;

use super::super::layout::{DataKey, Layout, StoredRecord, number};

/// An event of a watch.
pub(super) struct Event {
    pub(super) revision: u64,
    /// As it stands in etcd.
    pub(super) key: Vec<u8>,
    /// `None` if the key was deleted.
    pub(super) value: Option<Vec<u8>>,
    /// What stood there before, as far as it is still known.
    pub(super) previous: Option<Vec<u8>>,
}

/// What one revision has changed in a table, in the order of the keys; nothing, if all it has done
/// is no change.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) version: u64,
    pub(super) changes: Vec<StepChange>,
    pub(super) kind: StepKind,
}

/// Whether a step can be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepKind {
    Sound,
    /// Something stands in it that nobody here has written.
    Foreign,
}

/// One key's change.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct StepChange {
    pub(super) key: Bytes,
    /// `None` if the record was deleted.
    pub(super) record: Option<StoredRecord>,
}

/// Never shows a key or a value.
impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Step({}, {} changes, {:?})", self.version, self.changes.len(), self.kind)
    }
}

impl Step {
    /// Bytes of its keys and values.
    pub(super) fn bytes(&self) -> usize {
        self.changes.iter().map(StepChange::bytes).sum()
    }

    /// Bytes that it takes in memory.
    pub(super) fn memory(&self) -> usize {
        self.bytes() + size_of::<Self>() + self.changes.len() * size_of::<StepChange>()
    }
}

impl StepChange {
    fn bytes(&self) -> usize {
        self.key.len() + self.record.as_ref().map_or(0, |record| record.value.len())
    }
}

/// Puts steps together.
pub(super) struct Gatherer {
    layout: Layout,
    /// The table.
    id: u64,
    open: Option<Open>,
}

/// The revision whose events come now.
struct Open {
    step: Step,
    is_sweep: bool,
    /// The time that its deletes went by.
    time: Option<UnixMillis>,
    /// When what was deleted would have ended, or has.
    ends: HashMap<Bytes, UnixMillis>,
}

impl Gatherer {
    pub(super) fn new(layout: Layout, id: u64) -> Self {
        Self { layout, id, open: None }
    }

    /// Takes an event; the revision before it, if that is complete now.
    pub(super) fn push(&mut self, event: Event) -> Option<Step> {
        let version = event.revision;
        let is_next = self.open.as_ref().is_none_or(|open| open.step.version != version);
        let complete = if is_next { self.end() } else { None };
        let open = self.open.get_or_insert_with(|| Open {
            step: Step { version, changes: Vec::new(), kind: StepKind::Sound },
            is_sweep: false,
            time: None,
            ends: HashMap::new(),
        });
        let change = match self.layout.data_of(self.id, &event.key) {
            Some(DataKey::Sweep) => {
                match event.value.as_deref().and_then(number).and_then(UnixMillis::new) {
                    Some(time) => open.time = Some(time),
                    None => open.is_sweep = true,
                }
                return complete;
            }
            Some(DataKey::Record(key)) => {
                let record = event.value.map(StoredRecord::parse);
                record
                    .map_or(Some(None), |record| record.map(Some))
                    .map(|record| StepChange { key: Bytes::copy_from_slice(key), record })
            }
            None => None,
        };
        let end = event.previous.and_then(StoredRecord::parse).and_then(|record| record.expires_at);
        if let (Some(StepChange { key, record: None }), Some(end)) = (&change, end) {
            open.ends.insert(key.clone(), end);
        }
        match change {
            Some(change) => open.step.changes.push(change),
            None => open.step.kind = StepKind::Foreign,
        }
        complete
    }

    /// The revision whose events came last: there are no more of it.
    pub(super) fn end(&mut self) -> Option<Step> {
        let Open { mut step, is_sweep, time, ends } = self.open.take()?;
        let had_ended =
            |key: &Bytes| ends.get(key).zip(time).is_some_and(|(end, time)| *end <= time);
        step.changes
            .retain(|change| change.record.is_some() || !(is_sweep || had_ended(&change.key)));
        step.changes.sort_by(|a, b| a.key.cmp(&b.key));
        Some(step)
    }
}
