//! Where a run works: a table of its own, or a part of a given one. What it writes there goes away
//! again.
//!
//! The only place that makes or removes anything. Next file to read: `report`.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kvsd::{Client, TableName};
use tokio::task::JoinSet;

use super::data::Data;
use crate::cli::failure::Failure;

/// Where a run works.
#[derive(Debug)]
pub(super) struct Place {
    /// On the table.
    pub(super) client: Client,
    table: TableName,
    owner: Owner,
}

/// Whose table it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// This run made it, and nobody else knows its name.
    Run,
    User,
}

/// Tasks under way, and how far they are.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) tasks: JoinSet<Result<(), kvsd::Error>>,
    pub(super) chunks: Arc<Chunks>,
}

impl Place {
    /// Makes a table for the run, unless one is given.
    ///
    /// # Errors
    ///
    /// The server makes no table.
    pub(super) async fn make(
        client: &Client,
        given: Option<TableName>,
        data: &Data,
    ) -> Result<Self, Failure> {
        let owner = if given.is_some() { Owner::User } else { Owner::Run };
        let table = match given {
            Some(table) => table,
            None => TableName::parse(&format!("kvsd-bench-{}", data.run()))
                .map_err(|error| Failure::usage(&error))?,
        };
        let client = client.table(table.as_str())?;
        if owner == Owner::Run && !client.create_table(table.as_str()).await? {
            return Err(Failure::other(format!("there is a table {table} already; try again")));
        }
        Ok(Self { client, table, owner })
    }

    /// What is worked in, and what becomes of it.
    pub(super) fn plan(&self, data: &Data) -> String {
        let table = &self.table;
        match self.owner {
            Owner::Run => format!("the table {table}, made for this run"),
            Owner::User => format!("the table {table}, below the prefix {}", data.prefix()),
        }
    }

    /// Begins to write all values.
    pub(super) fn fill(&self, data: &Arc<Data>) -> Job {
        self.begin(data, |client, data, keys| async move {
            let pairs = keys.map(|at| {
                let mut value = Vec::new();
                data.write_value(at, &mut value);
                (data.key(at), value)
            });
            client.set_many(pairs).await.map(|_| ())
        })
    }

    /// Begins to remove all that was written. Other tasks must have ended: a write that comes later
    /// would stay.
    pub(super) fn clear(&self, data: &Arc<Data>) -> Job {
        match self.owner {
            Owner::User => self.begin(data, |client, data, keys| async move {
                client.delete_many(keys.map(|at| data.key(at))).await.map(|_| ())
            }),
            Owner::Run => {
                let (client, table) = (self.client.clone(), self.table.clone());
                let (mut tasks, chunks) = (JoinSet::new(), Arc::new(Chunks::new(data)));
                let dropped = Arc::clone(&chunks);
                tasks.spawn(async move {
                    client.drop_table(table.as_str()).await?;
                    dropped.next.store(dropped.keys, Ordering::Relaxed);
                    Ok(())
                });
                Job { tasks, chunks }
            }
        }
    }

    /// Begins to do something to all keys, some of them at a time.
    fn begin<F>(&self, data: &Arc<Data>, what: fn(Client, Arc<Data>, Range<u64>) -> F) -> Job
    where
        F: Future<Output = Result<(), kvsd::Error>> + Send + 'static,
    {
        let (mut tasks, chunks) = (JoinSet::new(), Arc::new(Chunks::new(data)));
        for _ in 0..TASKS {
            let (client, data) = (self.client.clone(), Arc::clone(data));
            let chunks = Arc::clone(&chunks);
            tasks.spawn(async move {
                while let Some(keys) = chunks.next() {
                    what(client.clone(), Arc::clone(&data), keys).await?;
                }
                Ok(())
            });
        }
        Job { tasks, chunks }
    }
}

/// All keys, some of them at a time.
#[derive(Debug)]
pub(super) struct Chunks {
    keys: u64,
    step: u64,
    next: AtomicU64,
    is_over: AtomicBool,
}

impl Chunks {
    fn new(data: &Data) -> Self {
        let step = (CHUNK_BYTES / data.size().max(1)).clamp(1, MOST_IN_CHUNK) as u64;
        Self { keys: data.keys(), step, next: AtomicU64::new(0), is_over: AtomicBool::new(false) }
    }

    fn next(&self) -> Option<Range<u64>> {
        if self.is_over.load(Ordering::Relaxed) {
            return None;
        }
        let from = self.next.fetch_add(self.step, Ordering::Relaxed);
        (from < self.keys).then(|| from..from.saturating_add(self.step).min(self.keys))
    }

    /// Hands out no more.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// How many keys were handed out.
    pub(super) fn begun(&self) -> u64 {
        self.next.load(Ordering::Relaxed).min(self.keys)
    }

    /// Whether no key is left, once the tasks have ended well.
    pub(super) fn are_done(&self) -> bool {
        self.begun() == self.keys
    }
}

/// As many tasks fill or clear a table.
const TASKS: usize = 8;
/// So much goes into one message, roughly.
const CHUNK_BYTES: usize = 1 << 20;
const MOST_IN_CHUNK: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_one_chunk_and_none_is_past_the_last() {
        for (keys, size) in [(1, 0), (999, 100), (1_000, 100), (2_500, 100), (3, 10 << 20)] {
            let chunks = Chunks::new(&Data::new(keys, size));
            let handed: Vec<_> = std::iter::from_fn(|| chunks.next()).flatten().collect();
            assert!(handed.into_iter().eq(0..keys), "{keys} of {size} bytes");
            assert_eq!(chunks.begun(), keys);
        }
    }
}
