//! What a session does and holds, told to its entry in the roster once a round.
//!
//! Counts; what follows from it is decided elsewhere. Next file to read: [`crate::server::roster`].

use std::mem;
use std::sync::Arc;

use tokio::time::Instant;

use super::input::Input;
use super::output::Output;
use crate::limits::Limits;
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

    /// Whether all sessions together hold so much that new requests are to be refused.
    pub(super) fn memory_is_full(&self, limits: &Limits) -> bool {
        self.entry.memory_of_all() >= limits.busy_memory()
    }

    /// Tells what has come and gone since the last time, and what is held now: in the two buffers,
    /// and so many bytes besides.
    pub(super) fn tell(
        &mut self,
        input: &mut Input,
        output: &mut Output,
        besides: usize,
        limits: &Limits,
    ) {
        let round = Round {
            read_bytes: input.take_read() as u64,
            written_bytes: output.take_written() as u64,
            requests: mem::take(&mut self.requests),
        };
        if round != Round::default() {
            self.entry.note(round, Instant::now());
        }
        let held = input.held() + output.held() + besides;
        if self.entry.hold(held / GRAIN * GRAIN) > limits.connection_memory {
            self.entry.is_crowded();
        }
    }
}

/// What a session holds is told in steps of so many bytes: small requests change nothing that
/// other threads look at, and who holds less is not worth counting.
const GRAIN: usize = 16 * 1024;
