//! A key that holds a number, which every client adds to. Next file: [`super::snapshot`].

use std::collections::HashSet;
use std::fmt;

use super::Operation;
use super::linear::{self, Model};

/// What was asked of a counter, and what was answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    Read {
        saw: Option<i64>,
    },
    /// Adds one; `None` if the outcome is unknown, otherwise what the number is now.
    Increment {
        now: Option<i64>,
    },
}

/// Why a counter's history cannot be.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Violation {
    /// Two increments were told the same number.
    Told {
        twice: i64,
    },
    /// The number is not one that the increments give.
    Sum {
        number: i64,
        acknowledged: usize,
        unknown: usize,
    },
    Order(linear::Violation),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told { twice } => write!(f, "two increments were told {twice}"),
            Self::Sum { number, acknowledged, unknown } => write!(
                f,
                "it is {number} after {acknowledged} acknowledged increments and {unknown} of \
                 unknown outcome"
            ),
            Self::Order(violation) => violation.fmt(f),
        }
    }
}

/// Checks the operations on a counter that began without a record and was read at the end.
pub(crate) fn check(operations: &[Operation<Action>]) -> Result<(), Violation> {
    let mut told = HashSet::new();
    let (mut acknowledged, mut unknown) = (0, 0);
    for operation in operations {
        match operation.action {
            Action::Increment { now: Some(now) } if !told.insert(now) => {
                return Err(Violation::Told { twice: now });
            }
            Action::Increment { now: Some(_) } => acknowledged += 1,
            Action::Increment { now: None } => unknown += 1,
            Action::Read { .. } => {}
        }
    }
    let last = operations.iter().max_by_key(|operation| operation.called);
    if let Some(Action::Read { saw }) = last.map(|operation| &operation.action) {
        let number = saw.unwrap_or(0);
        let least = i64::try_from(acknowledged).expect("a test's increments are few");
        let most = i64::try_from(acknowledged + unknown).expect("a test's increments are few");
        if !(least..=most).contains(&number) {
            return Err(Violation::Sum { number, acknowledged, unknown });
        }
    }
    linear::check(&Counter, operations, 0).map_err(Violation::Order)
}

struct Counter;

impl Model for Counter {
    type Action = Action;
    type State = i64;

    fn step(&self, state: &i64, action: &Action) -> Option<i64> {
        match *action {
            Action::Read { saw } => (saw.unwrap_or(0) == *state).then_some(*state),
            Action::Increment { now } => {
                let next = *state + 1;
                now.is_none_or(|now| now == next).then_some(next)
            }
        }
    }

    fn is_past(&self, state: &i64, action: &Action) -> bool {
        match *action {
            Action::Read { saw } => *state > saw.unwrap_or(0),
            Action::Increment { now } => now.is_some_and(|now| *state >= now),
        }
    }

    fn states(&self, action: &Action) -> Vec<i64> {
        match *action {
            Action::Read { saw } => vec![saw.unwrap_or(0)],
            Action::Increment { now } => now.map(|now| now - 1).into_iter().collect(),
        }
    }
}
