//! Backups and what is restored from them: with a crash or a fault at every single call, with
//! compactions and drops beside them, and with every byte flipped.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::drops::{create, name, open, write};
use super::{ManualClock, set};
use crate::engine::{BackupError, BackupName, BackupProgress, Engine, EngineError, Freshness};
use crate::log::offline::{
    BackupFolder, DataFolder, Expired, Hints, PosixDisk, ReadOnlyDisk, Restored, StorageError,
    StoreError,
};
use crate::log::storage::backup::{Building, NotBegun, Pinned, Summary};
use crate::log::storage::disk::Disk;
use crate::log::storage::history::{History, HistoryRequest};
use crate::log::storage::load::TableOptions;
use crate::log::storage::reader::Access;
use crate::log::storage::rotation::{Limits, Retention};
use crate::log::storage::sim::{Fault, SimDisk};
use crate::log::storage::store::Store;
use crate::log::turn::Turn;
use crate::log::{LogConfig, LogEngine, OpenError};

const BACKUPS: &str = "/backups";

/// What stands in a data folder: by table and key, the version. Everything in it is sound.
type Standing = BTreeMap<(String, Vec<u8>), u64>;

fn standing(disk: &SimDisk, data: &str) -> Standing {
    let folder = DataFolder::open(Arc::new(disk.clone()), Path::new(data)).unwrap();
    let mut standing = Standing::new();
    for table in folder.tables().unwrap().tables {
        let survey = folder.survey(&table, Hints::Checked, &mut |_| {}).unwrap();
        assert_eq!((&*survey.damages, &survey.torn), (&[][..], &None));
        let each = |live: crate::log::offline::Live<'_>| {
            assert_eq!(live.key, live.value);
            standing.insert((table.name.to_string(), live.key.to_vec()), live.version);
            Ok::<(), StorageError>(())
        };
        survey.each_live(Expired::Included, each).unwrap();
    }
    standing
}

fn turn(store: &Store, place: usize) -> Turn {
    let entry = &store.tables()[place];
    let (writer, _) = store.open_table(entry).unwrap();
    Turn::new(entry.name.clone(), Arc::new(ManualClock::at(1_000)), writer, usize::MAX)
}

/// A server of three tables: one that is being written, one that was left as it is, and an empty
/// one. The answer is what was acknowledged.
fn server(disk: &SimDisk) -> (Store, Vec<Turn>, Standing) {
    let mut acknowledged = Standing::new();
    let mut write_all = |turn: &mut Turn, keys: &[&[u8]]| {
        for key in keys {
            let version = write(turn, key).unwrap();
            acknowledged.insert((turn.table.to_string(), key.to_vec()), version);
        }
    };
    let mut store = open(disk).unwrap();
    for (table, keys) in [("a", &[&b"one"[..], b"two"][..]), ("b", &[b"three"]), ("c", &[])] {
        let (mut turn, _) = create(&mut store, table).unwrap();
        write_all(&mut turn, keys);
        turn.close().unwrap();
    }
    let mut turns: Vec<Turn> = (0..3).map(|place| turn(&store, place)).collect();
    write_all(&mut turns[0], &[b"two", b"four"]);
    (store, turns, acknowledged)
}

fn pin(turn: &mut Turn) -> Result<Pinned, EngineError> {
    turn.pin()
}

/// Makes a backup as the engine does.
fn back_up(disk: &SimDisk, store: &Store, turns: &mut [Turn], as_name: &str) -> Option<Summary> {
    let disk = Arc::new(disk.clone());
    let mut building = Building::begin(disk, Path::new(BACKUPS), as_name).ok()?;
    for turn in turns {
        let added = pin(turn).ok().and_then(|pinned| {
            building.add(&turn.table, &pinned, &mut |_| ControlFlow::Continue(())).ok()
        });
        if added.is_none() {
            building.abandon();
            return None;
        }
    }
    building.finish(store.version_floor()).ok()
}

fn restore(disk: &SimDisk, from: &str, to: &str) -> Result<Restored, StorageError> {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let backup = BackupFolder::open(shared, Path::new(from))?;
    backup.restore(disk, Path::new(to), &mut |_| {})
}

fn paths_in(disk: &SimDisk, folder: &str) -> Vec<PathBuf> {
    disk.paths().into_iter().filter(|path| path.starts_with(folder)).collect()
}

fn holds(standing: &Standing, expected: &Standing) -> bool {
    expected.iter().all(|(key, version)| standing.get(key) == Some(version))
}

/// The server's folder holds all that was acknowledged; a backup that has its name is whole, and
/// otherwise the next one can be made.
fn check(disk: &SimDisk, acknowledged: &Standing, made: bool) {
    let store = open(disk).unwrap();
    let mut turns: Vec<Turn> = (0..3).map(|place| turn(&store, place)).collect();
    let is_named = !paths_in(disk, "/backups/one").is_empty();
    assert!(is_named || !made, "{:?}", disk.paths());
    if !is_named {
        assert!(back_up(disk, &store, &mut turns, "one").is_some());
    }
    assert_eq!(paths_in(disk, "/backups/one.partial"), Vec::<PathBuf>::new());
    drop(store);
    restore(disk, "/backups/one", "/new").unwrap();
    assert!(holds(&standing(disk, "/data"), acknowledged));
    // Of what was written after the backup, nothing need be there.
    let before: Standing =
        acknowledged.clone().into_iter().filter(|((_, key), _)| key != b"after").collect();
    assert!(holds(&standing(disk, "/new"), &before));
}

#[test]
fn after_a_crash_at_any_call_of_a_backup_the_tables_are_whole_and_it_is_complete_or_not_there() {
    let mut found = [false; 2];
    for call in 1.. {
        let disk = SimDisk::new(call);
        let (store, mut turns, mut acknowledged) = server(&disk);
        disk.crash_at_call(call);
        let made = back_up(&disk, &store, &mut turns, "one").is_some();
        if let Some(version) = write(&mut turns[0], b"after") {
            acknowledged.insert(("a".to_owned(), b"after".to_vec()), version);
        }
        drop((turns, store));
        if !disk.has_crashed() {
            assert!(made);
            break;
        }
        disk.crash();
        found[usize::from(!paths_in(&disk, "/backups/one").is_empty())] = true;
        check(&disk, &acknowledged, made);
    }
    assert_eq!(found, [true; 2]);
}

#[test]
fn after_a_fault_at_any_call_of_a_backup_the_tables_are_whole_and_nothing_half_made_is_left() {
    for fault in [Fault::Io, Fault::Full, Fault::ShortWrite, Fault::Sync] {
        for call in 1.. {
            let disk = SimDisk::new(call);
            let (store, mut turns, mut acknowledged) = server(&disk);
            disk.fail_at_call(call, fault);
            let made = back_up(&disk, &store, &mut turns, "one").is_some();
            if disk.has_fault_to_come() {
                assert!(made);
                break;
            }
            assert_eq!(paths_in(&disk, "/backups/one.partial"), Vec::<PathBuf>::new());
            if let Some(version) = write(&mut turns[0], b"after") {
                acknowledged.insert(("a".to_owned(), b"after".to_vec()), version);
            }
            drop((turns, store));
            disk.crash();
            check(&disk, &acknowledged, made);
        }
    }
}

#[test]
fn a_backup_with_any_byte_flipped_or_cut_off_is_refused_by_the_name_of_its_file() {
    let disk = SimDisk::new(1);
    let (store, mut turns, _) = server(&disk);
    back_up(&disk, &store, &mut turns, "one").unwrap();
    let files = paths_in(&disk, "/backups/one");
    assert!(files.len() >= 10, "{files:?}");
    for path in files {
        let whole = disk.content(&path);
        let refused = |bytes: &[u8], what: String| {
            disk.put(&path, bytes);
            match restore(&disk, "/backups/one", "/new") {
                Err(StorageError::Corrupt { file, .. }) => assert_eq!(file, path, "{what}"),
                other => panic!("{} with {what}: {other:?}", path.display()),
            }
            assert_eq!(paths_in(&disk, "/new"), Vec::<PathBuf>::new());
            assert_eq!(paths_in(&disk, "/new.partial"), Vec::<PathBuf>::new());
        };
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            refused(&flipped, format!("byte {at} flipped"));
            refused(&whole[..at], format!("the end from {at} on cut off"));
        }
        let mut longer = whole.clone();
        longer.push(0);
        refused(&longer, "a byte more".to_owned());
        disk.put(&path, &whole);
    }
    restore(&disk, "/backups/one", "/new").unwrap();
}

#[test]
fn damage_in_a_backups_record_is_named_by_its_byte() {
    let disk = SimDisk::new(1);
    let (store, mut turns, _) = server(&disk);
    back_up(&disk, &store, &mut turns, "one").unwrap();
    let path = Path::new("/backups/one/tables/00000002/00000001.seg");
    let mut bytes = disk.content(path);
    bytes[64 + 40] ^= 1;
    disk.put(path, &bytes);
    let refused = restore(&disk, "/backups/one", "/new");
    assert!(matches!(refused, Err(StorageError::Corrupt { offset: 64, .. })), "{refused:?}");
}

#[test]
fn a_restored_table_goes_on_far_above_and_takes_old_positions_for_gaps() {
    let disk = SimDisk::new(1);
    let (mut store, mut turns, acknowledged) = server(&disk);
    let dropped = store.forget_table(&name("b"), 3).unwrap().unwrap();
    turns.remove(1);
    dropped.remove().unwrap();
    let floor = store.version_floor();
    back_up(&disk, &store, &mut turns, "one").unwrap();
    let old = store.tables().to_vec();
    drop((turns, store));
    assert_eq!(restore(&disk, "/backups/one", "/data2").unwrap().tables, 2);
    assert_eq!(standing(&disk, "/data2").len(), 3);
    let folder = DataFolder::open(Arc::new(disk.clone()), Path::new("/data2")).unwrap();
    for table in folder.tables().unwrap().tables {
        let survey = folder.survey(&table, Hints::Checked, &mut |_| {}).unwrap();
        assert_eq!(survey.wrong_hints, [], "a hint belongs to the segment it came with");
    }
    drop(folder);
    let is_hint = |path: &PathBuf| path.extension().is_some_and(|end| end == "hint");
    assert!(paths_in(&disk, "/data2").iter().any(is_hint));

    let shared = Arc::new(disk.clone());
    let options = TableOptions::default();
    let mut store = Store::open(shared, Path::new("/data2"), options).unwrap();
    let last = acknowledged.values().max().unwrap();
    for (entry, old) in store.tables().to_vec().iter().zip(old) {
        assert_eq!(entry.name, old.name);
        assert_ne!(entry.incarnation, old.incarnation);
    }
    let mut first = turn(&store, 0);
    let reader = Arc::clone(first.writer.reader());
    for key in [&b"one"[..], b"two", b"four"] {
        assert!(reader.find(key, &mut Vec::new(), Access::Wait).unwrap().is_some());
    }
    let version = write(&mut first, b"after").unwrap();
    assert!(version > last + (1 << 32), "{version}");
    let since = |since| {
        reader
            .history(&HistoryRequest { since, changes: 10, bytes: 1000, most_write_bytes: 1000 })
            .unwrap()
    };
    for old in 0..=*last {
        assert!(matches!(since(old), History::Gap), "{old}");
    }
    assert!(matches!(since(version - 1), History::Changes(_)));
    // A name that is made again goes on above what the dropped table had shown.
    assert!(store.version_floor() > floor.max(*last) + (1 << 32) - 1);
    let (mut again, _) = create(&mut store, "b").unwrap();
    assert!(write(&mut again, b"new").unwrap() > floor);
}

#[test]
fn what_is_pinned_is_backed_up_though_it_is_compacted_or_dropped_meanwhile() {
    let disk = SimDisk::new(1);
    let options = TableOptions {
        limits: Limits { bytes: 4096, ..Limits::default() },
        retention: Retention { bytes: 0, millis: 0 },
        ..TableOptions::default()
    };
    let mut store = Store::open(Arc::new(disk.clone()), Path::new("/data"), options).unwrap();
    let (mut turn, _) = create(&mut store, "a").unwrap();
    for _ in 0..60 {
        write(&mut turn, b"hot").unwrap();
    }
    let version = write(&mut turn, b"cold").unwrap();
    let begin = |name| Building::begin(Arc::new(disk.clone()), Path::new(BACKUPS), name).unwrap();
    let go_on = &mut |_| ControlFlow::Continue(());

    let mut compacted = begin("compacted");
    let pinned = pin(&mut turn).unwrap();
    write(&mut turn, b"hot").unwrap();
    turn.idle();
    while let Some(chore) = turn.next_chore() {
        turn.chore_done(chore.run());
        while turn.is_adopting() {
            turn.adopt_more();
        }
    }
    assert_eq!(paths_in(&disk, "/data/tables/00000001/00000001.seg"), Vec::<PathBuf>::new());
    compacted.add(&name("a"), &pinned, go_on).unwrap();
    compacted.finish(0).unwrap();

    let mut dropped = begin("dropped");
    let pinned = pin(&mut turn).unwrap();
    drop(turn);
    store.forget_table(&name("a"), 100).unwrap().unwrap().remove().unwrap();
    dropped.add(&name("a"), &pinned, go_on).unwrap();
    dropped.finish(store.version_floor()).unwrap();
    drop(store);

    for (backup, hot) in [("compacted", version - 1), ("dropped", version + 1)] {
        restore(&disk, &format!("/backups/{backup}"), &format!("/{backup}")).unwrap();
        let found = standing(&disk, &format!("/{backup}"));
        let of = |key: &[u8]| found.get(&("a".to_owned(), key.to_vec())).copied();
        assert_eq!((of(b"hot"), of(b"cold")), (Some(hot), Some(version)), "{backup}");
    }
}

#[test]
fn a_backup_is_no_data_folder_and_stays_as_it_is() {
    let disk = SimDisk::new(1);
    let (store, mut turns, _) = server(&disk);
    back_up(&disk, &store, &mut turns, "one").unwrap();
    let before = paths_in(&disk, "/backups/one");
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let path = Path::new("/backups/one");
    let opened = Store::open(Arc::clone(&shared), path, TableOptions::default());
    assert!(matches!(opened, Err(StoreError::Backup)));
    assert!(matches!(DataFolder::open(Arc::clone(&shared), path), Err(StoreError::Backup)));
    assert_eq!(paths_in(&disk, "/backups/one"), before);
    let begin = |name| Building::begin(Arc::clone(&shared), Path::new(BACKUPS), name);
    assert!(matches!(begin("one"), Err(NotBegun::Exists)));
    // Nor are there two at a time, be it of two servers.
    let two = begin("two").unwrap();
    assert!(matches!(begin("three"), Err(NotBegun::Busy)));
    two.abandon();
    drop(two);
    assert!(begin("three").is_ok());
}

#[test]
fn what_is_none_of_ours_under_a_partial_name_is_left_alone() {
    let disk = SimDisk::new(1);
    for folder in ["/backups", "/backups/one.partial"] {
        disk.create_folder(Path::new(folder)).unwrap();
    }
    disk.put(Path::new("/backups/one.partial/notes.txt"), b"mine");
    disk.put(Path::new("/backups/two.partial"), b"mine");
    for name in ["one", "two"] {
        let begun = Building::begin(Arc::new(disk.clone()), Path::new(BACKUPS), name);
        assert!(matches!(begun, Err(NotBegun::Storage(_))), "{begun:?}");
    }
    assert_eq!(disk.content(Path::new("/backups/one.partial/notes.txt")), b"mine");
    assert_eq!(disk.content(Path::new("/backups/two.partial")), b"mine");
}

#[test]
fn a_data_folder_that_is_called_as_one_half_restored_is_left_alone() {
    let disk = SimDisk::new(1);
    let (store, mut turns, _) = server(&disk);
    back_up(&disk, &store, &mut turns, "one").unwrap();
    let shared = Arc::new(disk.clone());
    let path = Path::new("/new.partial");
    let mut other = Store::open(shared, path, TableOptions::default()).unwrap();
    let (mut turn, _) = create(&mut other, "mine").unwrap();
    write(&mut turn, b"key").unwrap();
    // The simulated disk keeps no file for a lock.
    disk.put(&path.join("LOCK"), b"");
    drop((turn, other));
    let refused = restore(&disk, "/backups/one", "/new");
    assert!(matches!(refused, Err(StorageError::Io { .. })), "{refused:?}");
    assert_eq!(standing(&disk, "/new.partial").len(), 1);
}

#[test]
fn after_a_crash_or_a_fault_at_any_call_of_a_restore_the_folder_is_complete_or_not_there() {
    let prepared = SimDisk::new(1);
    let (store, mut turns, acknowledged) = server(&prepared);
    back_up(&prepared, &store, &mut turns, "one").unwrap();
    drop((turns, store));
    let check = |disk: &SimDisk, restored: bool| {
        let is_named = !paths_in(disk, "/new").is_empty();
        assert!(is_named || !restored);
        if !is_named {
            restore(disk, "/backups/one", "/new").unwrap();
        }
        assert_eq!(paths_in(disk, "/new.partial"), Vec::<PathBuf>::new());
        assert_eq!(standing(disk, "/new"), acknowledged);
    };
    for call in 1.. {
        let disk = prepared.fork(call);
        disk.crash_at_call(call);
        let restored = restore(&disk, "/backups/one", "/new").is_ok();
        if !disk.has_crashed() {
            break;
        }
        disk.crash();
        check(&disk, restored);
    }
    for fault in [Fault::Io, Fault::Full, Fault::ShortWrite, Fault::Sync] {
        for call in 1.. {
            let disk = prepared.fork(call);
            disk.fail_at_call(call, fault);
            let restored = restore(&disk, "/backups/one", "/new").is_ok();
            if disk.has_fault_to_come() {
                break;
            }
            assert_eq!(paths_in(&disk, "/new.partial"), Vec::<PathBuf>::new());
            check(&disk, restored);
        }
    }
}

fn backup_name(name: &str) -> BackupName {
    BackupName::parse(name).unwrap()
}

fn engine(disk: &SimDisk) -> LogEngine {
    let config = LogConfig { backups: Some(BACKUPS.into()), ..LogConfig::new("/data") };
    LogEngine::open_on(Arc::new(disk.clone()), config, TableOptions::default()).unwrap()
}

#[tokio::test]
async fn an_engine_says_why_it_makes_no_backup() {
    let disk = SimDisk::new(1);
    let one = backup_name("one");
    let progress = Arc::new(BackupProgress::default());
    let config = LogConfig::new("/data");
    let shared = Arc::new(disk.clone());
    let engine_without = LogEngine::open_on(shared, config, TableOptions::default()).unwrap();
    let made = engine_without.backup(&one, &progress).await;
    assert_eq!(made, Err(BackupError::NotConfigured));
    engine_without.close().await.unwrap();
    drop(engine_without);

    let engine = engine(&disk);
    engine.write(&name("a"), vec![set(b"key", b"key")]).await.remove(0).unwrap();
    let made = engine.backup(&one, &progress).await.unwrap();
    assert_eq!((made.tables, progress.get().0 > 0), (1, true));
    let again = engine.backup(&one, &progress).await;
    assert_eq!(again, Err(BackupError::Exists { name: one.clone() }));

    disk.set_capacity(disk.used());
    let full = engine.backup(&backup_name("two"), &progress).await;
    assert_eq!(full, Err(BackupError::DiskFull));
    assert_eq!(paths_in(&disk, "/backups/two.partial"), Vec::<PathBuf>::new());
    disk.set_capacity(u64::MAX);

    // A table that takes no more writes stands in the way, by its name.
    disk.fail_at_call(1, Fault::Sync);
    assert!(engine.write(&name("a"), vec![set(b"key", b"2")]).await.remove(0).is_err());
    match engine.backup(&backup_name("two"), &progress).await {
        Err(BackupError::Engine(EngineError::ReadOnly { table, .. })) => assert_eq!(table, "a"),
        other => panic!("{other:?}"),
    }
    assert_eq!(paths_in(&disk, "/backups/two.partial"), Vec::<PathBuf>::new());
    let _ = engine.close().await;
    let closed = engine.backup(&backup_name("two"), &progress).await;
    assert_eq!(closed, Err(BackupError::Engine(EngineError::Closed)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_backup_is_refused_while_one_is_made_and_closing_ends_that_one() {
    let disk = SimDisk::new(1);
    let engine = Arc::new(engine(&disk));
    for table in ["a", "b"] {
        engine.write(&name(table), vec![set(b"key", b"key")]).await.remove(0).unwrap();
    }
    disk.hold_syncs();
    let syncs = disk.syncs();
    let progress = Arc::new(BackupProgress::default());
    let first = tokio::spawn({
        let (engine, progress) = (Arc::clone(&engine), Arc::clone(&progress));
        async move { engine.backup(&backup_name("one"), &progress).await }
    });
    while disk.syncs() == syncs {
        tokio::task::yield_now().await;
    }
    let second = engine.backup(&backup_name("two"), &progress).await;
    assert_eq!(second, Err(BackupError::Busy));
    let closing = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move { engine.close().await }
    });
    while engine.tables().await.is_ok() {
        tokio::task::yield_now().await;
    }
    disk.release_syncs();
    assert_eq!(closing.await.unwrap(), Ok(()));
    assert_eq!(first.await.unwrap(), Err(BackupError::Engine(EngineError::Closed)));
    assert_eq!(paths_in(&disk, BACKUPS), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_come_and_go_beside_a_backup_leave_the_others_in_it() {
    let disk = SimDisk::new(1);
    let engine = Arc::new(engine(&disk));
    let table = |number: usize| name(&format!("table-{number:02}"));
    for number in 0..40 {
        engine.write(&table(number), vec![set(b"key", b"key")]).await.remove(0).unwrap();
    }
    let others = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move {
            for number in (1..40).step_by(2) {
                assert_eq!(engine.drop_table(&table(number)).await, Ok(true));
                engine.write(&table(number + 100), vec![set(b"key", b"key")]).await;
            }
        }
    });
    let made = engine.backup(&backup_name("one"), &Arc::default()).await.unwrap();
    others.await.unwrap();
    engine.close().await.unwrap();
    assert!((20..=40).contains(&made.tables), "{made:?}");
    restore(&disk, "/backups/one", "/new").unwrap();
    let found = standing(&disk, "/new");
    for number in (0..40).step_by(2) {
        assert!(found.contains_key(&(table(number).to_string(), b"key".to_vec())), "{number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_of_the_real_disk_hold_while_compaction_removes_what_they_share() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let options = TableOptions {
        limits: Limits { bytes: 8192, ..Limits::default() },
        retention: Retention { bytes: 0, millis: 0 },
        ..TableOptions::default()
    };
    let config = LogConfig { backups: Some(path("backups")), ..LogConfig::new(path("data")) };
    // Hardly any file stays open: each is opened again by its name.
    let disk = Arc::new(PosixDisk::impatient(4));
    let engine = LogEngine::open_on(disk, config, options).unwrap();
    let mut expected = Vec::new();
    for round in 0..8 {
        for number in 0..120 {
            let key = format!("key{}", number % (10 + round));
            let value = format!("{round} {number} {}", "x".repeat(100));
            let write = set(key.as_bytes(), value.as_bytes());
            engine.write(&name("a"), vec![write]).await.remove(0).unwrap();
        }
        engine.backup(&backup_name(&format!("{round}")), &Arc::default()).await.unwrap();
        let mut found = Vec::new();
        for number in 0..20 {
            found.push(
                engine
                    .read("a", format!("key{number}").as_bytes(), Freshness::Latest)
                    .await
                    .unwrap(),
            );
        }
        expected.push(found);
    }
    let first = path("data/tables/00000001/00000001.seg");
    assert!(!first.exists(), "nothing was compacted");
    engine.close().await.unwrap();

    for (round, expected) in expected.into_iter().enumerate() {
        let disk = Arc::new(ReadOnlyDisk::new(4));
        let backup = BackupFolder::open(disk, &path(&format!("backups/{round}"))).unwrap();
        let to = path(&format!("restored-{round}"));
        backup.restore(&PosixDisk::new(4), &to, &mut |_| {}).unwrap();
        let engine = LogEngine::open(LogConfig::new(to)).unwrap();
        for (number, expected) in expected.into_iter().enumerate() {
            let found = engine
                .read("a", format!("key{number}").as_bytes(), Freshness::Latest)
                .await
                .unwrap();
            assert_eq!(found, expected, "round {round}, key{number}");
        }
        engine.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_backup_of_the_real_disk_shares_its_files_and_no_one_else_can_read_them() {
    use std::os::unix::fs::MetadataExt;

    let folder = tempfile::tempdir().unwrap();
    let (data, backups) = (folder.path().join("data"), folder.path().join("backups"));
    let config = LogConfig { backups: Some(backups.clone()), ..LogConfig::new(&data) };
    let engine = LogEngine::open(config).unwrap();
    engine.write(&name("a"), vec![set(b"key", b"key")]).await.remove(0).unwrap();
    engine.backup(&backup_name("one"), &Arc::default()).await.unwrap();
    let backup = backups.join("one");
    let segment = |folder: &Path| folder.join("tables/00000001/00000001.seg").metadata().unwrap();
    assert_eq!(segment(&backup).ino(), segment(&data).ino());
    for (path, mode) in [("", 0o700), ("tables/00000001", 0o700), ("BACKUP", 0o600)] {
        let found = backup.join(path).metadata().unwrap().mode() & 0o777;
        assert_eq!(found, mode, "{path}");
    }
    engine.write(&name("a"), vec![set(b"key", b"2")]).await.remove(0).unwrap();
    engine.close().await.unwrap();
    let opened = LogEngine::open(LogConfig::new(&backup)).map(drop);
    assert!(matches!(&opened, Err(OpenError::Backup { .. })), "{opened:?}");
    let said = opened.unwrap_err().to_string();
    assert!(said.contains("is a backup") && said.contains("kvsd-server restore"), "{said}");

    // A link in the place of the folder to build in is not followed.
    let elsewhere = folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, backups.join("two.partial")).unwrap();
    let config = LogConfig { backups: Some(backups), ..LogConfig::new(&data) };
    let engine = LogEngine::open(config).unwrap();
    assert!(engine.backup(&backup_name("two"), &Arc::default()).await.is_err());
    assert_eq!(elsewhere.read_dir().unwrap().count(), 0);
    engine.close().await.unwrap();
}
