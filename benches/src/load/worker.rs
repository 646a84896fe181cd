//! What one task does, over and over.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::{Client, Dice, Outcome, Picking, Plan, check};
use crate::Error;
use crate::cell::{KEYS_AT_ONCE, Work};
use crate::latency::Bucket;
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
    /// The value that is written next, its number apart.
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
    pub(super) async fn run(mut self, turns: Turns, mut notes: Notes) -> Result<(), Error> {
        match turns {
            Turns::Closed { end } => {
                let mut before = Instant::now();
                loop {
                    let done = self.step().await?;
                    let now = Instant::now();
                    if now >= end {
                        break;
                    }
                    notes.note(done, now - before);
                    before = now;
                }
            }
            Turns::Open { mut due } => {
                while let Some(due) = due.recv().await {
                    let done = self.step().await?;
                    notes.note(done, due.elapsed());
                }
            }
        }
        self.read_back().await
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
    fn check(&self, at: usize, found: Option<&Profile>) -> Result<(), Error> {
        let revision = found.map_or(0, |found| found.revision.min(self.profile.revision));
        check(found, &self.records, at, revision)
    }

    /// Whoever else wrote there in this run wrote the same.
    async fn read_back(&mut self) -> Result<(), Error> {
        let Some(at) = self.written else { return Ok(()) };
        let found = self.client.get(self.records.key(at)).await?;
        check(found.as_ref(), &self.records, at, self.profile.revision)
    }
}

/// What a task has measured and not told yet. A histogram for each task would drive what is measured
/// out of the processor's caches; so there is one, and a task comes to it seldom.
pub(super) struct Notes {
    outcome: Arc<Mutex<Outcome>>,
    reads: Vec<Bucket>,
    writes: Vec<Bucket>,
}

impl Notes {
    pub(super) fn new(outcome: &Arc<Mutex<Outcome>>) -> Self {
        let outcome = Arc::clone(outcome);
        Self { outcome, reads: Vec::new(), writes: Vec::new() }
    }

    fn note(&mut self, done: Done, time: Duration) {
        let noted = match done {
            Done::Read => &mut self.reads,
            Done::Write => &mut self.writes,
        };
        noted.push(Bucket::of(time));
        if noted.len() == MOST_NOTES {
            self.tell();
        }
    }

    fn tell(&mut self) {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        self.reads.drain(..).for_each(|bucket| outcome.reads.count_in(bucket));
        self.writes.drain(..).for_each(|bucket| outcome.writes.count_in(bucket));
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        self.tell();
    }
}

/// How many notes a task takes of each kind before it tells: two lines of a cache.
const MOST_NOTES: usize = 64;
/// Of a mixture, one of so many operations is a set.
const SET_EVERY: usize = 10;
