//! What a session does, told to its entry in the roster once a round.
//!
//! Counts; never decides. Next file to read: [`crate::server::roster`].

use std::mem;
use std::sync::Arc;

use tokio::time::Instant;

use super::input::Input;
use super::output::Output;
use crate::server::roster::{Entry, Round};

#[derive(Debug)]
pub(super) struct Meter {
    entry: Arc<Entry>,
    requests: u64,
}

impl Meter {
    pub(super) fn new(entry: &Arc<Entry>) -> Self {
        Self { entry: Arc::clone(entry), requests: 0 }
    }

    /// Counts a request.
    pub(super) fn count(&mut self) {
        self.requests += 1;
    }

    /// Tells what has come and gone since the last time, if anything has.
    pub(super) fn tell(&mut self, input: &mut Input, output: &mut Output) {
        let round = Round {
            read_bytes: input.take_read() as u64,
            written_bytes: output.take_written() as u64,
            requests: mem::take(&mut self.requests),
        };
        if round != Round::default() {
            self.entry.note(round, Instant::now());
        }
    }
}
