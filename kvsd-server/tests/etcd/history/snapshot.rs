//! Keys that are only ever written together, by batches that give all of them the same value: what
//! one look at them shows is one batch, whole. Next file: [`super::watch`].

use std::fmt;

use super::register::Seen;

/// Why a look cannot be.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Violation {
    /// Some of the keys have a record and some have none.
    Partly { found: usize, of: usize },
    /// Two batches were seen at once, or one with two versions.
    Torn { one: Seen, other: Seen },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partly { found, of } => {
                write!(f, "a batch of {of} keys was seen with {found} of them")
            }
            Self::Torn { one, other } => write!(f, "seen together: {one:?} and {other:?}"),
        }
    }
}

/// What one look at a group of `keys` keys saw, as if they were one.
pub(crate) fn of(keys: usize, records: &[Seen]) -> Result<Option<Seen>, Violation> {
    let Some(&one) = records.first() else { return Ok(None) };
    if let Some(&other) = records.iter().find(|other| **other != one) {
        return Err(Violation::Torn { one, other });
    }
    if records.len() != keys {
        return Err(Violation::Partly { found: records.len(), of: keys });
    }
    Ok(Some(one))
}
