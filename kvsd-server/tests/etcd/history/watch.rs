//! What a watch told: each change of its keys once and in order, with nothing missing between but
//! where it says so. Next file: [`super::tests`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use super::History;
use super::register::{Action, Came, Seen};

/// Everything that one watch told.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) name: String,
    /// The version behind which it began; 0 for the beginning of the table.
    pub(crate) since: u64,
    /// The registers that it watches.
    pub(crate) registers: BTreeSet<String>,
    /// The counters that it watches.
    pub(crate) counters: BTreeSet<String>,
    pub(crate) events: Vec<Event>,
}

/// An item of a watch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    Set { key: String, value: u64, version: u64 },
    Deleted { key: String, version: u64 },
    Gap,
}

/// Why a watch cannot have told that.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Violation {
    /// A version below the one before it.
    Order { before: u64, then: u64 },
    /// One key twice with one version.
    Twice { key: String, version: u64 },
    /// A key that it does not watch.
    Foreign { key: String },
    /// A change that others know of is missing between two that it told.
    Missing { key: String, version: u64 },
    /// A removal that was acknowledged is missing.
    MissingRemoval { key: String, value: u64 },
    /// A counter that went from one number to another by more than one step.
    Leap { key: String, from: u64, to: u64 },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order { before, then } => write!(f, "version {then} was told behind {before}"),
            Self::Twice { key, version } => write!(f, "version {version} of {key} came twice"),
            Self::Foreign { key } => write!(f, "{key} is not watched"),
            Self::Missing { key, version } => write!(f, "version {version} of {key} is missing"),
            Self::MissingRemoval { key, value } => {
                write!(f, "that {value} was taken from {key} is missing")
            }
            Self::Leap { key, from, to } => write!(f, "{key} went from {from} to {to}"),
        }
    }
}

/// What watches told of the writes to a key.
pub(crate) fn writes(watches: &[Watched], key: &str) -> Vec<Seen> {
    let events = watches.iter().flat_map(|watched| &watched.events);
    events
        .filter_map(|event| match event {
            Event::Set { key: of, value, version } if of == key => {
                Some(Seen { value: *value, version: *version })
            }
            Event::Set { .. } | Event::Deleted { .. } | Event::Gap => None,
        })
        .collect()
}

/// Checks one watch against everything that is known of its keys.
pub(crate) fn check(watched: &Watched, history: &History) -> Result<(), Violation> {
    let known = known(watched, history);
    let taken = taken(watched, history);
    for (place, stretch) in watched.events.split(|event| *event == Event::Gap).enumerate() {
        in_order(watched, stretch)?;
        // Behind a gap it is known from the first event on only.
        let first = stretch.iter().find_map(Event::at).map(|(_, version)| version);
        let since = if place == 0 { Some(watched.since + 1) } else { first };
        nothing_missing(&known, since, stretch)?;
        nothing_left_standing(&taken, stretch)?;
        counters_step(watched, stretch)?;
    }
    let told = watched.events.iter().filter_map(|event| event.at());
    match told.collect::<Vec<_>>().windows(2).find(|pair| pair[1].1 < pair[0].1) {
        Some(pair) => Err(Violation::Order { before: pair[0].1, then: pair[1].1 }),
        None => Ok(()),
    }
}

impl Event {
    /// The key and the version, unless it is a gap.
    fn at(&self) -> Option<(&str, u64)> {
        match self {
            Self::Set { key, version, .. } | Self::Deleted { key, version } => {
                Some((key, *version))
            }
            Self::Gap => None,
        }
    }
}

fn in_order(watched: &Watched, stretch: &[Event]) -> Result<(), Violation> {
    let mut before = 0;
    let mut told = BTreeSet::new();
    for (key, version) in stretch.iter().filter_map(Event::at) {
        if !watched.registers.contains(key) && !watched.counters.contains(key) {
            return Err(Violation::Foreign { key: key.into() });
        }
        if !told.insert((version, key)) {
            return Err(Violation::Twice { key: key.into(), version });
        }
        if version < before {
            return Err(Violation::Order { before, then: version });
        }
        before = version;
    }
    Ok(())
}

/// The changes of the watch's registers that anybody knows of, by version.
fn known(watched: &Watched, history: &History) -> BTreeSet<(u64, String)> {
    let mut known = BTreeSet::new();
    for (key, operations) in &history.registers {
        if !watched.registers.contains(key) {
            continue;
        }
        for operation in operations {
            match operation.action {
                Action::Write { came: Came::Written { version }, .. }
                | Action::Read { saw: Some(Seen { version, .. }) } => {
                    known.insert((version, key.clone()));
                }
                Action::Write { .. } | Action::Read { saw: None } | Action::Take { .. } => {}
            }
        }
    }
    for (key, version) in
        history.watches.iter().flat_map(|other| &other.events).filter_map(Event::at)
    {
        if watched.registers.contains(key) || watched.counters.contains(key) {
            known.insert((version, key.into()));
        }
    }
    known
}

/// Each change from version `since` to the last one told must have been told.
fn nothing_missing(
    known: &BTreeSet<(u64, String)>,
    since: Option<u64>,
    stretch: &[Event],
) -> Result<(), Violation> {
    let told: BTreeSet<_> = stretch.iter().filter_map(Event::at).collect();
    let last = stretch.iter().rev().find_map(Event::at).map(|(_, version)| version);
    let (Some(since), Some(last)) = (since, last) else { return Ok(()) };
    let between = known.iter().filter(|(version, _)| (since..=last).contains(version));
    for (version, key) in between {
        if !told.contains(&(key.as_str(), *version)) {
            return Err(Violation::Missing { key: key.clone(), version: *version });
        }
    }
    Ok(())
}

/// The values that somebody took for certain, by key.
fn taken(watched: &Watched, history: &History) -> HashMap<String, BTreeSet<u64>> {
    let registers = history.registers.iter().filter(|(key, _)| watched.registers.contains(*key));
    registers
        .map(|(key, operations)| {
            let taken = operations.iter().filter_map(|operation| match operation.action {
                Action::Take { took: Some(took) } => took,
                Action::Take { took: None } | Action::Write { .. } | Action::Read { .. } => None,
            });
            (key.clone(), taken.collect())
        })
        .collect()
}

/// A value that was taken is followed by a removal, not by the next value.
fn nothing_left_standing(
    taken: &HashMap<String, BTreeSet<u64>>,
    stretch: &[Event],
) -> Result<(), Violation> {
    let mut standing: BTreeMap<&str, u64> = BTreeMap::new();
    for event in stretch {
        match event {
            Event::Set { key, value, .. } => {
                let before = standing.insert(key, *value);
                let is_taken =
                    |value: &u64| taken.get(key).is_some_and(|taken| taken.contains(value));
                if let Some(value) = before.filter(is_taken) {
                    return Err(Violation::MissingRemoval { key: key.clone(), value });
                }
            }
            Event::Deleted { key, .. } => {
                standing.remove(key.as_str());
            }
            Event::Gap => {}
        }
    }
    Ok(())
}

/// A counter is told with each of its numbers.
fn counters_step(watched: &Watched, stretch: &[Event]) -> Result<(), Violation> {
    let mut numbers: BTreeMap<&str, u64> = BTreeMap::new();
    for event in stretch {
        let Event::Set { key, value, .. } = event else { continue };
        if !watched.counters.contains(key) {
            continue;
        }
        if let Some(from) = numbers.insert(key, *value).filter(|from| from + 1 != *value) {
            return Err(Violation::Leap { key: key.clone(), from, to: *value });
        }
    }
    Ok(())
}
