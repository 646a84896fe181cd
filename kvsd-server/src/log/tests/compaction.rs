//! What compaction must keep, and what it must free.

use std::path::PathBuf;

use bytes::Bytes;
use kvsd::UnixMillis;

use super::model::{Policy, Run};
use super::{delete, drops, one, set};
use crate::engine::{Action, BeforeDetail, Condition, Write};
use crate::log::storage::index::HashBits;
use crate::log::storage::reader::Access;
use crate::log::storage::sim::SimDisk;

pub(super) fn open_run() -> Run {
    let mut run = Run::new(5, Policy::Always, HashBits::Full).without_history();
    assert_eq!(run.open(), Ok(true));
    run
}

pub(super) fn write(run: &mut Run, key: &[u8], value: &[u8]) {
    assert_eq!(run.write(&vec![vec![set(key, value)]]), Ok(true));
}

pub(super) fn remove(run: &mut Run, key: &[u8]) {
    assert_eq!(run.write(&vec![vec![delete(key)]]), Ok(true));
}

pub(super) fn segments(disk: &SimDisk) -> Vec<PathBuf> {
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
fn what_was_at_hand_is_so_still_when_compaction_has_moved_it() {
    let mut run = open_run();
    write(&mut run, b"key0", b"read now and then");
    write(&mut run, b"keyx1", &[1; 600]);
    assert_eq!(run.rotate(), Ok(true));
    let victim = segments(&run.disk).remove(0);
    let read = |run: &Run, access| {
        let mut buffer = Vec::new();
        let hit = run.reader().find(b"key0", &mut buffer, access).ok().flatten();
        hit.map(|hit| buffer[hit.value].to_vec())
    };
    assert!(read(&run, Access::Wait).is_some());
    run.disk.set_uncached_percent(100);
    assert!(read(&run, Access::Cached).is_some());
    remove(&mut run, b"keyx1");
    assert_eq!(run.tidy(), Ok(true));
    assert!(!segments(&run.disk).contains(&victim), "nothing was compacted");
    assert_eq!(read(&run, Access::Cached).unwrap(), b"read now and then");
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

/// A run with a sealed segment, its hint written: `key0`, `keyx1` and `key3`.
fn sealed_run() -> (Run, PathBuf) {
    let mut run = open_run();
    for key in [&b"key0"[..], b"keyx1", b"key3"] {
        write(&mut run, key, &[1; 400]);
    }
    assert_eq!(run.rotate(), Ok(true));
    assert_eq!(run.tidy(), Ok(true));
    let first = segments(&run.disk).remove(0);
    (run, first)
}

#[test]
fn a_compaction_that_failed_for_lack_of_room_is_tried_again_when_the_table_is_idle() {
    let (mut run, victim) = sealed_run();
    for key in [&b"keyx1"[..], b"key3"] {
        write(&mut run, key, b"");
    }
    run.disk.set_capacity(run.disk.used());
    assert_eq!(run.tidy(), Ok(true));
    assert!(segments(&run.disk).contains(&victim), "there is no room for a copy");
    run.disk.set_capacity(u64::MAX);
    // Without a write and without a rotation.
    assert_eq!(run.tidy(), Ok(true));
    assert!(!segments(&run.disk).contains(&victim), "it was compacted");
    assert_eq!(run.read_everything(), Ok(()));
    assert_eq!(run.end(), Ok(()));
}

#[test]
fn what_is_wholly_dead_is_freed_on_a_disk_without_any_room() {
    let (mut run, victim) = sealed_run();
    for key in [&b"key0"[..], b"keyx1", b"key3"] {
        remove(&mut run, key);
    }
    let used = run.disk.used();
    run.disk.set_capacity(used);
    assert_eq!(run.tidy(), Ok(true));
    assert!(!segments(&run.disk).contains(&victim), "it was freed");
    assert!(run.disk.used() + 1200 < used);
    assert_eq!(run.read_everything(), Ok(()));
    run.disk.set_capacity(u64::MAX);
    assert_eq!(run.end(), Ok(()));
}

#[test]
fn a_table_closes_cleanly_on_a_full_disk() {
    let (mut run, _) = sealed_run();
    write(&mut run, b"key0", b"last");
    run.disk.set_capacity(run.disk.used());
    assert_eq!(run.reopen_cleanly(), Ok(true));
    assert_eq!(run.read_everything(), Ok(()));
    let copy = run.disk.fork(1);
    let store = drops::open(&copy).unwrap();
    let (_, recovery) = store.open_table(&store.tables()[0]).unwrap();
    assert_eq!(recovery, None);
}

#[test]
fn records_that_have_expired_make_room_though_nobody_writes() {
    let mut run = open_run();
    let expiring = |key: &[u8]| {
        let value = Bytes::from_static(&[7; 500]);
        one(key, Condition::Any, Action::Set { value, expires_at: UnixMillis::new(1_500) })
    };
    write(&mut run, b"key0", b"stays");
    for key in [&b"keyx1"[..], b"key3"] {
        assert_eq!(run.write(&vec![vec![expiring(key)]]), Ok(true));
    }
    assert_eq!(run.rotate(), Ok(true));
    assert_eq!(run.tidy(), Ok(true));
    let victim = segments(&run.disk).remove(0);
    assert!(run.disk.content(&victim).len() > 1_000);
    run.set_clock(10_000);
    assert_eq!(run.tidy(), Ok(true));
    assert!(!segments(&run.disk).contains(&victim), "it was compacted");
    let bytes: usize = run.disk.paths().iter().map(|path| run.disk.content(path).len()).sum();
    assert!(bytes < 1_000, "{bytes}");
    assert_eq!(run.read_everything(), Ok(()));
    assert_eq!(run.end(), Ok(()));
}

#[test]
fn many_small_segments_become_one() {
    let mut run = open_run();
    for number in (0..14).filter(|number| number % 3 == 0).chain([1, 2, 4, 5]) {
        let key = format!("key{}{number}", "x".repeat(number % 3));
        write(&mut run, key.as_bytes(), b"small");
        assert_eq!(run.rotate(), Ok(true));
    }
    assert_eq!(segments(&run.disk).len(), 10);
    assert_eq!(run.tidy(), Ok(true));
    assert_eq!(segments(&run.disk).len(), 2);
    assert_eq!(run.read_everything(), Ok(()));
    assert_eq!(run.end(), Ok(()));
}

#[test]
fn what_watches_may_still_want_is_no_victim_however_dead_it_is() {
    let mut run = Run::new(5, Policy::Always, HashBits::Full);
    assert_eq!(run.open(), Ok(true));
    write(&mut run, b"key0", &[1; 900]);
    assert_eq!(run.rotate(), Ok(true));
    remove(&mut run, b"key0");
    let first = segments(&run.disk).remove(0);
    // Not old, and with little behind it.
    assert_eq!(run.tidy(), Ok(true));
    assert!(segments(&run.disk).contains(&first));
    assert_eq!(run.read_everything(), Ok(()));
    for round in 0..3 {
        write(&mut run, b"keyx1", &[round; 800]);
    }
    assert_eq!(run.tidy(), Ok(true));
    assert!(!segments(&run.disk).contains(&first), "there is enough behind it");
    assert_eq!(run.rotate(), Ok(true));
    assert_eq!(run.tidy(), Ok(true));
    let second = segments(&run.disk).remove(0);
    run.set_clock(1_400);
    assert_eq!(run.tidy(), Ok(true));
    assert!(!segments(&run.disk).contains(&second), "it is old enough");
    assert_eq!(run.read_everything(), Ok(()));
    assert_eq!(run.end(), Ok(()));
}

#[test]
fn what_was_compacted_is_compacted_again_and_opens_each_time() {
    let mut run = open_run();
    write(&mut run, b"key0", &[9; 300]);
    for round in 0..6 {
        for key in [&b"keyx1"[..], b"key3", b"keyxx2"] {
            write(&mut run, key, &[round; 300]);
        }
        assert_eq!(run.rotate(), Ok(true));
        let before = run.compactions;
        assert_eq!(run.tidy(), Ok(true));
        assert!(round == 0 || run.compactions > before, "round {round}");
        match round % 2 {
            0 => assert_eq!(run.end(), Ok(())),
            _ => assert_eq!(run.reopen_cleanly(), Ok(true)),
        }
        assert_eq!(run.read_everything(), Ok(()));
    }
}

#[test]
fn a_compaction_that_was_futile_is_tried_again_once_more_of_the_segment_is_dead() {
    let mut run = open_run();
    let keys = [&b"key0"[..], b"keyx1", b"keyxx2"];
    let together = |writes: Vec<Write>| {
        let changes = writes.into_iter().flat_map(|write| write.changes).collect();
        vec![vec![Write { changes, before: BeforeDetail::Presence }]]
    };
    let sets = keys.iter().map(|key| set(key, b"")).chain([set(b"key3", &[1; 2500])]);
    assert_eq!(run.write(&together(sets.collect())), Ok(true));
    assert_eq!(run.rotate(), Ok(true));
    // Half of it deletes that are still needed, and half of it lives.
    let half = keys.iter().map(|key| delete(key)).chain([set(b"keyx4", &[2; 150])]);
    assert_eq!(run.write(&together(half.collect())), Ok(true));
    assert_eq!(run.rotate(), Ok(true));
    let second = segments(&run.disk)[1].clone();
    assert_eq!(run.tidy(), Ok(true));
    assert!(segments(&run.disk).contains(&second), "it was futile");
    write(&mut run, b"keyx4", b"elsewhere");
    assert_eq!(run.tidy(), Ok(true));
    assert!(!segments(&run.disk).contains(&second), "it was compacted");
    assert_eq!(run.read_everything(), Ok(()));
    assert_eq!(run.end(), Ok(()));
}
