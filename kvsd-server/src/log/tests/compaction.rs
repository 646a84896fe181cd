//! What compaction must keep, and what it must free.

use std::path::PathBuf;

use super::model::{Policy, Run};
use super::{delete, set};
use crate::log::storage::index::HashBits;
use crate::log::storage::sim::SimDisk;

fn open_run() -> Run {
    let mut run = Run::new(5, Policy::Always, HashBits::Full).without_history();
    assert_eq!(run.open(), Ok(true));
    run
}

fn write(run: &mut Run, key: &[u8], value: &[u8]) {
    assert_eq!(run.write(&vec![vec![set(key, value)]]), Ok(true));
}

fn remove(run: &mut Run, key: &[u8]) {
    assert_eq!(run.write(&vec![vec![delete(key)]]), Ok(true));
}

fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|end| end == "seg");
    disk.paths().into_iter().filter(is_segment).collect()
}

#[test]
fn churn_above_one_cold_key_frees_its_tombstones() {
    let mut run = open_run();
    write(&mut run, b"key0", &[1; 600]);
    let mut most = 0;
    for round in 0..60 {
        for key in [&b"keyx1"[..], b"keyxx2", b"key3"] {
            write(&mut run, key, &[round; 200]);
            remove(&mut run, key);
        }
        assert_eq!(run.tidy(), Ok(true));
        most = most.max(run.disk.used());
    }
    assert_eq!(run.rotate(), Ok(true));
    assert_eq!(run.tidy(), Ok(true));
    let bytes: usize = segments(&run.disk).iter().map(|path| run.disk.content(path).len()).sum();
    assert!(bytes < 2000, "{bytes} for one record of 600");
    assert!(most < 80_000 + 3 * 4096, "{most}");
    assert_eq!(run.read_everything(), Ok(()));
    assert_eq!(run.end(), Ok(()));
}

#[test]
fn a_damaged_victim_is_left_as_it_is_and_the_table_goes_on() {
    let mut run = open_run();
    write(&mut run, b"key0", b"still needed");
    write(&mut run, b"keyx1", &[1; 600]);
    assert_eq!(run.rotate(), Ok(true));
    remove(&mut run, b"keyx1");
    let victim = segments(&run.disk).remove(0);
    let mut content = run.disk.content(&victim);
    let at = content.windows(5).position(|window| window == b"still").unwrap();
    content[at] ^= 1;
    run.disk.put(&victim, &content);
    assert_eq!(run.tidy(), Ok(true));
    assert_eq!(run.disk.content(&victim), content);
    assert!(run.read_everything().unwrap_err().contains("Corrupt"));
    write(&mut run, b"key3", b"written later");
    let mut syncs = run.disk.syncs();
    for _ in 0..3 {
        assert_eq!(run.tidy(), Ok(true));
        assert_eq!(run.disk.syncs(), std::mem::replace(&mut syncs, run.disk.syncs()));
    }
    assert_eq!(run.disk.content(&victim), content);
}

#[test]
fn a_deleted_key_does_not_return_when_only_its_delete_is_compacted() {
    let mut run = open_run();
    write(&mut run, b"key0", b"deleted");
    write(&mut run, b"keyx1", &[1; 600]);
    assert_eq!(run.rotate(), Ok(true));
    remove(&mut run, b"key0");
    write(&mut run, b"keyxx2", &[2; 600]);
    write(&mut run, b"keyxx2", &[3; 600]);
    assert_eq!(run.rotate(), Ok(true));
    let second = segments(&run.disk)[1].clone();
    assert_eq!(run.tidy(), Ok(true));
    assert!(!segments(&run.disk).contains(&second), "it was compacted");
    for _ in 0..2 {
        assert_eq!(run.end(), Ok(()));
        assert_eq!(run.tidy(), Ok(true));
        assert_eq!(run.read_everything(), Ok(()));
    }
}

#[test]
fn a_segment_of_deletes_that_are_still_needed_is_not_compacted_again_and_again() {
    let mut run = open_run();
    for key in [&b"key0"[..], b"keyx1", b"keyxx2"] {
        write(&mut run, key, b"");
    }
    for key in [&b"key3"[..], b"keyx4"] {
        write(&mut run, key, &[1; 600]);
    }
    assert_eq!(run.rotate(), Ok(true));
    for key in [&b"key0"[..], b"keyx1", b"keyxx2"] {
        remove(&mut run, key);
    }
    assert_eq!(run.rotate(), Ok(true));
    assert_eq!(run.tidy(), Ok(true));
    let (before, syncs) = (segments(&run.disk), run.disk.syncs());
    for _ in 0..5 {
        assert_eq!(run.tidy(), Ok(true));
    }
    assert_eq!((segments(&run.disk), run.disk.syncs()), (before, syncs));
    assert_eq!(run.end(), Ok(()));
}

#[test]
fn a_write_or_a_delete_beside_a_compaction_wins() {
    let mut run = open_run();
    for key in [&b"key0"[..], b"keyx1", b"key3"] {
        write(&mut run, key, b"old");
    }
    write(&mut run, b"keyxx2", &[1; 600]);
    assert_eq!(run.rotate(), Ok(true));
    remove(&mut run, b"keyxx2");
    let victim = segments(&run.disk).remove(0);
    // The hint, then the compaction.
    while !run.holds_compaction() {
        assert_eq!(run.tidy_beside_writes(), Ok(true));
    }
    remove(&mut run, b"key0");
    write(&mut run, b"keyx1", b"new");
    // The exchange, then the index bit by bit.
    assert_eq!(run.tidy_beside_writes(), Ok(true));
    while run.is_adopting() {
        assert_eq!(run.read_everything(), Ok(()));
        assert_eq!(run.tidy_beside_writes(), Ok(true));
    }
    assert!(!segments(&run.disk).contains(&victim), "it was compacted");
    assert_eq!(run.read_everything(), Ok(()));
    assert_eq!(run.end(), Ok(()));
}
