//! What is told of a table, and of the engine as a whole.
//!
//! - `a_table_counts_its_keys_and_knows_its_last_version`: "How much a table holds; `None` if there is
//!   none of this name.", "Keys with a record", "No write of the table has a higher version; the next
//!   one gets one above.", "Which of the tables that have had this name it is"
//! - `bytes_follow_what_is_written_where_they_are_counted`: "Bytes of the records that keys have now,
//!   keys included; within a hundredth."
//! - `the_figures_list_tables_in_order_as_their_statistics_tell_of_them`: "All tables, in the order of
//!   their names.", "What an engine does not know is zero or empty."
//! - `an_engine_describes_itself_and_is_ready`: "What the engine is and promises; the hello announces
//!   it.", "Whether the engine can serve"

use super::writes::{batch, delete, set};
use super::{Bytes, Subject};
use crate::engine::Health;

pub(crate) async fn a_table_counts_its_keys_and_knows_its_last_version(t: Subject) {
    let table = t.table();
    assert_eq!(table.statistics().await, None);
    assert!(table.create().await);
    let empty = table.statistics().await.unwrap();
    assert_eq!((empty.keys, empty.stopped), (0, None));
    let mut last = empty.last_version;
    for (write, keys) in [
        (batch([set("a", "1"), set("b", "1")]), 2),
        (set("a", "2"), 2),
        (set("c", "1"), 3),
        (delete("b"), 2),
        (batch([delete("a"), delete("c"), set("d", "")]), 1),
    ] {
        let version = table.version_of(write).await;
        assert!(Some(version) > last, "{version} is not above {last:?}");
        for table in t.tables() {
            let statistics = table.statistics().await.unwrap();
            assert_eq!(statistics.keys, keys);
            assert!(statistics.last_version >= Some(version));
            assert_eq!(statistics.incarnation, empty.incarnation);
            last = last.max(statistics.last_version);
        }
    }
    assert!(table.drop_it().await);
    assert_eq!(table.statistics().await, None);
    assert!(table.create().await);
    let again = table.statistics().await.unwrap();
    assert_eq!(again.keys, 0);
    assert_ne!(again.incarnation, empty.incarnation);
    assert!(table.version_of(set("a", "1")).await > last.unwrap());
}

pub(crate) async fn bytes_follow_what_is_written_where_they_are_counted(t: Subject) {
    let table = t.table();
    for key in 0..20_u8 {
        table.version_of(set([key; 100], [key; 900])).await;
    }
    let full = table.statistics().await.unwrap();
    for key in 0..10_u8 {
        table.version_of(delete([key; 100])).await;
    }
    let half = table.statistics().await.unwrap();
    match t.differences().bytes {
        Bytes::Counted => {
            assert!((19_800..22_000).contains(&full.live_bytes), "{full:?}");
            assert!((9_900..11_000).contains(&half.live_bytes), "{half:?}");
            assert!(half.disk_bytes >= half.live_bytes + half.dead_bytes, "{half:?}");
            assert!(half.segments > 0);
        }
        Bytes::Unknown => {
            for unknown in [full, half] {
                assert_eq!((unknown.live_bytes, unknown.dead_bytes), (0, 0));
            }
        }
    }
}

pub(crate) async fn the_figures_list_tables_in_order_as_their_statistics_tell_of_them(t: Subject) {
    let tables = [t.another("b"), t.another("a"), t.table()];
    for table in &tables {
        table.version_of(set("key", "v")).await;
    }
    let figures = t.engine().figures();
    assert!(figures.tables.is_sorted_by_key(|table| &table.name));
    if !figures.tables.is_empty() {
        for table in &tables {
            let shown = figures.tables.iter().find(|shown| shown.name == table.name).unwrap();
            assert_eq!(Some(&shown.statistics), table.statistics().await.as_ref());
        }
    }
}

pub(crate) async fn an_engine_describes_itself_and_is_ready(t: Subject) {
    let engine = t.engine();
    let description = engine.description();
    assert!(["log", "etcd"].contains(&description.name), "{description:?}");
    assert!(["always", "interval", "never", "replicated"].contains(&description.durability));
    let limits = description.limits;
    assert!(limits.max_batch >= 64, "{limits:?}");
    assert!(limits.max_value_bytes >= 1 << 20 && limits.max_write_bytes >= limits.max_value_bytes);
    t.table().version_of(set("key", "v")).await;
    assert_eq!(engine.health(), Health::Ready);
}
