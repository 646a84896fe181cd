//! Random histories against an ordered map, on a disk that crashes and fails.

#![expect(clippy::cast_possible_truncation, reason = "sizes and numbers of a test are small")]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use kvsd::{TableName, UnixMillis, Version};

use super::ManualClock;
use super::history::{Checked, History, ModelRecord, Snapshot};
use crate::engine::{Action, BeforeDetail, Change, Condition, EngineError, Write, WriteResult};
use crate::log::convert::demand_of;
use crate::log::storage::chore::{Chore, Done};
use crate::log::storage::index::HashBits;
use crate::log::storage::load::TableOptions;
use crate::log::storage::reader::{Access, ReadError, Reader};
use crate::log::storage::record::NEVER;
use crate::log::storage::rotation::{Demand, Limits, Retention};
use crate::log::storage::sim::{Fault, Random, SimDisk};
use crate::log::storage::store::{Store, StoreError};
use crate::log::turn::{Batch, Taken, Turn};

/// When the simulated actor syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// Before each answer.
    Always,
    /// Now and then.
    Sometimes,
}

/// A run: a table on a simulated disk, and what it must hold.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) disk: SimDisk,
    pub(super) random: Random,
    policy: Policy,
    options: TableOptions,
    clock: Arc<ManualClock>,
    now: u64,
    table: Option<(Store, Turn, Arc<Reader>)>,
    /// A chore that is done, and whose result is not taken yet.
    done: Option<Done>,
    pub(super) history: History,
}

impl Batch for Vec<Vec<Write>> {
    fn submissions(&self) -> impl Iterator<Item = &[Write]> {
        self.iter().map(Vec::as_slice)
    }
}

pub(super) const SMALL: Limits = Limits { bytes: 4096, records: 60, key_bytes: 600 };
/// Histories of a segment or two.
const SHORT: Retention = Retention { bytes: 2048, millis: 300 };
const KEYS: usize = 14;

impl Run {
    pub(super) fn new(seed: u64, policy: Policy, hash_bits: HashBits) -> Self {
        Self {
            disk: SimDisk::new(seed),
            random: Random::new(seed ^ 0xabcd),
            policy,
            options: TableOptions { limits: SMALL, retention: SHORT, hash_bits },
            clock: Arc::new(ManualClock::at(1_000)),
            now: 1_000,
            table: None,
            done: None,
            history: History::new(),
        }
    }

    /// The same, without a history that compaction must keep.
    pub(super) fn without_history(mut self) -> Self {
        self.options.retention = Retention { bytes: 0, millis: 0 };
        self
    }

    /// The same, on another disk with the same content. The table is not open.
    pub(super) fn fork(&self, seed: u64) -> Self {
        Self {
            disk: self.disk.fork(seed),
            random: self.random.clone(),
            policy: self.policy,
            options: self.options,
            clock: Arc::clone(&self.clock),
            now: self.now,
            table: None,
            done: None,
            history: self.history.clone(),
        }
    }

    /// Opens the table, or makes it; what it holds must be allowed. `false` if the disk is down.
    pub(super) fn open(&mut self) -> Checked<bool> {
        self.table = None;
        self.done = None;
        let name = TableName::parse("model").unwrap();
        let disk = Arc::new(self.disk.clone());
        let store = match Store::open(disk, Path::new("/data"), self.options) {
            Ok(store) => store,
            Err(error) => return self.failed_to_open(format!("{error:?}")),
        };
        let mut store = store;
        let writer = match store.tables().first().cloned() {
            Some(entry) => store.open_table(&entry),
            None => store.create_table(&name),
        };
        let writer = match writer {
            Ok(writer) => writer,
            Err(error) => return self.failed_to_open(format!("{error:?}")),
        };
        let reader = Arc::clone(writer.reader());
        let turn = Turn::new(name, Arc::clone(&self.clock) as Arc<_>, writer);
        let time = reader.time();
        self.table = Some((store, turn, reader));
        let Some(found) = self.everything()? else {
            return Ok(false);
        };
        self.history.reopened(found, time)?;
        Ok(true)
    }

    fn failed_to_open(&self, error: String) -> Checked<bool> {
        match self.disk.has_crashed() || self.disk.has_failed() {
            true => Ok(false),
            false => Err(format!("does not open: {error}")),
        }
    }

    /// All records, expired or not; `None` if the disk is down.
    fn everything(&self) -> Checked<Option<Snapshot>> {
        let Some((_, _, reader)) = &self.table else {
            return Ok(None);
        };
        let mut found = Snapshot::new();
        let mut buffer = Vec::new();
        for key in (0..KEYS).map(key_of) {
            match reader.find(&key, &mut buffer, Access::Wait) {
                Ok(None) => {}
                Ok(Some(hit)) => {
                    let record = ModelRecord {
                        version: hit.version,
                        expires: (hit.expires != NEVER).then_some(hit.expires),
                        value: Bytes::copy_from_slice(&buffer[hit.value]),
                    };
                    found.insert(key, record);
                }
                Err(_) if self.disk.has_crashed() || self.disk.has_failed() => return Ok(None),
                Err(error) => return Err(format!("cannot read {key:?}: {error:?}")),
            }
        }
        Ok(Some(found))
    }

    /// Reads all records and compares them with what they must be.
    pub(super) fn read_everything(&self) -> Checked<()> {
        match self.everything()? {
            Some(found) if self.history.is_shown(found.clone()) => Ok(()),
            found => Err(format!("read {found:?}, not {:?}", self.history.shown)),
        }
    }

    /// One random step. `false` if the table must be opened again.
    pub(super) fn step(&mut self) -> Checked<bool> {
        match self.random.below(24) {
            0 => {
                // Mostly forward, and back now and then.
                self.now = (self.now + self.random.below(400) as u64).saturating_sub(100);
                self.clock.set(self.now);
                Ok(true)
            }
            1 => self.sync(),
            2 => self.declare_durable(),
            3 => self.rotate(),
            4 => self.tidy(),
            5 | 6 => self.tidy_beside_writes(),
            7..10 => self.read(),
            _ => {
                let batch = self.batch();
                self.write(&batch)
            }
        }
    }

    pub(super) fn sync(&mut self) -> Checked<bool> {
        let Some((_, turn, _)) = &mut self.table else {
            return Ok(false);
        };
        let sync = turn.sync();
        let result = sync.run();
        if turn.synced(&sync, result) {
            self.history.all_durable();
        }
        Ok(true)
    }

    pub(super) fn declare_durable(&mut self) -> Checked<bool> {
        let Some((_, turn, _)) = &mut self.table else {
            return Ok(false);
        };
        if turn.has_undeclared() {
            turn.declare_durable();
        }
        Ok(true)
    }

    /// Seals the active segment, whatever its size.
    pub(super) fn rotate(&mut self) -> Checked<bool> {
        let Some((_, turn, _)) = &mut self.table else {
            return Ok(false);
        };
        let demand = Demand { bytes: 1 << 40, ..Demand::default() };
        // The answer to no writes; a table that has stopped is found out by the next ones.
        let _ = turn.prepare(&Vec::<Vec<Write>>::new(), &demand);
        Ok(true)
    }

    /// Begins a chore, with the writes to come beside it; or takes the result of the last one.
    pub(super) fn tidy_beside_writes(&mut self) -> Checked<bool> {
        let Some((_, turn, _)) = &mut self.table else {
            return Ok(false);
        };
        match self.done.take() {
            Some(done) => turn.chore_done(done),
            None if turn.is_adopting() => turn.adopt_more(),
            None => self.done = turn.next_chore().map(Chore::run),
        }
        Ok(true)
    }

    /// Whether a compaction is done whose result is not taken yet.
    pub(super) fn holds_compaction(&self) -> bool {
        matches!(self.done, Some(Done::Compact(_)))
    }

    /// Does what is waiting to be done at leisure.
    pub(super) fn tidy(&mut self) -> Checked<bool> {
        let Some((_, turn, _)) = &mut self.table else {
            return Ok(false);
        };
        turn.idle();
        if let Some(done) = self.done.take() {
            turn.chore_done(done);
        }
        loop {
            while turn.is_adopting() {
                turn.adopt_more();
            }
            let Some(chore) = turn.next_chore() else {
                break;
            };
            turn.chore_done(chore.run());
        }
        Ok(true)
    }

    fn read(&mut self) -> Checked<bool> {
        let key = key_of(self.random.below(KEYS));
        let Some((_, _, reader)) = &self.table else {
            return Ok(false);
        };
        let mut buffer = Vec::new();
        let hit = match reader.find(&key, &mut buffer, Access::Cached) {
            Err(ReadError::NotCached) => reader.find(&key, &mut buffer, Access::Wait),
            answer => answer,
        };
        let expected = self.history.shown.get(&key);
        match (hit, expected) {
            (Ok(None), None) => Ok(true),
            // What has expired counts as absent, whether compaction has dropped it yet or not.
            (Ok(None), Some(record)) if self.history.has_expired(record.expires) => Ok(true),
            (Ok(Some(hit)), None) if self.history.has_expired(Some(hit.expires)) => Ok(true),
            (Ok(Some(hit)), Some(record))
                if hit.version == record.version && buffer[hit.value.clone()] == record.value =>
            {
                Ok(true)
            }
            // An injected fault, or the end.
            (Err(ReadError::Storage(error)), _) if !is_corrupt(&error) => {
                Ok(!self.disk.has_crashed())
            }
            (hit, expected) => Err(format!("read {hit:?}, expected {expected:?}")),
        }
    }

    /// Does what the actor does with a batch.
    pub(super) fn write(&mut self, batch: &Vec<Vec<Write>>) -> Checked<bool> {
        let Some((_, turn, _)) = &mut self.table else {
            return Ok(false);
        };
        let mut demand = Demand::default();
        for more in batch.iter().map(|writes| demand_of(writes)) {
            demand.bytes += more.bytes;
            demand.records += more.records;
            demand.key_bytes += more.key_bytes;
        }
        let prepared = match turn.needs_preparation(&demand) {
            true => turn.prepare(batch, &demand),
            false => Ok(()),
        };
        if prepared.is_ok() {
            let taken = match turn.take(batch, Access::Cached) {
                Taken::NotCached => turn.take(batch, Access::Wait),
                taken => taken,
            };
            if taken == Taken::Written {
                if self.policy == Policy::Always {
                    let sync = turn.sync();
                    let result = sync.run();
                    turn.synced(&sync, result);
                }
                turn.settle();
            }
        }
        let results: Vec<Vec<WriteResult>> = turn.results().collect();
        let failed = results.iter().flatten().find_map(|result| result.as_ref().err());
        if let Some(EngineError::Corrupt { .. }) = failed {
            return Err(format!("{failed:?}"));
        }
        let stopped = results.iter().flatten().any(|result| {
            matches!(result, Err(EngineError::UnknownOutcome { .. } | EngineError::ReadOnly { .. }))
        });
        self.history.take(batch, &results, self.now)?;
        if self.policy == Policy::Always && !stopped {
            self.history.all_durable();
        }
        Ok(!stopped)
    }

    /// Closes the table and opens it again.
    pub(super) fn reopen_cleanly(&mut self) -> Checked<bool> {
        let Some((_, turn, _)) = &mut self.table else {
            return Ok(false);
        };
        if let Some(done) = self.done.take() {
            turn.chore_done(done);
        }
        if turn.close().is_err() {
            return Ok(false);
        }
        self.history.all_durable();
        self.open()
    }

    /// Ends the process, or the machine, and opens the table again.
    pub(super) fn end(&mut self) -> Checked<()> {
        self.table = None;
        match self.random.percent(30) {
            true => self.disk.kill(),
            false => self.disk.crash(),
        }
        // The machine may go down while it recovers, again and again.
        while self.random.percent(40) {
            let call = 1 + self.random.below(40) as u64;
            self.disk.crash_at_call(call);
            self.open()?;
            self.table = None;
            self.disk.crash();
        }
        match self.open()? {
            true => Ok(()),
            false => Err("does not open".into()),
        }
    }

    pub(super) fn batch(&mut self) -> Vec<Vec<Write>> {
        (0..1 + self.random.below(3))
            .map(|_| (0..1 + self.random.below(3)).map(|_| self.random_write()).collect())
            .collect()
    }

    fn random_write(&mut self) -> Write {
        let mut keys: Vec<usize> =
            (0..1 + self.random.below(3)).map(|_| self.random.below(KEYS)).collect();
        keys.sort_unstable();
        keys.dedup();
        let before = match self.random.percent(50) {
            true => BeforeDetail::Presence,
            false => BeforeDetail::Record,
        };
        let changes = keys.into_iter().map(|key| self.random_change(key_of(key))).collect();
        Write { changes, before }
    }

    fn random_change(&mut self, key: Bytes) -> Change {
        let condition = match self.random.below(10) {
            0 => Condition::Absent,
            1 => Condition::Present,
            2 | 3 => {
                let current = self.history.shown.get(&key).map_or(1, |record| record.version);
                Condition::Version(Version::new(current).unwrap())
            }
            _ => Condition::Any,
        };
        let action = match self.random.percent(25) {
            true => Action::Delete,
            false => {
                let length = match self.random.below(10) {
                    0 => 0,
                    1 => 600,
                    _ => self.random.below(60),
                };
                let value: Vec<u8> = (0..length).map(|_| self.random.next() as u8).collect();
                let end = self.now + self.random.below(500) as u64;
                let expires_at = self.random.percent(25).then(|| UnixMillis::new(end).unwrap());
                Action::Set { value: value.into(), expires_at }
            }
        };
        Change { key, condition, action }
    }
}

fn is_corrupt(error: &crate::log::storage::error::StorageError) -> bool {
    matches!(error, crate::log::storage::error::StorageError::Corrupt { .. })
}

fn key_of(number: usize) -> Bytes {
    // Some keys are the start of others.
    Bytes::from(format!("key{}", "x".repeat(number % 3)) + &number.to_string())
}

/// A whole random history.
fn random_run(seed: u64, policy: Policy, hash_bits: HashBits, plant: fn(&SimDisk)) -> Checked<()> {
    let mut run = Run::new(seed, policy, hash_bits);
    plant(&run.disk);
    run.disk.set_uncached_percent(seed as usize % 3 * 20);
    if !run.open()? {
        return Err("does not open".into());
    }
    for _ in 0..120 {
        if run.random.percent(3) {
            let fault = match run.random.below(4) {
                0 => Fault::Io,
                1 => Fault::Full,
                2 => Fault::ShortWrite,
                _ => Fault::Sync,
            };
            let call = 1 + run.random.below(12) as u64;
            run.disk.fail_at_call(call, fault);
        }
        let goes_on = match run.random.below(30) {
            0 => false,
            1 if !run.disk.has_fault_to_come() => run.reopen_cleanly()?,
            2 => {
                let call = 1 + run.random.below(20) as u64;
                run.disk.crash_at_call(call);
                true
            }
            _ => run.step()?,
        };
        if !goes_on || run.disk.has_crashed() {
            run.end()?;
        }
    }
    Ok(())
}

fn runs(count: u64, policy: Policy, hash_bits: HashBits) {
    for seed in 0..count {
        if let Err(violation) = random_run(seed, policy, hash_bits, |_| {}) {
            panic!("{policy:?}, {hash_bits:?}, seed {seed}: {violation}");
        }
    }
}

#[test]
fn with_every_write_synced_a_crash_loses_nothing_acknowledged_and_invents_nothing() {
    runs(60, Policy::Always, HashBits::Full);
}

#[test]
fn with_every_write_synced_the_same_holds_when_keys_share_their_hashes() {
    runs(60, Policy::Always, HashBits::Eight);
}

#[test]
fn with_a_sync_now_and_then_a_crash_leaves_a_prefix_that_reaches_the_last_sync() {
    runs(60, Policy::Sometimes, HashBits::Full);
    runs(60, Policy::Sometimes, HashBits::Eight);
}

#[test]
fn the_model_notices_a_disk_that_does_not_sync() {
    let caught = (0..40).filter(|seed| {
        random_run(*seed, Policy::Always, HashBits::Full, SimDisk::forget_syncs).is_err()
    });
    assert!(caught.count() > 30);
}

#[test]
fn a_store_that_is_open_is_locked_and_one_that_is_closed_is_not() {
    let disk = Arc::new(SimDisk::new(1));
    let open =
        || Store::open(Arc::clone(&disk) as Arc<_>, Path::new("/data"), TableOptions::default());
    let store = open().unwrap();
    assert!(matches!(open(), Err(StoreError::Locked)));
    drop(store);
    assert!(open().is_ok());
}
