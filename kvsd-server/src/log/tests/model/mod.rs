//! Random histories against an ordered map, on a disk that crashes and fails.
//!
//! A run is a table on a simulated disk ([`run`]). Its steps are writes of every kind
//! ([`writes`]), reads, scans and histories ([`reads`]), rotations, compactions beside writes and on request,
//! backups that are restored, syncs, drops, clean ends and others. After each opening the table must hold a state that is
//! allowed, find the same records by key and by scan, and tell its changes from every place that is
//! not gone.
//!
//! Every second run keeps no history, so that more is compacted. Each test makes 60 runs of 120
//! steps; `KVSD_TEST_MODEL_RUNS=N` makes N of them.
//!
//! The clock of a run goes back, but not behind a compaction: what that took for expired is gone,
//! and a clock that says an earlier time afterwards does not bring it back.

#[cfg(feature = "cli")]
mod backup;
mod reads;
mod run;
mod writes;

use std::path::Path;
use std::sync::Arc;

use super::history::Checked;
use crate::log::storage::index::HashBits;
use crate::log::storage::load::TableOptions;
use crate::log::storage::sim::{Fault, SimDisk};
use crate::log::storage::store::{Store, StoreError};
pub(super) use reads::told;
pub(super) use run::Run;

/// When the simulated actor syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// Before each answer.
    Always,
    /// Now and then.
    Sometimes,
}

impl Run {
    /// One random step. `false` if the table must be opened again.
    fn step(&mut self) -> Checked<bool> {
        match self.random.below(32) {
            0 => {
                self.turn_clock();
                Ok(true)
            }
            1 => self.sync(),
            2 => self.declare_durable(),
            3 => self.rotate(),
            4 => self.tidy(),
            5..8 => self.tidy_beside_writes(),
            8..11 => self.read(),
            11..14 => self.scan(),
            14..17 => self.changes(),
            17 if self.random.percent(20) => self.drop_table(),
            17 if self.random.percent(40) => self.clear(),
            #[cfg(feature = "cli")]
            18 if self.random.percent(30) => self.back_up(),
            _ => {
                let batch = self.batch();
                self.write(&batch)
            }
        }
    }
}

/// A whole random history.
fn random_run(seed: u64, policy: Policy, hash_bits: HashBits, plant: fn(&SimDisk)) -> Checked<()> {
    let mut run = match seed % 2 {
        0 => Run::new(seed, policy, hash_bits),
        // So that more is compacted.
        _ => Run::new(seed, policy, hash_bits).without_history(),
    };
    plant(&run.disk);
    run.disk.set_uncached_percent((seed % 3) as usize * 20);
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

/// How many runs of each test somebody asks for.
pub(super) fn runs_asked_for() -> Option<u64> {
    let runs = std::env::var("KVSD_TEST_MODEL_RUNS").ok()?;
    Some(runs.parse().expect("KVSD_TEST_MODEL_RUNS is a number"))
}

fn runs(policy: Policy, hash_bits: HashBits) {
    for seed in 0..runs_asked_for().unwrap_or(60) {
        if let Err(violation) = random_run(seed, policy, hash_bits, |_| {}) {
            panic!("{policy:?}, {hash_bits:?}, seed {seed}: {violation}");
        }
    }
}

#[test]
fn with_every_write_synced_a_crash_loses_nothing_acknowledged_and_invents_nothing() {
    runs(Policy::Always, HashBits::Full);
}

#[test]
fn with_every_write_synced_the_same_holds_when_keys_share_their_hashes() {
    runs(Policy::Always, HashBits::Eight);
}

#[test]
fn with_a_sync_now_and_then_a_crash_leaves_a_prefix_that_reaches_the_last_sync() {
    runs(Policy::Sometimes, HashBits::Full);
    runs(Policy::Sometimes, HashBits::Eight);
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
