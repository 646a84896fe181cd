//! Dropping a table, with a crash or a fault at every single call, and again while opening.

use std::path::Path;
use std::sync::Arc;

use kvsd::TableName;

use super::{ManualClock, set};
use crate::engine::Written;
use crate::log::storage::load::TableOptions;
use crate::log::storage::reader::{Access, Reader};
use crate::log::storage::rotation::Demand;
use crate::log::storage::sim::{Fault, SimDisk};
use crate::log::storage::store::Store;
use crate::log::storage::writer::WriteError;
use crate::log::turn::{Taken, Turn};

/// What is known of a table, by what was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It was never made for sure.
    Maybe,
    /// It is there, with its key.
    There,
    /// It is gone.
    Gone,
    /// It is gone, or it is there with its key.
    InDoubt,
}

/// What a run has been answered: of the first table `a`, of `b`, and of the second `a`.
#[derive(Debug, Clone, Copy)]
struct Answers {
    first: Known,
    other: Known,
    second: Known,
    /// The highest version that was shown of a table `a`.
    shown: u64,
}

pub(super) fn name(name: &str) -> TableName {
    TableName::parse(name).unwrap()
}

pub(super) fn open(disk: &SimDisk) -> Option<Store> {
    Store::open(Arc::new(disk.clone()), Path::new("/data"), TableOptions::default()).ok()
}

/// A write that is synced; its version, if it was acknowledged.
pub(super) fn write(turn: &mut Turn, key: &[u8]) -> Option<u64> {
    let batch = vec![vec![set(key, key)]];
    let demand = Demand { bytes: 100, records: 1, key_bytes: 10 };
    if turn.needs_preparation(&demand) {
        turn.prepare(&batch, &demand).ok()?;
    }
    if turn.take(&batch, Access::Wait) != Taken::Written {
        return None;
    }
    let sync = turn.sync();
    let result = sync.run();
    turn.synced(&sync, result);
    turn.settle();
    match turn.results().next()?.pop()? {
        Ok(Written::Applied { version, .. }) => version.map(kvsd::Version::get),
        _ => None,
    }
}

pub(super) fn create(store: &mut Store, table: &str) -> Option<(Turn, Arc<Reader>)> {
    let writer = store.create_table(&name(table)).ok()?;
    let reader = Arc::clone(writer.reader());
    Some((Turn::new(name(table), Arc::new(ManualClock::at(1_000)), writer, usize::MAX), reader))
}

/// Makes `a` and `b`, drops `a`, and makes it again, until something fails.
fn script(disk: &SimDisk) -> Answers {
    let maybe = Known::Maybe;
    let mut answers = Answers { first: maybe, other: maybe, second: maybe, shown: 0 };
    let _ = run(disk, &mut answers);
    answers
}

fn run(disk: &SimDisk, answers: &mut Answers) -> Option<()> {
    let mut store = open(disk)?;
    let (mut first, reader) = create(&mut store, "a")?;
    answers.shown = write(&mut first, b"first")?;
    answers.first = Known::There;
    let (mut other, _) = create(&mut store, "b")?;
    write(&mut other, b"other")?;
    answers.other = Known::There;
    let remains = match store.forget_table(&name("a"), reader.figures().last_version) {
        Ok(remains) => remains?,
        Err(WriteError::Full | WriteError::Refused(_)) => {
            // Nothing has happened: the table goes on.
            if !disk.has_crashed() {
                answers.shown = write(&mut first, b"more").expect("it is as it was");
            }
            return None;
        }
        Err(WriteError::Broken(_)) => {
            answers.first = Known::InDoubt;
            return None;
        }
    };
    answers.first = Known::Gone;
    drop(first);
    // What cannot be removed now is removed by opening.
    let _ = remains.remove();
    let (mut second, _) = create(&mut store, "a")?;
    answers.shown = write(&mut second, b"second").filter(|version| *version > answers.shown)?;
    answers.second = Known::There;
    Some(())
}

/// What was answered before a crash must still be so; and nothing is left of what is gone.
fn check(disk: &SimDisk, answers: Answers) {
    let mut store = open(disk).unwrap_or_else(|| panic!("does not open: {answers:?}"));
    let mut found = Vec::new();
    for entry in store.tables().to_vec() {
        let (writer, _) = store.open_table(&entry).unwrap();
        let has = |key: &[u8]| {
            writer.reader().find(key, &mut Vec::new(), Access::Wait).unwrap().is_some()
        };
        assert!(has(b"first") as u8 + has(b"second") as u8 <= 1, "{answers:?}");
        let key = [&b"first"[..], b"other", b"second"].into_iter().find(|key| has(key));
        found.push((entry.name.to_string(), key));
    }
    let is_there = |table: &str, key: &'static [u8]| found.contains(&(table.to_owned(), Some(key)));
    let at_most = |known: Known, is_there: bool| match known {
        Known::There => assert!(is_there, "{answers:?} {found:?}"),
        Known::Gone => assert!(!is_there, "{answers:?} {found:?}"),
        Known::Maybe | Known::InDoubt => {}
    };
    at_most(answers.first, is_there("a", b"first"));
    at_most(answers.other, is_there("b", b"other"));
    at_most(answers.second, is_there("a", b"second"));
    let folders = disk.paths().into_iter().filter(|path| path.ends_with("MANIFEST")).count();
    assert_eq!(folders, found.len(), "{answers:?} {:?}", disk.paths());

    // A table of the name that is made now, or goes on, shows no version again.
    let entry = store.tables().iter().find(|entry| entry.name == name("a")).cloned();
    let writer = match entry {
        Some(entry) => store.open_table(&entry).unwrap().0,
        None => store.create_table(&name("a")).unwrap(),
    };
    assert!(writer.version() >= answers.shown, "{} {answers:?}", writer.version());
}

#[test]
fn after_a_crash_at_any_call_a_dropped_table_is_gone_and_every_other_is_there() {
    let mut states = Vec::new();
    for call in 1.. {
        let disk = SimDisk::new(call);
        disk.crash_at_call(call);
        let answers = script(&disk);
        if !disk.has_crashed() {
            assert_eq!(answers.second, Known::There);
            break;
        }
        states.push(answers.first);
        disk.crash();
        for again in 1.. {
            let second = disk.fork(call << 16 | again);
            second.crash_at_call(again);
            let opened = open(&second);
            let is_over = !second.has_crashed();
            drop(opened);
            match is_over {
                true => second.kill(),
                false => second.crash(),
            }
            check(&second, answers);
            if is_over {
                break;
            }
        }
    }
    for known in [Known::Maybe, Known::There, Known::InDoubt, Known::Gone] {
        assert!(states.contains(&known), "no crash found the first table {known:?}");
    }
}

#[test]
fn a_fault_at_any_call_of_a_drop_leaves_the_table_whole_or_takes_all_of_it() {
    for fault in [Fault::Io, Fault::Full, Fault::ShortWrite, Fault::Sync] {
        for call in 1.. {
            let disk = SimDisk::new(call);
            disk.fail_at_call(call, fault);
            let answers = script(&disk);
            if disk.has_fault_to_come() {
                break;
            }
            disk.crash();
            check(&disk, answers);
        }
    }
}

#[test]
fn opening_leaves_alone_what_no_kvsd_has_made() {
    let disk = SimDisk::new(1);
    let mut store = open(&disk).unwrap();
    drop(store.create_table(&name("a")).unwrap());
    let remains = store.forget_table(&name("a"), 0).unwrap().unwrap();
    let put = |path: &str| disk.put(Path::new(path), b"mine");
    put("/data/tables/notes.txt");
    put("/data/tables/00000007");
    put("/data/tables/00000001/notes.txt");
    put("/data/tables/00000001/00000009.seg");
    drop((remains, store));
    let mut store = open(&disk).unwrap();
    let has = |path: &str| disk.paths().contains(&Path::new(path).to_owned());
    assert!(has("/data/tables/notes.txt") && has("/data/tables/00000007"));
    assert!(has("/data/tables/00000001/notes.txt"));
    assert!(!has("/data/tables/00000001/00000009.seg") && !has("/data/tables/00000001/MANIFEST"));

    drop(store.create_table(&name("b")).unwrap());
    put("/data/tables/00000002/mine.cut");
    put("/data/tables/00000002/00000009.hint");
    drop(store.open_table(&store.tables()[0].clone()).unwrap());
    assert!(has("/data/tables/00000002/mine.cut"));
    assert!(!has("/data/tables/00000002/00000009.hint"));
}

#[test]
fn opening_follows_no_link_out_of_the_data_folder() {
    use crate::log::storage::posix::PosixDisk;

    let place = tempfile::tempdir().unwrap();
    let elsewhere = place.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(elsewhere.join("00000001.seg"), b"precious").unwrap();
    let data = place.path().join("data");
    let open = || Store::open(Arc::new(PosixDisk::new(4)), &data, TableOptions::default()).unwrap();
    drop(open().create_table(&name("a")).unwrap());
    std::os::unix::fs::symlink(&elsewhere, data.join("tables/00000009")).unwrap();
    drop(open());
    assert_eq!(std::fs::read(elsewhere.join("00000001.seg")).unwrap(), b"precious");
    assert!(data.join("tables/00000009").is_symlink());
}

#[test]
fn a_table_whose_making_failed_at_any_call_is_made_once_and_can_be_dropped() {
    for call in 1.. {
        let disk = SimDisk::new(call);
        let mut store = open(&disk).unwrap();
        disk.fail_at_call(call, Fault::Io);
        let made = create(&mut store, "a").is_some();
        if disk.has_fault_to_come() {
            assert!(made);
            break;
        }
        // What stays unknown is found out by opening.
        if !made && create(&mut store, "a").is_none() {
            drop(store);
            store = open(&disk).unwrap();
            assert!(create(&mut store, "a").is_some(), "fault at {call}");
        }
        assert_eq!(store.tables().len(), 1, "fault at {call}");
        assert!(store.forget_table(&name("a"), 0).unwrap().is_some());
        drop(store);
        assert!(open(&disk).unwrap().tables().is_empty(), "fault at {call}");
    }
}
