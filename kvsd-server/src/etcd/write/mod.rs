//! Writes: one task that sends them to etcd in groups, each carried out at most once.
//!
//! | file | owns |
//! |---|---|
//! | `queue` | what waits, and whom to answer |
//! | `plan` | a write in terms of etcd, and the meaning of etcd's reply |
//! | `txn` | the shape of a write's part of a transaction |
//! | `group` | what goes into one transaction |
//! | `prepare` | from writes to a group: tables, a look at records |
//! | `slot` | what makes a group carried out at most once |
//! | `task` | the order of all this, and what became of a group |
//! | `full` | deletes while etcd takes nothing else |
//!
//! Next file to read: `queue`.

mod full;
mod group;
mod plan;
mod prepare;
mod queue;
mod slot;
mod task;
#[cfg(test)]
mod tests;
mod txn;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kvsd::TableName;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::config::EtcdConfig;
use super::directory::Directory;
use super::layout::Layout;
use super::link::Link;
use crate::engine::{Change, EngineError, Write, WriteResult};
use crate::log::Clock;
use prepare::Parts;
use queue::{Queue, Submission};
use task::Task;

/// What a writer has to know.
#[derive(Debug, Clone)]
pub(crate) struct WriterConfig {
    /// Random; no two front ends that are alive share it.
    pub(crate) front_end: u64,
    /// How long a write may take; one that has waited for its turn, half as much again.
    pub(crate) timeout: Duration,
    /// The largest value, in bytes.
    pub(crate) max_value_bytes: usize,
    /// The most tables there may be.
    pub(crate) max_tables: usize,
    /// What expiry goes by.
    pub(crate) clock: Arc<dyn Clock>,
}

/// Hands writes to the task.
pub(crate) struct Writer {
    timeout: Duration,
    max_value_bytes: usize,
    submissions: Mutex<Option<mpsc::Sender<Submission>>>,
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the task. It ends when the writer is closed or dropped, after all that was handed in.
    pub(crate) fn start(
        link: Arc<Link>,
        layout: Layout,
        directory: Arc<Directory>,
        config: WriterConfig,
    ) -> Self {
        let (submissions, incoming) = mpsc::channel(QUEUED);
        let (timeout, max_value_bytes) = (config.timeout, config.max_value_bytes);
        let parts = Arc::new(Parts { link, layout, directory, config });
        let task = tokio::spawn(Task::new(parts, Queue::new(incoming)).run());
        Self {
            timeout,
            max_value_bytes,
            submissions: Mutex::new(Some(submissions)),
            task: tokio::sync::Mutex::new(Some(task)),
        }
    }

    /// As [`crate::engine::Engine::write`].
    pub(crate) async fn write(&self, table: &TableName, writes: Vec<Write>) -> Vec<WriteResult> {
        let refused: Vec<_> = writes.iter().map(|write| self.refuse(write)).collect();
        let mut refusals = refused.iter().zip(&writes).filter(|(refused, _)| refused.is_some());
        if refusals.next().is_none() {
            return self.submit(table, writes).await;
        }
        let admitted = writes.into_iter().zip(&refused).filter(|(_, refused)| refused.is_none());
        let admitted: Vec<_> = admitted.map(|(write, _)| write).collect();
        let mut results = self.submit(table, admitted).await.into_iter();
        let lost = || Err(EngineError::Closed);
        let result = |refused| match refused {
            Some(error) => Err(error),
            None => results.next().unwrap_or_else(lost),
        };
        refused.into_iter().map(result).collect()
    }

    async fn submit(&self, table: &TableName, writes: Vec<Write>) -> Vec<WriteResult> {
        let count = writes.len();
        let all = |error: EngineError| vec![Err(error); count];
        let sender = self.submissions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (Some(sender), true) = (sender, count > 0) else { return all(EngineError::Closed) };
        let deadline = Instant::now() + self.timeout;
        let Ok(room) = timeout_at(deadline, sender.reserve_owned()).await else {
            let reason = "too many writes wait for etcd".to_owned();
            return all(EngineError::Unavailable { reason });
        };
        let Ok(room) = room else { return all(EngineError::Closed) };
        let (answer, answered) = oneshot::channel();
        let (task, table) = (tokio::task::try_id(), table.clone());
        // What goes back to the channel keeps it open no longer than this call.
        drop(room.send(Submission { task, table, writes, deadline, answer }));
        let stopped = || EngineError::UnknownOutcome { cause: "the writer has stopped".to_owned() };
        answered.await.unwrap_or_else(|_| all(stopped()))
    }

    /// What forbids a write, whatever stands in etcd.
    fn refuse(&self, write: &Write) -> Option<EngineError> {
        let changes = &write.changes;
        let mut keys = HashSet::with_capacity(changes.len());
        let reason = if changes.len() > EtcdConfig::MAX_BATCH {
            format!("it has more than {} changes; send several", EtcdConfig::MAX_BATCH)
        } else if changes.len() > 1 && !changes.iter().all(|change| keys.insert(&change.key)) {
            "it names a key more than once".to_owned()
        } else if changes.iter().any(|one| one.bytes() - one.key.len() > self.max_value_bytes) {
            format!("a value has more than {} bytes", self.max_value_bytes)
        } else if changes.iter().map(Change::bytes).sum::<usize>() > EtcdConfig::MAX_WRITE_BYTES {
            let most = EtcdConfig::MAX_WRITE_BYTES;
            format!("it has more than {most} bytes of keys and values; send several")
        } else {
            return None;
        };
        Some(EngineError::Refused { reason })
    }

    /// Whether the task has ended, and nobody has asked it to.
    pub(crate) fn has_failed(&self) -> bool {
        let is_over = |task: &JoinHandle<()>| task.is_finished();
        // Who holds the lock is closing.
        self.task.try_lock().is_ok_and(|task| task.as_ref().is_some_and(is_over))
    }

    /// Takes no more writes, and waits until those handed in are answered. Calling it again does
    /// nothing.
    pub(crate) async fn close(&self) {
        self.submissions.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = self.task.lock().await.take() {
            // It has panicked, or the runtime is going: whoever waited was told.
            let _ = task.await;
        }
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// How many submissions wait in the channel.
const QUEUED: usize = 1024;
