//! What clients saw, and whether a store that keeps its promises could have shown it to them.
//! Pure code: no clock but the times it is given, no I/O.
//!
//! Per key the operations must be linearizable ([`linear`] with the models [`register`] and
//! [`counter`]): each took effect at one moment between its call and its answer. One whose outcome
//! is unknown took effect at any moment after its call, or never; one that failed for certain is
//! not recorded. Keys that are only written together are one register, whose reads are
//! [`snapshot`]s. [`watch`]es must tell each change once and in order. Next file: [`linear`].

pub(crate) mod counter;
pub(crate) mod linear;
pub(crate) mod register;
pub(crate) mod snapshot;
mod tests;
pub(crate) mod watch;

use std::collections::BTreeMap;
use std::fmt;

/// One operation of a client.
#[derive(Clone, Debug)]
pub(crate) struct Operation<A> {
    pub(crate) client: usize,
    /// When it was called, in nanoseconds since the history began.
    pub(crate) called: u64,
    /// When its answer came; `None` if its outcome is unknown.
    pub(crate) answered: Option<u64>,
    /// What was asked, and what was answered.
    pub(crate) action: A,
}

/// Everything that the clients of one run saw.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) registers: BTreeMap<String, Vec<Operation<register::Action>>>,
    pub(crate) counters: BTreeMap<String, Vec<Operation<counter::Action>>>,
    pub(crate) watches: Vec<watch::Watched>,
}

impl History {
    /// Adds what another client saw.
    pub(crate) fn merge(&mut self, other: Self) {
        for (key, operations) in other.registers {
            self.registers.entry(key).or_default().extend(operations);
        }
        for (key, operations) in other.counters {
            self.counters.entry(key).or_default().extend(operations);
        }
        self.watches.extend(other.watches);
    }

    /// Checks all of it; every violation, described for people.
    pub(crate) fn check(&self) -> Result<(), Vec<String>> {
        let mut violations = Vec::new();
        for (key, operations) in &self.registers {
            let told = watch::writes(&self.watches, key);
            note(&mut violations, key, register::check(operations, &told));
        }
        for (key, operations) in &self.counters {
            note(&mut violations, key, counter::check(operations));
        }
        for watched in &self.watches {
            note(&mut violations, &watched.name, watch::check(watched, self));
        }
        if violations.is_empty() { Ok(()) } else { Err(violations) }
    }
}

fn note(violations: &mut Vec<String>, of: &str, checked: Result<(), impl fmt::Display>) {
    if let Err(violation) = checked {
        violations.push(format!("{of}: {violation}"));
    }
}
