//! What clients may make a server hold, and for how long: the numbers that can change while it runs.
//!
//! They are exchanged as a whole; whoever goes by them looks again whenever there is something to
//! do. Knows numbers; never what is done when one is passed. Next file to read:
//! [`crate::server::roster`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// The limits of one moment. Each is explained at the field of [`crate::Config`] with its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) max_connections_per_address: usize,
    pub(crate) max_unauthenticated: usize,
    pub(crate) handshake_timeout: Duration,
    /// None for as long as the client likes.
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_in_flight: usize,
    pub(crate) max_output_bytes: usize,
    pub(crate) max_output_bytes_hard: usize,
    pub(crate) connection_memory: usize,
    pub(crate) min_free_disk: u64,
}

impl Limits {
    /// How much all connections together may hold before new requests are refused, in bytes: an
    /// eighth is left for what is under way.
    pub(crate) fn busy_memory(&self) -> usize {
        self.connection_memory / 8 * 7
    }
}

/// The limits that are in force.
#[derive(Debug)]
pub(crate) struct InForce {
    limits: RwLock<Limits>,
    /// How often they were replaced.
    generation: AtomicU64,
}

/// The limits as one session goes by them.
#[derive(Debug)]
pub(crate) struct Followed {
    source: Arc<InForce>,
    generation: u64,
    limits: Limits,
}

impl InForce {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits: RwLock::new(limits), generation: AtomicU64::new(0) }
    }

    pub(crate) fn get(&self) -> Limits {
        *self.limits.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts others into force. Sessions go by them from the next time that they have something to
    /// do; a deadline of a handshake that is under way stays.
    pub(crate) fn replace(&self, limits: Limits) {
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = limits;
        // Whoever sees the number takes the lock, and so sees the limits.
        self.generation.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn follow(self: &Arc<Self>) -> Followed {
        // Should there be others in between, they are seen the next time.
        let generation = self.generation.load(Ordering::Acquire);
        Followed { source: Arc::clone(self), generation, limits: self.get() }
    }
}

impl Followed {
    /// Looks whether there are others now: one load, as a rule.
    pub(crate) fn look(&mut self) {
        let generation = self.source.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.generation = generation;
            self.limits = self.source.get();
        }
    }

    pub(crate) fn get(&self) -> &Limits {
        &self.limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[test]
    fn a_session_goes_by_new_limits_once_it_has_looked() {
        let limits = Config { dev: true, ..Config::default() }.check().unwrap().limits;
        let in_force = Arc::new(InForce::new(limits));
        let mut followed = in_force.follow();
        in_force.replace(Limits { max_in_flight: 7, ..limits });
        assert_eq!(*followed.get(), limits);
        followed.look();
        assert_eq!(followed.get().max_in_flight, 7);
        assert_eq!(in_force.follow().get().max_in_flight, 7);
    }
}
