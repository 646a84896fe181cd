//! kvsd's log engine in this process, through the seam that sessions use.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use kvsd::TableName;
use kvsd_server::engine::{
    Action, BeforeDetail, Change, Condition, Engine, Freshness, Order, PageLimits, ReadNow, Scan,
    ScanDetail, Write, WriteResult, Written,
};
use kvsd_server::log::{LogConfig, LogEngine};
use tokio::runtime::{Handle, Runtime};

use crate::Error;
use crate::data::{Data, Key, key};

/// An open engine with one table; dropping the last handle closes it.
#[derive(Debug, Clone)]
pub(crate) struct OpenEngine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    runtime: Handle,
    engine: LogEngine,
    table: TableName,
}

impl OpenEngine {
    /// Opens an engine with its default settings on a folder.
    pub(crate) fn open(runtime: &Runtime, folder: &Path) -> Result<Self, Error> {
        Self::with_cache(runtime, folder, LogConfig::DEFAULT_CACHE_BYTES)
    }

    /// Opens an engine with a cache of so many bytes on a folder.
    pub(crate) fn with_cache(
        runtime: &Runtime,
        folder: &Path,
        cache_bytes: usize,
    ) -> Result<Self, Error> {
        let _guard = runtime.enter();
        let engine = LogEngine::open(LogConfig { cache_bytes, ..LogConfig::new(folder) })?;
        let (runtime, table) = (runtime.handle().clone(), TableName::parse("bench")?);
        Ok(Self(Arc::new(Inner { runtime, engine, table })))
    }

    /// The runtime that the engine's tasks belong to.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// Writes these keys as run number `revision`, many at a time.
    pub(crate) fn fill(&self, data: &Data, revision: u32, keys: &[usize]) -> Result<(), Error> {
        let step = (FILL_BYTES / data.record_bytes()).max(1);
        keys.chunks(step).try_for_each(|part| {
            self.runtime().block_on(self.set(data, revision, part.iter().copied()))
        })
    }

    /// Writes these keys as run number `revision`, each of them on its own, and waits for all.
    pub(crate) async fn set(
        &self,
        data: &Data,
        revision: u32,
        keys: impl Iterator<Item = usize>,
    ) -> Result<(), Error> {
        let writes = keys.map(|at| write(data, at, revision)).collect();
        check(self.0.engine.write(&self.0.table, writes).await)
    }

    /// Reads a key as a session does: at once, or else by waiting for the disk. Says whether there
    /// is one.
    pub(crate) async fn get(
        &self,
        key: &Key,
        buffer: &mut Vec<u8>,
        check: impl Fn(&[u8]) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        if let Some(found) = self.get_now(key, buffer, &check) {
            return found;
        }
        let found = self.0.engine.read(self.0.table.as_str(), key, Freshness::Latest).await?;
        Ok(found.map(|record| check(&record.value)).transpose()?.is_some())
    }

    /// Reads a key unless only the disk knows it.
    pub(crate) fn get_now(
        &self,
        key: &Key,
        buffer: &mut Vec<u8>,
        check: impl Fn(&[u8]) -> Result<(), Error>,
    ) -> Option<Result<bool, Error>> {
        let found = match self.0.engine.read_now(self.0.table.as_str(), key, buffer) {
            ReadNow::Ready(found) => found,
            ReadNow::WouldBlock => return None,
        };
        Some(match found {
            Ok(Some(found)) => check(found.value).map(|()| true),
            Ok(None) => Ok(false),
            Err(error) => Err(error.into()),
        })
    }

    /// Hands all records on, in the order of their keys, a page after the other.
    pub(crate) async fn scan(
        &self,
        detail: ScanDetail,
        mut take: impl FnMut(&[u8], &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let limits = PageLimits { records: PAGE_RECORDS, bytes: PAGE_BYTES };
        let mut from = Bound::Unbounded;
        loop {
            let order = Order::Ascending;
            let to = Bound::Unbounded;
            let freshness = Freshness::Latest;
            let scan = Scan { from, to, order, detail, limits, freshness, at: None };
            let page = self.0.engine.scan(self.0.table.as_str(), &scan).await?;
            page.iter().try_for_each(|entry| take(entry.key, entry.value))?;
            match page.next() {
                Some(next) => from = Bound::Excluded(next.clone()),
                None => return Ok(()),
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // What cannot be closed well is removed all the same.
        let _ = self.runtime.block_on(self.engine.close());
    }
}

/// A plain set of a record.
fn write(data: &Data, at: usize, revision: u32) -> Write {
    let value = Bytes::from(data.value(at, revision));
    let change = Change {
        key: Bytes::copy_from_slice(&key(at)),
        condition: Condition::Any,
        action: Action::Set { value, expires_at: None },
    };
    Write { changes: [change].into(), before: BeforeDetail::Presence }
}

/// Checks that all writes of an answer happened.
fn check(results: Vec<WriteResult>) -> Result<(), Error> {
    for result in results {
        if let Written::Conflict { .. } = result? {
            return Err("a write without a condition met a conflict".into());
        }
    }
    Ok(())
}

/// How much is written at once where only the result matters.
const FILL_BYTES: usize = 1 << 20;
/// How much a page of a scan holds.
const PAGE_RECORDS: usize = 1024;
const PAGE_BYTES: usize = 1 << 20;
