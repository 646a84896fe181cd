//! A case's engine, and its tables, with what the cases do to them all the time.
//!
//! Next file to read: [`super::points`], the simplest of the cases.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use kvsd::{TableName, UnixMillis, Version};

use super::{Differences, Ending, Fixture, Setup};
use crate::engine::{
    Before, Changes, Engine, Freshness, Head, Order, PageLimits, Position, ReadNow, Record, Scan,
    ScanDetail, ScanPage, TableStatistics, Write, WriteResult, Written,
};
use crate::log::Clock;

/// What a case is about.
pub(crate) struct Subject {
    fixture: Box<dyn Fixture>,
    name: TableName,
}

impl Subject {
    /// On an engine, with the name of a table that it does not have.
    pub(crate) fn new(fixture: Box<dyn Fixture>) -> Self {
        let name = format!("case-{:016x}", getrandom::u64().unwrap());
        Self { fixture, name: TableName::parse(&name).unwrap() }
    }

    /// The engine.
    pub(super) fn engine(&self) -> Arc<dyn Engine> {
        self.fixture.engines().swap_remove(0)
    }

    /// The case's table.
    pub(super) fn table(&self) -> Table {
        Table { engine: self.engine(), name: self.name.clone() }
    }

    /// The case's table, on each engine that is open on the data.
    pub(super) fn tables(&self) -> Vec<Table> {
        let on = |engine| Table { engine, name: self.name.clone() };
        self.fixture.engines().into_iter().map(on).collect()
    }

    /// Another table.
    pub(super) fn another(&self, what: &str) -> Table {
        let name = TableName::parse(&format!("{}.{what}", self.name)).unwrap();
        Table { engine: self.engine(), name }
    }

    pub(super) fn differences(&self) -> Differences {
        self.fixture.differences()
    }

    pub(super) fn now(&self) -> UnixMillis {
        self.fixture.clock().now()
    }

    /// The time in a while.
    pub(super) fn after(&self, millis: u64) -> UnixMillis {
        UnixMillis::new(self.now().get() + millis).unwrap()
    }

    /// Lets time go by.
    pub(super) fn advance(&self, millis: u64) {
        self.fixture.clock().advance(millis);
    }

    /// Ends the engine, and opens it again.
    pub(super) async fn reopen(&mut self, ending: Ending, setup: Setup) {
        self.fixture.reopen(ending, setup).await;
    }

    /// Makes the engine forget the table's past.
    pub(super) async fn forget(&mut self) {
        self.fixture.forget(&self.name).await;
    }
}

/// A table on an engine.
#[derive(Clone)]
pub(super) struct Table {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) name: TableName,
}

/// What a write answers that was applied.
pub(super) struct Applied {
    pub(super) version: Option<Version>,
    pub(super) before: Vec<Before>,
    pub(super) counters: Vec<i64>,
}

impl Table {
    pub(super) async fn write(&self, write: Write) -> WriteResult {
        let mut results = self.engine.write(&self.name, vec![write]).await;
        assert_eq!(results.len(), 1, "one answer to one write");
        results.swap_remove(0)
    }

    /// A write that is applied.
    pub(super) async fn apply(&self, write: Write) -> Applied {
        match self.write(write).await {
            Ok(Written::Applied { version, before, counters }) => {
                Applied { version, before: before.into_vec(), counters }
            }
            other => panic!("not applied: {other:?}"),
        }
    }

    /// The version of a write that is applied and has one.
    pub(super) async fn version_of(&self, write: Write) -> Version {
        self.apply(write).await.version.expect("it has written something")
    }

    pub(super) async fn read(&self, key: impl AsRef<[u8]>) -> Option<Record> {
        self.engine.read(self.name.as_str(), key.as_ref(), Freshness::Latest).await.unwrap()
    }

    /// What stands at a key. All ways to read must agree, so nobody may write meanwhile.
    pub(super) async fn get(&self, key: impl AsRef<[u8]>) -> Option<Record> {
        let (engine, name, key) = (&self.engine, self.name.as_str(), key.as_ref());
        let record = self.read(key).await;
        let head = record.as_ref().map(head);
        assert_eq!(engine.find(name, key, Freshness::Latest).await, Ok(head));
        let mut buffer = Vec::new();
        match engine.read_now(name, key, &mut buffer) {
            ReadNow::Ready(found) => {
                let owned = found.unwrap().map(|found| Record {
                    version: found.version,
                    expires_at: found.expires_at,
                    value: Bytes::copy_from_slice(found.value),
                });
                assert!(owned == record, "{owned:?} and {record:?}");
            }
            ReadNow::WouldBlock => {}
        }
        if let Some(now) = engine.find_now(name, key, &mut buffer) {
            assert_eq!(now, Ok(head));
        }
        let bound = Bound::Included(Bytes::copy_from_slice(key));
        let page = self.page(&Scan { from: bound.clone(), to: bound, ..all() }).await;
        let scanned: Vec<_> = page.iter().map(|it| (it.version, it.expires_at, it.value)).collect();
        let expected = record.iter().map(|it| (it.version, it.expires_at, &it.value[..]));
        assert!(scanned.into_iter().eq(expected), "a scan finds something else");
        record
    }

    /// The value that stands at a key, as [`Table::get`] finds it.
    pub(super) async fn value(&self, key: impl AsRef<[u8]>) -> Option<Bytes> {
        self.get(key).await.map(|record| record.value)
    }

    pub(super) async fn page(&self, scan: &Scan) -> ScanPage {
        self.engine.scan(self.name.as_str(), scan).await.unwrap()
    }

    /// All rows of a scan, page by page.
    pub(super) async fn rows(&self, mut scan: Scan) -> Vec<Row> {
        let mut rows = Vec::new();
        loop {
            let page = self.page(&scan).await;
            rows.extend(page.iter().map(|it| (it.key.to_vec(), it.value.to_vec())));
            if !go_on(&mut scan, &page) {
                return rows;
            }
        }
    }

    /// What has changed since a position, which the table knows.
    pub(super) async fn told(&self, since: Position, limits: PageLimits) -> Told {
        match self.engine.changes(self.name.as_str(), since, limits).await.unwrap() {
            Changes::Page(page) => {
                let change = |it: crate::engine::Changed<'_>| Change {
                    version: it.version,
                    key: it.key.to_vec(),
                    value: it.value.map(<[u8]>::to_vec),
                    expires_at: it.expires_at,
                };
                Told { changes: page.iter().map(change).collect(), until: page.until() }
            }
            Changes::Gap { now } => panic!("a gap behind {since:?}, now {now:?}"),
        }
    }

    /// Where the table is, if a position is none that it can go on from.
    pub(super) async fn gap(&self, since: Position) -> Option<Position> {
        match self.engine.changes(self.name.as_str(), since, NO_LIMITS).await.unwrap() {
            Changes::Page(_) => None,
            Changes::Gap { now } => Some(now),
        }
    }

    /// Where the table is now.
    pub(super) async fn position(&self) -> Position {
        self.told(START, NO_LIMITS).await.until
    }

    pub(super) async fn changed(&self, since: Position) {
        self.engine.changed(self.name.as_str(), since).await;
    }

    pub(super) async fn create(&self) -> bool {
        self.engine.create_table(&self.name).await.unwrap()
    }

    pub(super) async fn drop_it(&self) -> bool {
        self.engine.drop_table(&self.name).await.unwrap()
    }

    /// Whether the engine lists it.
    pub(super) async fn is_listed(&self) -> bool {
        self.engine.tables().await.unwrap().contains(&self.name)
    }

    pub(super) async fn statistics(&self) -> Option<TableStatistics> {
        self.engine.table_statistics(self.name.as_str()).await.unwrap()
    }
}

/// A key and its value.
pub(super) type Row = (Vec<u8>, Vec<u8>);

/// A change that was told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Change {
    pub(super) version: Version,
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) expires_at: Option<UnixMillis>,
}

/// Changes, and up to where they tell everything.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) changes: Vec<Change>,
    pub(super) until: Position,
}

/// Has a scan go on behind a page; says whether there is more.
pub(super) fn go_on(scan: &mut Scan, page: &ScanPage) -> bool {
    let Some(next) = page.next().cloned() else {
        return false;
    };
    let last = page.iter().last().map(|it| it.key.to_vec());
    let is_behind = |last: &Vec<u8>| match scan.order {
        Order::Ascending => next >= last[..],
        Order::Descending => next <= last[..],
    };
    assert!(last.as_ref().is_none_or(is_behind), "a page comes again");
    match scan.order {
        Order::Ascending => scan.from = Bound::Excluded(next),
        Order::Descending => scan.to = Bound::Excluded(next),
    }
    scan.at = page.at();
    true
}

/// A scan of all records, from the lowest key.
pub(super) fn all() -> Scan {
    Scan {
        from: Bound::Unbounded,
        to: Bound::Unbounded,
        order: Order::Ascending,
        detail: ScanDetail::Records,
        limits: NO_LIMITS,
        freshness: Freshness::Latest,
        at: None,
    }
}

/// The same record without its value.
pub(super) fn head(record: &Record) -> Head {
    Head { version: record.version, expires_at: record.expires_at }
}

/// Behind nothing, in whatever table has the name.
pub(super) const START: Position = Position { incarnation: None, version: 0 };

/// More than a case has.
pub(super) const NO_LIMITS: PageLimits = PageLimits { records: 1 << 16, bytes: 64 << 20 };
