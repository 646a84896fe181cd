//! The numbers of a server: what it has done, and whom it has refused.
//!
//! Plain counters behind an `Arc`, which whoever does the work adds to and whoever asks reads. Does
//! no I/O and takes no lock; never knows a session, an engine or how it is shown, and never holds
//! anything that a client has sent. Next file to read: `refusal`.

mod refusal;

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use self::refusal::Refusal;

/// The numbers of one server, since it was started.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    refusals: [AtomicU64; Refusal::ALL.len()],
}

impl Metrics {
    /// Counts that a connection or a request was refused. To be called once for each, where it is
    /// refused.
    pub(crate) fn refuse(&self, why: Refusal) {
        self.refusals[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many were refused for this reason.
    #[cfg(test)]
    pub(crate) fn refused(&self, why: Refusal) -> u64 {
        self.refusals[why as usize].load(Ordering::Relaxed)
    }
}
