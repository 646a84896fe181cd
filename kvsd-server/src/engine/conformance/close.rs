//! The end of an engine.
//!
//! - `a_closed_engine_refuses_everything_and_closes_twice`: "The engine is closed or closing; nothing
//!   was done.", "Calling it again does nothing."
//! - `what_was_answered_outlasts_every_end`: "answers all of them together once the durability that
//!   the engine promises is reached", "Stops taking work, makes everything durable and lets go of the
//!   files."
//! - `a_write_beside_the_close_is_answered_and_the_answer_is_kept`: "Stops taking work, makes
//!   everything durable"

use std::sync::Arc;

use futures_util::future::join_all;

use super::subject::{NO_LIMITS, START, all};
use super::writes::{batch, delete, set};
use super::{Ending, Setup, Subject};
use crate::engine::{
    BackupError, BackupName, CompactError, EngineError, Freshness, ReadNow, Written,
};

pub(crate) async fn a_closed_engine_refuses_everything_and_closes_twice(mut t: Subject) {
    let table = t.table();
    let version = table.version_of(set("key", "v")).await;
    let engine = t.engine();
    engine.close().await.unwrap();
    engine.close().await.unwrap();
    let (name, absent) = (table.name.as_str(), t.another("absent").name);
    for name in [name, absent.as_str()] {
        let read = engine.read(name, b"key", Freshness::Latest).await;
        assert_eq!(read, Err(EngineError::Closed));
        let find = engine.find(name, b"key", Freshness::Stale).await;
        assert_eq!(find, Err(EngineError::Closed));
        let several = engine.read_several(name, &["a".into(), "b".into()], Freshness::Latest).await;
        assert_eq!(several, vec![Err(EngineError::Closed); 2]);
        match engine.read_now(name, b"key", &mut Vec::new()) {
            ReadNow::Ready(found) => assert!(matches!(found, Err(EngineError::Closed))),
            ReadNow::WouldBlock => {}
        }
        let now = engine.find_now(name, b"key", &mut Vec::new());
        assert!(matches!(now, None | Some(Err(EngineError::Closed))));
        assert!(matches!(engine.scan(name, &all()).await, Err(EngineError::Closed)));
        let changes = engine.changes(name, START, NO_LIMITS).await;
        assert!(matches!(changes, Err(EngineError::Closed)));
        assert_eq!(engine.table_statistics(name).await, Err(EngineError::Closed));
        let compacted = engine.compact(name).await.unwrap_err();
        let closed = CompactError::Engine(EngineError::Closed);
        assert!(compacted == closed || compacted == CompactError::Unsupported);
        engine.changed(name, START).await;
    }
    for name in [&table.name, &absent] {
        let writes = vec![set("key", "2"), delete("key"), set("new", "v")];
        assert_eq!(engine.write(name, writes).await, vec![Err(EngineError::Closed); 3]);
        assert_eq!(engine.create_table(name).await, Err(EngineError::Closed));
        assert_eq!(engine.drop_table(name).await, Err(EngineError::Closed));
    }
    assert_eq!(engine.tables().await, Err(EngineError::Closed));
    let backup = engine.backup(&BackupName::parse("late").unwrap(), &Arc::default()).await;
    let closed = BackupError::Engine(EngineError::Closed);
    assert!(backup == Err(closed) || backup == Err(BackupError::Unsupported), "{backup:?}");
    // What is said without asking anybody is said all the same.
    let _ = (engine.description(), engine.health(), engine.figures(), engine.time(name));
    drop((engine, table));
    t.reopen(Ending::Closed, Setup::default()).await;
    let table = t.table();
    let record = table.get("key").await.unwrap();
    assert_eq!((record.version, &record.value[..]), (version, &b"v"[..]));
    assert_eq!(table.get("new").await, None);
    assert!(!t.another("absent").is_listed().await);
}

pub(crate) async fn what_was_answered_outlasts_every_end(mut t: Subject) {
    let mut expected = Vec::new();
    for (round, ending) in (0..).zip([Ending::Lost, Ending::Closed, Ending::Lost, Ending::Lost]) {
        let table = t.table();
        for key in 0..20_u8 {
            let [kept, gone] = [[round, key], [round, key + 100]];
            table.version_of(batch([set(kept, [key]), set(gone, "gone")])).await;
            table.version_of(delete(gone)).await;
            expected.push((kept.to_vec(), vec![key]));
        }
        let last = table.version_of(set("last", [round])).await;
        drop(table);
        t.reopen(ending, Setup::default()).await;
        let table = t.table();
        let mut rows = table.rows(all()).await;
        assert_eq!(rows.pop().unwrap(), (b"last".to_vec(), vec![round]));
        assert_eq!(rows, expected);
        assert_eq!(table.get("last").await.unwrap().version, last);
        // A version that was told never comes again.
        assert!(table.version_of(set("last", "")).await > last);
    }
}

pub(crate) async fn a_write_beside_the_close_is_answered_and_the_answer_is_kept(mut t: Subject) {
    let writers: Vec<_> = (0..8_u8)
        .map(|key| {
            let table = t.table();
            tokio::spawn(async move {
                let mut answered = None;
                for round in 0_u32.. {
                    match table.write(set([key], round.to_be_bytes())).await {
                        Ok(Written::Applied { .. }) => answered = Some(round),
                        // Nothing was done, or nobody knows.
                        Err(EngineError::Closed) => return (answered, answered),
                        Err(EngineError::UnknownOutcome { .. }) => return (answered, Some(round)),
                        other => panic!("{other:?}"),
                    }
                }
                unreachable!("the engine closes")
            })
        })
        .collect();
    // Under way, every one of them.
    while t.table().rows(all()).await.len() < 8 {
        tokio::task::yield_now().await;
    }
    t.engine().close().await.unwrap();
    let answers = join_all(writers).await;
    t.reopen(Ending::Closed, Setup::default()).await;
    for (key, answer) in (0..8_u8).zip(answers) {
        let (answered, perhaps) = answer.unwrap();
        let value = t.table().value([key]).await.unwrap();
        let round = Some(u32::from_be_bytes(value[..].try_into().unwrap()));
        assert!(round == answered || round == perhaps, "{round:?}, told {answered:?}");
    }
}
