//! How many entries of one kind are made in a second, however many there are to make.
//!
//! Whoever knocks on every door would fill the disk otherwise. What is left out is counted, and told
//! as a number. Never asks what time it is.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The entries of one kind in this second.
#[derive(Debug)]
pub(super) struct Flood {
    most: u32,
    second: Mutex<Second>,
}

#[derive(Debug, Default)]
struct Second {
    begun: Option<Instant>,
    told: u32,
    left_out: u64,
}

impl Flood {
    pub(super) fn new(most: u32) -> Self {
        Self { most, second: Mutex::default() }
    }

    /// Whether one more is told now: then how many before it were not.
    pub(super) fn next(&self, now: Instant) -> Option<u64> {
        let mut second = self.second();
        let left_out = second.end(now);
        if second.told == self.most {
            second.left_out += 1;
            return None;
        }
        second.begun.get_or_insert(now);
        second.told += 1;
        Some(left_out)
    }

    /// How many were left out, once their second is over.
    pub(super) fn rest(&self, now: Instant) -> u64 {
        self.second().end(now)
    }

    fn second(&self) -> MutexGuard<'_, Second> {
        self.second.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Second {
    /// Begins anew if this second is over; what was left out in it.
    fn end(&mut self, now: Instant) -> u64 {
        if self.begun.is_some_and(|begun| now.duration_since(begun) < SECOND) {
            return 0;
        }
        std::mem::take(self).left_out
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_told_in_a_second_and_the_others_are_counted() {
        let (flood, now) = (Flood::new(2), Instant::now());
        let ms = |ms| now + Duration::from_millis(ms);
        assert_eq!(flood.next(now), Some(0));
        assert_eq!(flood.next(ms(900)), Some(0));
        assert_eq!(flood.next(ms(950)), None);
        assert_eq!(flood.rest(ms(999)), 0, "the second is not over");
        assert_eq!(flood.next(ms(999)), None);
        assert_eq!(flood.next(ms(1000)), Some(2));
        assert_eq!(flood.next(ms(1001)), Some(0));
        assert_eq!(flood.next(ms(1002)), None);
        assert_eq!(flood.rest(ms(2000)), 1);
        assert_eq!(flood.rest(ms(2000)), 0, "told once");
        assert_eq!(flood.next(ms(9000)), Some(0));
    }
}
