//! How often operations may be sent again: each by itself, and all of a client together.
//!
//! A server in trouble must not get more work from those who try again. So a client repeats at most
//! a tenth of what it asks, besides a small reserve, and pauses a random time. What had not left as
//! a whole when its connection was lost is free: no server has worked for it. Knows no request.
//! Next file to read: `backoff`.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::backoff::{doubled, jitter};

/// What an operation that is sent again takes from the budget; an operation brings one.
const COST: u32 = 10;
/// The most that the budget holds: enough for 100.
const RESERVE: u32 = 100 * COST;
/// How often an operation that cannot have been carried out is sent again after its connection was
/// lost: each connection of a pool may be dead once, a server that drops all of them is not chased.
const MAX_RESENDS: u32 = 3;
/// The first pause; it doubles with each one that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// What all operations of a client may spend on being sent again.
#[derive(Debug)]
pub(crate) struct Budget {
    left: AtomicU32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: AtomicU32::new(RESERVE) }
    }
}

impl Budget {
    /// An operation begins.
    pub(crate) fn earn(&self) {
        // Read only while it is full, as it is almost always: many threads pass here. What a race
        // adds above the reserve is one for each thread.
        if self.left.load(Ordering::Relaxed) < RESERVE {
            self.left.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Pays for one that is sent again; false if there is not enough left.
    fn spend(&self) -> bool {
        let pay = |left: u32| left.checked_sub(COST);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).is_ok()
    }
}

/// Why an operation is to be sent again. Each says that it was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Its connection was lost before all of it had left: the server got parts of it at most, and
    /// has not begun to carry it out.
    Unsent,
    /// Its connection was lost, or the server took its leave.
    Lost,
    /// The server had no room for it, or could not reach what keeps its data.
    Busy,
}

/// How often one operation was sent again.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    resends: u32,
    pauses: u32,
}

impl Retries {
    /// How long to wait before the operation is sent again; `None` if it must not be, or if it
    /// would be too late.
    pub(crate) fn pause(
        &mut self,
        cause: Cause,
        budget: &Budget,
        deadline: Instant,
    ) -> Option<Duration> {
        match cause {
            Cause::Unsent | Cause::Lost if self.resends == MAX_RESENDS => return None,
            Cause::Unsent | Cause::Lost => self.resends += 1,
            Cause::Busy => {}
        }
        let pause = match cause {
            // Another connection may be at hand.
            Cause::Unsent | Cause::Lost if self.resends == 1 => Duration::ZERO,
            Cause::Unsent | Cause::Lost | Cause::Busy => {
                let pause = jitter(doubled(FIRST_PAUSE, self.pauses, MAX_PAUSE));
                self.pauses += 1;
                pause
            }
        };
        let is_in_time = Instant::now().checked_add(pause).is_some_and(|then| then < deadline);
        let is_paid = is_in_time && (cause == Cause::Unsent || budget.spend());
        is_paid.then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deadline() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    /// How many operations in a row may be sent again.
    fn affordable(budget: &Budget) -> u32 {
        let again = || Retries::default().pause(Cause::Lost, budget, deadline()).is_some();
        (0..10_000).take_while(|_| again()).count().try_into().unwrap()
    }

    #[test]
    fn a_tenth_of_the_operations_is_sent_again_and_a_reserve() {
        let budget = Budget::default();
        assert_eq!(affordable(&budget), 100);
        assert_eq!(affordable(&budget), 0);
        (0..500).for_each(|_| budget.earn());
        assert_eq!(affordable(&budget), 50);
        (0..1_000_000).for_each(|_| budget.earn());
        assert_eq!(affordable(&budget), 100, "what is not used is no reserve without bound");
    }

    #[test]
    fn what_never_left_costs_nothing_and_is_tried_three_times_all_the_same() {
        let budget = Budget::default();
        for _ in 0..1000 {
            let mut retries = Retries::default();
            for _ in 0..3 {
                assert!(retries.pause(Cause::Unsent, &budget, deadline()).is_some());
            }
            assert_eq!(retries.pause(Cause::Unsent, &budget, deadline()), None);
            assert_eq!(retries.pause(Cause::Lost, &budget, deadline()), None);
        }
        assert_eq!(affordable(&budget), 100);
    }

    #[test]
    fn pauses_grow_to_a_second_and_differ() {
        let budget = Budget::default();
        let mut retries = Retries::default();
        let pauses: Vec<_> = (0..20)
            .map(|_| retries.pause(Cause::Busy, &budget, deadline()).expect("there is budget"))
            .collect();
        assert!(pauses[0] >= FIRST_PAUSE / 2 && pauses[0] <= FIRST_PAUSE, "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= MAX_PAUSE), "{pauses:?}");
        assert!(pauses[19] >= MAX_PAUSE / 2, "{pauses:?}");
        assert_ne!(pauses[18], pauses[19], "clients march in step");
    }

    #[test]
    fn nothing_waits_past_its_deadline() {
        let budget = Budget::default();
        let mut retries = Retries::default();
        assert_eq!(retries.pause(Cause::Busy, &budget, Instant::now()), None);
        assert_eq!(affordable(&budget), 100, "what is not sent costs nothing");
    }
}
