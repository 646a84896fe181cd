//! The load: tasks, each with one operation under way at a time, in a closed loop or when it is
//! due.
//!
//! Knows records and a client that reads and writes them; never which one. Every value that is read
//! is compared with what belongs to its key, and every task reads back what it wrote last, so that
//! nobody is fast by being wrong. Next files to read: [`worker`] (what a task does), `peer`.

mod client;
mod pick;
mod watch;
mod worker;

pub(crate) use client::Client;
pub(crate) use pick::{Dice, Picking};

use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::cell::Work;
use crate::latency::Latency;
use crate::record::{Profile, Records};
use crate::{Error, clock};
use worker::{Notes, Turns, Worker};

/// What to do to a store.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) work: Work,
    pub(crate) tasks: usize,
    pub(crate) time: Duration,
    pub(crate) pace: Pace,
    pub(crate) picking: Picking,
    /// What reads must find and writes leave.
    pub(crate) records: Arc<Records>,
}

/// When operations begin.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// Each when its task's one before is over.
    Closed,
    /// So many a second, whatever comes of them.
    Open { rate: f64 },
}

/// What came of it: how long each operation took, those of a closed loop that ended within the
/// time.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) reads: Latency,
    pub(crate) writes: Latency,
}

impl Outcome {
    pub(crate) fn new() -> Self {
        Self { reads: Latency::new(), writes: Latency::new() }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.reads.add(&other.reads);
        self.writes.add(&other.writes);
    }

    pub(crate) fn count(&self) -> u64 {
        self.reads.count() + self.writes.count()
    }

    /// Reads and writes in one.
    pub(crate) fn all(&self) -> Latency {
        let mut all = self.reads.clone();
        all.add(&self.writes);
        all
    }
}

/// Carries out a plan. `client` makes the client of the task with that number.
pub(crate) async fn run<C: Client>(
    plan: &Plan,
    client: impl Fn(usize) -> C,
) -> Result<Outcome, Error> {
    if let Work::Watch { watchers } = plan.work {
        return watch::run(plan, watchers, client).await;
    }
    let outcome = Arc::new(Mutex::new(Outcome::new()));
    let run = |task, turns| {
        tokio::spawn(Worker::new(plan, task, client(task)).run(turns, Notes::new(&outcome)))
    };
    match plan.pace {
        Pace::Closed => {
            let end = Instant::now() + plan.time;
            let run = |task| run(task, Turns::Closed { end });
            let tasks: Vec<_> = (0..plan.tasks).map(run).collect();
            for task in tasks {
                task.await??;
            }
        }
        Pace::Open { rate } => {
            let (gap, time) = (Duration::from_secs_f64(1.0 / rate), plan.time);
            let (dues, receivers): (Vec<_>, Vec<_>) =
                (0..plan.tasks).map(|_| mpsc::channel(clock::MOST_DUE)).unzip();
            let run = |(task, due)| run(task, Turns::Open { due });
            let tasks: Vec<_> = receivers.into_iter().enumerate().map(run).collect();
            let tick = move || clock::tick(&dues, gap, time, &AtomicBool::new(false));
            tokio::task::spawn_blocking(tick).await??;
            for task in tasks {
                task.await??;
            }
        }
    }
    let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::replace(&mut outcome, Outcome::new()))
}

/// Writes the records of a range once.
pub(crate) async fn fill<C: Client>(
    records: &Arc<Records>,
    range: Range<usize>,
    client: impl Fn(usize) -> C,
) -> Result<(), Error> {
    let tasks: Vec<_> = (0..FILLERS)
        .map(|task| {
            let (records, mut client) = (Arc::clone(records), client(task));
            let range = range.clone();
            tokio::spawn(async move {
                let mut profile = records.first();
                for at in range.skip(task).step_by(FILLERS) {
                    profile.id = at as u64;
                    client.set(records.key(at), &profile).await?;
                }
                Ok::<_, Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// Reads one record.
pub(crate) async fn get(
    client: &mut impl Client,
    records: &Records,
    at: usize,
) -> Result<(), Error> {
    let found = client.get(records.key(at)).await?;
    check(found.as_ref(), records, at, records.revision())
}

/// Checks that a value belongs to its key and its run, and is whole.
fn check(
    found: Option<&Profile>,
    records: &Records,
    at: usize,
    revision: u32,
) -> Result<(), Error> {
    if !found.is_some_and(|found| records.are_of(found, at, revision)) {
        let mut expected = records.revised(revision).first();
        expected.id = at as u64;
        return Err(format!("found {found:.200?} at key {at} instead of {expected:.200?}").into());
    }
    Ok(())
}

/// How many tasks write the records before anything is measured.
const FILLERS: usize = 256;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use tokio::sync::broadcast;

    use super::*;
    use crate::cell::Pick;
    use crate::record::Key;

    /// A store in memory with a fault.
    #[derive(Debug, Clone)]
    struct Store {
        records: Arc<Mutex<HashMap<String, Profile>>>,
        told: broadcast::Sender<Profile>,
        fault: Fault,
    }

    #[derive(Debug, Clone, Copy)]
    enum Fault {
        None,
        AnswersAnotherKey,
        DropsWrites,
        ForgetsOne,
        TellsOldNews,
    }

    impl Client for Store {
        async fn get(&mut self, key: Key) -> Result<Option<Profile>, Error> {
            let records = self.records.lock().unwrap();
            Ok(match self.fault {
                Fault::AnswersAnotherKey => {
                    let mut others = records.iter().filter(|(other, _)| *other != key.text());
                    others.next().map(|(_, found)| found.clone())
                }
                Fault::None | Fault::DropsWrites | Fault::ForgetsOne | Fault::TellsOldNews => {
                    records.get(key.text()).cloned()
                }
            })
        }

        async fn set(&mut self, key: Key, profile: &Profile) -> Result<(), Error> {
            let mut records = self.records.lock().unwrap();
            if !matches!(self.fault, Fault::DropsWrites) || profile.revision == 0 {
                records.insert(key.text().to_owned(), profile.clone());
            }
            Ok(())
        }

        async fn get_many(&mut self, keys: &[&str]) -> Result<Vec<Option<Profile>>, Error> {
            let mut found = Vec::new();
            for text in keys {
                let at =
                    text.trim_start_matches(|letter: char| !letter.is_ascii_digit()).parse()?;
                found.push(self.get(Key::of(at)).await?);
            }
            Ok(found)
        }

        async fn scan(&mut self, prefix: &str) -> Result<Vec<Profile>, Error> {
            let records = self.records.lock().unwrap();
            let found = records.iter().filter(|(key, _)| key.starts_with(prefix));
            let less = usize::from(matches!(self.fault, Fault::ForgetsOne));
            Ok(found.skip(less).map(|(_, profile)| profile.clone()).collect())
        }

        async fn announce(&mut self, key: Key, profile: &Profile) -> Result<(), Error> {
            self.set(key, profile).await?;
            let mut news = profile.clone();
            if matches!(self.fault, Fault::TellsOldNews) {
                news.revision -= 1;
            }
            self.told.send(news)?;
            Ok(())
        }

        async fn watch(
            self,
            begun: impl FnOnce() + Send,
            mut told: impl FnMut(&Profile) -> Result<(), Error> + Send,
        ) -> Result<(), Error> {
            let mut news = self.told.subscribe();
            begun();
            loop {
                told(&news.recv().await?)?;
            }
        }
    }

    /// Fills a store with this fault and does some work on it.
    fn run_on(fault: Fault, work: Work, pace: Pace) -> Result<Outcome, Error> {
        let store = Store { records: Arc::default(), told: broadcast::Sender::new(KEYS), fault };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(async {
            let first = Arc::new(Records::new(KEYS));
            fill(&first, 0..KEYS, |_| store.clone()).await?;
            let records = match work {
                Work::Set | Work::Mixed | Work::Watch { .. } => Arc::new(first.revised(1)),
                Work::Get | Work::GetMany | Work::Scan => first,
            };
            let time = Duration::from_millis(20);
            let picking = Picking::new(Pick::Evenly, KEYS);
            let plan = Plan { work, tasks: 3, time, pace, picking, records };
            run(&plan, |_| store.clone()).await
        })
    }

    #[test]
    fn what_a_right_store_does_is_counted() {
        for work in [Work::Get, Work::GetMany, Work::Scan] {
            let outcome = run_on(Fault::None, work, Pace::Closed).unwrap();
            assert!(outcome.reads.count() > 0 && outcome.writes.count() == 0, "{work:?}");
        }
        for work in [Work::Set, Work::Watch { watchers: 5 }] {
            let outcome = run_on(Fault::None, work, Pace::Closed).unwrap();
            assert!(outcome.reads.count() == 0 && outcome.writes.count() > 0, "{work:?}");
        }
    }

    #[test]
    fn one_of_ten_of_a_mixture_is_a_set() {
        let outcome = run_on(Fault::None, Work::Mixed, Pace::Open { rate: 1e5 }).unwrap();
        let share = outcome.writes.count() as f64 / outcome.count() as f64;
        assert!((0.05..0.15).contains(&share), "{share}");
    }

    #[test]
    fn in_an_open_loop_everything_is_done_that_was_due() {
        let outcome = run_on(Fault::None, Work::Get, Pace::Open { rate: 1e4 }).unwrap();
        assert_eq!(outcome.count(), 200);
    }

    #[test]
    fn a_store_that_answers_with_another_keys_value_is_found_out() {
        for work in [Work::Get, Work::GetMany, Work::Mixed] {
            assert!(run_on(Fault::AnswersAnotherKey, work, Pace::Closed).is_err(), "{work:?}");
        }
    }

    #[test]
    fn a_store_that_only_pretends_to_write_is_found_out() {
        assert!(run_on(Fault::DropsWrites, Work::Set, Pace::Closed).is_err());
        assert!(run_on(Fault::DropsWrites, Work::Mixed, Pace::Closed).is_err());
    }

    #[test]
    fn a_scan_that_leaves_one_out_is_found_out() {
        assert!(run_on(Fault::ForgetsOne, Work::Scan, Pace::Closed).is_err());
    }

    #[test]
    fn a_watcher_that_is_told_what_was_not_written_is_found_out() {
        assert!(run_on(Fault::TellsOldNews, Work::Watch { watchers: 5 }, Pace::Closed).is_err());
    }

    const KEYS: usize = 1000;
}
