//! What operations came to: how many of each, how long they took, what went wrong.
//!
//! Knows numbers and the names of errors; never a client. Next file to read: `load`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Get,
    Set,
}

/// Why an operation is no success.
#[derive(Debug)]
pub(super) enum Fault {
    /// It failed.
    Failed(kvsd::Error),
    /// A value was read that was not written at its key.
    WrongValue,
    /// There was no value where one was written.
    NoValue,
}

/// What operations came to.
#[derive(Debug)]
pub(super) struct Tally {
    get: Histogram<u64>,
    set: Histogram<u64>,
    /// How much later than they were due operations began.
    late: Histogram<u64>,
    errors: BTreeMap<String, Errors>,
    pub(super) read_bytes: u64,
    pub(super) written_bytes: u64,
}

/// Errors of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Errors {
    pub(super) count: u64,
    /// What one of them said, if it said more than its kind.
    pub(super) example: Option<String>,
}

impl Tally {
    pub(super) fn new() -> Self {
        let [get, set, late] = [(); 3].map(|()| {
            Histogram::new_with_bounds(1, LONGEST_NANOS, DIGITS).expect("the bounds are constants")
        });
        Self { get, set, late, errors: BTreeMap::new(), read_bytes: 0, written_bytes: 0 }
    }

    /// The latencies of one operation's successes, in nanoseconds.
    pub(super) fn latency(&self, operation: Operation) -> &Histogram<u64> {
        match operation {
            Operation::Get => &self.get,
            Operation::Set => &self.set,
        }
    }

    /// How much later than they were due operations began, in nanoseconds.
    pub(super) fn late(&self) -> &Histogram<u64> {
        &self.late
    }

    pub(super) fn began(&mut self, late: Duration) {
        self.late.saturating_record(nanos(late));
    }

    pub(super) fn succeeded(&mut self, operation: Operation, latency: Duration, bytes: usize) {
        match operation {
            Operation::Get => {
                self.get.saturating_record(nanos(latency));
                self.read_bytes += bytes as u64;
            }
            Operation::Set => {
                self.set.saturating_record(nanos(latency));
                self.written_bytes += bytes as u64;
            }
        }
    }

    pub(super) fn failed(&mut self, fault: &Fault) {
        let kind = match fault {
            Fault::Failed(error) => error.kind().to_string(),
            Fault::WrongValue => "another value was read than was written".to_owned(),
            Fault::NoValue => "there was no value where one was written".to_owned(),
        };
        let example = || match fault {
            Fault::Failed(error) => Some(format!("{error:#}")),
            Fault::WrongValue | Fault::NoValue => None,
        };
        self.errors.entry(kind).or_insert_with(|| Errors { count: 0, example: example() }).count +=
            1;
    }

    /// Errors by their kind.
    pub(super) fn errors(&self) -> impl Iterator<Item = (&str, &Errors)> {
        self.errors.iter().map(|(kind, errors)| (kind.as_str(), errors))
    }

    pub(super) fn error_count(&self) -> u64 {
        self.errors.values().map(|errors| errors.count).sum()
    }

    pub(super) fn success_count(&self) -> u64 {
        self.get.len() + self.set.len()
    }

    /// The latencies of all successes together.
    pub(super) fn latencies(&self) -> Histogram<u64> {
        let mut all = self.get.clone();
        all += &self.set;
        all
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.get += &other.get;
        self.set += &other.set;
        self.late += &other.late;
        self.read_bytes += other.read_bytes;
        self.written_bytes += other.written_bytes;
        for (kind, errors) in &other.errors {
            match self.errors.get_mut(kind) {
                Some(known) => known.count += errors.count,
                None => {
                    self.errors.insert(kind.clone(), errors.clone());
                }
            }
        }
    }
}

/// What many tasks count at once: several tallies, so that they seldom wait for each other.
#[derive(Debug)]
pub(super) struct Tallies(Box<[Mutex<Tally>]>);

impl Tallies {
    pub(super) fn new() -> Self {
        Self((0..PARTS).map(|_| Mutex::new(Tally::new())).collect())
    }

    /// The tally of the task with a number.
    pub(super) fn of(&self, task: usize) -> MutexGuard<'_, Tally> {
        lock(&self.0[task % PARTS])
    }

    /// What was counted since this was last asked.
    pub(super) fn take(&self) -> Tally {
        let mut all = Tally::new();
        for part in &self.0 {
            // Made before anybody is kept waiting for it.
            let fresh = Tally::new();
            let part = std::mem::replace(&mut *lock(part), fresh);
            all.add(&part);
        }
        all
    }
}

fn lock(part: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    // Counts are whole after each step.
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

const PARTS: usize = 8;
/// An hour; what takes longer counts as this.
const LONGEST_NANOS: u64 = 3_600_000_000_000;
/// Decimal digits of a latency that are kept.
const DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_tasks_counted_is_taken_once_and_whole() {
        let tallies = Tallies::new();
        for task in 0..20 {
            let mut tally = tallies.of(task);
            tally.succeeded(Operation::Get, Duration::from_micros(100), 7);
            tally.succeeded(Operation::Set, Duration::from_micros(300), 5);
            tally.failed(&Fault::WrongValue);
        }
        tallies.of(3).failed(&Fault::NoValue);
        let taken = tallies.take();
        assert_eq!((taken.success_count(), taken.error_count()), (40, 21));
        assert_eq!((taken.read_bytes, taken.written_bytes), (140, 100));
        let counts: Vec<_> = taken.errors().map(|(_, errors)| errors.count).collect();
        assert_eq!(counts, [20, 1]);
        let again = tallies.take();
        assert_eq!((again.success_count(), again.error_count()), (0, 0));
    }

    #[test]
    fn a_latency_is_kept_to_three_digits_however_short_or_long() {
        for time in [Duration::from_nanos(80), Duration::from_micros(123), Duration::from_secs(9)] {
            let mut tally = Tally::new();
            tally.succeeded(Operation::Get, time, 0);
            let kept = tally.latency(Operation::Get).value_at_quantile(0.5) as f64;
            assert!((kept / time.as_nanos() as f64 - 1.0).abs() < 0.001, "{time:?}: {kept}");
        }
        let mut tally = Tally::new();
        tally.succeeded(Operation::Set, Duration::MAX, 0);
        tally.succeeded(Operation::Set, Duration::ZERO, 0);
        assert_eq!(tally.latencies().len(), 2);
    }
}
