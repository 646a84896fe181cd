//! One key: what is written is what every way to read it finds.
//!
//! - `a_value_reads_back_whatever_it_holds_and_after_reopening`: "Store a value, which ends at
//!   `expires_at` if that is given."
//! - `every_way_to_read_finds_the_same_and_a_table_that_is_not_there_is_empty`: "Reads a key, waiting
//!   for whoever keeps it where [`Engine::read_now`] would not.", "As [`Engine::read`], without the
//!   value."
//! - `a_buffer_only_grows_and_what_it_held_is_lost`: "into `buffer` (which only grows; what it held is
//!   lost)"
//! - `what_was_answered_is_read_at_once_wherever_it_is_asked_for`: "Every write that was answered
//!   before is seen."
//! - `a_stale_read_finds_what_stood_at_some_time`: "What stood some time ago will do"
//! - `several_keys_are_read_as_one_after_the_other`: "as [`Engine::read`] would one after the other;
//!   the answers are in the order of the keys", "How many reads it is best asked for together"
//! - `keys_that_begin_alike_are_apart`: "In which order keys come: byte by byte."
//! - `what_an_engine_shows_of_itself_has_no_key_and_no_value`: "how large keys and values are, never
//!   which"

use bytes::Bytes;

use super::subject::{START, all};
use super::writes::{batch, delete, set, set_until};
use super::{Ending, Setup, Subject};
use crate::engine::{EngineError, Freshness, Head, ReadNow};

pub(crate) async fn a_value_reads_back_whatever_it_holds_and_after_reopening(mut t: Subject) {
    let large = t.engine().description().limits.max_value_bytes.min(10 << 20);
    let cases = [
        (b"empty".to_vec(), Vec::new()),
        (b"small".to_vec(), b"value".to_vec()),
        (vec![0], vec![0; 5_000]),
        (vec![0xff; kvsd::types::MAX_KEY_BYTES], vec![0xff; 70_000]),
        (b"\r\n".to_vec(), vec![b'v'; large]),
    ];
    for (key, value) in &cases {
        t.table().version_of(set(key, value)).await;
    }
    for _ in 0..2 {
        let table = t.table();
        for (key, value) in &cases {
            let found = table.value(key).await;
            assert!(found.is_some_and(|found| found == value), "{} bytes", value.len());
        }
        assert_eq!(table.value("other").await, None);
        t.reopen(Ending::Closed, Setup::default()).await;
    }
}

pub(crate) async fn every_way_to_read_finds_the_same_and_a_table_that_is_not_there_is_empty(
    t: Subject,
) {
    let (table, absent) = (t.table(), t.another("absent"));
    let end = t.after(60_000);
    let version = table.version_of(set_until("key", "value", end)).await;
    // Each of them asks in every way.
    let record = table.get("key").await.unwrap();
    assert_eq!((record.version, record.expires_at), (version, Some(end)));
    assert_eq!(record.value, "value");
    assert_eq!(table.get("none").await, None);
    assert_eq!(absent.get("key").await, None);
    let next = table.version_of(set("key", "next")).await;
    assert!(next > version);
    let record = table.get("key").await.unwrap();
    assert_eq!((record.version, record.expires_at), (next, None));
    table.version_of(delete("key")).await;
    assert_eq!(table.get("key").await, None);
}

pub(crate) async fn a_buffer_only_grows_and_what_it_held_is_lost(t: Subject) {
    let table = t.table();
    table.version_of(batch([set("long", [7; 3_000]), set("short", "s")])).await;
    let mut buffer = b"what another read has left".to_vec();
    let mut grown = buffer.capacity();
    for (key, value) in
        [("short", Some(1)), ("long", Some(3_000)), ("short", Some(1)), ("no", None)]
    {
        let found = table.engine.read_now(table.name.as_str(), key.as_bytes(), &mut buffer);
        match found {
            ReadNow::Ready(found) => {
                assert_eq!(found.unwrap().map(|found| found.value.len()), value, "{key}");
            }
            ReadNow::WouldBlock => {}
        }
        assert!(buffer.capacity() >= grown, "it shrinks");
        grown = buffer.capacity();
        let head = table.engine.find_now(table.name.as_str(), key.as_bytes(), &mut buffer);
        let is_found = |head: Result<Option<Head>, EngineError>| head.unwrap().is_some();
        assert!(head.is_none_or(|head| is_found(head) == value.is_some()), "{key}");
        assert!(buffer.capacity() >= grown, "it shrinks");
        grown = buffer.capacity();
    }
}

pub(crate) async fn what_was_answered_is_read_at_once_wherever_it_is_asked_for(t: Subject) {
    let tables = t.tables();
    for round in 0..30_usize {
        let writer = &tables[round % tables.len()];
        let value = round.to_string();
        let version = writer.version_of(set("key", &value)).await;
        for reader in &tables {
            let record = reader.get("key").await.unwrap();
            assert_eq!((record.version, record.value), (version, value.clone().into()));
        }
    }
}

pub(crate) async fn a_stale_read_finds_what_stood_at_some_time(t: Subject) {
    let tables = t.tables();
    let mut versions = vec![];
    for round in 0..10 {
        versions.push(tables[0].version_of(set("key", round.to_string())).await);
        for reader in &tables {
            let (engine, name) = (&reader.engine, reader.name.as_str());
            if let Some(record) = engine.read(name, b"key", Freshness::Stale).await.unwrap() {
                let place = versions.iter().position(|version| *version == record.version);
                assert_eq!(record.value, place.unwrap().to_string());
            }
            if let Some(head) = engine.find(name, b"key", Freshness::Stale).await.unwrap() {
                assert!(versions.contains(&head.version));
            }
        }
    }
}

pub(crate) async fn several_keys_are_read_as_one_after_the_other(t: Subject) {
    let most = t.engine().description().reads_at_once;
    assert!(most > 0);
    let end = t.after(1_000);
    t.table().version_of(set_until("ended", "v", end)).await;
    for key in 0..30_u8 {
        t.table().version_of(set([key], vec![key; 100 * usize::from(key)])).await;
    }
    t.advance(1_000);
    for table in t.tables() {
        let (engine, name) = (&table.engine, table.name.as_str());
        // More than is best, out of order, some of them twice, some not there.
        let mut keys: Vec<Bytes> =
            (0..most + 40).map(|n| Bytes::from(vec![u8::try_from(n * 7 % 33).unwrap()])).collect();
        keys.push("ended".into());
        for freshness in [Freshness::Latest, Freshness::Stale] {
            let found = engine.read_several(name, &keys, freshness).await;
            assert_eq!(found.len(), keys.len());
            for (key, found) in keys.iter().zip(found) {
                let found = found.unwrap();
                // What is stale may be missing, but is never another key's.
                if freshness == Freshness::Latest || found.is_some() {
                    assert!(found == table.read(key).await);
                }
            }
        }
        assert!(engine.read_several(name, &[], Freshness::Latest).await.is_empty());
        let absent = t.another("absent").name;
        let none = engine.read_several(absent.as_str(), &keys, Freshness::Latest).await;
        assert!(none.len() == keys.len() && none.iter().all(|found| *found == Ok(None)));
    }
}

pub(crate) async fn keys_that_begin_alike_are_apart(t: Subject) {
    let table = t.table();
    let mut keys = vec![vec![0], vec![0, 0], b"a".to_vec(), b"a\0".to_vec(), b"ab".to_vec()];
    keys.extend([vec![0xff], vec![0xff; 2], vec![b'k'; 1023], vec![b'k'; 1024]]);
    for key in &keys {
        table.version_of(set(key, key)).await;
    }
    for key in &keys {
        assert!(table.value(key).await.is_some_and(|value| value == *key));
    }
    let in_order: Vec<_> = table.rows(all()).await.into_iter().map(|(key, _)| key).collect();
    keys.sort();
    assert_eq!(in_order, keys);
    table.version_of(delete("a")).await;
    assert_eq!(table.value("a").await, None);
    assert_eq!(table.value("a\0").await.unwrap(), "a\0");
    assert_eq!(table.value("ab").await.unwrap(), "ab");
}

pub(crate) async fn what_an_engine_shows_of_itself_has_no_key_and_no_value(t: Subject) {
    let table = t.table();
    table.version_of(set("canary-key", "canary-value")).await;
    let record = table.get("canary-key").await;
    let told = table.engine.changes(table.name.as_str(), START, super::subject::NO_LIMITS).await;
    let page = table.page(&all()).await;
    for text in [format!("{:?}", table.engine), format!("{record:?} {told:?} {page:?}")] {
        assert!(!text.contains("canary") && !text.contains("99, 97, 110"), "{text}");
    }
}
