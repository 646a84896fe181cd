//! A crash at every single call to the disk, and again at every call of the recovery.

use std::path::Path;

use super::drops;
use super::history::Checked;
use super::model::{Policy, Run};
use crate::log::storage::index::HashBits;
use crate::log::storage::repair::Recovery;
use crate::log::storage::sim::{Fault, SimDisk};

/// The script: writes, rotations, a sync of its own, a clean close, writes again. Ends when the
/// table does.
fn script(run: &mut Run) -> Checked<()> {
    for round in 0..3 {
        for _ in 0..8 {
            let batch = run.batch();
            if !run.write(&batch)? || run.disk.has_crashed() {
                return Ok(());
            }
        }
        run.sync()?;
        if round == 2 {
            run.rotate()?;
        }
        run.tidy()?;
        if round == 1 && !run.reopen_cleanly()? {
            return Ok(());
        }
    }
    Ok(())
}

/// Opens after a crash, which must work; the recovered state must be one that is allowed.
fn recovers(run: &mut Run) -> Checked<()> {
    match run.open()? {
        true => Ok(()),
        false => Err("does not open".into()),
    }
}

fn crash_everywhere(seed: u64, policy: Policy) -> Checked<u64> {
    for call in 1.. {
        let mut run = Run::new(seed, policy, HashBits::Full);
        run.disk.crash_at_call(call);
        if run.open()? {
            script(&mut run)?;
        }
        if !run.disk.has_crashed() {
            return Ok(call);
        }
        run.disk.crash();
        // Another quarter of the recovery's calls each time.
        for again in (1 + call % 4..).step_by(4) {
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
    for policy in [Policy::Always, Policy::Sometimes] {
        match crash_everywhere(7, policy) {
            Ok(calls) => assert!(calls > 100, "the script has {calls} calls only"),
            Err(violation) => panic!("{policy:?}: {violation}"),
        }
    }
}

#[test]
fn a_fault_at_any_call_loses_nothing_either() {
    for fault in [Fault::Io, Fault::Full, Fault::ShortWrite, Fault::Sync] {
        for call in 1.. {
            let mut run = Run::new(call, Policy::Always, HashBits::Full);
            assert_eq!(run.open(), Ok(true));
            run.disk.fail_at_call(call, fault);
            let result = script(&mut run).and_then(|()| {
                let is_over = run.disk.has_fault_to_come();
                run.end().map(|()| is_over)
            });
            match result {
                Ok(false) => {}
                Ok(true) => break,
                Err(violation) => panic!("{fault:?} at call {call}: {violation}"),
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
