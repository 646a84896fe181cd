//! The clock that every engine of a case goes by. Only the case moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kvsd::UnixMillis;

use crate::log::Clock;

/// Stands still until it is moved; a clone is the same clock.
#[derive(Debug, Clone)]
pub(crate) struct TestClock(Arc<AtomicU64>);

impl Default for TestClock {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(START)))
    }
}

impl TestClock {
    /// Moves forward.
    pub(super) fn advance(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixMillis {
        UnixMillis::new(self.0.load(Ordering::Relaxed)).expect("cases do not last for ages")
    }
}

/// A day in 2027.
const START: u64 = 1_800_000_000_000;
