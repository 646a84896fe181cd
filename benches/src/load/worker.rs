//! What one task does, over and over.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::{Client, Dice, Outcome, Picking, Plan, check};
use crate::Error;
use crate::cell::{KEYS_AT_ONCE, Work};
use crate::latency::Latency;
use crate::record::{Key, Profile, Records};

/// When a task's operations begin.
pub(super) enum Turns {
    /// Each when the one before is over, until the end.
    Closed { end: Instant },
    /// When they are due, until nothing more will be.
    Open { due: mpsc::Receiver<Instant> },
}

/// A task: a client, and the records that it works on.
pub(super) struct Worker<C> {
    client: C,
    work: Work,
    picking: Picking,
    records: Arc<Records>,
    dice: Dice,
    /// The value that is read or written next, its number apart.
    profile: Profile,
    /// What was written last.
    written: Option<usize>,
}

/// What an operation was.
enum Done {
    Read,
    Write,
}

impl<C: Client> Worker<C> {
    pub(super) fn new(plan: &Plan, task: usize, client: C) -> Self {
        Self {
            client,
            work: plan.work,
            picking: plan.picking.clone(),
            records: Arc::clone(&plan.records),
            dice: Dice::new(task),
            profile: plan.records.first(),
            written: None,
        }
    }

    /// Works until the end, and then reads back what it wrote last.
    pub(super) async fn run(mut self, turns: Turns) -> Result<Outcome, Error> {
        let mut outcome = Outcome::new();
        match turns {
            Turns::Closed { end } => {
                let mut before = Instant::now();
                loop {
                    let done = self.step().await?;
                    let now = Instant::now();
                    if now >= end {
                        break;
                    }
                    done.latency(&mut outcome).record(now - before);
                    before = now;
                }
            }
            Turns::Open { mut due } => {
                while let Some(due) = due.recv().await {
                    let done = self.step().await?;
                    done.latency(&mut outcome).record(due.elapsed());
                }
            }
        }
        self.read_back().await?;
        Ok(outcome)
    }

    async fn step(&mut self) -> Result<Done, Error> {
        match self.work {
            Work::Get => self.get().await,
            Work::Mixed if self.dice.below(SET_EVERY) > 0 => self.get().await,
            Work::Set | Work::Mixed | Work::Watch { .. } => self.set().await,
            Work::GetMany => self.get_many().await,
            Work::Scan => self.scan().await,
        }
    }

    async fn get(&mut self) -> Result<Done, Error> {
        let at = self.picking.next(&mut self.dice);
        let found = self.client.get(self.records.key(at)).await?;
        self.check(at, found.as_ref())?;
        Ok(Done::Read)
    }

    async fn set(&mut self) -> Result<Done, Error> {
        let at = self.picking.next(&mut self.dice);
        self.profile.id = at as u64;
        self.client.set(self.records.key(at), &self.profile).await?;
        self.written = Some(at);
        Ok(Done::Write)
    }

    async fn get_many(&mut self) -> Result<Done, Error> {
        let places: [usize; KEYS_AT_ONCE] =
            std::array::from_fn(|_| self.picking.next(&mut self.dice));
        let keys = places.map(|at| self.records.key(at));
        let keys = keys.each_ref().map(Key::text);
        let found = self.client.get_many(&keys).await?;
        if found.len() != keys.len() {
            return Err(format!("{} values for {} keys", found.len(), keys.len()).into());
        }
        places
            .into_iter()
            .zip(&found)
            .try_for_each(|(at, found)| self.check(at, found.as_ref()))?;
        Ok(Done::Read)
    }

    async fn scan(&mut self) -> Result<Done, Error> {
        let key = self.records.key(self.picking.next(&mut self.dice));
        let (prefix, first) = (key.prefix(), key.at - key.at % KEYS_AT_ONCE);
        let mut found = self.client.scan(prefix).await?;
        found.sort_unstable_by_key(|profile| profile.id);
        // The last keys may be fewer.
        if found.len() != KEYS_AT_ONCE.min(self.records.count() - first) {
            return Err(format!("{} records begin with {prefix}", found.len()).into());
        }
        (first..).zip(&found).try_for_each(|(at, found)| self.check(at, Some(found)))?;
        Ok(Done::Read)
    }

    /// Checks a value of this run, or of an earlier one: not every key has been written again.
    fn check(&mut self, at: usize, found: Option<&Profile>) -> Result<(), Error> {
        let revision = self.profile.revision;
        self.profile.id = at as u64;
        self.profile.revision = found.map_or(revision, |found| found.revision.min(revision));
        let result = check(found, &self.profile);
        self.profile.revision = revision;
        result
    }

    /// Whoever else wrote there in this run wrote the same.
    async fn read_back(&mut self) -> Result<(), Error> {
        let Some(at) = self.written else { return Ok(()) };
        self.profile.id = at as u64;
        let found = self.client.get(self.records.key(at)).await?;
        check(found.as_ref(), &self.profile)
    }
}

impl Done {
    fn latency(self, outcome: &mut Outcome) -> &mut Latency {
        match self {
            Self::Read => &mut outcome.reads,
            Self::Write => &mut outcome.writes,
        }
    }
}

/// Of a mixture, one of so many operations is a set.
const SET_EVERY: usize = 10;
