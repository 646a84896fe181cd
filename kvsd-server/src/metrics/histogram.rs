//! How numbers are distributed, counted between fixed bounds.
//!
//! Next file to read: `tally`.

use std::sync::atomic::{AtomicU64, Ordering};

/// A distribution that is being counted.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [u64],
    /// One more than there are bounds: the last is for what is above all of them.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// Nothing between these bounds, which ascend.
    pub(crate) fn new(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    /// Counts a number so many times.
    pub(crate) fn add(&self, number: u64, times: u64) {
        let place = self.bounds.partition_point(|bound| *bound < number);
        self.counts[place].fetch_add(times, Ordering::Relaxed);
        self.sum.fetch_add(number.saturating_mul(times), Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(crate) fn read(&self) -> Distribution {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        Distribution { bounds: self.bounds, counts, sum: self.sum.load(Ordering::Relaxed) }
    }
}

/// How numbers were distributed when somebody looked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distribution {
    /// The upper bounds, ascending; each is itself within.
    pub bounds: &'static [u64],
    /// How many numbers there were up to each bound and above the one before it, and last how many
    /// above all of them.
    pub counts: Vec<u64>,
    /// All numbers together.
    pub sum: u64,
}

impl Distribution {
    /// How many numbers there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_counted_below_the_first_bound_that_it_does_not_pass() {
        let histogram = Histogram::new(&[10, 100]);
        for number in [0, 10, 11, 100, 101, 5_000] {
            histogram.add(number, 1);
        }
        histogram.add(50, 4);
        let read = histogram.read();
        assert_eq!(read.counts, [2, 6, 2]);
        assert_eq!((read.count(), read.sum), (10, 5_422));
    }
}
