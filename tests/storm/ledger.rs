//! What is known of every write and of everything that was read, and how much happened.
//!
//! Any contradiction panics on the spot: nothing of it is collected for later.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use kvsd::{Error, ErrorKind, Outcome};

/// A write by its number, over all keys and clients.
type Number = u64;

#[derive(Default)]
pub(crate) struct Ledger {
    marks: Mutex<Vec<u8>>,
    counts: Mutex<BTreeMap<String, u64>>,
    operations: AtomicU64,
    pub(crate) exact_checks: AtomicU64,
    /// The changes that watches told.
    pub(crate) watched: AtomicU64,
    /// The increments of the counter that all tasks share: acknowledged, and of unknown outcome.
    pub(crate) counted: AtomicI64,
    pub(crate) perhaps_counted: AtomicI64,
}

/// A reader met its value.
const SEEN: u8 = 1;
/// Its error said that it did not and will not happen.
const NEVER: u8 = 2;
/// It was acknowledged, at a key that is watched.
const STORED: u8 = 8;
/// A take removed its value and returned it.
const TAKEN: u8 = 4;

impl Ledger {
    pub(crate) fn new_write(&self) -> Number {
        let mut marks = self.marks.lock().unwrap();
        marks.push(0);
        marks.len() as Number - 1
    }

    pub(crate) fn saw(&self, number: Number) {
        self.mark(number, SEEN);
    }

    pub(crate) fn took(&self, number: Number) {
        let before = self.mark(number, SEEN | TAKEN);
        assert_eq!(before & TAKEN, 0, "write {number} was taken twice");
    }

    pub(crate) fn stored(&self, number: Number) {
        self.mark(number, STORED);
    }

    /// How many writes there were.
    pub(crate) fn writes(&self) -> u64 {
        self.marks.lock().unwrap().len() as u64
    }

    /// The writes from `first` on that were acknowledged, at keys that are watched.
    pub(crate) fn all_stored(&self, first: Number) -> Vec<Number> {
        let marks = self.marks.lock().unwrap();
        let stored = (0..).zip(marks.iter()).filter(|(_, marks)| **marks & STORED != 0);
        stored.map(|(number, _)| number).filter(|number| *number >= first).collect()
    }

    pub(crate) fn never_happened(&self, number: Number) {
        self.mark(number, NEVER);
    }

    fn mark(&self, number: Number, mark: u8) -> u8 {
        let index = usize::try_from(number).unwrap();
        let (before, after) = {
            let mut marks = self.marks.lock().unwrap();
            let before = marks[index];
            marks[index] |= mark;
            (before, marks[index])
        };
        // Not under the lock, or this panic would be told as one of every task.
        let is_ghost = after & (SEEN | NEVER) == SEEN | NEVER;
        assert!(!is_ghost, "write {number} was refused or not sent, and read all the same");
        before
    }

    /// Notes the error of a write, or of a read without number, and whether it may have happened.
    pub(crate) fn failed(&self, operation: &str, number: Option<Number>, error: &Error) -> Fate {
        let expected = match error.kind() {
            ErrorKind::Connect
            | ErrorKind::Timeout
            | ErrorKind::Overloaded
            | ErrorKind::ConnectionLost
            | ErrorKind::Conflict { .. } => true,
            ErrorKind::Server(code) => matches!(code.as_str(), "CLOSING" | "BUSY" | "UNKNOWN"),
            _ => false,
        };
        assert!(expected, "{operation} failed as nothing here may: {error}");
        let fate = match (error.kind(), error.outcome()) {
            (ErrorKind::Conflict { .. }, Outcome::Refused) => Fate::Conflict,
            (_, Outcome::NotSent | Outcome::Refused) => Fate::Never,
            (_, Outcome::Unknown | Outcome::Partly) => Fate::Perhaps,
            (_, Outcome::Done) => panic!("{operation}: done, and the answer is unusable: {error}"),
        };
        if let (Some(number), Fate::Never | Fate::Conflict) = (number, fate) {
            self.never_happened(number);
        }
        let kind = match error.kind() {
            ErrorKind::Conflict { .. } => "conflict".to_owned(),
            kind => format!("{kind:?}"),
        };
        self.count(format!("ended: {kind}, {:?}", error.outcome()));
        fate
    }

    pub(crate) fn operation(&self, name: &str) {
        self.operations.fetch_add(1, Ordering::Relaxed);
        self.count(name);
    }

    pub(crate) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, what: impl Into<String>) {
        *self.counts.lock().unwrap().entry(what.into()).or_default() += 1;
    }

    /// How often `what` was counted.
    pub(crate) fn counted(&self, what: &str) -> u64 {
        self.counts.lock().unwrap().get(what).copied().unwrap_or(0)
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.lock().unwrap().clone()
    }
}

/// What an error says of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Never,
    /// Never, and because its condition did not hold.
    Conflict,
    Perhaps,
}
