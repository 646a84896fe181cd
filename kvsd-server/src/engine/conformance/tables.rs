//! How tables come and go.
//!
//! - `a_table_comes_into_being_with_its_first_write_that_writes_something`: "A table comes into being
//!   with its first write that writes something"
//! - `a_table_is_made_once_listed_in_order_and_dropped_once`: "Makes a table without records. The
//!   answer is whether it was made now: `false` if it was there.", "The answer is whether there was
//!   one.", "The names of all tables, in order."
//! - `tables_are_apart`: "Removes a table and all that is in it, for good."
//! - `a_table_that_is_made_again_is_another_one_without_records`: "Removes a table and all that is in
//!   it, for good.", "another for each table that has ever been made"
//! - `tables_and_drops_outlast_a_reopening`: "Removes a table and all that is in it, for good."
//! - `where_tables_are_made_on_request_a_write_makes_none`: "There is no such table, and writing does
//!   not make one. Nothing was written."
//! - `beyond_the_most_tables_none_is_made`: "There is no room for another table; nothing was
//!   written."
//! - `many_who_make_or_drop_a_table_at_once_do_so_once`: "The answer is whether it was made now"
//! - `a_write_beside_a_drop_is_carried_out_before_it_or_after_it`: "Writes that are under way
//!   meanwhile are carried out before the drop or after it, on a table that comes into being with
//!   them."

use bytes::Bytes;
use futures_util::future::join_all;
use kvsd::TableName;

use super::subject::{START, Table, all};
use super::writes::{batch, check, delete, expire, increment, set, when};
use super::{Creation, Ending, Setup, Subject};
use crate::engine::{Before, Condition, EngineError, Written};
use crate::log::TableCreation;

pub(crate) async fn a_table_comes_into_being_with_its_first_write_that_writes_something(
    t: Subject,
) {
    let table = t.table();
    for nothing in [
        delete("key"),
        expire("key", None),
        check("key", Condition::Absent),
        batch([delete("key"), check("other", Condition::Any)]),
    ] {
        let applied = table.apply(nothing).await;
        assert_eq!(applied.version, None);
        assert!(applied.before.iter().all(|before| *before == Before::Absent));
    }
    for refused in [set("key", "v"), increment("key", 1)] {
        let conflict = Ok(Written::Conflict { change: 0, current: None });
        assert_eq!(table.write(when(Condition::Present, refused)).await, conflict);
    }
    assert_eq!(table.engine.write(&table.name, Vec::new()).await, []);
    assert_eq!(table.get("key").await, None);
    assert_eq!(table.told(START, super::subject::NO_LIMITS).await.changes, []);
    assert!(!table.is_listed().await);
    assert_eq!(table.statistics().await, None);
    // What writes nothing may stand before what does.
    let results = table.engine.write(&table.name, vec![delete("key"), increment("key", 1)]).await;
    assert!(matches!(results[..], [Ok(_), Ok(Written::Applied { version: Some(_), .. })]));
    for table in t.tables() {
        assert!(table.is_listed().await);
        assert_eq!(table.value("key").await.unwrap(), "1");
    }
}

pub(crate) async fn a_table_is_made_once_listed_in_order_and_dropped_once(t: Subject) {
    let tables = ["b", "a", "c-c", "c.c", "c_c", "C"].map(|what| t.another(what));
    for table in &tables {
        assert!(!table.drop_it().await, "there is none");
        assert!(table.create().await);
        assert!(!table.create().await, "it is there");
        assert_eq!(table.rows(all()).await, []);
        assert_eq!(table.get("key").await, None);
    }
    let mut expected = tables.clone().map(|table| table.name);
    expected.sort();
    for on in t.tables() {
        let listed = on.engine.tables().await.unwrap();
        let ours: Vec<_> = listed.iter().filter(|name| expected.contains(name)).collect();
        assert_eq!(ours, expected.iter().collect::<Vec<_>>());
        assert!(listed.is_sorted());
    }
    tables[1].version_of(set("key", "v")).await;
    assert!(!tables[1].create().await, "it is there");
    assert_eq!(tables[1].value("key").await.unwrap(), "v", "and stays as it is");
    for table in &tables {
        assert!(table.drop_it().await);
        assert!(!table.drop_it().await);
        assert!(!table.is_listed().await);
    }
    let longest = TableName::parse(&"n".repeat(kvsd::types::MAX_TABLE_NAME_BYTES)).unwrap();
    let longest = Table { engine: t.engine(), name: longest };
    longest.version_of(set("key", "v")).await;
    assert!(longest.is_listed().await);
    assert!(longest.drop_it().await);
}

pub(crate) async fn tables_are_apart(t: Subject) {
    // Names that begin alike, and keys of one that look like those of another.
    let tables = [t.table(), t.another("a"), t.another("a.b"), t.another("a.")];
    for table in &tables {
        table.version_of(set("key", table.name.as_str())).await;
        table.version_of(set(format!("{}/key", table.name), "v")).await;
    }
    assert!(tables[1].drop_it().await);
    for table in [&tables[0], &tables[2], &tables[3]] {
        assert_eq!(table.value("key").await.unwrap(), table.name.as_str());
        assert_eq!(table.rows(all()).await.len(), 2);
        assert_eq!(table.statistics().await.unwrap().keys, 2);
    }
    assert_eq!(tables[1].rows(all()).await, []);
}

pub(crate) async fn a_table_that_is_made_again_is_another_one_without_records(t: Subject) {
    let (table, mut versions, mut incarnations) = (t.table(), Vec::new(), Vec::new());
    for round in 0..3_u8 {
        for key in 0..20_u8 {
            versions.push(table.version_of(set([key, round], "v")).await);
        }
        incarnations.push(table.statistics().await.unwrap().incarnation);
        assert!(table.drop_it().await);
        for table in t.tables() {
            assert_eq!(table.get([0, round]).await, None);
            assert_eq!(table.rows(all()).await, []);
            assert_eq!(table.statistics().await, None);
        }
        if round == 1 {
            assert!(table.create().await);
            assert_eq!(table.get([0, round]).await, None);
        }
    }
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
    incarnations.sort_unstable();
    incarnations.dedup();
    assert_eq!(incarnations.len(), 3);
}

pub(crate) async fn tables_and_drops_outlast_a_reopening(mut t: Subject) {
    for (ending, what) in [(Ending::Closed, "closed"), (Ending::Lost, "lost")] {
        let [kept, empty, dropped, again] =
            ["kept", "empty", "dropped", "again"].map(|name| t.another(&format!("{name}.{what}")));
        for table in [&kept, &dropped, &again] {
            table.version_of(set("key", "v")).await;
        }
        assert!(empty.create().await);
        assert!(dropped.drop_it().await);
        assert!(again.drop_it().await);
        let version = again.version_of(set("new", "v")).await;
        let names = [kept, empty, dropped, again].map(|table| table.name);
        t.reopen(ending, Setup::default()).await;
        let [kept, empty, dropped, again] =
            names.map(|name| Table { engine: t.engine(), name: name.clone() });
        assert_eq!(kept.value("key").await.unwrap(), "v");
        assert!(!empty.create().await, "it is there");
        assert_eq!(dropped.get("key").await, None);
        assert!(!dropped.is_listed().await);
        assert_eq!(again.get("key").await, None);
        assert_eq!(again.get("new").await.unwrap().version, version);
        assert!(dropped.version_of(set("key", "2")).await.get() > 0);
    }
}

pub(crate) async fn where_tables_are_made_on_request_a_write_makes_none(mut t: Subject) {
    match t.differences().creation {
        Creation::SetUp => {}
        Creation::Fixed => return,
    }
    let setup = Setup { creation: TableCreation::OnRequest, ..Setup::default() };
    t.reopen(Ending::Closed, setup).await;
    let table = t.table();
    let unknown = || EngineError::UnknownTable { table: table.name.to_string() };
    let writes = vec![set("key", "v"), increment("key", 1)];
    let results = table.engine.write(&table.name, writes).await;
    assert_eq!(results, [Err(unknown()), Err(unknown())]);
    assert_eq!(table.get("key").await, None);
    assert!(!table.is_listed().await);
    assert!(table.create().await);
    table.version_of(set("key", "v")).await;
    assert!(table.drop_it().await);
    assert_eq!(table.write(set("key", "v")).await, Err(unknown()));
    assert!(!table.is_listed().await);
}

pub(crate) async fn beyond_the_most_tables_none_is_made(mut t: Subject) {
    t.reopen(Ending::Closed, Setup { max_tables: 2, ..Setup::default() }).await;
    let [first, second, third] = ["1", "2", "3"].map(|what| t.another(what));
    first.version_of(set("key", "v")).await;
    assert!(second.create().await);
    let many = EngineError::TooManyTables { limit: 2 };
    assert_eq!(third.write(set("key", "v")).await, Err(many.clone()));
    assert_eq!(third.engine.create_table(&third.name).await, Err(many));
    assert!(!third.is_listed().await);
    assert_eq!(third.get("key").await, None);
    // Those that are there go on, and one that goes makes room.
    assert!(!second.create().await);
    first.version_of(set("key", "2")).await;
    assert!(first.drop_it().await);
    third.version_of(set("key", "v")).await;
}

pub(crate) async fn many_who_make_or_drop_a_table_at_once_do_so_once(t: Subject) {
    let tables = t.tables();
    let at = |task: u8| tables[usize::from(task) % tables.len()].clone();
    for _ in 0..3 {
        let made = (0..16_u8).map(|task| {
            let table = at(task);
            tokio::spawn(async move { table.create().await })
        });
        let made = join_all(made).await.into_iter().filter(|made| *made.as_ref().unwrap());
        assert_eq!(made.count(), 1);
        let dropped = (0..16_u8).map(|task| {
            let table = at(task);
            tokio::spawn(async move { table.drop_it().await })
        });
        let dropped = join_all(dropped).await.into_iter().filter(|gone| *gone.as_ref().unwrap());
        assert_eq!(dropped.count(), 1);
        // First writes make it together, and lose none of them.
        let written = (0..16_u8).map(|task| {
            let table = at(task);
            tokio::spawn(async move { table.version_of(set([task], "v")).await })
        });
        for version in join_all(written).await {
            version.unwrap();
        }
        assert_eq!(tables[0].rows(all()).await.len(), 16);
        assert!(tables[0].drop_it().await);
    }
}

pub(crate) async fn a_write_beside_a_drop_is_carried_out_before_it_or_after_it(t: Subject) {
    const ROUNDS: u8 = 30;
    let tables = t.tables();
    let writers = (0..4_usize).map(|task| {
        let table = tables[task % tables.len()].clone();
        tokio::spawn(async move {
            let mut last = None;
            for round in 0..ROUNDS {
                // Both keys or neither; and what was written before is there or the table was
                // dropped since.
                let keys = ["a", "b"].map(|key| format!("{task}/{key}"));
                let applied = table.apply(batch(keys.map(|key| set(key, [round])))).await;
                assert!(applied.version > last, "{:?} behind {last:?}", applied.version);
                for before in applied.before {
                    match before {
                        Before::Absent => {}
                        Before::Record(before) => {
                            assert_eq!(Some(before.version), last);
                            assert_eq!(before.value, Bytes::copy_from_slice(&[round - 1]));
                        }
                        Before::Present => panic!("the record was asked for"),
                    }
                }
                last = applied.version;
            }
            last
        })
    });
    let writers = join_all(writers.collect::<Vec<_>>());
    let dropping = tables[0].clone();
    let drops = async {
        loop {
            dropping.drop_it().await;
            tokio::task::yield_now().await;
        }
    };
    let last = tokio::select! {
        last = writers => last,
        () = drops => unreachable!("it goes on for ever"),
    };
    assert!(last.into_iter().all(|last| last.unwrap().is_some()));
    let rows = tables[0].rows(all()).await;
    assert_eq!(rows.len() % 2, 0, "half a batch is left: {rows:?}");
}
