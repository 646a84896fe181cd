//! What one session adds up until it tells the shared counters.
//!
//! ```text
//! begin (the clock) -> answered, finished, ... (plain additions) -> tell (the clock, atomics)
//! ```
//!
//! The clock is read twice for each time that the session has the thread, however many requests it
//! answers then: what is answered on the spot has taken the time between the two, and what was
//! begun at an earlier time that from there to here. Next file to read: `slow`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kvsd::types::check_table_name;
use tokio::time::Instant;

use super::{Metrics, Operation, Operations, Outcome, SlowLine, SlowRequest};
use crate::clock;

/// What a session has done and not told yet.
#[derive(Debug)]
pub(crate) struct Tally<'m> {
    metrics: &'m Metrics,
    /// None if nothing is measured; then nothing is added up either.
    shared: Option<&'m Operations>,
    /// When the session was given the thread.
    now: Instant,
    /// When it gave it back, if that is known already.
    end: Option<Instant>,
    /// What was answered on the spot.
    answered: [[u32; Outcome::ALL.len()]; Operation::ALL.len()],
    /// Bit by bit, which kinds of them there are.
    kinds: u32,
    /// The first of them and its table, for the slow log.
    first: Option<Operation>,
    first_table: String,
    /// What the shared counter holds of this session.
    in_flight: u64,
    peer: Option<SocketAddr>,
    user: Option<Arc<str>>,
}

/// What went through a session since it told of that last, and what it has in flight.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Traffic {
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) in_flight: u64,
}

impl<'m> Tally<'m> {
    /// For the session of this client.
    pub(crate) fn new(
        metrics: &'m Metrics,
        peer: Option<SocketAddr>,
        user: Option<Arc<str>>,
    ) -> Self {
        Self {
            metrics,
            shared: metrics.operations.as_deref(),
            now: Instant::now(),
            end: None,
            answered: Default::default(),
            kinds: 0,
            first: None,
            first_table: String::new(),
            in_flight: 0,
            peer,
            user,
        }
    }

    /// The session has the thread.
    pub(crate) fn begin(&mut self) {
        if self.shared.is_some() {
            self.now = Instant::now();
        }
    }

    /// What time it is, for [`Tally::tell`] too.
    pub(crate) fn end(&mut self) -> Instant {
        *self.end.insert(Instant::now())
    }

    /// When the session was given the thread, and so since when a request is under way that it takes
    /// on now.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// A request about this table was answered on the spot.
    pub(crate) fn answered(&mut self, operation: Operation, outcome: Outcome, table: &str) {
        if self.shared.is_none() {
            return;
        }
        self.answered[operation as usize][outcome as usize] += 1;
        self.kinds |= 1 << operation as u32;
        if self.first.is_none() && self.metrics.slow.is_on() {
            self.first = Some(operation);
            self.first_table.clear();
            self.first_table.push_str(table);
        }
    }

    /// A request was answered that was taken on at that time. The answer is how long it took, if it
    /// was slow.
    pub(crate) fn finished(
        &mut self,
        operation: Operation,
        outcome: Outcome,
        table: &str,
        since: Instant,
    ) -> Option<Duration> {
        let shared = self.shared?;
        if operation == Operation::Watch {
            shared.count(operation, outcome, 1);
            return None;
        }
        if since == self.now {
            self.answered(operation, outcome, table);
            return None;
        }
        let took = self.now.saturating_duration_since(since);
        shared.count(operation, outcome, 1);
        shared.times[operation as usize].add(nanos(took), 1);
        self.metrics.slow.includes(took).then_some(took)
    }

    /// Takes note of a request that was slow. The answer is its line in the log, if it gets one.
    pub(crate) fn slow(
        &self,
        operation: Operation,
        table: &str,
        bytes: u64,
        took: Duration,
    ) -> Option<SlowLine> {
        self.note(operation, table, bytes, took, 1)
    }

    /// Tells what was done since the last time. The answer is a line for the log, if that was slow:
    /// the first request stands for all that were answered together.
    pub(crate) fn tell(&mut self, traffic: Traffic) -> Option<SlowLine> {
        let end = self.end.take();
        let shared = self.shared?;
        let Traffic { received_bytes, sent_bytes, in_flight } = traffic;
        if received_bytes > 0 {
            shared.received_bytes.fetch_add(received_bytes, Ordering::Relaxed);
        }
        if sent_bytes > 0 {
            shared.sent_bytes.fetch_add(sent_bytes, Ordering::Relaxed);
        }
        self.tell_in_flight(shared, in_flight);
        if self.kinds == 0 {
            return None;
        }
        let took = end.unwrap_or_else(Instant::now).saturating_duration_since(self.now);
        let nanos = nanos(took);
        let mut requests = 0;
        while self.kinds != 0 {
            let kind = self.kinds.trailing_zeros() as usize;
            self.kinds &= self.kinds - 1;
            let mut all = 0;
            for (told, count) in shared.outcomes[kind].iter().zip(&mut self.answered[kind]) {
                if *count > 0 {
                    told.fetch_add(u64::from(*count), Ordering::Relaxed);
                    all += u64::from(std::mem::take(count));
                }
            }
            shared.times[kind].add(nanos, all);
            requests += all;
        }
        let operation = self.first.take()?;
        if !self.metrics.slow.includes(took) {
            return None;
        }
        self.note(operation, &self.first_table, received_bytes + sent_bytes, took, requests)
    }

    fn note(
        &self,
        operation: Operation,
        table: &str,
        bytes: u64,
        took: Duration,
        requests: u64,
    ) -> Option<SlowLine> {
        // What stands in a table's place may be none, and is no one's to see.
        let table = if check_table_name(table).is_ok() { table } else { "" };
        let request = SlowRequest {
            at: clock::now().get(),
            operation,
            table: table.into(),
            bytes,
            took,
            requests,
            peer: self.peer,
            user: self.user.clone(),
        };
        self.metrics.slow.note(request, self.now)
    }

    fn tell_in_flight(&mut self, shared: &Operations, now: u64) {
        if now != self.in_flight {
            // The difference may be below zero: additions wrap, and so does this.
            shared.in_flight.fetch_add(now.wrapping_sub(self.in_flight), Ordering::Relaxed);
            self.in_flight = now;
        }
    }
}

/// A session that ends has nothing in flight, whatever it had.
impl Drop for Tally<'_> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared {
            self.tell_in_flight(shared, 0);
        }
    }
}

impl Operations {
    fn count(&self, operation: Operation, outcome: Outcome, times: u64) {
        self.outcomes[operation as usize][outcome as usize].fetch_add(times, Ordering::Relaxed);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::Measure;
    use super::*;

    fn told(metrics: &Metrics, operation: Operation) -> ([u64; 4], u64) {
        let (_, outcomes, times) = metrics.operations().unwrap().kinds[operation as usize].clone();
        (outcomes, times.count())
    }

    #[test]
    fn what_was_answered_is_told_once_with_its_outcome_and_its_time() {
        let metrics = Metrics::default();
        let mut tally = Tally::new(&metrics, None, None);
        tally.begin();
        tally.answered(Operation::Get, Outcome::Ok, "default");
        tally.answered(Operation::Get, Outcome::Ok, "default");
        tally.answered(Operation::Get, Outcome::Failed, "default");
        tally.answered(Operation::Ping, Outcome::Ok, "");
        assert_eq!(told(&metrics, Operation::Get), ([0; 4], 0));
        let traffic = Traffic { received_bytes: 10, sent_bytes: 20, in_flight: 0 };
        assert_eq!(tally.tell(traffic), None);
        tally.begin();
        assert_eq!(tally.tell(Traffic::default()), None);
        assert_eq!(told(&metrics, Operation::Get), ([2, 0, 0, 1], 3));
        assert_eq!(told(&metrics, Operation::Ping), ([1, 0, 0, 0], 1));
        assert_eq!(told(&metrics, Operation::Set), ([0; 4], 0));
        let figures = metrics.operations().unwrap();
        assert_eq!((figures.received_bytes, figures.sent_bytes), (10, 20));
    }

    #[test]
    fn a_request_that_waited_has_taken_the_time_since_it_came() {
        let metrics = Metrics::new(Measure::Operations, Duration::from_millis(100));
        let mut tally = Tally::new(&metrics, None, Some("app".into()));
        let now = tally.now();
        let long = now.checked_sub(Duration::from_secs(3)).unwrap();
        let finished = |tally: &mut Tally<'_>, operation, outcome, since| {
            tally.finished(operation, outcome, "orders", since)
        };
        let none = finished(&mut tally, Operation::Set, Outcome::NotApplied, now);
        assert_eq!(none, None, "it was answered on the spot");
        let took = finished(&mut tally, Operation::Set, Outcome::Ok, long).unwrap();
        assert_eq!(took, Duration::from_secs(3));
        let line = tally.slow(Operation::Set, "orders", 7, took).unwrap();
        assert_eq!(line.request.user.as_deref(), Some("app"));
        assert_eq!(&*line.request.table, "orders");
        assert_eq!(finished(&mut tally, Operation::Watch, Outcome::Ok, long), None, "they wait");
        assert_eq!(tally.tell(Traffic::default()), None);
        assert_eq!(told(&metrics, Operation::Set), ([1, 1, 0, 0], 2));
        assert_eq!(told(&metrics, Operation::Watch), ([1, 0, 0, 0], 0));
        let sets = &metrics.operations().unwrap().kinds[Operation::Set as usize].2;
        assert!(sets.sum >= 3_000_000_000);
    }

    #[test]
    fn what_is_answered_together_is_slow_together_and_has_one_line() {
        let metrics = Metrics::new(Measure::Operations, Duration::from_nanos(1));
        let mut tally = Tally::new(&metrics, None, None);
        for table in ["orders", "default"] {
            tally.answered(Operation::Get, Outcome::Ok, table);
        }
        let traffic = Traffic { received_bytes: 10, sent_bytes: 20, in_flight: 0 };
        let line = tally.tell(traffic).unwrap().request;
        assert_eq!((&*line.table, line.requests, line.bytes), ("orders", 2, 30));
        assert_eq!(metrics.slow.count(), 1);
    }

    #[test]
    fn what_is_in_flight_counts_until_it_is_answered_or_its_session_has_gone() {
        let metrics = Metrics::default();
        let in_flight = || metrics.operations().unwrap().in_flight;
        let traffic = |in_flight| Traffic { in_flight, ..Traffic::default() };
        let tally = || Tally::new(&metrics, None, None);
        let (mut one, mut two) = (tally(), tally());
        assert_eq!((one.tell(traffic(5)), two.tell(traffic(3))), (None, None));
        assert_eq!(in_flight(), 8);
        assert_eq!(one.tell(traffic(1)), None);
        assert_eq!(in_flight(), 4);
        drop(two);
        assert_eq!(in_flight(), 1);
        drop(one);
        assert_eq!(in_flight(), 0);
    }

    #[test]
    fn nothing_is_added_up_where_nothing_is_measured() {
        let metrics = Metrics::new(Measure::Least, Duration::from_nanos(1));
        let mut tally = Tally::new(&metrics, None, None);
        tally.begin();
        tally.answered(Operation::Get, Outcome::Ok, "default");
        assert_eq!(tally.tell(Traffic::default()), None);
        assert!(metrics.operations().is_none() && metrics.slow.count() == 0);
    }
}
