//! A key that holds one value at a time, or none: reads, sets, sets by condition, removals. Each
//! write's value is its own in all the history, so that a value names the write that made it.
//! Next file: [`super::counter`].

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::Operation;
use super::linear::{self, Model};

/// A record as it was told: the value of one write, and its version.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Seen {
    pub(crate) value: u64,
    pub(crate) version: u64,
}

/// What was asked of a key, and what was answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    Read {
        saw: Option<Seen>,
    },
    Write {
        value: u64,
        condition: Condition,
        came: Came,
    },
    /// `None` if the outcome is unknown; otherwise the value that was taken away.
    Take {
        took: Option<Option<u64>>,
    },
}

/// On what a write insists.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Condition {
    Any,
    Absent,
    Version(u64),
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Came {
    Written {
        version: u64,
    },
    /// Refused, with the version that stood there.
    Conflict {
        current: Option<u64>,
    },
    Unknown,
}

/// Why a key's history cannot be.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Violation {
    /// A value was seen that nobody wrote.
    FromNowhere {
        value: u64,
    },
    /// One write has two versions: it was done twice.
    Twice {
        value: u64,
        versions: [u64; 2],
    },
    /// Two writes have one version.
    Shared {
        version: u64,
        values: [u64; 2],
    },
    Order(linear::Violation),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FromNowhere { value } => write!(f, "nobody wrote the value {value}"),
            Self::Twice { value, versions: [one, other] } => {
                write!(f, "the write of {value} was done twice, as version {one} and {other}")
            }
            Self::Shared { version, values: [one, other] } => {
                write!(f, "the writes of {one} and of {other} have the same version {version}")
            }
            Self::Order(violation) => violation.fmt(f),
        }
    }
}

/// Checks the operations on a key that began without a record. `told` is what watches told of it.
pub(crate) fn check(operations: &[Operation<Action>], told: &[Seen]) -> Result<(), Violation> {
    let versions = versions(operations, told)?;
    let operations = resolve(operations, &versions);
    linear::check(&Register { versions }, &operations, State { value: None, floor: 0 })
        .map_err(Violation::Order)
}

/// The version of each write that anybody knows one of.
fn versions(
    operations: &[Operation<Action>],
    told: &[Seen],
) -> Result<HashMap<u64, u64>, Violation> {
    let written: HashSet<u64> = operations
        .iter()
        .filter_map(|operation| match operation.action {
            Action::Write { value, came: Came::Written { .. } | Came::Unknown, .. } => Some(value),
            Action::Write { .. } | Action::Read { .. } | Action::Take { .. } => None,
        })
        .collect();
    let (mut versions, mut values) = (HashMap::new(), HashMap::new());
    let seen = operations.iter().filter_map(|operation| match operation.action {
        Action::Write { value, came: Came::Written { version }, .. } => {
            Some(Seen { value, version })
        }
        Action::Read { saw } => saw,
        Action::Write { .. } | Action::Take { .. } => None,
    });
    for Seen { value, version } in seen.chain(told.iter().copied()) {
        if !written.contains(&value) {
            return Err(Violation::FromNowhere { value });
        }
        if let Some(other) = versions.insert(value, version).filter(|other| *other != version) {
            return Err(Violation::Twice { value, versions: [other, version] });
        }
        if let Some(other) = values.insert(version, value).filter(|other| *other != value) {
            return Err(Violation::Shared { version, values: [other, value] });
        }
    }
    Ok(versions)
}

/// The operations, less the doubt that others remove: a write of unknown outcome took effect before
/// the first answer that shows its value, and one that no answer shows need not have: nothing but its
/// own value could tell. Unless an answer shows a version that nobody can name a value for.
fn resolve(
    operations: &[Operation<Action>],
    versions: &HashMap<u64, u64>,
) -> Vec<Operation<Action>> {
    let mut first_seen: HashMap<u64, u64> = HashMap::new();
    let by_version: HashMap<u64, u64> =
        versions.iter().map(|(&value, &version)| (version, value)).collect();
    let mut is_anonymous_seen = false;
    for operation in operations {
        let value = match operation.action {
            Action::Read { saw } => saw.map(|seen| seen.value),
            Action::Take { took } => took.flatten(),
            Action::Write { came: Came::Conflict { current: Some(version) }, .. }
            | Action::Write {
                came: Came::Written { .. },
                condition: Condition::Version(version),
                ..
            } => {
                is_anonymous_seen |= !by_version.contains_key(&version);
                by_version.get(&version).copied()
            }
            Action::Write { .. } => None,
        };
        if let (Some(value), Some(answered)) = (value, operation.answered) {
            let first = first_seen.entry(value).or_insert(answered);
            *first = answered.min(*first);
        }
    }
    operations
        .iter()
        .filter_map(|operation| {
            let mut operation = operation.clone();
            if let Action::Write { value, came: Came::Unknown, .. } = operation.action {
                operation.answered = first_seen.get(&value).copied();
                if operation.answered.is_none() && !is_anonymous_seen {
                    return None;
                }
            }
            Some(operation)
        })
        .collect()
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct State {
    value: Option<u64>,
    /// The highest version so far, as far as versions are known: the next one is above it.
    floor: u64,
}

struct Register {
    versions: HashMap<u64, u64>,
}

impl Register {
    /// Whether what stands there has this version, or may have it as nobody knows.
    fn stands_at(&self, state: &State, version: Option<u64>) -> bool {
        match (state.value, version) {
            (None, None) => true,
            (Some(value), Some(version)) => {
                self.versions.get(&value).is_none_or(|known| *known == version)
            }
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    fn holds(&self, state: &State, condition: Condition) -> bool {
        match condition {
            Condition::Any => true,
            Condition::Absent => state.value.is_none(),
            Condition::Version(version) => self.stands_at(state, Some(version)),
        }
    }
}

impl Model for Register {
    type Action = Action;
    type State = State;

    fn step(&self, state: &State, action: &Action) -> Option<State> {
        match *action {
            Action::Read { saw } => {
                (saw.map(|seen| seen.value) == state.value).then(|| state.clone())
            }
            Action::Write { condition, came: Came::Conflict { current }, .. } => {
                let refuses = match condition {
                    Condition::Any => false,
                    Condition::Absent => current.is_some(),
                    Condition::Version(version) => current != Some(version),
                };
                (refuses && self.stands_at(state, current)).then(|| state.clone())
            }
            Action::Write { value, condition, came: Came::Written { .. } | Came::Unknown } => {
                let version = self.versions.get(&value).copied();
                let rises = version.is_none_or(|version| version > state.floor);
                (rises && self.holds(state, condition))
                    .then(|| State { value: Some(value), floor: version.unwrap_or(state.floor) })
            }
            Action::Take { took } => {
                let fits = took.is_none_or(|took| took == state.value);
                fits.then_some(State { value: None, floor: state.floor })
            }
        }
    }

    fn is_past(&self, state: &State, action: &Action) -> bool {
        let version = match *action {
            Action::Read { saw } => saw.map(|seen| seen.version + 1),
            Action::Write { came: Came::Written { version }, .. } => Some(version),
            Action::Write { .. } | Action::Take { .. } => None,
        };
        version.is_some_and(|version| version <= state.floor)
    }

    fn states(&self, action: &Action) -> Vec<State> {
        let of = |value| State { value, floor: 0 };
        let version = match *action {
            Action::Read { saw } => return vec![of(None), of(saw.map(|seen| seen.value))],
            Action::Take { took } => return vec![of(None), of(took.flatten())],
            Action::Write { came: Came::Conflict { current }, .. } => current,
            Action::Write { condition: Condition::Version(version), .. } => Some(version),
            Action::Write { .. } => None,
        };
        let named = self.versions.iter().filter(|(_, known)| Some(**known) == version);
        named.map(|(value, _)| of(Some(*value))).chain([of(None)]).collect()
    }
}
