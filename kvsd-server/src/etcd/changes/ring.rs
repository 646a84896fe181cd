//! What has changed in a table lately, complete from some revision on. No I/O, no clock.
//!
//! ```text
//!  made      begin                            seen      reached
//!   |----------|  step   step step      step    |----------|
//!               every change in here is kept      etcd was there
//! ```
//!
//! Next file to read: [`super::feed`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kvsd::Version;

use super::super::directory::TableRef;
use super::step::{Step, StepKind};
use crate::engine::{ChangePage, PageLimits, Position};

/// The latest changes of a table.
pub(super) struct Ring {
    pub(super) table: TableRef,
    /// All changes with greater revisions are here, up to `seen`.
    begin: u64,
    seen: u64,
    /// The last revision that etcd is known to have reached.
    reached: u64,
    /// The last revision in which the watch has told something.
    event: u64,
    /// The last revision that has changed something.
    changed: u64,
    /// Those that have changes.
    steps: VecDeque<Step>,
    bytes: usize,
    room: Arc<Room>,
}

/// How much memory rings take, of how much.
#[derive(Debug)]
pub(super) struct Room {
    used: AtomicUsize,
    /// The most that one takes, in bytes.
    each: usize,
    /// The most that all take, in bytes.
    all: usize,
}

impl Room {
    pub(super) fn new(each: usize, all: usize) -> Self {
        Self { used: AtomicUsize::new(0), each, all }
    }
}

/// What a ring has to say about what comes behind a position.
#[derive(Debug)]
pub(super) enum Answer {
    /// The changes, or the first of them.
    Page(ChangePage),
    /// There are none, as far as it has seen.
    Nothing(ChangePage),
    /// It is about another table, or larger than any write of ours.
    Gap(Position),
    /// It does not reach back to there, but up to the revision `end`, from where on it does.
    Behind { since: u64, end: u64 },
    /// etcd has not been there yet, as far as is known.
    Ahead,
}

/// Whether there may be something behind a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Some,
    None,
    /// etcd has not been there yet, as far as is known.
    Ahead,
}

impl Ring {
    /// A ring for what comes behind a revision.
    pub(super) fn new(table: TableRef, begin: u64, reached: u64, room: Arc<Room>) -> Self {
        let steps = VecDeque::new();
        Self { table, begin, seen: begin, reached, event: 0, changed: 0, steps, bytes: 0, room }
    }

    /// Takes what comes next. If that is too much, the oldest go.
    pub(super) fn push(&mut self, step: Step) {
        debug_assert!(step.version > self.seen, "a revision comes once, in order");
        let Step { version, kind, .. } = step;
        if kind == StepKind::Foreign {
            *self = Self::new(self.table, version, self.reached, Arc::clone(&self.room));
            self.changed = version;
        } else if !step.changes.is_empty() {
            self.changed = version;
            self.add(step.memory());
            self.steps.push_back(step);
            while self.is_too_large() {
                self.forget_oldest();
            }
        }
        self.event = version;
        self.saw(version);
    }

    fn is_too_large(&self) -> bool {
        let all = self.room.used.load(Ordering::Relaxed);
        self.bytes > 0 && (self.bytes > self.room.each || all > self.room.all)
    }

    fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.room.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Forgets the oldest revision.
    fn forget_oldest(&mut self) {
        if let Some(step) = self.steps.pop_front() {
            let bytes = step.memory();
            self.bytes -= bytes;
            self.room.used.fetch_sub(bytes, Ordering::Relaxed);
            self.begin = self.begin.max(step.version);
        }
    }

    /// There is nothing up to a revision but what came.
    pub(super) fn saw(&mut self, revision: u64) {
        self.seen = self.seen.max(revision);
        self.reached(revision);
    }

    /// etcd was at a revision.
    pub(super) fn reached(&mut self, revision: u64) {
        self.reached = self.reached.max(revision);
    }

    pub(super) fn event(&self) -> u64 {
        self.event
    }

    pub(super) fn begin(&self) -> u64 {
        self.begin
    }

    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Takes what was found between a revision and its begin, if there is room.
    pub(super) fn extend_back(&mut self, mut older: Self) {
        let all = self.room.used.load(Ordering::Relaxed) + older.bytes;
        let fits = self.bytes + older.bytes <= self.room.each && all <= self.room.all;
        let joins =
            older.table == self.table && older.begin < self.begin && self.begin <= older.seen;
        if !fits || !joins {
            return;
        }
        for step in std::mem::take(&mut older.steps).into_iter().rev() {
            // What came in meanwhile is there already.
            if step.version <= self.begin {
                self.add(step.memory());
                self.changed = self.changed.max(step.version);
                self.steps.push_front(step);
            }
        }
        self.begin = older.begin;
        self.event = self.event.max(older.event);
    }

    /// Where a watcher is who is to begin again.
    pub(super) fn now(&self) -> Position {
        Position { incarnation: Some(self.table.id), version: self.seen.max(self.made()) }
    }

    /// What has changed since a position.
    pub(super) fn look(&self, since: Position, limits: PageLimits) -> Answer {
        if since.incarnation.is_some_and(|since| since != self.table.id) {
            return Answer::Gap(self.now());
        }
        if since.version > self.reached {
            return Answer::Ahead;
        }
        let since = since.version.max(self.made());
        if since < self.begin {
            return Answer::Behind { since, end: self.begin };
        }
        let first = self.steps.partition_point(|step| step.version <= since);
        let mut taken = 0;
        let (mut records, mut bytes) = (0, 0);
        for step in self.steps.range(first..) {
            records += step.changes.len();
            bytes += step.bytes();
            let is_over = records > limits.records.max(1) || bytes > limits.bytes;
            if taken > 0 && is_over {
                break;
            }
            taken += 1;
        }
        let is_cut = first + taken < self.steps.len();
        let last = (first + taken).checked_sub(1).and_then(|last| self.steps.get(last));
        let until = match last {
            Some(last) if is_cut => last.version,
            _ => self.seen.max(since),
        };
        let page = page_of(self.steps.range(first..first + taken), self.position(until));
        if taken == 0 { Answer::Nothing(page) } else { Answer::Page(page) }
    }

    /// Whether there may be something behind a position.
    pub(super) fn news(&self, since: Position) -> News {
        let Position { incarnation, version } = since;
        let is_other = incarnation.is_some_and(|since| since != self.table.id);
        // Where there was no table there is one now.
        let is_new = incarnation.is_none() && version <= self.made();
        if is_other || is_new || version.max(self.made()) < self.begin || self.changed > version {
            News::Some
        } else if version > self.reached {
            News::Ahead
        } else {
            News::None
        }
    }

    /// The revision before the one that made the table: its first records may share that.
    fn made(&self) -> u64 {
        u64::try_from(self.table.created).map_or(0, |created| created.saturating_sub(1))
    }

    fn position(&self, version: u64) -> Position {
        Position { incarnation: Some(self.table.id), version }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.room.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The changes of some steps.
fn page_of<'s>(steps: impl Iterator<Item = &'s Step> + Clone, until: Position) -> ChangePage {
    let count = steps.clone().map(|step| step.changes.len()).sum();
    let mut bytes = Vec::with_capacity(steps.clone().map(Step::bytes).sum());
    let mut spans = Vec::with_capacity(count);
    for step in steps {
        // Revisions are 63 bits and begin with 1.
        let Some(version) = Version::new(step.version) else { continue };
        for change in &step.changes {
            bytes.extend_from_slice(&change.key);
            let record = change.record.as_ref();
            let value = record.map(|record| &*record.value);
            bytes.extend_from_slice(value.unwrap_or_default());
            let expires_at = record.and_then(|record| record.expires_at);
            spans.push((change.key.len(), value.map(<[u8]>::len), version, expires_at));
        }
    }
    let mut page = ChangePage::of_bytes(bytes, count, until);
    for (key_bytes, value_bytes, version, expires_at) in spans {
        page.push_span(key_bytes, value_bytes, version, expires_at);
    }
    page
}
