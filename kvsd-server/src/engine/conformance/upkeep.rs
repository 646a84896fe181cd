//! Backups and compactions, where an engine makes them.
//!
//! - `a_backup_has_a_name_of_its_own_and_counts_what_it_holds`: "Makes a backup of all tables that
//!   there are now, under a name that no other has.", "There is one of this name, which is left as it
//!   is.", "How many tables it holds."
//! - `a_compaction_frees_garbage_and_takes_nothing_else`: "Frees all of a table's garbage that may go,
//!   and answers when it is done; what watches may still ask for stays.", "`None` if there is no table
//!   of this name."

use std::sync::Arc;

use super::Subject;
use super::subject::{NO_LIMITS, START, all};
use super::writes::{delete, set};
use crate::engine::{BackupError, BackupName, BackupProgress, CompactError};

pub(crate) async fn a_backup_has_a_name_of_its_own_and_counts_what_it_holds(t: Subject) {
    let engine = t.engine();
    t.table().version_of(set("key", "v")).await;
    assert!(t.another("empty").create().await);
    let tables = engine.tables().await.unwrap().len() as u64;
    let [first, second] = ["first", "second"].map(|name| BackupName::parse(name).unwrap());
    let progress = Arc::new(BackupProgress::default());
    match engine.backup(&first, &progress).await {
        Ok(summary) => {
            assert_eq!(summary.tables, tables);
            assert!(summary.files > 0 && summary.bytes > 0);
            let (done, total) = progress.get();
            assert!(done > 0 && done <= total);
            let again = engine.backup(&first, &Arc::default()).await;
            assert_eq!(again, Err(BackupError::Exists { name: first }));
            t.table().version_of(set("key", "2")).await;
            assert_eq!(engine.backup(&second, &Arc::default()).await.unwrap().tables, tables);
        }
        Err(error) => assert_eq!(error, BackupError::Unsupported),
    }
    assert_eq!(engine.tables().await.unwrap().len() as u64, tables);
}

pub(crate) async fn a_compaction_frees_garbage_and_takes_nothing_else(t: Subject) {
    let (table, engine) = (t.table(), t.engine());
    for round in 0..10_u8 {
        for key in 0..10_u8 {
            table.version_of(set([key], vec![round; 500])).await;
        }
    }
    table.version_of(delete([0])).await;
    let rows = table.rows(all()).await;
    let past = table.told(START, NO_LIMITS).await.changes;
    match engine.compact(table.name.as_str()).await {
        Ok(summary) => assert!(summary.is_some()),
        Err(error) => assert_eq!(error, CompactError::Unsupported),
    }
    match engine.compact(t.another("absent").name.as_str()).await {
        Ok(summary) => assert_eq!(summary, None),
        Err(error) => assert_eq!(error, CompactError::Unsupported),
    }
    assert_eq!(table.rows(all()).await, rows);
    assert_eq!(table.told(START, NO_LIMITS).await.changes, past);
    assert_eq!(table.get([0]).await, None);
    table.version_of(set([0], "v")).await;
}
