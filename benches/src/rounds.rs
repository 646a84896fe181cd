//! Rounds: how often something is measured, and which of the measurements count.
//!
//! A round in which the hypervisor took more than its share is thrown away and counted. Knows
//! nothing of what is measured.

use crate::Error;
use crate::machine::Ticks;

/// What the rounds that count have brought.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    pub(crate) rounds: Vec<T>,
    /// Rounds thrown away for too much steal.
    pub(crate) repeated: u16,
}

/// Runs rounds until `count` of them are kept. `round` is told its number from 0, those that were
/// thrown away included.
pub(crate) fn keep<T>(
    count: u16,
    mut round: impl FnMut(u16) -> Result<T, Error>,
) -> Result<Kept<T>, Error> {
    let (mut rounds, mut kept, mut repeated) = (Vec::new(), 0, 0);
    while kept < count {
        let before = Ticks::now()?;
        let result = round(kept + repeated)?;
        let steal = Ticks::now()?.steal_since(before);
        if steal > MOST_STEAL && repeated < MOST_REPEATED {
            eprintln!("repeated: {:.1} % steal", steal * 100.0);
            repeated += 1;
            continue;
        }
        kept += 1;
        rounds.push(result);
    }
    Ok(Kept { rounds, repeated })
}

/// The share of its time that a round may lose to the hypervisor.
pub(crate) const MOST_STEAL: f64 = 0.03;
/// How many rounds are thrown away at most: a machine that is always disturbed still gets its
/// table.
const MOST_REPEATED: u16 = 30;
