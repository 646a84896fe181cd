//! An engine in a map, whose answers a test can hold back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use kvsd::{TableName, UnixMillis, Version};
use tokio::sync::watch;

use crate::engine::{
    Action, Before, BeforeDetail, Changes, Condition, Description, Engine, EngineError, Found,
    PageLimits, Position, ReadNow, Record, Scan, ScanPage, TableStatistics, Write, WriteResult,
    Written,
};

#[derive(Debug)]
pub(super) struct MapEngine {
    state: Mutex<State>,
    /// While this is false, writes and reads "from the disk" wait.
    open: watch::Sender<bool>,
    pub(super) reads: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    records: HashMap<(String, Vec<u8>), Record>,
    /// Each table's incarnation.
    tables: BTreeMap<String, u64>,
    /// How many tables there have been.
    made: u64,
    version: u64,
    /// The table and size of each batch, as they came.
    batches: Vec<(String, usize)>,
    fail: Option<EngineError>,
}

impl Default for MapEngine {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            open: watch::Sender::new(true),
            reads: AtomicUsize::default(),
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

    /// Waits until somebody waits for the disk.
    pub(super) async fn is_waited_for(&self) {
        while self.open.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// From now on everything fails.
    pub(super) fn fail(&self, error: EngineError) {
        self.state.lock().unwrap().fail = Some(error);
    }

    pub(super) fn batches(&self) -> Vec<(String, usize)> {
        self.state.lock().unwrap().batches.clone()
    }

    pub(super) fn put(&self, table: &str, key: &[u8], value: Vec<u8>) {
        self.state.lock().unwrap().set(table, key, Bytes::from(value), None);
    }

    pub(super) fn value(&self, table: &str, key: &[u8]) -> Option<Bytes> {
        let state = self.state.lock().unwrap();
        state.records.get(&place(table, key)).map(|record| record.value.clone())
    }

    async fn disk(&self) {
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
    }
}

#[async_trait]
impl Engine for MapEngine {
    fn description(&self) -> Description {
        Description { name: "map", durability: "never" }
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
        ReadNow::Ready(Ok(state.records.get(&place(table, key)).map(|record| {
            buffer.extend_from_slice(&record.value);
            let Record { version, expires_at, .. } = *record;
            Found { version, expires_at, value: buffer }
        })))
    }

    async fn read(&self, table: &str, key: &[u8]) -> Result<Option<Record>, EngineError> {
        self.disk().await;
        Ok(self.state.lock().unwrap().records.get(&place(table, key)).cloned())
    }

    async fn scan(&self, _: &str, _: &Scan) -> Result<ScanPage, EngineError> {
        unreachable!("no session scans")
    }

    async fn changes(&self, _: &str, _: Position, _: PageLimits) -> Result<Changes, EngineError> {
        unreachable!("no session watches")
    }

    async fn changed(&self, _: &str, _: Position) {
        unreachable!("no session watches")
    }

    async fn write(&self, table: &TableName, writes: Vec<Write>) -> Vec<WriteResult> {
        self.state.lock().unwrap().batches.push((table.to_string(), writes.len()));
        self.disk().await;
        let mut state = self.state.lock().unwrap();
        writes.into_iter().map(|write| state.write(table.as_str(), write)).collect()
    }

    async fn create_table(&self, table: &TableName) -> Result<bool, EngineError> {
        self.disk().await;
        let mut state = self.state.lock().unwrap();
        state.check()?;
        Ok(state.make(table.as_str()))
    }

    async fn drop_table(&self, table: &TableName) -> Result<bool, EngineError> {
        self.disk().await;
        let mut state = self.state.lock().unwrap();
        state.check()?;
        state.records.retain(|(of, _), _| of != table.as_str());
        Ok(state.tables.remove(table.as_str()).is_some())
    }

    async fn tables(&self) -> Result<Vec<TableName>, EngineError> {
        let state = self.state.lock().unwrap();
        state.check()?;
        Ok(state.tables.keys().map(|name| TableName::parse(name).unwrap()).collect())
    }

    async fn table_statistics(&self, table: &str) -> Result<Option<TableStatistics>, EngineError> {
        let state = self.state.lock().unwrap();
        state.check()?;
        let Some(incarnation) = state.tables.get(table) else {
            return Ok(None);
        };
        let records = state.records.iter().filter(|((of, _), _)| of == table);
        let bytes = records.clone().map(|((_, key), record)| key.len() + record.value.len());
        Ok(Some(TableStatistics {
            keys: records.clone().count() as u64,
            live_bytes: bytes.sum::<usize>() as u64,
            dead_bytes: 0,
            segments: 0,
            disk_bytes: 0,
            last_version: Version::new(state.version),
            incarnation: *incarnation,
            stopped: None,
        }))
    }

    async fn close(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

impl State {
    fn check(&self) -> Result<(), EngineError> {
        self.fail.clone().map_or(Ok(()), Err)
    }

    /// Makes a table, unless there is one.
    fn make(&mut self, table: &str) -> bool {
        let is_new = !self.tables.contains_key(table);
        if is_new {
            self.made += 1;
            self.tables.insert(table.to_owned(), self.made);
        }
        is_new
    }

    fn write(&mut self, table: &str, write: Write) -> WriteResult {
        self.check()?;
        let mut counters = Vec::new();
        let [change] = <[_; 1]>::try_from(write.changes).unwrap();
        let current = self.records.get(&place(table, &change.key)).cloned();
        let version = current.as_ref().map(|record| record.version);
        let holds = match change.condition {
            Condition::Any => true,
            Condition::Absent => version.is_none(),
            Condition::Present => version.is_some(),
            Condition::Version(wanted) => version == Some(wanted),
        };
        if !holds {
            return Ok(Written::Conflict { change: 0, current: version });
        }
        let version = match change.action {
            Action::Set { value, expires_at } => {
                Some(self.set(table, &change.key, value, expires_at))
            }
            Action::Delete => current.as_ref().map(|_| {
                self.records.remove(&place(table, &change.key));
                self.next_version()
            }),
            Action::Increment { by } => {
                let not = || EngineError::NotAnInteger { table: table.to_owned() };
                let stored = current.as_ref().map(|record| record.value.clone());
                let before = match stored {
                    Some(value) => std::str::from_utf8(&value).map_err(|_| not())?.parse(),
                    None => Ok(0_i64),
                };
                let after = before
                    .map_err(|_| not())?
                    .checked_add(by)
                    .ok_or_else(|| EngineError::Overflow { table: table.to_owned() })?;
                counters.push(after);
                let expires_at = current.as_ref().and_then(|record| record.expires_at);
                Some(self.set(table, &change.key, after.to_string().into(), expires_at))
            }
            Action::Expire { at } => current
                .as_ref()
                .map(|record| record.value.clone())
                .map(|value| self.set(table, &change.key, value, at)),
        };
        let before = match (current, write.before) {
            (None, _) => Before::Absent,
            (Some(_), BeforeDetail::Presence) => Before::Present,
            (Some(record), BeforeDetail::Record) => Before::Record(record),
        };
        Ok(Written::Applied { version, before: vec![before], counters })
    }

    fn set(
        &mut self,
        table: &str,
        key: &[u8],
        value: Bytes,
        expires_at: Option<UnixMillis>,
    ) -> Version {
        let version = self.next_version();
        self.make(table);
        self.records.insert(place(table, key), Record { version, expires_at, value });
        version
    }

    fn next_version(&mut self) -> Version {
        self.version += 1;
        Version::new(self.version).unwrap()
    }
}

fn place(table: &str, key: &[u8]) -> (String, Vec<u8>) {
    (table.to_owned(), key.to_vec())
}
