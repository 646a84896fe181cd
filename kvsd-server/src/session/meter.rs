//! What a session does: told to its entry in the roster, and to the counters of the server.
//!
//! Adds up while the session has the thread, and tells once, when it gives it back. Writes the log's
//! lines of slow requests; never decides anything. Next file to read: [`crate::metrics`].

use std::mem;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::warn;

use super::input::Input;
use super::output::Output;
use crate::metrics::{Metrics, Operation, Outcome, SlowLine, Tally, Traffic};
use crate::server::roster::{Entry, Round};

#[derive(Debug)]
pub(super) struct Meter<'m> {
    entry: Arc<Entry>,
    requests: u64,
    tally: Tally<'m>,
}

impl<'m> Meter<'m> {
    pub(super) fn new(entry: &Arc<Entry>, metrics: &'m Metrics) -> Self {
        let peer = entry.peer().address();
        let tally = Tally::new(metrics, peer, entry.user().map(Arc::from));
        Self { entry: Arc::clone(entry), requests: 0, tally }
    }

    /// The session has the thread.
    pub(super) fn begin(&mut self) {
        self.tally.begin();
    }

    /// Since when a request is under way that is taken on now.
    pub(super) fn now(&self) -> Instant {
        self.tally.now()
    }

    /// Counts a request.
    pub(super) fn count(&mut self) {
        self.requests += 1;
    }

    /// A request about this table was answered on the spot.
    pub(super) fn answered(&mut self, operation: Operation, outcome: Outcome, table: &str) {
        self.tally.answered(operation, outcome, table);
    }

    /// A request was answered that was taken on at that time; it and its answer have so many bytes.
    pub(super) fn finished(
        &mut self,
        (operation, outcome): (Operation, Outcome),
        table: &str,
        bytes: u64,
        since: Instant,
    ) {
        if let Some(took) = self.tally.finished(operation, outcome, table, since) {
            write(self.tally.slow(operation, table, bytes, took));
        }
    }

    /// A watch was answered. How long it waited says nothing.
    pub(super) fn watched(&mut self, outcome: Outcome) {
        let now = self.tally.now();
        let _ = self.tally.finished(Operation::Watch, outcome, "", now);
    }

    /// Tells what was done since the last time, and how many requests are under way.
    pub(super) fn tell(&mut self, input: &mut Input, output: &mut Output, in_flight: usize) {
        let round = Round {
            read_bytes: input.take_read() as u64,
            written_bytes: output.take_written() as u64,
            requests: mem::take(&mut self.requests),
        };
        if round != Round::default() {
            self.entry.note(round, self.tally.end());
        }
        write(self.tally.tell(Traffic {
            received_bytes: round.read_bytes,
            sent_bytes: round.written_bytes,
            in_flight: in_flight as u64,
        }));
    }
}

fn write(line: Option<SlowLine>) {
    let Some(SlowLine { request, left_out }) = line else {
        return;
    };
    warn!(
        target: "kvsd::slow",
        operation = request.operation.label(),
        table = &*request.table,
        bytes = request.bytes,
        took_ms = request.took.as_secs_f64() * 1e3,
        requests = request.requests,
        peer = request.peer.map(tracing::field::display),
        user = request.user.as_deref(),
        left_out,
        "slow"
    );
}
