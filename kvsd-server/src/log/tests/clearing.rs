//! What a compaction on request must free, and what it must leave.

use super::compaction::{open_run, remove, segments, write};
use super::model::{Policy, Run};
use crate::engine::{CompactError, Engine, Freshness};
use crate::log::storage::index::HashBits;
use crate::log::storage::load::TableOptions;
use crate::log::storage::rotation::Retention;
use crate::log::storage::sim::SimDisk;
use crate::log::{LogConfig, LogEngine};

fn bytes_of_segments(run: &Run) -> usize {
    segments(&run.disk).iter().map(|path| run.disk.content(path).len()).sum()
}

#[test]
fn garbage_that_is_too_little_for_compaction_alone_goes_on_request() {
    let mut run = open_run();
    for key in [&b"key0"[..], b"keyx1", b"keyxx2", b"key3"] {
        write(&mut run, key, &[1; 500]);
    }
    write(&mut run, b"keyx4", &[2; 100]);
    assert_eq!(run.rotate(), Ok(true));
    remove(&mut run, b"keyx4");
    assert_eq!(run.tidy(), Ok(true));
    let first = segments(&run.disk).remove(0);
    assert_eq!(run.clear(), Ok(true));
    assert!(!segments(&run.disk).contains(&first), "it was compacted");
    // Four records, and the delete is gone with what it hid.
    let bytes = bytes_of_segments(&run);
    assert!((2_000..2_500).contains(&bytes), "{bytes}");
    assert_eq!(run.read_everything(), Ok(()));
    assert_eq!(run.end(), Ok(()));
}

#[test]
fn deletes_go_with_what_they_hide_however_many_segments_lie_between() {
    let mut run = open_run();
    // Live records that fill segments, so that not all fit together.
    for (round, key) in [&b"key0"[..], b"keyx1", b"keyxx2"].into_iter().enumerate() {
        let hidden = format!("hidden{round}");
        write(&mut run, hidden.as_bytes(), &[1; 300]);
        write(&mut run, key, &[2; 3000]);
        assert_eq!(run.rotate(), Ok(true));
    }
    for round in 0..3 {
        remove(&mut run, format!("hidden{round}").as_bytes());
    }
    assert_eq!(run.clear(), Ok(true));
    let bytes = bytes_of_segments(&run);
    assert!(bytes < 3 * 3_300, "{bytes}");
    assert_eq!(run.read_everything(), Ok(()));
    assert_eq!(run.end(), Ok(()));
}

#[test]
fn what_was_cleared_is_not_copied_again() {
    let mut run = open_run();
    for key in [&b"key0"[..], b"keyx1", b"keyxx2", b"key3"] {
        write(&mut run, key, &[1; 1500]);
        write(&mut run, key, &[2; 1500]);
    }
    assert_eq!(run.clear(), Ok(true));
    let (before, syncs) = (segments(&run.disk), run.disk.syncs());
    assert!(before.len() > 2, "{before:?}");
    for _ in 0..3 {
        assert_eq!(run.clear(), Ok(true));
    }
    assert_eq!((segments(&run.disk), run.disk.syncs()), (before, syncs));
    assert_eq!(run.end(), Ok(()));
}

#[test]
fn what_watches_may_still_want_stays_on_request_too() {
    let mut run = Run::new(5, Policy::Always, HashBits::Full);
    assert_eq!(run.open(), Ok(true));
    write(&mut run, b"key0", &[1; 900]);
    assert_eq!(run.rotate(), Ok(true));
    remove(&mut run, b"key0");
    let before = segments(&run.disk);
    assert_eq!(run.clear(), Ok(true));
    // Neither the sealed one nor the one that is written.
    assert_eq!(segments(&run.disk), before);
    // Once each is old enough: what compaction does by itself makes the table younger.
    for now in [1_400, 1_800] {
        run.set_clock(now);
        assert_eq!(run.clear(), Ok(true));
    }
    assert!(segments(&run.disk).iter().all(|path| !before.contains(path)), "they are old enough");
    assert!(bytes_of_segments(&run) < 200);
    assert_eq!(run.read_everything(), Ok(()));
    assert_eq!(run.end(), Ok(()));
}

#[test]
fn without_room_for_a_copy_it_says_so_and_frees_what_needs_none() {
    let mut run = open_run();
    write(&mut run, b"key0", &[1; 900]);
    assert_eq!(run.rotate(), Ok(true));
    for key in [&b"keyx1"[..], b"key3"] {
        write(&mut run, key, &[1; 600]);
    }
    write(&mut run, b"keyx4", &[1; 100]);
    assert_eq!(run.rotate(), Ok(true));
    assert_eq!(run.tidy(), Ok(true));
    remove(&mut run, b"keyx4");
    run.disk.set_capacity(run.disk.used());
    let said = run.clear().unwrap_err();
    assert!(said.contains("the disk is full"), "{said}");
    assert_eq!(run.read_everything(), Ok(()));
    run.disk.set_capacity(u64::MAX);
    assert_eq!(run.clear(), Ok(true));
    assert_eq!(run.end(), Ok(()));
}

fn engine(disk: &SimDisk) -> LogEngine {
    let retention = Retention { bytes: 0, millis: 0 };
    let options = TableOptions { retention, ..TableOptions::default() };
    LogEngine::open_on(std::sync::Arc::new(disk.clone()), LogConfig::new("/data"), options).unwrap()
}

#[tokio::test]
async fn the_engine_tells_what_it_has_freed_and_no_table_is_no_error() {
    let engine = engine(&SimDisk::new(1));
    let table = kvsd::TableName::default();
    for value in [[1; 5000], [2; 5000]] {
        engine.write(&table, vec![super::set(b"key", &value)]).await.remove(0).unwrap();
    }
    let before = engine.table_statistics("default").await.unwrap().unwrap();
    let summary = engine.compact("default").await.unwrap().unwrap();
    let after = engine.table_statistics("default").await.unwrap().unwrap();
    assert!((5_000..5_300).contains(&summary.freed_bytes), "{summary:?}");
    assert_eq!(summary.dead_bytes, after.dead_bytes);
    assert!(before.dead_bytes > 5_000 && after.dead_bytes < 100, "{after:?}");
    assert_eq!(
        engine.read("default", b"key", Freshness::Latest).await.unwrap().unwrap().value,
        [2; 5000][..]
    );
    assert_eq!(engine.compact("default").await.unwrap().unwrap().freed_bytes, 0);
    assert_eq!(engine.compact("nothing").await, Ok(None));
    engine.close().await.unwrap();
    assert!(matches!(engine.compact("default").await, Err(CompactError::Engine(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_a_compaction_on_request_and_only_one_is_under_way() {
    let engine = std::sync::Arc::new(engine(&SimDisk::new(1)));
    let table = kvsd::TableName::default();
    for number in 0..200_u32 {
        let key = (number % 7).to_string();
        engine.write(&table, vec![super::set(key.as_bytes(), &[1; 500])]).await.remove(0).unwrap();
    }
    let asked: Vec<_> = (0..4)
        .map(|_| {
            let engine = std::sync::Arc::clone(&engine);
            tokio::spawn(async move { engine.compact("default").await })
        })
        .collect();
    engine.close().await.unwrap();
    for asked in asked {
        // Done, one too many, or ended: never without an answer.
        match asked.await.unwrap() {
            Ok(Some(_)) | Err(CompactError::Busy | CompactError::Engine(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}
