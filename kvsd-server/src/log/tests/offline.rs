//! What the offline tools see of a folder, and what they save of a damaged one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::history::{ModelRecord, Snapshot};
use super::model::{Policy, Run};
use super::{delete, set};
use crate::log::offline::{DataFolder, Expired, Hints, NEVER, NewFolder, StorageError, Survey};
use crate::log::storage::index::HashBits;
use crate::log::storage::sim::SimDisk;

const DATA: &str = "/data";

/// Surveys the only table of a folder.
fn survey(disk: &SimDisk, data: &str) -> (DataFolder, Survey) {
    let folder = DataFolder::open(Arc::new(disk.clone()), Path::new(data)).unwrap();
    let tables = folder.tables().unwrap();
    let survey = folder.survey(&tables.tables[0], Hints::Checked, &mut |_| {}).unwrap();
    (folder, survey)
}

fn records(survey: &Survey) -> Snapshot {
    let mut found = Snapshot::new();
    let each = |live: crate::log::offline::Live<'_>| {
        let record = ModelRecord {
            version: live.version,
            expires: (live.expires != NEVER).then_some(live.expires),
            value: Bytes::copy_from_slice(live.value),
        };
        found.insert(Bytes::copy_from_slice(live.key), record);
        Ok::<(), StorageError>(())
    };
    survey.each_live(Expired::Included, each).unwrap();
    found
}

/// Saves what there is into `/new`, where nothing may be damaged; what that holds then.
fn salvage(disk: &SimDisk) -> Snapshot {
    let folder = DataFolder::open(Arc::new(disk.clone()), Path::new(DATA)).unwrap();
    let tables = folder.tables().unwrap();
    let mut new = NewFolder::create(Arc::new(disk.clone()), Path::new("/new")).unwrap();
    for table in &tables.tables {
        let found = folder.survey(table, Hints::Checked, &mut |_| {}).unwrap();
        new.add(&table.name, &found).unwrap();
    }
    drop(new);
    let (_, saved) = survey(disk, "/new");
    assert_eq!(saved.damages, []);
    assert_eq!(saved.torn, None);
    records(&saved)
}

fn contents(disk: &SimDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    let in_data = disk.paths().into_iter().filter(|path| path.starts_with(DATA));
    in_data.map(|path| (path.clone(), disk.content(&path))).collect()
}

/// A cleanly closed table of several segments.
fn closed_table() -> Run {
    let mut run = Run::new(5, Policy::Always, HashBits::Full);
    assert_eq!(run.open(), Ok(true));
    for round in 0..12 {
        let batch = vec![vec![
            set(b"key0", &[round; 700]),
            set(b"keyx1", &[round; 9]),
            set(b"keyxx2", b"constant"),
        ]];
        assert_eq!(run.write(&batch), Ok(true));
    }
    assert_eq!(run.write(&vec![vec![delete(b"keyx1")]]), Ok(true));
    assert_eq!(run.reopen_cleanly(), Ok(true));
    run.fork(1)
}

#[test]
fn after_a_crash_a_survey_shows_what_recovery_will_and_changes_nothing() {
    for seed in 0..40 {
        let mut run = Run::new(seed, Policy::Sometimes, HashBits::Full);
        assert_eq!(run.open(), Ok(true));
        for round in 0..20 {
            let batch = run.batch();
            assert_eq!(run.write(&batch), Ok(true));
            if (seed + round) % 5 == 0 {
                assert_eq!(run.sync(), Ok(true));
            }
        }
        let mut crashed = run.fork(seed);
        crashed.disk.crash();
        let before = contents(&crashed.disk);
        let (folder, found) = survey(&crashed.disk, DATA);
        drop(folder);
        assert_eq!(found.damages, [], "seed {seed}");
        assert!(contents(&crashed.disk) == before, "seed {seed}");
        let shown = records(&found);
        let saved = salvage(&crashed.disk);
        assert!(contents(&crashed.disk) == before, "seed {seed}");
        assert_eq!(crashed.open(), Ok(true), "seed {seed}");
        assert!(crashed.history.is_shown(&shown), "seed {seed}");
        assert!(crashed.history.is_shown(&saved), "seed {seed}");
    }
}

#[test]
fn any_damage_is_named_and_costs_only_the_records_that_it_hits() {
    let run = closed_table();
    let whole = run.history.shown.clone();
    for (path, content) in contents(&run.disk) {
        if path.extension().is_none_or(|end| end != "seg") {
            continue;
        }
        for at in (0..content.len()).step_by(7) {
            let disk = run.disk.fork(1);
            let mut flipped = content.clone();
            flipped[at] ^= 0x11;
            disk.put(&path, &flipped);
            let (folder, found) = survey(&disk, DATA);
            drop(folder);
            let [damage] = &found.damages[..] else {
                panic!("{} {at}: {:?}", path.display(), found.damages);
            };
            assert_eq!(damage.file, path);
            let place = damage.from..damage.to.max(64);
            assert!(place.contains(&(at as u64)), "{at} is not in {place:?}");

            let saved = salvage(&disk);
            // The one key that lost a record may have an older one, or be back.
            let keys = [&b"key0"[..], b"keyx1", b"keyxx2"];
            let changed = keys.iter().filter(|key| saved.get(**key) != whole.get(**key)).count();
            assert!(changed <= 1, "{at}: {saved:?}");
        }
    }
}

#[test]
fn a_survey_finds_damage_where_the_server_does_and_only_there() {
    let closed = closed_table();
    let mut in_use = Run::new(9, Policy::Always, HashBits::Full);
    assert_eq!(in_use.open(), Ok(true));
    for round in 0..4 {
        let batch = vec![vec![set(b"key0", &[round; 40]), set(b"keyx1", &[round])]];
        assert_eq!(in_use.write(&batch), Ok(true));
    }
    // The last group may look torn, and is then cut off.
    in_use.history.allow_past(1);
    for run in [closed, in_use] {
        for (path, _) in contents(&run.disk) {
            // A hint that vouches for its segment would keep the server from reading it.
            if path.extension().is_some_and(|end| end == "hint") {
                run.disk.put(&path, b"");
            }
        }
        let mut refused = 0;
        for (path, content) in contents(&run.disk) {
            if path.extension().is_none_or(|end| end != "seg") {
                continue;
            }
            for at in (0..content.len().min(2000)).step_by(3) {
                let mut copy = run.fork(1);
                let mut flipped = content.clone();
                flipped[at] ^= 0x44;
                copy.disk.put(&path, &flipped);
                let (folder, found) = survey(&copy.disk, DATA);
                drop(folder);
                match copy.open() {
                    Ok(_) => assert_eq!(found.damages, [], "byte {at}"),
                    Err(error) => {
                        refused += 1;
                        let first = found.damages.first().unwrap();
                        assert!(error.contains(&format!("{:?}", first.file)), "{error}");
                        let place = format!("offset: {},", first.from);
                        assert!(error.contains(&place), "byte {at}: {first}, but {error}");
                    }
                }
            }
        }
        assert!(refused > 100, "{refused}");
    }
}

#[test]
fn without_manifest_or_catalog_every_record_is_still_saved() {
    let run = closed_table();
    for name in ["CATALOG", "tables/00000001/MANIFEST"] {
        let disk = run.disk.fork(1);
        let path = Path::new(DATA).join(name);
        disk.put(&path, b"");
        let folder = DataFolder::open(Arc::new(disk.clone()), Path::new(DATA)).unwrap();
        let tables = folder.tables().unwrap();
        let survey = folder.survey(&tables.tables[0], Hints::Checked, &mut |_| {}).unwrap();
        let damages: Vec<_> = tables.damage.iter().chain(&survey.damages).collect();
        assert_eq!(damages.len(), 1, "{damages:?}");
        assert_eq!(damages[0].file, path);
        drop(folder);
        assert_eq!(salvage(&disk), run.history.shown, "{name}");
    }
}

#[test]
fn a_segment_cut_short_is_damage_and_its_beginning_is_saved() {
    let run = closed_table();
    let first = Path::new(DATA).join("tables/00000001/00000001.seg");
    let content = run.disk.content(&first);
    for length in [0, 10, 64, 65, 800, content.len() - 1] {
        let disk = run.disk.fork(1);
        disk.put(&first, &content[..length]);
        let (folder, found) = survey(&disk, DATA);
        drop(folder);
        assert!(!found.damages.is_empty(), "cut at {length}");
        assert!(found.damages.iter().all(|damage| damage.file == first));
        // All of these keys have newer records in later segments.
        assert_eq!(salvage(&disk), run.history.shown, "cut at {length}");
    }
}

#[test]
fn a_zeroed_end_is_damage_in_a_closed_table() {
    let run = closed_table();
    for (path, content) in contents(&run.disk) {
        if path.extension().is_none_or(|end| end != "seg") {
            continue;
        }
        for at in [64, 100, content.len() - 1] {
            let disk = run.disk.fork(1);
            let mut zeroed = content.clone();
            zeroed[at..].fill(0);
            disk.put(&path, &zeroed);
            let (_, found) = survey(&disk, DATA);
            // The last byte of a group is a zero already.
            assert_eq!(found.damages.is_empty(), zeroed == content, "{} {at}", path.display());
        }
    }
}

#[test]
fn what_the_disk_does_not_read_is_skipped_and_named_so() {
    let mut run = Run::new(5, Policy::Always, HashBits::Full);
    assert_eq!(run.open(), Ok(true));
    let sets: Vec<_> = (0..20).map(|key| set(&[b'k', key], &[key; 1000])).collect();
    assert_eq!(run.write(&vec![sets]), Ok(true));
    // No commit behind it says that it was durable; but a crash makes nothing unreadable.
    let disk = run.disk.fork(1);
    let path = Path::new(DATA).join("tables/00000001/00000001.seg");
    disk.spoil(&path, 5_000..5_100);

    let (folder, found) = survey(&disk, DATA);
    drop(folder);
    let [damage] = &found.damages[..] else { panic!("{:?}", found.damages) };
    assert_eq!((&damage.file, damage.what.as_str()), (&path, "the disk does not read it"));
    assert_eq!(found.torn, None);
    // A block of 4 KiB holds four of these records at most, and touches two more.
    assert!((14..20).contains(&found.records), "{}", found.records);
    assert_eq!(salvage(&disk).len() as u64, found.records);
}
