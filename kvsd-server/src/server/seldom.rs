//! A line in the log that strangers can provoke: once a second at most, with how many were left out.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    last: Option<Instant>,
    left_out: u64,
}

impl Seldom {
    /// Whether to say it now; then how often it was not said since the last time.
    pub(super) fn may_tell(&self) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.last.is_some_and(|last| last.elapsed() < PERIOD) {
            told.left_out += 1;
            return None;
        }
        told.last = Some(Instant::now());
        Some(std::mem::take(&mut told.left_out))
    }
}

const PERIOD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_a_line_a_second_that_counts_the_others() {
        let seldom = Seldom::default();
        assert_eq!(seldom.may_tell(), Some(0));
        assert_eq!([(); 5].map(|()| seldom.may_tell()), [None; 5]);
        tokio::time::advance(PERIOD).await;
        assert_eq!(seldom.may_tell(), Some(5));
        tokio::time::advance(PERIOD).await;
        assert_eq!(seldom.may_tell(), Some(0));
    }
}
