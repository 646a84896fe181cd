//! A crash at every single call to the disk, and again at every call of the recovery.
//!
//! The ordinary run does so with both policies, one of them with whole hashes and one with cut
//! ones; where `KVSD_TEST_MODEL_RUNS` is set, both are run with either.

#![expect(clippy::cast_possible_truncation, reason = "sizes and numbers of a test are small")]

use std::path::Path;

use bytes::Bytes;
use kvsd::UnixMillis;

use super::history::Checked;
use super::model::{Policy, Run};
use super::{delete, drops, model, one, set};
use crate::engine::{Action, BeforeDetail, Condition, Write};
use crate::log::storage::index::HashBits;
use crate::log::storage::repair::Recovery;
use crate::log::storage::sim::{Fault, SimDisk};

/// After each crash one in so many of the recovery's calls meets another.
const AGAIN: u64 = 24;

/// The script: writes of every kind, expiring records, scans, rotations, a compaction that is taken
/// in between writes, a clean close, a drop and the table made again, writes again. Ends when the
/// table does.
fn script(run: &mut Run) -> Checked<()> {
    for round in 0..4 {
        run.set_clock(1_000 + round * 400);
        for number in 0..6 {
            let batch = match number {
                0 => every_action(),
                _ => run.batch(),
            };
            if !goes_on(run, |run| run.write(&batch))? {
                return Ok(());
            }
        }
        let steps: &[fn(&mut Run) -> Checked<bool>] = match round {
            0 => &[Run::sync, Run::scan, Run::rotate, Run::tidy],
            1 => &[Run::sync, Run::changes, Run::rotate, compact_beside_writes, Run::scan],
            2 => &[Run::reopen_cleanly, Run::tidy, Run::drop_table],
            _ => &[Run::sync, Run::rotate, Run::tidy, Run::scan, Run::changes],
        };
        for step in steps {
            if !goes_on(run, step)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn goes_on(run: &mut Run, step: impl FnOnce(&mut Run) -> Checked<bool>) -> Checked<bool> {
    Ok(step(run)? && !run.disk.has_crashed())
}

/// A batch with every kind of change in it.
fn every_action() -> Vec<Vec<Write>> {
    let at = UnixMillis::new(1_700);
    let value = Bytes::from_static(b"41");
    let mut both = set(b"keyxx2", b"with another").changes;
    both.extend(delete(b"key3").changes);
    vec![
        vec![one(b"key0", Condition::Any, Action::Set { value, expires_at: at })],
        vec![one(b"key0", Condition::Present, Action::Increment { by: 1 })],
        vec![Write { changes: both, before: BeforeDetail::Record }],
        vec![one(b"keyx1", Condition::Any, Action::Increment { by: 7 })],
        vec![one(b"keyx1", Condition::Present, Action::Expire { at })],
        vec![set(b"key3", &[3; 300]), one(b"key3", Condition::Absent, Action::Delete)],
    ]
}

/// Compacts what there is to compact, with a write before each step.
fn compact_beside_writes(run: &mut Run) -> Checked<bool> {
    for _ in 0..12 {
        let write = vec![vec![set(b"keyx4", b"beside"), set(b"key6", b"it")]];
        if !goes_on(run, |run| run.write(&write))? || !goes_on(run, Run::tidy_beside_writes)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Opens after a crash, which must work; the recovered state must be one that is allowed.
fn recovers(run: &mut Run) -> Checked<()> {
    match run.open()? {
        true => Ok(()),
        false => Err("does not open".into()),
    }
}

fn crash_everywhere(policy: Policy, hash_bits: HashBits) -> Checked<u64> {
    for call in 1.. {
        let mut run = Run::new(7, policy, hash_bits).without_history();
        run.disk.crash_at_call(call);
        if run.open()? {
            script(&mut run)?;
        }
        if !run.disk.has_crashed() {
            assert!(run.compactions >= 4 && run.drops == 1, "{run:?}");
            return Ok(call);
        }
        run.disk.crash();
        // Others of the recovery's calls each time.
        for again in (1 + call % AGAIN..).step_by(AGAIN as usize) {
            let mut second = run.fork(call << 16 | again);
            second.disk.crash_at_call(again);
            let is_open = second.open().map_err(|e| format!("crash at {call}, {again}: {e}"))?;
            if is_open {
                break;
            }
            second.disk.crash();
            recovers(&mut second).map_err(|e| format!("crash at {call}, then {again}: {e}"))?;
        }
    }
    Err("the script never ends".into())
}

#[test]
fn a_crash_at_any_call_and_at_any_call_of_the_recovery_loses_nothing() {
    let mut ways = vec![(Policy::Always, HashBits::Full), (Policy::Sometimes, HashBits::Eight)];
    if model::runs_asked_for().is_some() {
        ways.extend([(Policy::Always, HashBits::Eight), (Policy::Sometimes, HashBits::Full)]);
    }
    for (policy, hash_bits) in ways {
        match crash_everywhere(policy, hash_bits) {
            Ok(calls) => assert!(calls > 300, "the script has {calls} calls only"),
            Err(violation) => panic!("{policy:?}, {hash_bits:?}: {violation}"),
        }
    }
}

#[test]
fn a_fault_at_any_call_loses_nothing_either() {
    for fault in [Fault::Io, Fault::Full, Fault::ShortWrite, Fault::Sync] {
        let mut call = 1;
        loop {
            let mut run = Run::new(call, Policy::Always, HashBits::Full).without_history();
            assert_eq!(run.open(), Ok(true));
            let before = run.disk.calls();
            run.disk.fail_at_call(call, fault);
            let result = script(&mut run);
            // The next fault hits a later call.
            let hit = run.disk.failed_at().map(|hit| hit - before);
            if let Err(violation) = result.and_then(|()| run.end()) {
                panic!("{fault:?} at call {call}: {violation}");
            }
            match hit {
                Some(hit) => call = hit + 1,
                None => break,
            }
        }
    }
}

#[test]
fn opening_tells_what_was_recovered_and_where_a_torn_write_is_kept() {
    let disk = SimDisk::new(1);
    let reopen = || {
        let store = drops::open(&disk).unwrap();
        store.open_table(&store.tables()[0]).unwrap().1
    };
    let (mut turn, _) = drops::create(&mut drops::open(&disk).unwrap(), "a").unwrap();
    drops::write(&mut turn, b"key").unwrap();
    disk.kill();
    assert_eq!(reopen(), Some(Recovery { torn_bytes: 0, kept_in: None }));

    // The recovery has begun another segment, and closed nothing.
    let segment = Path::new("/data/tables/00000001/00000002.seg");
    let mut torn = disk.content(segment);
    let whole = torn.len();
    torn.extend_from_slice(b"a torn write, and zeros");
    torn.extend_from_slice(&[0; 1000]);
    disk.put(segment, &torn);
    disk.kill();
    let kept = Path::new("/data/tables/00000001").join(format!("00000002.seg-{whole:012}.cut"));
    let recovery = Recovery { torn_bytes: 23, kept_in: Some(kept.clone()) };
    assert_eq!(reopen(), Some(recovery));
    assert_eq!(disk.content(&kept), b"a torn write, and zeros");

    disk.kill();
    let store = drops::open(&disk).unwrap();
    let (mut writer, _) = store.open_table(&store.tables()[0]).unwrap();
    writer.close().unwrap();
    drop(store);
    assert_eq!(reopen(), None);
}
