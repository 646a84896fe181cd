//! What a table's actor does with a batch of writes, step by step and without tokio.
//!
//! It owns the order of the table: conditions, versions, publication. Each write is checked against
//! what stands published and what the group does so far; the writes that pass go into one group
//! and to the file in one call. The steps that may wait for the disk are the caller's to place:
//! [`Turn::prepare`], [`Turn::take`] with [`Access::Wait`], the sync, and [`Turn::close`].
//!
//! Next file to read: [`super::actor`].

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use kvsd::{TableName, UnixMillis, Version};

use super::clock::Clock;
use super::convert::{demand_of, holds, in_table, record, with_cause};
use super::storage::chore::{Chore, Done};
use super::storage::error::StorageError;
use super::storage::group::Content;
use super::storage::index::KeyHash;
use super::storage::reader::{Access, Extent, ReadError};
use super::storage::record::NEVER;
use super::storage::rotation::Demand;
use super::storage::writer::{Current, Reserve, Sync, WriteError, Writer};
use crate::engine::{Action, Before, BeforeDetail, EngineError, Write, WriteResult, Written};

/// Writes that are answered together.
pub(super) trait Batch {
    /// The writes of each submission.
    fn submissions(&self) -> impl Iterator<Item = &[Write]>;
}

/// A table's order, and the writer below it.
#[derive(Debug)]
pub(super) struct Turn {
    table: TableName,
    clock: Arc<dyn Clock>,
    writer: Writer,
    /// The version of the last write of the open group.
    version: u64,
    /// What stands at the keys of the write that is being checked.
    currents: Vec<(KeyHash, Option<Current>)>,
    results: Vec<Vec<WriteResult>>,
    /// Why the table takes no more writes.
    stopped: Option<String>,
}

/// What a batch came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// A group was written. Sync it or not, then [`Turn::settle`].
    Written,
    /// Nothing was written: the results stand.
    Answered,
    /// A record that matters is not in memory: take the batch again with [`Access::Wait`].
    NotCached,
}

/// Why a batch did not become a group.
enum Failed {
    NotCached,
    Full,
    Broken(StorageError),
}

impl Turn {
    pub(super) fn new(table: TableName, clock: Arc<dyn Clock>, writer: Writer) -> Self {
        let version = writer.version();
        Self {
            table,
            clock,
            writer,
            version,
            currents: Vec::new(),
            results: Vec::new(),
            stopped: None,
        }
    }

    /// Whether [`Turn::prepare`] has something to do before a batch of this size.
    pub(super) fn needs_preparation(&self, demand: &Demand) -> bool {
        self.stopped.is_none() && self.writer.needs_preparation(demand)
    }

    /// Makes the table ready for a batch. Waits for the disk.
    pub(super) fn prepare(&mut self, batch: &impl Batch, demand: &Demand) -> Result<(), Answered> {
        match self.writer.prepare(demand) {
            Ok(()) => Ok(()),
            Err(WriteError::Full) => {
                self.answer_all(batch, &EngineError::DiskFull);
                Err(Answered)
            }
            Err(WriteError::Broken(error)) => {
                self.stop(&error);
                Ok(())
            }
        }
    }

    /// Checks and writes a batch.
    pub(super) fn take(&mut self, batch: &impl Batch, access: Access) -> Taken {
        if let Some(error) = self.read_only() {
            self.answer_all(batch, &error);
            return Taken::Answered;
        }
        let attempt = match self.attempt(batch, access, Reserve::Keep) {
            // What frees room may use the room that is kept for it.
            Err(Failed::Full) => self.attempt(batch, access, Reserve::Use),
            attempt => attempt,
        };
        match attempt {
            Ok(taken) => taken,
            Err(Failed::NotCached) => Taken::NotCached,
            Err(Failed::Full) => {
                self.answer_all(batch, &EngineError::DiskFull);
                Taken::Answered
            }
            Err(Failed::Broken(error)) => {
                self.stop(&error);
                self.answer_unknown();
                Taken::Answered
            }
        }
    }

    fn attempt(
        &mut self,
        batch: &impl Batch,
        access: Access,
        reserve: Reserve,
    ) -> Result<Taken, Failed> {
        let now = self.writer.advance_time(self.clock.now().get());
        let before = self.writer.version();
        self.version = before;
        self.writer.begin();
        self.results.clear();
        for writes in batch.submissions() {
            let mut results = Vec::with_capacity(writes.len());
            for write in writes {
                results.push(self.write(write, now, access, reserve)?);
            }
            self.results.push(results);
        }
        if self.version == before {
            return Ok(Taken::Answered);
        }
        match self.writer.write(self.version, reserve) {
            Ok(()) => Ok(Taken::Written),
            Err(WriteError::Full) => Err(Failed::Full),
            Err(WriteError::Broken(error)) => Err(Failed::Broken(error)),
        }
    }

    /// Checks one write, and adds it to the open group if its conditions hold.
    fn write(
        &mut self,
        write: &Write,
        now: u64,
        access: Access,
        reserve: Reserve,
    ) -> Result<WriteResult, Failed> {
        if let Err(error) = self.admit(write, reserve) {
            return Ok(Err(error));
        }
        let extent = match write.before {
            BeforeDetail::Presence => Extent::Key,
            BeforeDetail::Record => Extent::Whole,
        };
        self.currents.clear();
        let mut before = Vec::with_capacity(write.changes.len());
        for (place, change) in write.changes.iter().enumerate() {
            let hash = self.writer.hash(&change.key);
            let current = match self.writer.current(hash, &change.key, access, extent) {
                // An expired record is replaced like any other, but counts as absent.
                Ok(current) => current,
                Err(ReadError::NotCached) => return Err(Failed::NotCached),
                Err(ReadError::Storage(error)) => return Ok(Err(in_table(&self.table, &error))),
            };
            let live = current.as_ref().filter(|current| current.expires > now);
            if !holds(change.condition, live) {
                let current = live.and_then(|live| Version::new(live.version));
                return Ok(Ok(Written::Conflict { change: place, current }));
            }
            before.push(match (live, write.before) {
                (None, _) => Before::Absent,
                (Some(_), BeforeDetail::Presence) => Before::Present,
                (Some(live), BeforeDetail::Record) => {
                    let value = Bytes::copy_from_slice(self.writer.value(live));
                    record(live.version, live.expires, value)
                        .map_or(Before::Present, Before::Record)
                }
            });
            self.currents.push((hash, current));
        }
        let version = self.append(write, now)?;
        Ok(Ok(Written::Applied { version, before }))
    }

    /// Whether the write is one that may be carried out now.
    fn admit(&self, write: &Write, reserve: Reserve) -> Result<(), EngineError> {
        let is_set = |action: &Action| matches!(action, Action::Set { .. });
        if reserve == Reserve::Use && write.changes.iter().any(|change| is_set(&change.action)) {
            return Err(EngineError::DiskFull);
        }
        let refused = |cause: &str| {
            Err(EngineError::Io { context: "the write is refused".into(), cause: cause.into() })
        };
        if write.changes.len() > 1 {
            let mut keys = HashSet::with_capacity(write.changes.len());
            if !write.changes.iter().all(|change| keys.insert(&change.key)) {
                return refused("it names a key more than once");
            }
        }
        let demand = demand_of(std::slice::from_ref(write));
        if self.writer.group_bytes() as u64 + demand.bytes > MOST_GROUP_BYTES {
            return refused("it is larger than 1 GiB");
        }
        Ok(())
    }

    /// Adds the checked write's records to the group; the answer is its version, if it has any.
    fn append(&mut self, write: &Write, now: u64) -> Result<Option<Version>, Failed> {
        let Some(version) = Version::new(self.version + 1) else {
            let error = std::io::Error::other("the table has used up its versions");
            return Err(Failed::Broken(StorageError::Io {
                action: "write",
                file: self.table.as_str().into(),
                source: error,
            }));
        };
        let mut written = None;
        for (change, (hash, current)) in write.changes.iter().zip(&self.currents) {
            let content = match &change.action {
                Action::Set { value, expires_at } => {
                    Content::Set { value, expires: expires_at.map_or(NEVER, UnixMillis::get) }
                }
                Action::Delete if current.as_ref().is_some_and(|c| c.expires > now) => {
                    Content::Delete
                }
                Action::Delete => continue,
            };
            self.writer
                .append((*hash, &change.key), content, version.get(), current.as_ref())
                .map_err(Failed::Broken)?;
            written = Some(version);
        }
        if written.is_some() {
            self.version = version.get();
        }
        Ok(written)
    }

    /// The sync that makes everything written so far durable.
    pub(super) fn sync(&self) -> Sync {
        self.writer.sync()
    }

    /// Takes note of how a sync ended. After a failed one the table takes no more writes.
    pub(super) fn synced(&mut self, sync: &Sync, result: Result<(), StorageError>) -> bool {
        match result {
            Ok(()) => self.writer.synced(sync),
            Err(error) => self.stop(&error),
        }
        self.stopped.is_none()
    }

    /// Ends a batch that was written: readers see it, unless its sync has failed.
    pub(super) fn settle(&mut self) {
        match self.stopped {
            None => self.writer.publish(),
            Some(_) => self.answer_unknown(),
        }
    }

    /// The answers to the batch, for each of its submissions.
    pub(super) fn results(&mut self) -> impl Iterator<Item = Vec<WriteResult>> + '_ {
        self.results.drain(..)
    }

    /// Whether something is durable that the file does not say to be.
    pub(super) fn has_undeclared(&self) -> bool {
        self.stopped.is_none() && self.writer.has_undeclared()
    }

    /// Says in the file what is durable.
    pub(super) fn declare_durable(&mut self) {
        match self.writer.declare_durable() {
            // Without room the file stays as it was.
            Ok(()) | Err(WriteError::Full) => {}
            Err(WriteError::Broken(error)) => self.stop(&error),
        }
    }

    /// What can be done now beside the batches, if anything.
    pub(super) fn next_chore(&mut self) -> Option<Chore> {
        match self.stopped {
            None => self.writer.next_chore(self.writer.time_at(self.clock.now().get())),
            Some(_) => None,
        }
    }

    /// Nothing is being written: a good time for chores.
    pub(super) fn idle(&mut self) {
        self.writer.look_for_victim();
    }

    /// Whether a look for chores may be worth it without a write before: records expire.
    pub(super) fn may_expire(&self) -> bool {
        self.stopped.is_none() && self.writer.has_ends()
    }

    /// Lets a chore that is under way end soon, even in vain.
    pub(super) fn cancel_chore(&self) {
        self.writer.cancel_compaction();
    }

    /// Takes the result of a chore. Waits for the disk; no sync of the table may be under way.
    pub(super) fn chore_done(&mut self, done: Done) {
        let table = &self.table;
        match done {
            Done::Hint(hinted) => {
                if let Some(error) = self.writer.hint_done(hinted) {
                    let cause = with_cause(&error);
                    tracing::warn!(%table, %cause, "a hint was not written");
                }
            }
            // The copy has no name in the manifest: opening the table removes it.
            Done::Compact(_) if self.stopped.is_some() => {}
            Done::Compact(compacted) => match self.writer.adopt(compacted) {
                Ok(Some(error @ StorageError::Corrupt { .. })) => {
                    let cause = with_cause(&error);
                    tracing::error!(%table, %cause, "a damaged segment is left as it is");
                }
                Ok(Some(error)) => {
                    let cause = with_cause(&error);
                    tracing::warn!(%table, %cause, "a segment was not compacted");
                }
                Ok(None) | Err(WriteError::Full) => {}
                Err(WriteError::Broken(error)) => self.stop(&error),
            },
        }
    }

    /// Whether [`Turn::adopt_more`] has something to do.
    pub(super) fn is_adopting(&self) -> bool {
        self.stopped.is_none() && self.writer.is_adopting()
    }

    /// Takes in some more of what a compaction has copied.
    pub(super) fn adopt_more(&mut self) {
        if let Err(error) = self.writer.adopt_more() {
            self.stop(&error);
        }
    }

    /// How short room is, in thousandths: that part of the time writes should leave to compaction.
    pub(super) fn crowding(&self) -> u64 {
        self.writer.crowding()
    }

    /// Makes everything durable and closes the table. Waits for the disk.
    pub(super) fn close(&mut self) -> Result<(), EngineError> {
        if let Some(error) = self.read_only() {
            return Err(error);
        }
        match self.writer.close() {
            Ok(()) => Ok(()),
            // What was acknowledged is durable all the same, if the policy says so.
            Err(WriteError::Full) => Err(EngineError::DiskFull),
            Err(WriteError::Broken(error)) => {
                self.stop(&error);
                Err(in_table(&self.table, &error))
            }
        }
    }

    fn stop(&mut self, error: &StorageError) {
        let cause = with_cause(error);
        tracing::error!(table = %self.table, %cause, "the table takes no more writes");
        self.stopped.get_or_insert(cause);
    }

    fn read_only(&self) -> Option<EngineError> {
        let cause = self.stopped.clone()?;
        Some(EngineError::ReadOnly { table: self.table.to_string(), cause })
    }

    fn answer_all(&mut self, batch: &impl Batch, error: &EngineError) {
        self.results.clear();
        let results =
            batch.submissions().map(|writes| writes.iter().map(|_| Err(error.clone())).collect());
        self.results.extend(results);
    }

    /// What was applied may or may not survive; what was not may have seen what does not survive.
    fn answer_unknown(&mut self) {
        let cause = self.stopped.clone().unwrap_or_default();
        let read_only = self.read_only();
        for result in self.results.iter_mut().flatten() {
            *result = match (&*result, &read_only) {
                (Ok(Written::Applied { version: Some(_), .. }), _) | (_, None) => {
                    Err(EngineError::UnknownOutcome { cause: cause.clone() })
                }
                (_, Some(error)) => Err(error.clone()),
            };
        }
    }
}

/// The batch has its answers already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answered;

/// A group has 4-byte offsets; this keeps them far from their end.
const MOST_GROUP_BYTES: u64 = 1 << 30;
