//! Latencies, counted in buckets a thirty-second of their size wide.

use std::time::Duration;

/// A histogram of durations from a nanosecond to a minute, right within 3.2 %.
#[derive(Debug, Clone)]
pub(crate) struct Latency {
    counts: Vec<u32>,
}

impl Latency {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BUCKETS] }
    }

    pub(crate) fn record(&mut self, time: Duration) {
        self.count_in(Bucket::of(time));
    }

    pub(crate) fn count_in(&mut self, bucket: Bucket) {
        self.counts[usize::from(bucket.0)] += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().copied().map(u64::from).sum()
    }

    /// The time that this share of all recorded ones stays within; zero if there are none.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let wanted = self.count() as f64 * share;
        let mut seen = 0.0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += f64::from(*count);
            if *count > 0 && seen >= wanted {
                return Duration::from_nanos(upper_end(bucket));
            }
        }
        Duration::ZERO
    }
}

/// Where a duration is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket(u16);

impl Bucket {
    pub(crate) fn of(time: Duration) -> Self {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self(u16::try_from(bucket(nanos)).unwrap_or(u16::MAX))
    }
}

/// The leading bit says which octave, the next five say where in it.
fn bucket(nanos: u64) -> usize {
    let nanos = nanos.clamp(1 << STEP_BITS, (1 << MAX_BITS) - 1);
    let octave = nanos.ilog2() - STEP_BITS;
    let step = (nanos >> octave) - (1 << STEP_BITS);
    ((octave as usize) << STEP_BITS) + usize::try_from(step).unwrap_or_default()
}

fn upper_end(bucket: usize) -> u64 {
    let octave = bucket >> STEP_BITS;
    let step = bucket as u64 & ((1 << STEP_BITS) - 1);
    (((1 << STEP_BITS) + step + 1) << octave) - 1
}

const STEP_BITS: u32 = 5;
const MAX_BITS: u32 = 36;
const BUCKETS: usize = ((MAX_BITS - STEP_BITS) as usize) << STEP_BITS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_within_a_bucket() {
        let mut latency = Latency::new();
        for micros in 1..=1000 {
            latency.record(Duration::from_micros(micros));
        }
        assert_eq!(latency.count(), 1000);
        for (share, micros) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1000.0)] {
            let quantile = latency.quantile(share).as_secs_f64() * 1e6;
            assert!((micros..micros * 1.032).contains(&quantile), "{share}: {quantile}");
        }
    }

    #[test]
    fn the_shortest_and_the_longest_times_have_a_place() {
        let mut latency = Latency::new();
        latency.record(Duration::ZERO);
        latency.record(Duration::MAX);
        assert_eq!(latency.count(), 2);
        assert!(latency.quantile(1.0) > Duration::from_secs(60));
        assert_eq!(Latency::new().quantile(0.5), Duration::ZERO);
    }

    #[test]
    fn every_bucket_ends_where_the_next_one_begins() {
        for at in 0..BUCKETS {
            assert_eq!(bucket(upper_end(at)), at);
            assert_eq!(bucket(upper_end(at) + 1), (at + 1).min(BUCKETS - 1));
        }
    }
}
