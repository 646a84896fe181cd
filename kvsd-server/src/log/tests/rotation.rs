//! What stops a table and what only refuses a write, when a segment is sealed and the next begun.

use std::path::Path;
use std::sync::Arc;

use super::{drops, set};
use crate::engine::{EngineError, Write, WriteResult, Written};
use crate::log::storage::load::TableOptions;
use crate::log::storage::reader::Access;
use crate::log::storage::rotation::{Demand, Limits};
use crate::log::storage::sim::{Fault, SimDisk};
use crate::log::storage::store::Store;
use crate::log::storage::writer::Room;
use crate::log::turn::{Taken, Turn};

fn open(disk: &SimDisk, room: Room) -> Store {
    let limits = Limits { records: 2, ..Limits::default() };
    let options = TableOptions { limits, room, ..TableOptions::default() };
    Store::open(Arc::new(disk.clone()), Path::new("/data"), options).unwrap()
}

/// Does what the actor does with a write.
fn write(turn: &mut Turn, key: u8) -> WriteResult {
    write_value(turn, key, &[key])
}

fn write_value(turn: &mut Turn, key: u8, value: &[u8]) -> WriteResult {
    let batch: Vec<Vec<Write>> = vec![vec![set(&[key], value)]];
    let demand = Demand { bytes: 100 + value.len() as u64, records: 1, key_bytes: 1 };
    let prepared = match turn.needs_preparation(&demand) {
        true => turn.prepare(&batch, &demand),
        false => Ok(()),
    };
    if prepared.is_ok() && turn.take(&batch, Access::Wait) == Taken::Written {
        let sync = turn.sync();
        let result = sync.run();
        turn.synced(&sync, result);
        turn.settle();
    }
    turn.results().next().unwrap().remove(0)
}

/// What a write came to that met a fault at this call of the rotation that it needed; `None` if
/// the rotation has fewer calls.
fn rotate_with_fault_at(call: u64, fault: Fault, room: Room) -> Option<WriteResult> {
    let disk = SimDisk::new(call);
    let mut store = open(&disk, room);
    let (mut turn, _) = drops::create(&mut store, "a").unwrap();
    for key in 0..2 {
        write(&mut turn, key).unwrap();
    }
    disk.fail_at_call(call, fault);
    let result = write(&mut turn, 2);
    if disk.has_fault_to_come() {
        return None;
    }
    let is_refused = matches!(result, Err(EngineError::Io { .. } | EngineError::DiskFull));
    let last = match is_refused {
        // The next write tries again, and the table goes on.
        true => (3..8).all(|key| matches!(write(&mut turn, key), Ok(Written::Applied { .. }))),
        false => false,
    };
    assert_eq!(last, is_refused, "{call}: {result:?}");
    drop((turn, store));
    disk.crash();
    let store = open(&disk, room);
    let (writer, _) = store.open_table(&store.tables()[0]).unwrap();
    let has = |key: u8| writer.reader().find(&[key], &mut Vec::new(), Access::Wait).unwrap();
    assert!((0..2).chain(3..if is_refused { 8 } else { 3 }).all(|key| has(key).is_some()));
    match &result {
        Ok(_) => assert!(has(2).is_some()),
        Err(EngineError::UnknownOutcome { .. }) => {}
        Err(_) => assert!(has(2).is_none()),
    }
    Some(result)
}

#[test]
fn a_segment_that_cannot_be_begun_refuses_the_write_and_the_next_one_tries_again() {
    let with_fault_at = |call| rotate_with_fault_at(call, Fault::Io, Room::Reserved);
    let results: Vec<_> = (1..).map_while(with_fault_at).collect();
    let is_refused = |result: &WriteResult| matches!(result, Err(EngineError::Io { .. }));
    // Removed, created, written, synced, and its folder: the new segment.
    assert!(results[..5].iter().all(is_refused), "{results:?}");
    // Four calls for the next manifest, and one that reserves room for the group.
    assert_eq!(results.iter().filter(|result| is_refused(result)).count(), 10, "{results:?}");
    let is_stopped = |result: &&WriteResult| {
        matches!(result, Err(EngineError::ReadOnly { .. } | EngineError::UnknownOutcome { .. }))
    };
    // The old segment's commit and its sync, the manifest's renaming and its folder; then the
    // group and its sync.
    assert_eq!(results.iter().filter(is_stopped).count(), 6, "{results:?}");
}

#[test]
fn a_disk_that_is_full_at_any_call_of_a_rotation_loses_nothing() {
    for room in [Room::Reserved, Room::Zeroed] {
        for fault in [Fault::Full, Fault::ShortWrite] {
            let with_fault_at = |call| rotate_with_fault_at(call, fault, room);
            let results: Vec<_> = (1..).map_while(with_fault_at).collect();
            assert!(results.len() > 5, "{results:?}");
        }
    }
}

#[test]
fn zeros_are_written_ahead_for_many_groups_together() {
    let calls_of = |room| {
        let disk = SimDisk::new(1);
        let options = TableOptions { room, ..TableOptions::default() };
        let mut store = Store::open(Arc::new(disk.clone()), Path::new("/data"), options).unwrap();
        let (mut turn, _) = drops::create(&mut store, "a").unwrap();
        write(&mut turn, 0).unwrap();
        let before = disk.calls();
        for key in 0..200 {
            write_value(&mut turn, key, &[key; 1000]).unwrap();
        }
        disk.calls() - before
    };
    // A call for each group and one for its sync; then those that reserve room, and write zeros.
    let (reserving, zeroing) = (calls_of(Room::Reserved) - 400, calls_of(Room::Zeroed) - 400);
    assert!(reserving < zeroing, "{reserving} calls, with zeros {zeroing}");
    assert!(zeroing < 10, "{zeroing} calls beside 200 groups");
}
