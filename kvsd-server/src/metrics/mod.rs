//! The numbers of a server: what it has done, how long that took, and whom it has refused.
//!
//! Plain counters behind an `Arc`, which whoever does the work adds to and whoever asks reads. Does
//! no I/O and writes no log; never knows a session, an engine or how a number is shown, and never
//! holds a key or a value. A session adds up by itself ([`Tally`]) and tells these counters once for
//! all that it has done at a time, so that they cost the same however many requests that were.
//!
//! Reading order: `refusal`, `operation`, `histogram`, `tally`, `slow`.

mod histogram;
mod operation;
mod refusal;
mod slow;
mod tally;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use self::histogram::Distribution;
pub(crate) use self::histogram::Histogram;
pub(crate) use self::operation::{Operation, Outcome};
pub(crate) use self::refusal::Refusal;
pub(crate) use self::slow::{Slow, SlowLine, SlowRequest};
pub(crate) use self::tally::{Tally, Traffic};

/// The numbers of one server, since it was started.
#[derive(Debug)]
pub(crate) struct Metrics {
    refusals: [AtomicU64; Refusal::ALL.len()],
    /// None if operations are not measured.
    operations: Option<Box<Operations>>,
    connections: Connections,
    pub(crate) slow: Slow,
}

/// What sessions have carried out.
#[derive(Debug)]
struct Operations {
    outcomes: [[AtomicU64; Outcome::ALL.len()]; Operation::ALL.len()],
    times: [Histogram; Operation::ALL.len()],
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    in_flight: AtomicU64,
}

/// How many connections there were and are.
#[derive(Debug, Default)]
struct Connections {
    accepted: AtomicU64,
    ended: AtomicU64,
    logins: AtomicU64,
}

/// Whether operations are counted and timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    Operations,
    /// What costs nothing: connections and refusals.
    Least,
}

impl Metrics {
    /// Counters at zero. A request that takes as long as `slow` or longer is noted; none if that is
    /// zero, or if operations are not measured.
    pub(crate) fn new(measure: Measure, slow: Duration) -> Self {
        let operations = match measure {
            Measure::Operations => Some(Box::new(Operations::new())),
            Measure::Least => None,
        };
        Self {
            refusals: Default::default(),
            operations,
            connections: Connections::default(),
            slow: Slow::new(slow),
        }
    }

    /// Counts that a connection or a request was refused. To be called once for each, where it is
    /// refused.
    pub(crate) fn refuse(&self, why: Refusal) {
        self.refusals[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many were refused for this reason.
    pub(crate) fn refused(&self, why: Refusal) -> u64 {
        self.refusals[why as usize].load(Ordering::Relaxed)
    }

    /// Counts a connection until what is returned is dropped.
    pub(crate) fn connect(&self) -> Open<'_> {
        self.connections.accepted.fetch_add(1, Ordering::Relaxed);
        Open(self)
    }

    /// Counts that a client was let in.
    pub(crate) fn log_in(&self) {
        self.connections.logins.fetch_add(1, Ordering::Relaxed);
    }

    /// How many connections were accepted since the start.
    pub(crate) fn accepted(&self) -> u64 {
        self.connections.accepted.load(Ordering::Relaxed)
    }

    /// How many connections are open, those included that have not said who they are.
    pub(crate) fn open(&self) -> u64 {
        let ended = self.connections.ended.load(Ordering::Acquire);
        self.accepted().saturating_sub(ended)
    }

    /// How many clients were let in since the start.
    pub(crate) fn logins(&self) -> u64 {
        self.connections.logins.load(Ordering::Relaxed)
    }

    /// What was carried out; `None` if that is not measured.
    pub(crate) fn operations(&self) -> Option<OperationFigures> {
        let operations = self.operations.as_deref()?;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let kinds = Operation::ALL.map(|operation| {
            let outcomes = operations.outcomes[operation as usize].each_ref().map(load);
            let times = operations.times[operation as usize].read();
            (operation, outcomes, times)
        });
        Some(OperationFigures {
            kinds,
            received_bytes: load(&operations.received_bytes),
            sent_bytes: load(&operations.sent_bytes),
            in_flight: load(&operations.in_flight),
        })
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(Measure::Operations, Duration::ZERO)
    }
}

impl Operations {
    fn new() -> Self {
        Self {
            outcomes: Default::default(),
            times: std::array::from_fn(|_| Histogram::new(&TIMES)),
            received_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
        }
    }
}

/// A connection that is counted as open.
#[derive(Debug)]
pub(crate) struct Open<'m>(&'m Metrics);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        // Nobody who sees this sees fewer that were accepted.
        self.0.connections.ended.fetch_add(1, Ordering::Release);
    }
}

/// What sessions have carried out, read at one time. Numbers that belong together may differ by what
/// was counted meanwhile.
#[derive(Debug)]
pub(crate) struct OperationFigures {
    /// Each kind: how many there were of each outcome, in the order of [`Outcome::ALL`], and how
    /// long they took.
    pub(crate) kinds: [Kind; Operation::ALL.len()],
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) in_flight: u64,
}

/// The figures of a kind of operation.
pub(crate) type Kind = (Operation, [u64; Outcome::ALL.len()], Distribution);

/// The upper bounds of how long something took, in nanoseconds: 10 us to 10 s, three in each decade.
pub(crate) static TIMES: [u64; 19] = {
    let mut bounds = [0; 19];
    let (mut place, mut decade) = (0, 10_000);
    while place < bounds.len() {
        bounds[place] = decade * [1, 2, 5][place % 3];
        place += 1;
        if place.is_multiple_of(3) {
            decade *= 10;
        }
    }
    bounds
};

/// The upper bounds of how many there were: 1 to 16,384, by powers of four.
pub(crate) static SIZES: [u64; 8] = [1, 4, 16, 64, 256, 1024, 4096, 16384];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_bounds_from_ten_microseconds_to_ten_seconds() {
        assert_eq!(TIMES[..4], [10_000, 20_000, 50_000, 100_000]);
        assert_eq!(TIMES[18], 10_000_000_000);
        assert!(TIMES.is_sorted());
    }

    #[test]
    fn a_connection_is_open_until_it_is_dropped() {
        let metrics = Metrics::default();
        let first = metrics.connect();
        let second = metrics.connect();
        assert_eq!((metrics.accepted(), metrics.open()), (2, 2));
        drop(first);
        assert_eq!((metrics.accepted(), metrics.open()), (2, 1));
        drop(second);
        assert_eq!((metrics.accepted(), metrics.open()), (2, 0));
    }
}
