//! What the actors of an engine count, for its figures.
//!
//! Next file to read: [`super::actor`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::storage::chore::{Chore, Done};
use crate::engine::CompactionFigures;
use crate::metrics::{Histogram, SIZES, TIMES};

/// What all actors of an engine have done since it was opened.
#[derive(Debug)]
pub(super) struct Counts {
    /// Writes of each group.
    pub(super) groups: Histogram,
    /// Nanoseconds of each sync.
    pub(super) syncs: Histogram,
    compaction: Compaction,
}

#[derive(Debug, Default)]
struct Compaction {
    completed: AtomicU64,
    failed: AtomicU64,
    running: AtomicU64,
    nanos: AtomicU64,
    read_bytes: AtomicU64,
    written_bytes: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            groups: Histogram::new(&SIZES),
            syncs: Histogram::new(&TIMES),
            compaction: Compaction::default(),
        }
    }
}

impl Counts {
    /// Does what may be a sync, and counts how long it took.
    pub(super) fn sync<T>(&self, sync: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let result = sync();
        self.syncs.add(nanos(begun.elapsed()), 1);
        result
    }

    /// Does a chore, and counts it if it is a compaction.
    pub(super) fn run(&self, chore: Chore) -> Done {
        if !matches!(chore, Chore::Compact(_)) {
            return chore.run();
        }
        let (all, begun) = (&self.compaction, Instant::now());
        let add = |counter: &AtomicU64, more| counter.fetch_add(more, Ordering::Relaxed);
        add(&all.running, 1);
        let read_bytes = chore.victim_bytes();
        let done = chore.run();
        add(&all.nanos, nanos(begun.elapsed()));
        match done.copied_bytes() {
            Ok(Some(bytes)) => {
                add(&all.completed, 1);
                add(&all.read_bytes, read_bytes);
                add(&all.written_bytes, bytes);
            }
            // It was not worth the while.
            Ok(None) => {}
            Err(()) => {
                add(&all.failed, 1);
            }
        }
        all.running.fetch_sub(1, Ordering::Relaxed);
        done
    }

    pub(super) fn compaction(&self) -> CompactionFigures {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let all = &self.compaction;
        CompactionFigures {
            completed: load(&all.completed),
            failed: load(&all.failed),
            running: load(&all.running),
            nanos: load(&all.nanos),
            read_bytes: load(&all.read_bytes),
            written_bytes: load(&all.written_bytes),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
