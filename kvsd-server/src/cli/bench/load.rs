//! The tasks that read and overwrite.
//!
//! Each has one operation under way at a time, and checks every value that it reads. Next file to
//! read: `phase`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kvsd::Client;
use tokio::task::JoinSet;

use super::data::Data;
use super::pace::Pace;
use super::pick::{Dice, Pick};
use super::tally::{Fault, Operation, Tallies};

/// What tasks do.
#[derive(Debug, Clone)]
pub(super) struct Load {
    /// On the table that is worked in.
    pub(super) client: Client,
    pub(super) data: Arc<Data>,
    pub(super) pick: Pick,
    /// Of 100 operations so many read.
    pub(super) reads: u8,
    pub(super) tasks: usize,
}

impl Load {
    /// Starts the tasks. They end with the pace.
    pub(super) fn start(
        &self,
        pace: &Arc<Pace>,
        tallies: &Arc<Tallies>,
    ) -> JoinSet<Result<(), kvsd::Error>> {
        let mut tasks = JoinSet::new();
        for number in 0..self.tasks {
            let (load, pace, tallies) = (self.clone(), Arc::clone(pace), Arc::clone(tallies));
            tasks.spawn(async move {
                load.work(number, &pace, &tallies).await;
                Ok(())
            });
        }
        tasks
    }

    async fn work(&self, number: usize, pace: &Pace, tallies: &Tallies) {
        let (mut dice, mut buffer) = (Dice::new(number as u64), Vec::new());
        while let Some(due) = pace.next().await {
            let late = due.elapsed();
            let operation = match dice.below(100) < u64::from(self.reads) {
                true => Operation::Get,
                false => Operation::Set,
            };
            let at = self.pick.key(&mut dice);
            let result = match operation {
                Operation::Get => self.get(at).await,
                Operation::Set => self.set(at, &mut buffer).await,
            };
            let latency = Instant::now().duration_since(due);
            let failed = {
                let mut tally = tallies.of(number);
                tally.began(late);
                match &result {
                    Ok(()) => tally.succeeded(operation, latency, self.data.size()),
                    Err(fault) => tally.failed(fault),
                }
                result.is_err()
            };
            if failed {
                // Where nothing answers, errors come fast.
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn get(&self, at: u64) -> Result<(), Fault> {
        let stored = self.client.get_bytes(self.data.key(at)).await.map_err(Fault::Failed)?;
        match stored {
            Some(stored) if self.data.is_value(at, stored.bytes()) => Ok(()),
            Some(_) => Err(Fault::WrongValue),
            None => Err(Fault::NoValue),
        }
    }

    async fn set(&self, at: u64, buffer: &mut Vec<u8>) -> Result<(), Fault> {
        self.data.write_value(at, buffer);
        let set = self.client.set(self.data.key(at), buffer.as_slice());
        set.await.map(|_| ()).map_err(Fault::Failed)
    }
}

/// How long a task waits after an error.
const PAUSE: Duration = Duration::from_millis(50);
