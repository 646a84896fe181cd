//! Moving the tables of another engine into etcd.
//!
//! Table by table, page by page, in the order of the keys. How far it is stands in etcd and moves
//! with each transaction, so that what was interrupted goes on where it was, and a transaction whose
//! answer was lost is not carried out twice. Nothing here reads what a table in etcd holds but to
//! compare it at the end, and no table is written into that this migration has not made.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, Txn, TxnOp};
use kvsd::{TableName, UnixMillis, Version};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::config::EtcdConfig;
use super::directory::TableRef;
use super::error::{EtcdError, Fault};
use super::layout::{Hint, KeyRange, Layout, StoredRecord, TableEntry};
use super::link::{Ask, Failed, Link};
use super::once::{Room, once};
use crate::engine::{
    Engine, EngineError, Freshness, Order, PageLimits, Scan, ScanDetail, ScanPage,
};

/// How far a migration is, for whoever else looks.
#[derive(Debug, Default)]
pub struct MigrationProgress {
    done: AtomicU64,
    total: AtomicU64,
}

/// What a migration has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigratedTable {
    /// The table.
    pub name: TableName,
    /// How many records it has in etcd, those apart that end within ten minutes.
    pub records: u64,
    /// The CRC-32C over keys, values and ends of these records, in order; the same on both sides.
    pub checksum: u32,
}

/// Why a migration has stopped. What is in etcd stays, and the same migration goes on from there.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// There is a table of this name in etcd already.
    #[error(
        "there is a table {table} in etcd that this migration has not made; drop it there, or \
         migrate to another etcd_prefix"
    )]
    TableExists {
        /// The table.
        table: TableName,
    },
    /// A record is larger than etcd takes.
    #[error(
        "table {table}: the value at key {key} has {bytes} bytes, and etcd takes at most {limit}; \
         make it smaller or delete it, then begin again"
    )]
    TooLarge {
        /// The table.
        table: TableName,
        /// The key, its odd bytes escaped, and cut if it is long.
        key: String,
        /// The value's length.
        bytes: usize,
        /// The most.
        limit: usize,
    },
    /// Both sides do not hold the same.
    #[error(
        "table {table} was copied, but differs: {from_records} records with checksum \
         {from_checksum:08x} here, {to_records} with {to_checksum:08x} in etcd; somebody has \
         written to one of them meanwhile: drop the table in etcd, and run the same command again"
    )]
    Differs {
        /// The table.
        table: TableName,
        /// How many records the source has.
        from_records: u64,
        /// Their checksum.
        from_checksum: u32,
        /// How many records are in etcd.
        to_records: u64,
        /// Their checksum.
        to_checksum: u32,
    },
    /// The source was written to after it had been migrated.
    #[error(
        "table {table} was migrated before, and written to here since; drop it in etcd and run the \
         same command again, or migrate to another etcd_prefix"
    )]
    SourceMoved {
        /// The table.
        table: TableName,
    },
    /// Something in etcd is not what this migration has put there.
    #[error("what stands in etcd of this migration is not to be read: {what}")]
    Foreign {
        /// What it is.
        what: String,
    },
    /// Two migrations of the same folder run at once, or the table was dropped meanwhile.
    #[error("table {table} was changed in etcd by somebody else meanwhile; begin again")]
    Disturbed {
        /// The table.
        table: TableName,
    },
    /// The source cannot be read.
    #[error("the source cannot be read")]
    Source(#[source] EngineError),
    /// etcd cannot be reached, or refuses.
    #[error("etcd has not done it: {cause}; the same command goes on from here")]
    Etcd {
        /// What went wrong.
        cause: String,
    },
    /// etcd does not open.
    #[error(transparent)]
    Open(#[from] EtcdError),
}

impl MigrationProgress {
    /// How many records are copied, and how many there were in the source when it began.
    #[must_use]
    pub fn get(&self) -> (u64, u64) {
        let done = self.done.load(Ordering::Relaxed);
        (done, self.total.load(Ordering::Relaxed).max(done))
    }
}

/// Copies all tables of an engine into etcd, and compares both sides. Nobody else may write to either
/// meanwhile. What has ended is not copied; versions are new.
///
/// # Errors
///
/// [`MigrateError`]; called again, it goes on where it was.
///
/// # Cancel safety
///
/// As an error: nothing is lost, and the next call goes on.
pub async fn migrate(
    from: &dyn Engine,
    to: &EtcdConfig,
    progress: &MigrationProgress,
) -> Result<Vec<MigratedTable>, MigrateError> {
    let layout = Layout::new(&to.prefix);
    let link = Link::open(to).await?;
    let mut names = Vec::new();
    for name in from.tables().await.map_err(MigrateError::Source)? {
        let statistics = from.table_statistics(name.as_str()).await;
        if let Some(statistics) = statistics.map_err(MigrateError::Source)? {
            progress.total.fetch_add(statistics.keys, Ordering::Relaxed);
            names.push((name, statistics.incarnation));
        }
    }
    let mut tables = Vec::new();
    for (name, source) in names {
        let state = layout.migration(source, name.as_str());
        let table =
            TableMigration { from, to, link: &link, layout: &layout, progress, name, state };
        tables.push(table.run().await?);
    }
    Ok(tables)
}

/// One table's way.
struct TableMigration<'m> {
    from: &'m dyn Engine,
    to: &'m EtcdConfig,
    link: &'m Link,
    layout: &'m Layout,
    progress: &'m MigrationProgress,
    name: TableName,
    /// The key that tells how far it is.
    state: Vec<u8>,
}

/// How far a table is, as it stands in etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// The id of the table in etcd.
    id: u64,
    /// The last key that was copied, in hexadecimal digits; none at the beginning.
    last: Option<String>,
    /// How many records were copied.
    records: u64,
    /// Whether all of it was copied, and found to be the same.
    verified: Option<Verified>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Verified {
    records: u64,
    checksum: u32,
    /// The last version that had been written to the source.
    source_version: u64,
}

/// A migration that goes on.
struct Begun {
    state: State,
    /// The revision that has written the state.
    seen: i64,
    table: TableRef,
}

impl TableMigration<'_> {
    async fn run(&self) -> Result<MigratedTable, MigrateError> {
        let Begun { mut state, mut seen, table } = self.begin().await?;
        self.progress.done.fetch_add(state.records, Ordering::Relaxed);
        let source_version = self.source_version().await?;
        match state.verified {
            Some(verified) if verified.source_version == source_version => {
                let Verified { records, checksum, .. } = verified;
                return Ok(MigratedTable { name: self.name.clone(), records, checksum });
            }
            Some(_) => return Err(MigrateError::SourceMoved { table: self.name.clone() }),
            None => {}
        }
        loop {
            let from = match &state.last {
                None => Bound::Unbounded,
                Some(last) => Bound::Excluded(unhex(last).ok_or_else(foreign)?),
            };
            let page = self.source_page(from, PAGE).await?;
            let Some(last) = page.iter().last().map(|record| hex(record.key)) else {
                break;
            };
            state.last = Some(last);
            state.records += page.len() as u64;
            seen = self.put(table, &page, &state, seen).await?;
            self.progress.done.fetch_add(page.len() as u64, Ordering::Relaxed);
        }
        let Sum { records, checksum } = self.compare(state.id).await?;
        state.verified = Some(Verified { records, checksum, source_version });
        self.put(table, &ScanPage::default(), &state, seen).await?;
        Ok(MigratedTable { name: self.name.clone(), records, checksum })
    }

    /// Where it is, or begins: the first time, and when the table was dropped in etcd since.
    async fn begin(&self) -> Result<Begun, MigrateError> {
        let table = self.layout.table(self.name.as_str());
        let (before, stands) = (self.get(&self.state).await?, self.get(&table).await?);
        let seen = before.as_ref().map_or(0, KeyValue::mod_revision);
        match (before, stands) {
            (Some(before), Some(stands)) => {
                let state: State = serde_json::from_slice(before.value()).map_err(|_| foreign())?;
                let is_ours =
                    TableEntry::parse(stands.value()) == Some(TableEntry { id: state.id });
                if !is_ours {
                    return Err(self.table_exists());
                }
                let table = TableRef { id: state.id, created: stands.create_revision() };
                return Ok(Begun { state, seen, table });
            }
            (None, Some(_)) => return Err(self.table_exists()),
            (_, None) => {}
        }
        let id =
            getrandom::u64().map_err(|error| MigrateError::Etcd { cause: error.to_string() })?;
        let state = State { id, last: None, records: 0, verified: None };
        let when = vec![
            Compare::mod_revision(self.state.as_slice(), CompareOp::Equal, seen),
            Compare::create_revision(table.as_slice(), CompareOp::Equal, 0),
        ];
        let then = vec![
            TxnOp::put(table, TableEntry { id }.encode(), None),
            TxnOp::put(self.state.as_slice(), encode(&state), None),
        ];
        let made =
            once(self.link, self.layout, self.link.deadline(), Room::Takes, when, then).await;
        if !made.map_err(failed)? {
            return Err(self.disturbed());
        }
        let found = self.get(&self.state).await?.filter(|found| found.value() == encode(&state));
        let seen = found.ok_or_else(|| self.disturbed())?.mod_revision();
        Ok(Begun { state, seen, table: TableRef { id, created: seen } })
    }

    /// The last version that was written to the source.
    async fn source_version(&self) -> Result<u64, MigrateError> {
        let statistics = self.from.table_statistics(self.name.as_str()).await;
        let statistics = statistics.map_err(MigrateError::Source)?;
        Ok(statistics.and_then(|of| of.last_version).map_or(0, Version::get))
    }

    async fn source_page(
        &self,
        from: Bound<Bytes>,
        limits: PageLimits,
    ) -> Result<ScanPage, MigrateError> {
        let scan = Scan {
            from,
            to: Bound::Unbounded,
            order: Order::Ascending,
            detail: ScanDetail::Records,
            limits,
            freshness: Freshness::Latest,
            at: None,
        };
        self.from.scan(self.name.as_str(), &scan).await.map_err(MigrateError::Source)
    }

    /// Puts a page of records and the state behind it, if the state is still the one that was seen.
    /// The answer is the state's new mod revision.
    async fn put(
        &self,
        table: TableRef,
        page: &ScanPage,
        state: &State,
        seen: i64,
    ) -> Result<i64, MigrateError> {
        let name = self.layout.table(self.name.as_str());
        let mut puts = vec![TxnOp::put(self.state.as_slice(), encode(state), None)];
        let mut ending = Hint { id: table.id, keys: Vec::new() };
        for record in page.iter() {
            self.check(record.key, record.value)?;
            let key = self.layout.record(table.id, record.key);
            puts.push(TxnOp::put(key, StoredRecord::encode(record.expires_at, record.value), None));
            if let Some(end) = record.expires_at {
                ending.keys.push((end, Bytes::copy_from_slice(record.key)));
            }
        }
        if let Some(bucket) = ending.first_bucket() {
            // Random, but the same whenever this transaction is sent.
            let random = getrandom::u64()
                .map_err(|error| MigrateError::Etcd { cause: error.to_string() })?;
            puts.push(TxnOp::put(self.layout.hint(bucket, random), ending.encode(), None));
        }
        let txn = Txn::new()
            .when([
                Compare::mod_revision(self.state.as_slice(), CompareOp::Equal, seen),
                Compare::create_revision(name, CompareOp::Equal, table.created),
            ])
            .and_then(puts)
            .or_else([TxnOp::get(self.state.as_slice(), None)]);
        let answer = self.link.txn(self.link.deadline(), &txn).await.map_err(failed)?;
        if answer.succeeded() {
            return answer.header().map(|header| header.revision()).ok_or_else(foreign);
        }
        // It may have been carried out before, and its answer lost.
        let found = self.get(&self.state).await?.ok_or_else(|| self.disturbed())?;
        if found.value() == encode(state) {
            Ok(found.mod_revision())
        } else {
            Err(self.disturbed())
        }
    }

    fn check(&self, key: &[u8], value: &[u8]) -> Result<(), MigrateError> {
        let limit = self.to.max_value_bytes;
        if value.len() <= limit {
            return Ok(());
        }
        let shown = key.escape_ascii().to_string();
        let cut = shown.get(..MOST_SHOWN).map(|cut| format!("{cut}...")).unwrap_or(shown);
        Err(MigrateError::TooLarge {
            table: self.name.clone(),
            key: cut,
            bytes: value.len(),
            limit,
        })
    }

    /// Reads both sides through: what they both hold.
    async fn compare(&self, id: u64) -> Result<Sum, MigrateError> {
        // What ends meanwhile may be swept from one side before it is read.
        let now = self.from.time(self.name.as_str()).get();
        let until = UnixMillis::new(now.saturating_add(SOON_MILLIS)).ok_or_else(foreign)?;
        let mut source = Sum::default();
        let mut from = Bound::Unbounded;
        loop {
            let page = self.source_page(from, COMPARED).await?;
            for record in page.iter() {
                source.add(record.key, record.value, record.expires_at, until);
            }
            let Some(next) = page.next() else {
                break;
            };
            from = Bound::Excluded(next.clone());
        }
        let mut target = Sum::default();
        let KeyRange { mut start, end } =
            self.layout.records(id, Bound::Unbounded, Bound::Unbounded);
        let mut revision = 0;
        loop {
            let options = GetOptions::new()
                .with_range(end.as_slice())
                .with_limit(COMPARED.records as i64)
                .with_revision(revision);
            let get = |door: Arc<super::link::Door>| {
                let (start, options) = (start.clone(), options.clone());
                async move { door.kv().get(start, Some(options)).await }
            };
            let deadline = self.link.deadline();
            let page = self.link.call(deadline, Ask::Led, get).await.map_err(failed)?;
            if revision == 0 {
                revision = page.header().map_or(0, |header| header.revision());
            }
            for kv in page.kvs() {
                let key = match self.layout.data_of(id, kv.key()) {
                    Some(super::layout::DataKey::Record(key)) => key,
                    _ => return Err(foreign()),
                };
                let bytes = Bytes::copy_from_slice(kv.value());
                let record = StoredRecord::parse(bytes).ok_or_else(foreign)?;
                target.add(key, &record.value, record.expires_at, until);
            }
            match page.kvs().last() {
                Some(last) if page.more() => start = [last.key(), &[0]].concat(),
                _ => break,
            }
        }
        if source != target {
            return Err(MigrateError::Differs {
                table: self.name.clone(),
                from_records: source.records,
                from_checksum: source.checksum,
                to_records: target.records,
                to_checksum: target.checksum,
            });
        }
        Ok(target)
    }

    async fn get(&self, key: &[u8]) -> Result<Option<KeyValue>, MigrateError> {
        let get = |door: Arc<super::link::Door>| async move { door.kv().get(key, None).await };
        let mut found =
            self.link.call(self.link.deadline(), Ask::Led, get).await.map_err(failed)?;
        Ok(found.take_kvs().pop())
    }

    fn table_exists(&self) -> MigrateError {
        MigrateError::TableExists { table: self.name.clone() }
    }

    fn disturbed(&self) -> MigrateError {
        MigrateError::Disturbed { table: self.name.clone() }
    }
}

/// Records, counted and summed up in their order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    records: u64,
    checksum: u32,
}

impl Sum {
    fn add(&mut self, key: &[u8], value: &[u8], end: Option<UnixMillis>, until: UnixMillis) {
        if end.is_some_and(|end| end <= until) {
            return;
        }
        self.records += 1;
        let lengths = [key.len() as u64, value.len() as u64, end.map_or(0, UnixMillis::get)];
        for number in lengths {
            self.checksum = crc32c::crc32c_append(self.checksum, &number.to_be_bytes());
        }
        self.checksum = crc32c::crc32c_append(self.checksum, key);
        self.checksum = crc32c::crc32c_append(self.checksum, value);
    }
}

fn encode(state: &State) -> Vec<u8> {
    serde_json::to_vec(state).expect("numbers and digits have a form in JSON")
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Bytes> {
    let digits = text.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    digits.collect::<Option<Vec<u8>>>().map(Bytes::from)
}

fn foreign() -> MigrateError {
    MigrateError::Foreign {
        what: "it is of another version, or somebody else has written it".into(),
    }
}

fn failed(failed: Failed) -> MigrateError {
    match failed.fault {
        Fault::Compacted => MigrateError::Etcd {
            cause: "etcd's history was compacted while both sides were compared".to_owned(),
        },
        fault => MigrateError::Etcd { cause: fault.to_string() },
    }
}

/// What goes into one transaction: 64 records, their hint and the state, of the 128 that etcd takes.
const PAGE: PageLimits = PageLimits { records: EtcdConfig::MAX_BATCH, bytes: 1024 * 1024 };
/// As many as one answer of etcd may hold if all are as large as can be.
const COMPARED: PageLimits = PageLimits { records: 100, bytes: 8 * 1024 * 1024 };
/// What ends sooner than this is not compared.
const SOON_MILLIS: u64 = 10 * 60 * 1000;
const MOST_SHOWN: usize = 120;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_come_back_from_their_digits(key: Vec<u8>) {
            prop_assert_eq!(unhex(&hex(&key)), Some(Bytes::from(key)));
        }

        #[test]
        fn foreign_digits_are_refused(text in "[0-9a-fx\u{e4}]{0,9}") {
            if let Some(key) = unhex(&text) {
                prop_assert_eq!(hex(&key), text);
            }
        }
    }

    #[test]
    fn a_sum_tells_every_difference_and_leaves_out_what_ends_soon() {
        let time = |millis| UnixMillis::new(millis).unwrap();
        let sum = |records: &[(&[u8], &[u8], Option<UnixMillis>)]| {
            let mut sum = Sum::default();
            records.iter().for_each(|(key, value, end)| sum.add(key, value, *end, time(100)));
            sum
        };
        let whole = sum(&[(b"a", b"1", None), (b"b", b"2", Some(time(200)))]);
        assert_eq!(whole.records, 2);
        assert_ne!(whole, sum(&[(b"a", b"1", None)]));
        assert_ne!(whole, sum(&[(b"a", b"1", None), (b"b", b"2", None)]));
        assert_ne!(whole, sum(&[(b"a", b"1b", None), (b"", b"2", Some(time(200)))]));
        assert_ne!(whole, sum(&[(b"b", b"2", Some(time(200))), (b"a", b"1", None)]));
        let with_soon = sum(&[
            (b"a", b"1", None),
            (b"ab", b"x", Some(time(100))),
            (b"b", b"2", Some(time(200))),
        ]);
        assert_eq!(whole, with_soon);
    }
}
