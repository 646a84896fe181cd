//! A table on a simulated disk, what it must hold, and all that is done to it but reads and writes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use kvsd::TableName;

use super::Policy;
use crate::engine::Write;
use crate::log::storage::cache::Cache;
use crate::log::storage::chore::{Chore, Done};
use crate::log::storage::index::HashBits;
use crate::log::storage::load::TableOptions;
use crate::log::storage::reader::Reader;
use crate::log::storage::record::COMMIT_BYTES;
use crate::log::storage::rotation::{Demand, Limits, Retention};
use crate::log::storage::sim::{Random, SimDisk};
use crate::log::storage::store::Store;
use crate::log::storage::writer::Room;
use crate::log::storage::writer::{WriteError, Writer};
use crate::log::tests::ManualClock;
use crate::log::tests::history::{Checked, History};
use crate::log::turn::Turn;

/// A run: a table on a simulated disk, and what it must hold.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) disk: SimDisk,
    pub(crate) random: Random,
    pub(super) policy: Policy,
    pub(super) options: TableOptions,
    clock: Arc<ManualClock>,
    pub(super) now: u64,
    /// What a compaction took for the time: the clock does not go back behind it.
    pub(super) compacted_at: u64,
    pub(super) table: Option<(Store, Turn, Arc<Reader>)>,
    /// How many compactions have begun, and tables were dropped.
    pub(crate) compactions: u64,
    pub(crate) drops: u64,
    /// A chore that is done, and whose result is not taken yet.
    done: Option<Done>,
    pub(crate) history: History,
}

const SMALL: Limits = Limits { bytes: 4096, records: 60, key_bytes: 600 };
/// Histories of a segment or two.
const SHORT: Retention = Retention { bytes: 2048, millis: 300 };
pub(super) const KEYS: usize = 14;

impl Run {
    pub(crate) fn new(seed: u64, policy: Policy, hash_bits: HashBits) -> Self {
        // Some of the records have room in it.
        let cache = Arc::new(Cache::new(1024));
        let room = match policy {
            Policy::Always => Room::Zeroed,
            Policy::Sometimes => Room::Reserved,
        };
        Self {
            disk: SimDisk::new(seed),
            random: Random::new(seed ^ 0xabcd),
            policy,
            options: TableOptions { limits: SMALL, retention: SHORT, room, hash_bits, cache },
            clock: Arc::new(ManualClock::at(1_000)),
            now: 1_000,
            compacted_at: 0,
            table: None,
            compactions: 0,
            drops: 0,
            done: None,
            history: History::new(),
        }
    }

    /// The same, without a history that compaction must keep.
    pub(crate) fn without_history(mut self) -> Self {
        self.options.retention = Retention { bytes: 0, millis: 0 };
        self
    }

    /// The same, on another disk with the same content. The table is not open.
    pub(crate) fn fork(&self, seed: u64) -> Self {
        Self {
            disk: self.disk.fork(seed),
            random: self.random.clone(),
            policy: self.policy,
            options: self.options.clone(),
            clock: Arc::clone(&self.clock),
            now: self.now,
            compacted_at: self.compacted_at,
            table: None,
            compactions: self.compactions,
            drops: self.drops,
            done: None,
            history: self.history.clone(),
        }
    }

    /// Opens the table, or makes it; what it holds must be allowed. `false` if the disk is down.
    pub(crate) fn open(&mut self) -> Checked<bool> {
        self.table = None;
        self.done = None;
        let disk = Arc::new(self.disk.clone());
        let mut store = match Store::open(disk, Path::new("/data"), self.options.clone()) {
            Ok(store) => store,
            Err(error) => return self.failed_to_open(format!("{error:?}")),
        };
        let writer = match store.tables().first().cloned() {
            Some(entry) => store.open_table(&entry).map(|(writer, _)| writer),
            None => store.create_table(&name()),
        };
        match writer {
            Ok(writer) => self.hold(store, writer),
            Err(error) => return self.failed_to_open(format!("{error:?}")),
        }
        match self.everything()? {
            Some(found) => self.check_opened(found),
            None => Ok(false),
        }
    }

    fn hold(&mut self, store: Store, writer: Writer) {
        let reader = Arc::clone(writer.reader());
        let turn = Turn::new(name(), Arc::clone(&self.clock) as Arc<_>, writer, usize::MAX);
        self.table = Some((store, turn, reader));
    }

    /// What readers of the open table share.
    pub(in crate::log::tests) fn reader(&self) -> &Reader {
        let (_, _, reader) = self.table.as_ref().expect("the table is open");
        reader
    }

    /// Whether the disk is down, or a call has failed: then so may everything else.
    pub(super) fn is_failing(&self) -> bool {
        self.disk.has_crashed() || self.disk.has_failed()
    }

    fn failed_to_open(&self, error: String) -> Checked<bool> {
        match self.is_failing() {
            true => Ok(false),
            false => Err(format!("does not open: {error}")),
        }
    }

    /// The clock goes on, and back now and then.
    pub(super) fn turn_clock(&mut self) {
        let now = (self.now + self.random.below(400) as u64).saturating_sub(100);
        self.now = now.max(self.compacted_at);
        self.clock.set(self.now);
    }

    /// Makes the clock say this.
    pub(crate) fn set_clock(&mut self, now: u64) {
        self.now = now;
        self.clock.set(now);
    }

    pub(crate) fn sync(&mut self) -> Checked<bool> {
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

    pub(crate) fn declare_durable(&mut self) -> Checked<bool> {
        let Some((_, turn, _)) = &mut self.table else {
            return Ok(false);
        };
        if turn.has_undeclared() {
            turn.declare_durable();
        }
        Ok(true)
    }

    /// Seals the active segment, whatever its size.
    pub(crate) fn rotate(&mut self) -> Checked<bool> {
        let Some((_, turn, _)) = &mut self.table else {
            return Ok(false);
        };
        let demand = Demand { bytes: 1 << 40, ..Demand::default() };
        // As the actor, which leaves a table alone that has stopped.
        if turn.needs_preparation(&demand) {
            let _ = turn.prepare(&Vec::<Vec<Write>>::new(), &demand);
        }
        Ok(true)
    }

    /// Begins a chore, with the writes to come beside it; or takes the result of the last one.
    pub(crate) fn tidy_beside_writes(&mut self) -> Checked<bool> {
        let Some((_, turn, _)) = &mut self.table else {
            return Ok(false);
        };
        match self.done.take() {
            Some(done) => turn.chore_done(done),
            None if turn.is_adopting() => turn.adopt_more(),
            None => self.done = self.next_chore().map(Chore::run),
        }
        Ok(true)
    }

    fn next_chore(&mut self) -> Option<Chore> {
        let (_, turn, reader) = self.table.as_mut()?;
        let chore = turn.next_chore()?;
        if let Chore::Compact(_) = chore {
            self.compactions += 1;
            self.history.may_forget(reader.version(), self.now);
            self.compacted_at = self.compacted_at.max(self.now);
        }
        Some(chore)
    }

    /// How many hints there are.
    pub(crate) fn hints(&self) -> usize {
        let is_hint = |path: &PathBuf| path.extension().is_some_and(|end| end == "hint");
        self.disk.paths().iter().filter(|path| is_hint(path)).count()
    }

    /// Whether a compaction's result is named, and not all of it taken in yet.
    pub(crate) fn is_adopting(&self) -> bool {
        self.table.as_ref().is_some_and(|(_, turn, _)| turn.is_adopting())
    }

    /// Whether a compaction is done whose result is not taken yet.
    pub(crate) fn holds_compaction(&self) -> bool {
        matches!(self.done, Some(Done::Compact(_)))
    }

    /// Does what is waiting to be done at leisure.
    pub(crate) fn tidy(&mut self) -> Checked<bool> {
        let Some((_, turn, _)) = &mut self.table else {
            return Ok(false);
        };
        turn.idle();
        if let Some(done) = self.done.take() {
            turn.chore_done(done);
        }
        loop {
            let Some((_, turn, _)) = &mut self.table else {
                return Ok(false);
            };
            while turn.is_adopting() {
                turn.adopt_more();
            }
            let Some(done) = self.next_chore().map(Chore::run) else {
                return Ok(true);
            };
            if let Some((_, turn, _)) = &mut self.table {
                turn.chore_done(done);
            }
        }
    }

    /// Has all garbage cleared that may go, as an administrator does; nothing is left that might.
    pub(crate) fn clear(&mut self) -> Checked<bool> {
        if !self.tidy()? {
            return Ok(false);
        }
        let Some((_, turn, _)) = &mut self.table else {
            return Ok(false);
        };
        if turn.begin_clearing().is_err() {
            return Ok(true);
        }
        if !self.tidy()? {
            return Ok(false);
        }
        let keeps_history = self.options.retention.bytes > 0;
        let Some((_, turn, reader)) = &mut self.table else {
            return Ok(false);
        };
        let cleared = turn.end_clearing().ok_or("a clearing does not end")?;
        let figures = reader.figures();
        let structure = figures.segments * COMMIT_BYTES as u64;
        match cleared {
            Ok(_) if !keeps_history && figures.dead_bytes > structure => {
                Err(format!("garbage is left: {figures:?}"))
            }
            Ok(summary) if summary.dead_bytes != figures.dead_bytes => {
                Err(format!("{summary:?} is told of {figures:?}"))
            }
            Ok(_) => Ok(true),
            Err(_) if self.is_failing() => Ok(true),
            Err(error) => Err(format!("not cleared: {error}")),
        }
    }

    /// Drops the table and makes it again.
    pub(crate) fn drop_table(&mut self) -> Checked<bool> {
        let Some((mut store, turn, reader)) = self.table.take() else {
            return Ok(false);
        };
        // What is still being done for the table is done in vain.
        self.done = None;
        let remains = match store.forget_table(&name(), reader.figures().last_version) {
            Ok(Some(remains)) => remains,
            Ok(None) => return Err("the table is not there".into()),
            Err(WriteError::Full | WriteError::Refused(_)) => {
                self.table = Some((store, turn, reader));
                return Ok(true);
            }
            Err(WriteError::Broken(_)) => {
                self.history.may_be_dropped();
                return Ok(false);
            }
        };
        drop(turn);
        self.drops += 1;
        self.history.dropped();
        // What is left, opening removes.
        let _ = remains.remove();
        match store.create_table(&name()) {
            Ok(writer) => {
                let reader = Arc::clone(writer.reader());
                self.history.entered(reader.incarnation(), reader.time());
                self.hold(store, writer);
                self.read_everything().map(|()| true)
            }
            Err(error) => self.failed_to_open(format!("{error:?}")),
        }
    }

    /// Closes the table and opens it again.
    pub(crate) fn reopen_cleanly(&mut self) -> Checked<bool> {
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
    pub(crate) fn end(&mut self) -> Checked<()> {
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
}

pub(super) fn name() -> TableName {
    TableName::parse("model").unwrap()
}

pub(super) fn key_of(number: usize) -> Bytes {
    // Some keys are the start of others.
    Bytes::from(format!("key{}", "x".repeat(number % 3)) + &number.to_string())
}
