//! The last ten minutes, in steps of two seconds, so that a page that is opened at night shows what
//! has happened before.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::metrics::{Distribution, Operation, OperationFigures, Outcome};

/// What a server did in each step of the last ten minutes.
#[derive(Debug, Default)]
pub(crate) struct History {
    samples: VecDeque<Sample>,
    /// Where the counters stood at the end of the last step.
    before: Option<(Instant, Totals)>,
}

/// What a server did in one step. Times are in seconds; none where nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Sample {
    /// When it ended: since 1970, in milliseconds.
    at: u64,
    reads_per_second: f64,
    writes_per_second: f64,
    failed_per_second: f64,
    received_per_second: f64,
    sent_per_second: f64,
    in_flight: u64,
    read_p50: Option<f64>,
    read_p99: Option<f64>,
    write_p50: Option<f64>,
    write_p99: Option<f64>,
}

#[derive(Debug, Clone, Default)]
struct Totals {
    reads: Distribution,
    writes: Distribution,
    failed: u64,
    received: u64,
    sent: u64,
}

impl Sample {
    pub(super) const PERIOD: Duration = Duration::from_secs(2);
}

impl History {
    /// Adds a step that ends now, unless it is the first: that one has no beginning.
    pub(super) fn push(&mut self, now: Instant, at: u64, operations: &OperationFigures) {
        let totals = Totals::of(operations);
        if let Some((begun, before)) = &self.before {
            let seconds = now.saturating_duration_since(*begun).as_secs_f64().max(0.001);
            let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
            let (reads, writes) =
                (totals.reads.since(&before.reads), totals.writes.since(&before.writes));
            self.samples.push_back(Sample {
                at,
                reads_per_second: rate(reads.count(), 0),
                writes_per_second: rate(writes.count(), 0),
                failed_per_second: rate(totals.failed, before.failed),
                received_per_second: rate(totals.received, before.received),
                sent_per_second: rate(totals.sent, before.sent),
                in_flight: operations.in_flight,
                read_p50: reads.quantile(0.5),
                read_p99: reads.quantile(0.99),
                write_p50: writes.quantile(0.5),
                write_p99: writes.quantile(0.99),
            });
            if self.samples.len() > MOST_SAMPLES {
                self.samples.pop_front();
            }
        }
        self.before = Some((now, totals));
    }

    pub(super) fn samples(&self) -> Vec<Sample> {
        self.samples.iter().copied().collect()
    }
}

impl Totals {
    fn of(operations: &OperationFigures) -> Self {
        let mut totals = Self {
            received: operations.received_bytes,
            sent: operations.sent_bytes,
            ..Self::default()
        };
        for (operation, outcomes, times) in &operations.kinds {
            totals.failed += outcomes[Outcome::Failed as usize];
            match operation {
                Operation::Get | Operation::Exists | Operation::Lifetime | Operation::Scan => {
                    totals.reads.add(times)
                }
                Operation::Set
                | Operation::Delete
                | Operation::Increment
                | Operation::Expire
                | Operation::Batch => totals.writes.add(times),
                // Nobody knows which of them a pipeline is; the others touch no record.
                Operation::Pipeline
                | Operation::Ping
                | Operation::Watch
                | Operation::CreateTable
                | Operation::DropTable
                | Operation::Tables
                | Operation::Statistics
                | Operation::Malformed => {}
            }
        }
        totals
    }
}

impl Distribution {
    /// Adds the numbers of another one with the same bounds.
    fn add(&mut self, more: &Self) {
        self.bounds = more.bounds;
        self.counts.resize(more.counts.len(), 0);
        self.counts.iter_mut().zip(&more.counts).for_each(|(count, more)| *count += more);
        self.sum += more.sum;
    }

    /// What has been added since.
    fn since(&self, before: &Self) -> Self {
        let before_counts = before.counts.iter().copied().chain(std::iter::repeat(0));
        let counts = self.counts.iter().zip(before_counts);
        Self {
            bounds: self.bounds,
            counts: counts.map(|(now, before)| now.saturating_sub(before)).collect(),
            sum: self.sum.saturating_sub(before.sum),
        }
    }

    /// The time below which this part of all times is, in seconds, as exact as the bounds: between
    /// two of them times are taken to be spread evenly.
    fn quantile(&self, part: f64) -> Option<f64> {
        let wanted = self.count() as f64 * part;
        let (mut passed, mut lower) = (0.0, 0);
        for (place, count) in self.counts.iter().enumerate() {
            let count = *count as f64;
            // Above the last bound nobody knows how far.
            let upper = self.bounds.get(place).copied().unwrap_or(lower);
            if count > 0.0 && passed + count >= wanted {
                let within = (wanted - passed) / count;
                let nanos = lower as f64 + (upper - lower) as f64 * within;
                return Some(nanos / 1e9);
            }
            passed += count;
            lower = upper;
        }
        None
    }
}

/// Ten minutes.
const MOST_SAMPLES: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metrics, Tally, Traffic};

    fn get(metrics: &Metrics, times: usize) {
        let mut tally = Tally::new(metrics, None, None);
        (0..times).for_each(|_| tally.answered(Operation::Get, Outcome::Ok, ""));
        assert_eq!(tally.tell(Traffic { received_bytes: 100, ..Traffic::default() }), None);
    }

    #[test]
    fn a_step_tells_what_was_done_in_it_and_not_before() {
        let (metrics, start) = (Metrics::default(), Instant::now());
        let mut history = History::default();
        get(&metrics, 1000);
        history.push(start, 1, &metrics.operations().unwrap());
        assert_eq!(history.samples(), []);
        get(&metrics, 30);
        history.push(start + Sample::PERIOD, 2, &metrics.operations().unwrap());
        history.push(start + Sample::PERIOD * 2, 3, &metrics.operations().unwrap());
        let [busy, idle] = history.samples()[..] else { panic!("two steps") };
        assert_eq!((busy.at, busy.reads_per_second, busy.writes_per_second), (2, 15.0, 0.0));
        assert_eq!(busy.received_per_second, 50.0);
        assert!(busy.read_p50.unwrap() <= busy.read_p99.unwrap());
        assert_eq!((idle.reads_per_second, idle.read_p99), (0.0, None));
    }

    #[test]
    fn the_history_has_an_end() {
        let (metrics, start) = (Metrics::default(), Instant::now());
        let mut history = History::default();
        for step in 0..1000 {
            history.push(start + Sample::PERIOD * step, 1, &metrics.operations().unwrap());
        }
        assert_eq!(history.samples().len(), MOST_SAMPLES);
    }

    #[test]
    fn a_quantile_lies_between_the_bounds_of_its_place() {
        let bounds = &[1_000_000_000, 2_000_000_000];
        let of = |counts: [u64; 3]| Distribution { bounds, counts: counts.into(), sum: 0 };
        assert_eq!(of([10, 10, 0]).quantile(0.5), Some(1.0));
        assert_eq!(of([10, 10, 0]).quantile(0.75), Some(1.5));
        assert_eq!(of([0, 0, 5]).quantile(0.99), Some(2.0), "above the last bound");
        assert_eq!(of([0, 0, 0]).quantile(0.5), None);
    }
}
