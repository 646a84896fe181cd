//! How long to wait before the next attempt to connect.

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
        let doubled = FIRST_BACKOFF.saturating_mul(1 << self.failures.min(10)).min(MAX_BACKOFF);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + jitter(doubled));
    }

    pub(super) fn succeed(&mut self) {
        *self = Self::default();
    }
}

/// Between half of `wait` and all of it, so that clients of one server do not march in step.
pub(super) fn jitter(wait: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or_default();
    wait / 2 + wait.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
}
