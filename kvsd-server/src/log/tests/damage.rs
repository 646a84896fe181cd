//! Every byte of every file flipped, cut, zeroed or doubled: an honest error or the right state,
//! never anything else, and never more memory than the files are long.
//!
//! After an end that was not clean the last group alone may have been torn or have rotted, and
//! nobody can tell which: it is cut off, and kept aside. That is the one ambiguous case; it lasts
//! until a commit says that the group is durable, which follows 50 ms of idleness.

use std::path::{Path, PathBuf};

use super::history::Checked;
use super::model::{Policy, Run};
use super::{delete, set};
use crate::log::storage::index::HashBits;
use crate::log::storage::sim::SimDisk;

const TABLE: &str = "/data/tables/00000001";

/// A table with a few groups in its only segment.
fn small_table() -> Run {
    let mut run = Run::new(3, Policy::Always, HashBits::Full);
    assert_eq!(run.open(), Ok(true));
    for batch in [
        vec![vec![set(b"key0", b"first"), set(b"keyx1", b"")]],
        vec![vec![set(b"key0", b"second"), delete(b"keyx1")]],
        vec![vec![set(b"keyxx2", &[7; 90])]],
    ] {
        assert_eq!(run.write(&batch), Ok(true));
    }
    run
}

fn last_segment(disk: &SimDisk) -> PathBuf {
    last_with_extension(disk, "seg")
}

fn last_hint(disk: &SimDisk) -> PathBuf {
    last_with_extension(disk, "hint")
}

fn is_hint(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "hint")
}

fn last_with_extension(disk: &SimDisk, extension: &str) -> PathBuf {
    let fits = |path: &PathBuf| path.extension().is_some_and(|end| end == extension);
    disk.paths().into_iter().rfind(fits).unwrap()
}

/// Opens a copy with one file replaced: `Ok(true)` if it opens in an allowed state.
fn open_with(run: &Run, path: &Path, content: &[u8]) -> Checked<bool> {
    let mut copy = run.fork(1);
    copy.disk.put(path, content);
    let opened = copy.open();
    // No length is believed that a checksum does not vouch for; files are read in pieces of 1 MiB
    // at most, or whole where they are as small as these.
    assert!(copy.disk.largest_read() <= 1 << 20, "{} bytes", copy.disk.largest_read());
    match opened {
        Ok(opened) => Ok(opened),
        Err(error) if error.contains("Corrupt") || error.contains("NewerFormat") => Ok(false),
        Err(error) => Err(error),
    }
}

/// Damage in one place.
fn spots(whole: &[u8], at: usize) -> Vec<Vec<u8>> {
    let mut flipped = whole.to_vec();
    flipped[at] ^= 1 << (at % 8);
    // Every field of 4 bytes is 0, 1 and the greatest number there is at some point.
    let fields = [[0; 4], [1, 0, 0, 0], [0xff; 4]].map(|field| {
        let mut overwritten = whole.to_vec();
        let end = (at + 4).min(whole.len());
        overwritten[at..end].copy_from_slice(&field[..end - at]);
        overwritten
    });
    let is_damage = |bytes: &Vec<u8>| bytes != whole;
    [flipped].into_iter().chain(fields).filter(is_damage).collect()
}

/// Damage to all that follows.
fn ends(whole: &[u8], at: usize) -> Vec<Vec<u8>> {
    let mut zeroed = whole.to_vec();
    zeroed[at..].fill(0);
    let mut doubled = whole.to_vec();
    doubled.insert(at, whole[at]);
    vec![zeroed, doubled, whole[..at].to_vec()]
}

/// Tries a kind of damage at every byte; how many of them were refused.
fn damage_everywhere(run: &Run, path: &Path, kind: fn(&[u8], usize) -> Vec<Vec<u8>>) -> usize {
    let whole = run.disk.content(path);
    let mut refused = 0;
    for at in 0..whole.len().min(900) {
        for damaged in kind(&whole, at) {
            match open_with(run, path, &damaged) {
                Ok(opened) => refused += usize::from(!opened),
                Err(error) => panic!("{}, byte {at}: {error}", path.display()),
            }
        }
    }
    refused
}

#[test]
fn any_damage_to_a_cleanly_closed_table_is_refused() {
    let mut run = small_table();
    assert_eq!(run.reopen_cleanly(), Ok(true));
    // A hint that vouches for the segment would keep its bytes from being read.
    run.disk.put(&last_hint(&run.disk), b"");
    for path in run.disk.paths() {
        if path.ends_with("LOCK") || path == last_hint(&run.disk) {
            continue;
        }
        let length = run.disk.content(&path).len();
        // Zeros in place of zeros, and doubled bytes behind the end, are no damage.
        let refused = damage_everywhere(&run, &path, spots) + damage_everywhere(&run, &path, ends);
        assert!(refused > length * 4, "{}: {refused} of {length}", path.display());
    }
}

#[test]
fn a_damaged_hint_is_made_again_and_is_never_an_error() {
    let mut run = small_table();
    assert_eq!(run.reopen_cleanly(), Ok(true));
    let hint = last_hint(&run.disk);
    let refused = damage_everywhere(&run, &hint, spots) + damage_everywhere(&run, &hint, ends);
    assert_eq!(refused, 0);

    // That of a sealed segment is written again.
    assert_eq!(run.rotate(), Ok(true));
    assert_eq!(run.tidy(), Ok(true));
    let hint = last_hint(&run.disk);
    let whole = run.disk.content(&hint);
    for at in 0..whole.len() {
        let mut copy = run.fork(1);
        copy.disk.put(&hint, &whole[..at]);
        assert_eq!(copy.open(), Ok(true));
        assert_eq!(copy.disk.content(&hint), whole);
    }
}

/// A table with two sealed segments, their hints, and an active one.
fn sealed_table() -> Run {
    let mut run = small_table().without_history();
    assert_eq!(run.reopen_cleanly(), Ok(true));
    for batch in [
        vec![vec![set(b"key3", &[3; 40]), set(b"keyx4", b"4")]],
        vec![vec![set(b"key0", b"third"), delete(b"keyxx2")]],
    ] {
        assert_eq!(run.rotate(), Ok(true));
        assert_eq!(run.write(&batch), Ok(true));
    }
    while run.hints() < 2 {
        assert_eq!(run.tidy_beside_writes(), Ok(true));
    }
    run
}

#[test]
fn a_hint_that_is_damaged_under_a_running_server_is_done_without() {
    let run = sealed_table();
    let paths = run.disk.paths();
    let hints: Vec<&PathBuf> = paths.iter().filter(|path| is_hint(path)).collect();
    assert_eq!(hints.len(), 2);
    for path in hints {
        let whole = run.disk.content(path);
        for at in 0..whole.len() {
            let flipped = spots(&whole, at).swap_remove(0);
            for damaged in ends(&whole, at).into_iter().chain([flipped]) {
                let mut copy = run.fork(1);
                assert_eq!(copy.open(), Ok(true));
                copy.disk.put(path, &damaged);
                let what = || format!("{}, byte {at}", path.display());
                // A scan meets it, or else a compaction.
                if at % 2 == 0 {
                    assert_eq!(copy.read_everything(), Ok(()), "{}", what());
                }
                assert_eq!(copy.tidy(), Ok(true));
                assert!(!copy.disk.paths().contains(path), "{} was not compacted", what());
                assert_eq!(copy.read_everything(), Ok(()), "{}", what());
                copy.disk.kill();
                assert_eq!(copy.open(), Ok(true), "{}", what());
            }
        }
    }
}

#[test]
fn damage_to_a_sealed_segment_is_an_error_when_it_is_read_and_never_another_value() {
    let mut run = sealed_table();
    assert_eq!(run.reopen_cleanly(), Ok(true));
    for path in
        run.disk.paths().iter().filter(|path| path.extension().is_some_and(|end| end == "seg"))
    {
        let whole = run.disk.content(path);
        for at in 0..whole.len() {
            for damaged in spots(&whole, at) {
                if let Err(error) = open_with(&run, path, &damaged) {
                    panic!("{}, byte {at}: {error}", path.display());
                }
            }
        }
    }
}

#[test]
fn a_table_opens_by_its_hints_without_reading_values_and_damage_shows_when_it_is_read() {
    let mut run = small_table();
    assert_eq!(run.reopen_cleanly(), Ok(true));
    let path = last_segment(&run.disk);
    let whole = run.disk.content(&path);
    for at in 64..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        let mut copy = run.fork(1);
        copy.disk.put(&path, &flipped);
        if let Err(error) = copy.open() {
            assert!(error.starts_with("cannot read"), "byte {at}: {error}");
        }
    }
}

#[test]
fn damage_in_one_place_after_an_unclean_end_costs_no_more_than_the_last_group() {
    let mut run = small_table();
    // The last group may look torn, and is then cut off: the one case that stays ambiguous.
    run.history.allow_past(1);
    let refused = damage_everywhere(&run, &last_segment(&run.disk), spots);
    assert!(refused > 500, "{refused}");
}

#[test]
fn a_segment_without_its_end_opens_as_a_prefix_of_what_was_written() {
    let mut run = small_table();
    run.history.allow_past(3);
    damage_everywhere(&run, &last_segment(&run.disk), ends);
}

#[test]
fn once_a_commit_says_durable_even_the_last_group_is_refused_when_damaged() {
    let mut run = small_table();
    let end = data_end(&run);
    assert_eq!(run.declare_durable(), Ok(true));
    let path = last_segment(&run.disk);
    for at in 64..end {
        let mut flipped = run.disk.content(&path);
        flipped[at] ^= 0x20;
        assert_eq!(open_with(&run, &path, &flipped), Ok(false), "byte {at}");
    }
}

fn data_end(run: &Run) -> usize {
    let content = run.disk.content(&last_segment(&run.disk));
    // A commit ends with the number of its records, here a byte and three zeros.
    content.iter().rposition(|byte| *byte != 0).unwrap() + 4
}

#[test]
fn a_tail_of_garbage_or_zeros_or_a_cut_group_is_cut_and_what_was_cut_is_kept() {
    let run = small_table();
    let path = last_segment(&run.disk);
    let whole = run.disk.content(&path);
    let end = data_end(&run);
    for garbage in [vec![0xa5; 300], whole[64..end].to_vec(), vec![1], vec![0; 300], vec![]] {
        let mut damaged = whole[..end].to_vec();
        damaged.extend_from_slice(&garbage);
        let mut copy = run.fork(1);
        copy.disk.put(&path, &damaged);
        assert_eq!(copy.open(), Ok(true));
        let paths = copy.disk.paths();
        let kept = paths.iter().find(|path| path.extension().is_some_and(|end| end == "cut"));
        match garbage.iter().any(|byte| *byte != 0) {
            true => assert!(garbage.starts_with(&copy.disk.content(kept.unwrap()))),
            false => assert_eq!(kept, None),
        }
    }
}

#[test]
fn remains_of_a_crash_are_removed_and_are_no_damage() {
    let mut run = small_table();
    assert_eq!(run.reopen_cleanly(), Ok(true));
    let table = Path::new(TABLE);
    for name in ["MANIFEST.tmp", "00000099.seg", "00000001.hint.tmp"] {
        let mut copy = run.fork(1);
        copy.disk.put(&table.join(name), b"");
        assert_eq!(copy.open(), Ok(true), "{name}");
        assert!(!copy.disk.paths().contains(&table.join(name)));
    }
}

#[test]
fn a_record_that_rots_under_a_running_server_is_an_error_and_never_missing() {
    let run = small_table();
    let path = last_segment(&run.disk);
    let whole = run.disk.content(&path);
    for at in 64..data_end(&run) {
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        run.disk.put(&path, &flipped);
        if let Err(error) = run.read_everything() {
            assert!(error.contains("Corrupt"), "byte {at}: {error}");
        }
    }
    run.disk.put(&path, &whole);
    assert_eq!(run.read_everything(), Ok(()));
}
