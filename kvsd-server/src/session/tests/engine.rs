//! An engine in maps, whose answers a test can hold back.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use kvsd::{TableName, UnixMillis, Version};
use tokio::sync::watch;

use crate::engine::{
    Action, Before, BeforeDetail, Change, ChangePage, Changes, Condition, Description, Engine,
    EngineError, Found, Freshness, Head, Limits, Order, PageLimits, Position, ReadNow, Record,
    Scan, ScanDetail, ScanPage, TableStatistics, Write, WriteResult, Written,
};

#[derive(Debug)]
pub(super) struct MapEngine {
    state: Mutex<State>,
    /// While this is false, writes and reads "from the disk" wait.
    open: watch::Sender<bool>,
    /// Whoever waits for a change looks again.
    published: watch::Sender<()>,
    clock: AtomicU64,
    pub(super) reads: AtomicUsize,
    /// How often somebody has asked for a record without its value.
    pub(super) finds: AtomicUsize,
    /// How often somebody has asked what time it is.
    pub(super) times: AtomicUsize,
    /// How often somebody has asked what has changed.
    pub(super) looks: AtomicUsize,
    /// How fresh what was read from the disk had to be, as it was asked for.
    asked: Mutex<Vec<Freshness>>,
}

#[derive(Debug, Default)]
struct State {
    tables: BTreeMap<String, Table>,
    /// How many tables there have been.
    made: u64,
    version: u64,
    /// The table and size of each batch, as they came.
    batches: Vec<(String, usize)>,
    fail: Option<EngineError>,
    stopped: Option<String>,
    limits: Option<Limits>,
    /// What a stale read finds, if it is not the latest.
    old: Option<u64>,
    /// Whether pages stand at a moment.
    pins: Pins,
}

/// Whether an engine can read at a moment again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Pins {
    #[default]
    Never,
    Always,
}

#[derive(Debug, Default)]
struct Table {
    incarnation: u64,
    version: u64,
    records: BTreeMap<Bytes, Record>,
    history: Vec<(u64, Bytes, Option<Record>)>,
    /// Up to where the history is forgotten.
    forgotten: u64,
}

impl Default for MapEngine {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            open: watch::Sender::new(true),
            published: watch::Sender::new(()),
            clock: AtomicU64::new(1_000),
            reads: AtomicUsize::default(),
            finds: AtomicUsize::default(),
            times: AtomicUsize::default(),
            looks: AtomicUsize::default(),
            asked: Mutex::default(),
        }
    }
}

impl MapEngine {
    /// Holds back what waits for the disk.
    pub(super) fn hold(&self) {
        self.open.send_replace(false);
    }

    pub(super) fn release(&self) {
        self.open.send_replace(true);
    }

    /// How many wait for the disk.
    pub(super) fn waiting(&self) -> usize {
        self.open.receiver_count()
    }

    /// Waits until somebody waits for the disk.
    pub(super) async fn is_waited_for(&self) {
        while self.waiting() == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until so many wait for a change.
    pub(super) async fn is_watched_by(&self, count: usize) {
        while self.published.receiver_count() != count {
            tokio::task::yield_now().await;
        }
    }

    /// From now on everything fails.
    pub(super) fn fail(&self, error: EngineError) {
        self.state.lock().unwrap().fail = Some(error);
    }

    /// From now on tables say that they have stopped for this reason.
    pub(super) fn stop(&self, cause: &str) {
        self.state.lock().unwrap().stopped = Some(cause.to_owned());
    }

    /// From now on it says that it takes no more than this.
    pub(super) fn limit(&self, limits: Limits) {
        self.state.lock().unwrap().limits = Some(limits);
    }

    /// From now on what is read stale is what stands now.
    pub(super) fn age(&self) {
        let mut state = self.state.lock().unwrap();
        state.old = Some(state.version);
    }

    /// From now on pages stand at a moment, until the history is forgotten.
    pub(super) fn pin(&self) {
        self.state.lock().unwrap().pins = Pins::Always;
    }

    /// How fresh what was read from the disk since the last call had to be.
    pub(super) fn asked(&self) -> Vec<Freshness> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// Sets the clock; at first it says 1,000.
    pub(super) fn set_time(&self, millis: u64) {
        self.clock.store(millis, Ordering::Relaxed);
    }

    /// Forgets what has changed so far.
    pub(super) fn forget_history(&self) {
        for table in self.state.lock().unwrap().tables.values_mut() {
            table.history.clear();
            table.forgotten = table.version;
        }
    }

    pub(super) fn batches(&self) -> Vec<(String, usize)> {
        self.state.lock().unwrap().batches.clone()
    }

    pub(super) fn put(&self, table: &str, key: &[u8], value: Vec<u8>) {
        let action = Action::Set { value: value.into(), expires_at: None };
        let key = Bytes::copy_from_slice(key);
        let changes = [Change { key, condition: Condition::Any, action }];
        let write = Write { changes: changes.into(), before: BeforeDetail::Presence };
        self.state.lock().unwrap().write(table, write, self.now()).unwrap();
        self.published.send_replace(());
    }

    pub(super) fn value(&self, table: &str, key: &[u8]) -> Option<Bytes> {
        let state = self.state.lock().unwrap();
        state.record(table, key, self.now()).map(|record| record.value.clone())
    }

    fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    fn changes_now(
        &self,
        table: &str,
        since: Position,
        limits: PageLimits,
    ) -> Result<Changes, EngineError> {
        let state = self.state.lock().unwrap();
        state.check()?;
        let now = state.position(table);
        let Some(table) = state.tables.get(table) else {
            return Ok(match since == now {
                true => Changes::Page(ChangePage::empty(now)),
                false => Changes::Gap { now },
            });
        };
        let is_other = since.incarnation.is_some_and(|since| since != table.incarnation);
        if is_other || !(table.forgotten..=table.version).contains(&since.version) {
            return Ok(Changes::Gap { now });
        }
        let (mut bytes, mut shown, mut until) = (Vec::new(), Vec::new(), now);
        let history = table.history.iter().filter(|(version, ..)| *version > since.version);
        for (version, key, record) in history {
            let is_next = shown.last().is_some_and(|(_, _, shown, _)| shown != version);
            if is_next && (shown.len() >= limits.records || bytes.len() >= limits.bytes) {
                until.version = version - 1;
                break;
            }
            bytes.extend_from_slice(key);
            let value = record.as_ref().map(|record| &record.value);
            bytes.extend_from_slice(value.map_or(&[], |value| value));
            let end = record.as_ref().and_then(|record| record.expires_at);
            shown.push((key.len(), value.map(Bytes::len), *version, end));
        }
        let mut page = ChangePage::of_bytes(bytes, shown.len(), until);
        for (key, value, version, end) in shown {
            page.push_span(key, value, Version::new(version).unwrap(), end);
        }
        Ok(Changes::Page(page))
    }

    async fn disk(&self) {
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
    }
}

#[async_trait]
impl Engine for MapEngine {
    fn description(&self) -> Description {
        let limits = self.state.lock().unwrap().limits.unwrap_or(Limits::NONE);
        Description { name: "map", durability: "never", limits, reads_at_once: 1 }
    }

    fn time(&self, _: &str) -> UnixMillis {
        self.times.fetch_add(1, Ordering::Relaxed);
        UnixMillis::new(self.now()).unwrap()
    }

    /// Keys that begin with `disk/` are not in memory.
    fn read_now<'b>(&self, table: &str, key: &[u8], buffer: &'b mut Vec<u8>) -> ReadNow<'b> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if key.starts_with(b"disk/") {
            return ReadNow::WouldBlock;
        }
        let state = self.state.lock().unwrap();
        if let Some(error) = &state.fail {
            return ReadNow::Ready(Err(error.clone()));
        }
        buffer.clear();
        ReadNow::Ready(Ok(state.record(table, key, self.now()).map(|record| {
            buffer.extend_from_slice(&record.value);
            let Record { version, expires_at, .. } = *record;
            Found { version, expires_at, value: buffer }
        })))
    }

    async fn read(
        &self,
        table: &str,
        key: &[u8],
        freshness: Freshness,
    ) -> Result<Option<Record>, EngineError> {
        self.asked.lock().unwrap().push(freshness);
        self.disk().await;
        Ok(self.state.lock().unwrap().record_as_of(freshness, table, key, self.now()))
    }

    fn find_now(
        &self,
        table: &str,
        key: &[u8],
        _: &mut Vec<u8>,
    ) -> Option<Result<Option<Head>, EngineError>> {
        self.finds.fetch_add(1, Ordering::Relaxed);
        if key.starts_with(b"disk/") {
            return None;
        }
        let state = self.state.lock().unwrap();
        Some(state.check().map(|()| state.record(table, key, self.now()).map(head)))
    }

    async fn find(
        &self,
        table: &str,
        key: &[u8],
        freshness: Freshness,
    ) -> Result<Option<Head>, EngineError> {
        self.asked.lock().unwrap().push(freshness);
        self.disk().await;
        let record = self.state.lock().unwrap().record_as_of(freshness, table, key, self.now());
        Ok(record.as_ref().map(head))
    }

    async fn scan(&self, table: &str, scan: &Scan) -> Result<ScanPage, EngineError> {
        self.asked.lock().unwrap().push(scan.freshness);
        self.disk().await;
        let state = self.state.lock().unwrap();
        state.check()?;
        let Some(table) = state.tables.get(table) else {
            return Ok(ScanPage::default());
        };
        let latest = state.as_of(scan.freshness);
        let at = match state.pins {
            Pins::Always => Some(scan.at.map_or(latest, Version::get)),
            Pins::Never => None,
        };
        if at.is_some_and(|at| at < table.forgotten) {
            return Err(EngineError::ScanExpired);
        }
        let standing = table.records_at(at.unwrap_or(latest));
        let mut records = standing.range((scan.from.clone(), scan.to.clone()));
        let mut next = || match scan.order {
            Order::Ascending => records.next(),
            Order::Descending => records.next_back(),
        };
        let (mut shown, mut bytes, mut last) = (Vec::new(), 0, None);
        while let Some((key, record)) = next() {
            bytes += key.len() + record.value.len();
            let is_full = shown.len() == scan.limits.records || bytes > scan.limits.bytes;
            if is_full && !shown.is_empty() {
                last = shown.last().map(|(key, _): &(&Bytes, _)| (*key).clone());
                break;
            }
            shown.push((key, record));
        }
        let mut page = ScanPage::of_bytes(Vec::new(), shown.len(), last);
        for (key, record) in shown {
            let value = match scan.detail {
                ScanDetail::Keys => &[][..],
                ScanDetail::Records => &record.value,
            };
            page.push(key, value, record.version, record.expires_at);
        }
        Ok(match at.and_then(Version::new) {
            Some(at) => page.standing_at(at),
            None => page,
        })
    }

    async fn changes(
        &self,
        table: &str,
        since: Position,
        limits: PageLimits,
    ) -> Result<Changes, EngineError> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        self.disk().await;
        let changes = self.changes_now(table, since, limits);
        // Others go on before the answer comes, as they do beside a disk.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        changes
    }

    async fn changed(&self, table: &str, since: Position) {
        let is_behind = |()| self.state.lock().unwrap().position(table) != since;
        self.published.subscribe().wait_for(|()| is_behind(())).await.unwrap();
    }

    async fn write(&self, table: &TableName, writes: Vec<Write>) -> Vec<WriteResult> {
        self.state.lock().unwrap().batches.push((table.to_string(), writes.len()));
        self.disk().await;
        let results = {
            let mut state = self.state.lock().unwrap();
            let write = |write| state.write(table.as_str(), write, self.now());
            writes.into_iter().map(write).collect()
        };
        self.published.send_replace(());
        results
    }

    async fn create_table(&self, table: &TableName) -> Result<bool, EngineError> {
        self.disk().await;
        let mut state = self.state.lock().unwrap();
        state.check()?;
        let is_new = !state.tables.contains_key(table.as_str());
        state.table(table.as_str());
        Ok(is_new)
    }

    async fn drop_table(&self, table: &TableName) -> Result<bool, EngineError> {
        self.disk().await;
        let dropped = {
            let mut state = self.state.lock().unwrap();
            state.check()?;
            state.tables.remove(table.as_str()).is_some()
        };
        self.published.send_replace(());
        Ok(dropped)
    }

    async fn tables(&self) -> Result<Vec<TableName>, EngineError> {
        let state = self.state.lock().unwrap();
        state.check()?;
        Ok(state.tables.keys().map(|name| TableName::parse(name).unwrap()).collect())
    }

    async fn table_statistics(&self, table: &str) -> Result<Option<TableStatistics>, EngineError> {
        let state = self.state.lock().unwrap();
        state.check()?;
        let Some(table) = state.tables.get(table) else {
            return Ok(None);
        };
        let bytes = table.records.iter().map(|(key, record)| key.len() + record.value.len());
        Ok(Some(TableStatistics {
            keys: table.records.len() as u64,
            live_bytes: bytes.sum::<usize>() as u64,
            dead_bytes: 0,
            segments: 0,
            disk_bytes: 0,
            last_version: Version::new(table.version),
            incarnation: table.incarnation,
            stopped: state.stopped.clone(),
        }))
    }

    async fn close(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

fn head(record: &Record) -> Head {
    Head { version: record.version, expires_at: record.expires_at }
}

impl Table {
    /// What stood at a version, as far as it is not forgotten.
    fn records_at(&self, version: u64) -> BTreeMap<Bytes, Record> {
        if version >= self.version {
            return self.records.clone();
        }
        let mut records = BTreeMap::new();
        for (_, key, record) in self.history.iter().take_while(|(made, ..)| *made <= version) {
            match record {
                Some(record) => drop(records.insert(key.clone(), record.clone())),
                None => drop(records.remove(key)),
            }
        }
        records
    }
}

impl State {
    /// As of which version something this fresh is read.
    fn as_of(&self, freshness: Freshness) -> u64 {
        match freshness {
            Freshness::Latest => self.version,
            Freshness::Stale => self.old.unwrap_or(self.version),
        }
    }

    fn record_as_of(
        &self,
        freshness: Freshness,
        table: &str,
        key: &[u8],
        now: u64,
    ) -> Option<Record> {
        let records = self.tables.get(table)?.records_at(self.as_of(freshness));
        let record = records.get(key)?;
        record.expires_at.is_none_or(|end| end.get() > now).then(|| record.clone())
    }

    fn check(&self) -> Result<(), EngineError> {
        self.fail.clone().map_or(Ok(()), Err)
    }

    /// The table of this name, which is made if there is none.
    fn table(&mut self, name: &str) -> &mut Table {
        self.tables.entry(name.to_owned()).or_insert_with(|| {
            self.made += 1;
            Table {
                incarnation: self.made,
                version: self.version,
                forgotten: self.version,
                ..Table::default()
            }
        })
    }

    fn position(&self, table: &str) -> Position {
        let table = self.tables.get(table);
        Position {
            incarnation: table.map(|table| table.incarnation),
            version: table.map_or(0, |table| table.version),
        }
    }

    fn record(&self, table: &str, key: &[u8], now: u64) -> Option<&Record> {
        let record = self.tables.get(table)?.records.get(key)?;
        record.expires_at.is_none_or(|end| end.get() > now).then_some(record)
    }

    fn write(&mut self, name: &str, write: Write, now: u64) -> WriteResult {
        self.check()?;
        let version = Version::new(self.version + 1).unwrap();
        let (mut before, mut counters, mut effects) = (Vec::new(), Vec::new(), Vec::new());
        for (place, Change { key, condition, action }) in write.changes.into_iter().enumerate() {
            let current = self.record(name, &key, now).cloned();
            let standing = current.as_ref().map(|record| record.version);
            let holds = match condition {
                Condition::Any => true,
                Condition::Absent => standing.is_none(),
                Condition::Present => standing.is_some(),
                Condition::Version(wanted) => standing == Some(wanted),
            };
            if !holds {
                return Ok(Written::Conflict { change: place, current: standing });
            }
            let record = |value, expires_at| Some(Record { version, expires_at, value });
            match (action, &current) {
                (Action::Set { value, expires_at }, _) => {
                    effects.push((key, record(value, expires_at)));
                }
                (Action::Delete, Some(_)) => effects.push((key, None)),
                (Action::Expire { at }, Some(current)) => {
                    effects.push((key, record(current.value.clone(), at)));
                }
                (Action::Delete | Action::Expire { .. }, None) | (Action::Check, _) => {}
                (Action::Increment { by }, current) => {
                    let not = EngineError::NotAnInteger { table: name.to_owned() };
                    let stored = current.as_ref().map_or(&b"0"[..], |record| &record.value);
                    let number: Option<i64> =
                        std::str::from_utf8(stored).ok().and_then(|it| it.parse().ok());
                    let after = number
                        .ok_or(not)?
                        .checked_add(by)
                        .ok_or_else(|| EngineError::Overflow { table: name.to_owned() })?;
                    counters.push(after);
                    let expires_at = current.as_ref().and_then(|record| record.expires_at);
                    effects.push((key, record(after.to_string().into(), expires_at)));
                }
            }
            before.push(match (current, write.before) {
                (None, _) => Before::Absent,
                (Some(_), BeforeDetail::Presence) => Before::Present,
                (Some(record), BeforeDetail::Record) => Before::Record(record),
            });
        }
        let version = (!effects.is_empty()).then_some(version);
        if let Some(version) = version {
            let table = self.table(name);
            table.version = version.get();
            for (key, record) in effects {
                table.history.push((version.get(), key.clone(), record.clone()));
                match record {
                    Some(record) => drop(table.records.insert(key, record)),
                    None => drop(table.records.remove(&key)),
                }
            }
            self.version = version.get();
        }
        Ok(Written::Applied { version, before: before.into(), counters })
    }
}
