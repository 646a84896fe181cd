//! A key that one task alone writes: after each of its awaits it knows what may stand there.

use std::sync::atomic::Ordering;

use kvsd::Version;

use crate::ledger::Ledger;

pub(crate) struct OwnKey {
    pub(crate) name: String,
    /// What stands there, unless one of `lingering` has come in between.
    current: Option<Record>,
    /// Writes whose outcome nobody knows: each may come once, at any time, or never.
    lingering: Vec<Lingering>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    number: u64,
    /// Known once the write was acknowledged or read with it.
    version: Option<Version>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lingering {
    Set(u64),
    Delete,
}

impl OwnKey {
    pub(crate) fn new(name: String) -> Self {
        Self { name, current: None, lingering: Vec::new() }
    }

    /// Whether exactly one answer is right.
    pub(crate) fn is_certain(&self) -> bool {
        self.lingering.is_empty()
    }

    pub(crate) fn uncertainty(&self) -> usize {
        self.lingering.len()
    }

    pub(crate) fn exists(&self) -> bool {
        self.current.is_some()
    }

    pub(crate) fn version(&self) -> Option<Version> {
        self.current?.version
    }

    pub(crate) fn lingers(&mut self, what: Lingering) {
        self.lingering.push(what);
    }

    pub(crate) fn was_set(&mut self, number: u64, version: Option<Version>) {
        self.current = Some(Record { number, version });
    }

    pub(crate) fn was_removed(&mut self) {
        self.current = None;
    }

    /// Checks what was read against what is known, and learns from it.
    pub(crate) fn saw(&mut self, ledger: &Ledger, number: Option<u64>, version: Option<Version>) {
        if self.is_certain() {
            ledger.exact_checks.fetch_add(1, Ordering::Relaxed);
        }
        if number != self.current.map(|record| record.number) {
            let came = number.map_or(Lingering::Delete, Lingering::Set);
            let place = self.lingering.iter().position(|lingering| *lingering == came);
            let place = place.unwrap_or_else(|| {
                panic!(
                    "{}: read {number:?}, but {:?} was acknowledged, and unknown are {:?}",
                    self.name, self.current, self.lingering
                )
            });
            self.lingering.swap_remove(place);
            self.current = number.map(|number| Record { number, version: None });
        }
        if let (Some(record), Some(read)) = (&mut self.current, version) {
            let known = *record.version.get_or_insert(read);
            assert_eq!(known, read, "{}: one write, two versions", self.name);
        }
    }
}
