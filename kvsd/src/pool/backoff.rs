//! How long to wait before the next attempt to connect, and how any wait grows and differs.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

/// What the attempts so far have taught.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    /// The next attempt waits until then.
    pub(super) not_before: Option<Instant>,
}

/// The wait after the first failed attempt; it doubles with each one that follows.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

impl Backoff {
    /// Attempts that fail while the wait lasts count as one.
    pub(super) fn fail(&mut self) {
        let now = Instant::now();
        if self.not_before.is_some_and(|time| now < time) {
            return;
        }
        let wait = jitter(doubled(FIRST_BACKOFF, self.failures, MAX_BACKOFF));
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + wait);
    }

    /// Until when the next attempt waits, if it does.
    pub(super) fn wait(&self, now: Instant) -> Option<Instant> {
        self.not_before.filter(|time| now < *time)
    }

    pub(super) fn succeed(&mut self) {
        *self = Self::default();
    }
}

/// `first`, doubled so many times, and never more than `most`.
pub(crate) fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    let factor = 1_u32.checked_shl(times).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(most)
}

/// Between half of `wait` and all of it, so that clients of one server do not march in step.
pub(crate) fn jitter(wait: Duration) -> Duration {
    wait / 2 + wait.mul_f64(random_fraction() / 2.0)
}

/// From 0 to 1, and not to be foreseen.
pub(crate) fn random_fraction() -> f64 {
    let random = u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or_default();
    f64::from(random) / f64::from(u32::MAX)
}

/// Below `bound`, which is not 0, and not to be foreseen.
pub(super) fn random_below(bound: usize) -> usize {
    usize::try_from(RandomState::new().hash_one(()) >> 33).unwrap_or_default() % bound
}
