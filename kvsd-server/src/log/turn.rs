//! What a table's actor does with a batch of writes, step by step and without tokio.
//!
//! It owns the order of the table: versions and publication; conditions are [`super::check`]'s. Each
//! write is checked against what stands published and what the group does so far; the writes that
//! pass go into one group and to the file in one call. The steps that may wait for the disk are the caller's to place:
//! [`Turn::prepare`], [`Turn::take`] with [`Access::Wait`], the sync, and [`Turn::close`].
//!
//! Next file to read: [`super::check`].

use std::sync::{Arc, OnceLock};

use kvsd::TableName;

use super::check::Checked;
use super::clock::Clock;
use super::convert::{in_table, with_cause};
use super::storage::backup::Pinned;
use super::storage::chore::{Chore, Done};
use super::storage::error::StorageError;
use super::storage::index::LOOK_AHEAD;
use super::storage::reader::Access;
use super::storage::rotation::Demand;
use super::storage::writer::{Reserve, Sync, WriteError, Writer};
use crate::engine::{CompactSummary, EngineError, Write, WriteResult, Written};

/// Writes that are answered together.
pub(super) trait Batch {
    /// The writes of each submission.
    fn submissions(&self) -> impl Iterator<Item = &[Write]>;
}

/// A table's order, and the writer below it.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) table: TableName,
    clock: Arc<dyn Clock>,
    pub(super) writer: Writer,
    /// The version of the last write of the open group.
    pub(super) version: u64,
    /// The changes of the write that is being checked.
    pub(super) checked: Vec<Checked>,
    /// Bytes of values that the open group's writes have read, those included that came to nothing.
    pub(super) held: usize,
    /// What a write of several changes may bring, read and write again, in bytes of keys and values.
    pub(super) most_write_bytes: usize,
    results: Vec<Vec<WriteResult>>,
    /// What has gone wrong first of the clearing under way.
    clearing_error: Option<EngineError>,
    /// Why the table takes no more writes, for everybody to see.
    stopped: Arc<OnceLock<String>>,
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
pub(super) enum Failed {
    NotCached,
    Full,
    Refused(StorageError),
    Broken(StorageError),
}

impl Turn {
    pub(super) fn new(
        table: TableName,
        clock: Arc<dyn Clock>,
        writer: Writer,
        most_write_bytes: usize,
    ) -> Self {
        let version = writer.version();
        Self {
            table,
            clock,
            writer,
            version,
            checked: Vec::new(),
            held: 0,
            most_write_bytes,
            results: Vec::new(),
            clearing_error: None,
            stopped: Arc::default(),
        }
    }

    /// Why the table takes no more writes, if it does not. Whoever says so here stops it.
    pub(super) fn stopped(&self) -> Arc<OnceLock<String>> {
        Arc::clone(&self.stopped)
    }

    fn is_stopped(&self) -> bool {
        self.stopped.get().is_some()
    }

    /// Whether [`Turn::prepare`] has something to do before a batch of this size.
    pub(super) fn needs_preparation(&self, demand: &Demand) -> bool {
        !self.is_stopped() && self.writer.needs_preparation(demand)
    }

    /// Makes the table ready for a batch. Waits for the disk.
    pub(super) fn prepare(&mut self, batch: &impl Batch, demand: &Demand) -> Result<(), Answered> {
        match self.writer.prepare(demand) {
            Ok(()) => Ok(()),
            Err(WriteError::Full) => {
                self.answer_all(batch, &EngineError::DiskFull);
                Err(Answered)
            }
            Err(WriteError::Refused(error)) => {
                self.answer_all(batch, &in_table(&self.table, &error));
                Err(Answered)
            }
            Err(WriteError::Broken(error)) => {
                self.stop(&error);
                Ok(())
            }
        }
    }

    /// Checks and writes a batch, or the first part of it: a group ends where its writes have read
    /// 16 MiB of values, or have as much to write. What has no result then is to be taken again.
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
            Err(Failed::Refused(error)) => {
                self.answer_all(batch, &in_table(&self.table, &error));
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
        self.held = 0;
        for writes in batch.submissions() {
            let mut results = Vec::with_capacity(writes.len());
            for (number, write) in writes.iter().enumerate() {
                if self.held.max(self.writer.group_bytes()) >= ENOUGH_BYTES {
                    break;
                }
                if number % LOOK_AHEAD == 0 {
                    let next = writes.get(number..).unwrap_or_default().iter().take(LOOK_AHEAD);
                    let keys = next.flat_map(|write| write.changes.iter().take(LOOK_AHEAD));
                    self.writer.look_ahead(keys.map(|change| &*change.key));
                }
                results.push(self.write(write, now, access, reserve)?);
            }
            self.results.push(results);
        }
        self.writer.tidy();
        if self.version == before {
            return Ok(Taken::Answered);
        }
        match self.writer.write(self.version, reserve) {
            Ok(()) => Ok(Taken::Written),
            Err(WriteError::Full) => Err(Failed::Full),
            Err(WriteError::Refused(error)) => Err(Failed::Refused(error)),
            Err(WriteError::Broken(error)) => Err(Failed::Broken(error)),
        }
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
        !self.is_stopped()
    }

    /// Ends a batch that was written: readers see it, unless its sync has failed.
    pub(super) fn settle(&mut self) {
        match self.is_stopped() {
            false => self.writer.publish(),
            true => self.answer_unknown(),
        }
    }

    /// The answers to the batch, for each of its submissions: to its first writes, if the group
    /// ended before the batch.
    pub(super) fn results(&mut self) -> impl Iterator<Item = Vec<WriteResult>> + '_ {
        self.results.drain(..)
    }

    /// Whether something is durable that the file does not say to be.
    pub(super) fn has_undeclared(&self) -> bool {
        !self.is_stopped() && self.writer.has_undeclared()
    }

    /// Says in the file what is durable.
    pub(super) fn declare_durable(&mut self) {
        match self.writer.declare_durable() {
            // The file stays as it was.
            Ok(()) | Err(WriteError::Full | WriteError::Refused(_)) => {}
            Err(WriteError::Broken(error)) => self.stop(&error),
        }
    }

    /// What can be done now beside the batches, if anything.
    pub(super) fn next_chore(&mut self) -> Option<Chore> {
        let now = self.writer.time_at(self.clock.now().get());
        match self.is_stopped() {
            false => self.writer.next_chore(now),
            true => None,
        }
    }

    /// Nothing is being written: a good time for chores.
    pub(super) fn idle(&mut self) {
        self.writer.look_for_victim();
    }

    /// Whether a look for chores may be worth it without a write before: records expire.
    pub(super) fn may_expire(&self) -> bool {
        !self.is_stopped() && self.writer.has_ends()
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
            Done::Compact(_) if self.is_stopped() => {}
            Done::Compact(compacted) => match self.writer.adopt(compacted) {
                Ok(Some(error)) | Err(WriteError::Refused(error)) => {
                    let cause = with_cause(&error);
                    match error {
                        StorageError::Corrupt { .. } => {
                            tracing::error!(%table, %cause, "a damaged segment is left as it is");
                        }
                        _ => tracing::warn!(%table, %cause, "a segment was not compacted"),
                    }
                    if self.writer.is_clearing() && self.clearing_error.is_none() {
                        self.clearing_error = Some(in_table(table, &error));
                    }
                }
                Ok(None) | Err(WriteError::Full) => {}
                Err(WriteError::Broken(error)) => self.stop(&error),
            },
        }
    }

    /// Whether [`Turn::adopt_more`] has something to do.
    pub(super) fn is_adopting(&self) -> bool {
        !self.is_stopped() && self.writer.is_adopting()
    }

    /// Takes in some more of what a compaction has copied.
    pub(super) fn adopt_more(&mut self) {
        if let Err(error) = self.writer.adopt_more() {
            self.stop(&error);
        }
    }

    /// Begins to free all that may go: the next chores do it. Waits for the disk; no sync of the
    /// table, and no chore, may be under way.
    pub(super) fn begin_clearing(&mut self) -> Result<(), EngineError> {
        if let Some(error) = self.read_only() {
            return Err(error);
        }
        self.clearing_error = None;
        let now = self.writer.time_at(self.clock.now().get());
        match self.writer.begin_clearing(now) {
            Ok(()) => Ok(()),
            Err(WriteError::Full) => Err(EngineError::DiskFull),
            Err(WriteError::Refused(error)) => Err(in_table(&self.table, &error)),
            Err(WriteError::Broken(error)) => {
                self.stop(&error);
                Err(in_table(&self.table, &error))
            }
        }
    }

    /// Whether [`Turn::end_clearing`] will have something to tell.
    pub(super) fn is_clearing(&self) -> bool {
        self.writer.is_clearing()
    }

    /// What the clearing under way has come to, once it is over.
    pub(super) fn end_clearing(&mut self) -> Option<Result<CompactSummary, EngineError>> {
        if !self.is_clearing() {
            return None;
        }
        if let Some(error) = self.read_only() {
            return Some(Err(error));
        }
        let cleared = self.writer.end_clearing()?;
        let error = self.clearing_error.take();
        let error = error.or(cleared.is_full.then_some(EngineError::DiskFull));
        let dead_bytes = self.writer.reader().figures().dead_bytes;
        let summary = CompactSummary { freed_bytes: cleared.freed_bytes, dead_bytes };
        tracing::info!(table = %self.table, freed_bytes = summary.freed_bytes, dead_bytes, "compacted");
        Some(error.map_or(Ok(summary), Err))
    }

    /// Whether a compaction is under way, or what it has copied is being taken in.
    pub(super) fn frees_room(&self) -> bool {
        self.writer.frees_room()
    }

    /// Whether there is something to do between batches, or to leave time for.
    pub(super) fn has_more_to_do(&self) -> bool {
        self.is_stopped() || self.is_adopting() || self.frees_room()
    }

    /// How short room is, in thousandths: that part of the time writes should leave to compaction.
    pub(super) fn crowding(&self) -> u64 {
        self.writer.crowding()
    }

    /// Seals what was written so far and holds on to it, for a backup. Waits for the disk; no sync
    /// of the table may be under way. A table that takes no more writes has no backup: nobody knows
    /// which of its writes are on the disk.
    pub(super) fn pin(&mut self) -> Result<Pinned, EngineError> {
        if let Some(error) = self.read_only() {
            return Err(error);
        }
        match self.writer.pin() {
            Ok(pinned) => Ok(pinned),
            Err(WriteError::Full) => Err(EngineError::DiskFull),
            Err(WriteError::Refused(error)) => Err(in_table(&self.table, &error)),
            Err(WriteError::Broken(error)) => {
                self.stop(&error);
                Err(in_table(&self.table, &error))
            }
        }
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
            Err(WriteError::Refused(error)) => Err(in_table(&self.table, &error)),
            Err(WriteError::Broken(error)) => {
                self.stop(&error);
                Err(in_table(&self.table, &error))
            }
        }
    }

    fn stop(&mut self, error: &StorageError) {
        let cause = with_cause(error);
        tracing::error!(table = %self.table, %cause, "the table takes no more writes");
        // The first cause stands.
        let _ = self.stopped.set(cause);
    }

    fn read_only(&self) -> Option<EngineError> {
        let cause = self.stopped.get()?.clone();
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
        let cause = self.stopped.get().cloned().unwrap_or_default();
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

/// A group ends once its writes have read so many bytes of values, or have as many to write.
const ENOUGH_BYTES: usize = 16 << 20;
