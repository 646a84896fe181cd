//! The load: tasks in a closed loop, each with one operation under way at a time.
//!
//! Knows records and a client that reads and writes them; never which one. Every value that is read
//! is compared with what belongs to its key, and every task reads back what it wrote last, so that
//! nobody is fast by being wrong. Next file to read: `peer`.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Error;
use crate::cell::Operation;
use crate::latency::Latency;
use crate::record::{Profile, Records};

/// One task's client of a store of typed records.
pub(crate) trait Client: Send + 'static {
    /// Reads the record at a key.
    fn get(&mut self, key: &str) -> impl Future<Output = Result<Option<Profile>, Error>> + Send;
    /// Writes the record at a key.
    fn set(
        &mut self,
        key: &str,
        profile: &Profile,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// What to do to a store.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) operation: Operation,
    pub(crate) tasks: usize,
    pub(crate) time: Duration,
    /// What reads must find and writes leave.
    pub(crate) records: Arc<Records>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How long each operation took that ended within the time.
    pub(crate) latency: Latency,
}

/// Carries out a plan. `client` makes the client of the task with that number.
pub(crate) async fn run<C: Client>(
    plan: &Plan,
    client: impl Fn(usize) -> C,
) -> Result<Outcome, Error> {
    let end = Instant::now() + plan.time;
    let tasks: Vec<_> = (0..plan.tasks)
        .map(|task| {
            let records = Arc::clone(&plan.records);
            let dice = Dice::new(task);
            match plan.operation {
                Operation::Get => tokio::spawn(get_until(end, client(task), records, dice)),
                Operation::Set => tokio::spawn(set_until(end, client(task), records, dice)),
            }
        })
        .collect();
    let mut latency = Latency::new();
    for task in tasks {
        latency.add(&task.await??);
    }
    Ok(Outcome { latency })
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

async fn get_until(
    end: Instant,
    mut client: impl Client,
    records: Arc<Records>,
    mut dice: Dice,
) -> Result<Latency, Error> {
    let (mut expected, mut latency) = (records.first(), Latency::new());
    let mut before = Instant::now();
    loop {
        let at = dice.below(records.count());
        let found = client.get(records.key(at)).await?;
        let now = Instant::now();
        expected.id = at as u64;
        check(found.as_ref(), &expected)?;
        if now >= end {
            return Ok(latency);
        }
        latency.record(now - before);
        before = now;
    }
}

async fn set_until(
    end: Instant,
    mut client: impl Client,
    records: Arc<Records>,
    mut dice: Dice,
) -> Result<Latency, Error> {
    let (mut profile, mut latency) = (records.first(), Latency::new());
    let mut before = Instant::now();
    loop {
        let at = dice.below(records.count());
        profile.id = at as u64;
        client.set(records.key(at), &profile).await?;
        let now = Instant::now();
        if now >= end {
            // Whoever else wrote there in this run wrote the same.
            check(client.get(records.key(at)).await?.as_ref(), &profile)?;
            return Ok(latency);
        }
        latency.record(now - before);
        before = now;
    }
}

/// Reads one record.
pub(crate) async fn get(
    client: &mut impl Client,
    records: &Records,
    at: usize,
) -> Result<(), Error> {
    let mut expected = records.first();
    expected.id = at as u64;
    check(client.get(records.key(at)).await?.as_ref(), &expected)
}

/// Checks that a value belongs to its key and its run, and is whole.
fn check(found: Option<&Profile>, expected: &Profile) -> Result<(), Error> {
    if found != Some(expected) {
        return Err(format!("found {found:?} instead of {expected:?}").into());
    }
    Ok(())
}

/// Picks keys at random, the same ones for every peer.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(task: usize) -> Self {
        Self((task as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The high bits are the better ones; the quotient is below `end`.
        usize::try_from((u128::from(self.0) * end as u128) >> 64).unwrap_or_default()
    }
}

/// How many tasks write the records before anything is measured.
const FILLERS: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use super::*;
    use crate::record::KEYS;

    /// A store in memory with a fault.
    #[derive(Debug, Clone)]
    struct Store {
        records: Arc<Mutex<HashMap<String, Profile>>>,
        fault: Fault,
    }

    #[derive(Debug, Clone, Copy)]
    enum Fault {
        None,
        AnswersAnotherKey,
        DropsWrites,
    }

    impl Client for Store {
        async fn get(&mut self, key: &str) -> Result<Option<Profile>, Error> {
            let records = self.records.lock().unwrap();
            Ok(match self.fault {
                Fault::None | Fault::DropsWrites => records.get(key).cloned(),
                Fault::AnswersAnotherKey => {
                    records.iter().find(|(other, _)| *other != key).map(|(_, found)| found.clone())
                }
            })
        }

        async fn set(&mut self, key: &str, profile: &Profile) -> Result<(), Error> {
            let mut records = self.records.lock().unwrap();
            if !matches!(self.fault, Fault::DropsWrites) || profile.revision == 0 {
                records.insert(key.to_owned(), profile.clone());
            }
            Ok(())
        }
    }

    /// Fills a store with this fault and runs one operation on it.
    fn run_on(fault: Fault, operation: Operation) -> Result<u64, Error> {
        let store = Store { records: Arc::default(), fault };
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(async {
            let first = Arc::new(Records::new(KEYS, 0));
            fill(&first, 0..KEYS, |_| store.clone()).await?;
            let records = match operation {
                Operation::Get => first,
                Operation::Set => Arc::new(Records::new(KEYS, 1)),
            };
            let plan = Plan { operation, tasks: 3, time: Duration::from_millis(20), records };
            Ok(run(&plan, |_| store.clone()).await?.latency.count())
        })
    }

    #[test]
    fn what_a_right_store_does_is_counted() {
        assert!(run_on(Fault::None, Operation::Get).unwrap() > 0);
        assert!(run_on(Fault::None, Operation::Set).unwrap() > 0);
    }

    #[test]
    fn a_store_that_answers_with_another_keys_value_is_found_out() {
        assert!(run_on(Fault::AnswersAnotherKey, Operation::Get).is_err());
    }

    #[test]
    fn a_store_that_only_pretends_to_write_is_found_out() {
        assert!(run_on(Fault::DropsWrites, Operation::Set).is_err());
    }

    #[test]
    fn every_key_is_picked() {
        let (mut dice, mut picked) = (Dice::new(0), [false; 100]);
        for _ in 0..10_000 {
            picked[dice.below(100)] = true;
        }
        assert_eq!(picked, [true; 100]);
    }
}
