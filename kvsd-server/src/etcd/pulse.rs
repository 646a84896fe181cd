//! How calls to etcd went: when one was answered last, and what failed last. Numbers alone.
//!
//! Next file to read: `link`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::error::Fault;

/// How calls went.
#[derive(Debug)]
pub(crate) struct Pulse {
    last: Mutex<Last>,
    answered: AtomicU64,
    failed: AtomicU64,
    retried: AtomicU64,
}

#[derive(Debug)]
struct Last {
    answer: Instant,
    /// What has failed since the last answer.
    fault: Option<Fault>,
    /// When a call was refused because there is no space.
    full: Option<Instant>,
}

/// How many calls there were, by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallCounts {
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// Attempts beyond the first of a call.
    pub(crate) retried: u64,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        let last = Last { answer: Instant::now(), fault: None, full: None };
        let zero = AtomicU64::default;
        Self { last: Mutex::new(last), answered: zero(), failed: zero(), retried: zero() }
    }

    /// A member that knows a leader has answered.
    pub(crate) fn answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        let mut last = self.last();
        last.answer = Instant::now();
        last.fault = None;
    }

    /// An attempt has failed.
    pub(crate) fn attempt_failed(&self, fault: &Fault) {
        let mut last = self.last();
        if matches!(fault, Fault::SpaceAlarm) {
            last.full = Some(Instant::now());
        }
        if fault.may_pass() || matches!(fault, Fault::Denied { .. }) {
            last.fault = Some(fault.clone());
        }
    }

    /// Another attempt follows.
    pub(crate) fn retried(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    /// A call has failed for good.
    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// How long ago the last answer came, and what has failed since.
    pub(crate) fn silence(&self) -> (Duration, Option<Fault>) {
        let last = self.last();
        (last.answer.elapsed(), last.fault.clone())
    }

    /// Whether a call was refused for want of space later than this.
    pub(crate) fn is_full_since(&self, then: Option<Instant>) -> bool {
        self.last().full.is_some_and(|full| then.is_none_or(|then| full > then))
    }

    pub(crate) fn counts(&self) -> CallCounts {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        CallCounts {
            answered: count(&self.answered),
            failed: count(&self.failed),
            retried: count(&self.retried),
        }
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
