//! Which tables there are: their names, their ids, and what a write to one is bound to.
//!
//! What is known here may be old: whoever reads or writes has etcd check it in the same transaction,
//! and says here what it has found instead. Next file to read: `write`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use etcd_client::{Compare, CompareOp, GetOptions, TxnOp};
use kvsd::{TableName, Version};
use tokio::time::Instant;

use super::error::Fault;
use super::layout::{KeyRange, Layout, TableEntry};
use super::link::{Ask, Failed, Link};
use super::once::{Room, once};
use super::reply;
use crate::engine::{EngineError, Freshness, TableStatistics};

/// A table as it was when it was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableRef {
    /// Which of the tables that have had the name it is.
    pub(crate) id: u64,
    /// The revision that made it: as long as the table's key has this one, it is the same table.
    pub(crate) created: i64,
}

/// What is known of the tables. Never the truth, which is in etcd.
#[derive(Debug)]
pub(crate) struct Directory {
    link: Arc<Link>,
    layout: Layout,
    max_tables: usize,
    known: Mutex<HashMap<String, TableRef>>,
}

impl Directory {
    pub(crate) fn new(link: Arc<Link>, layout: Layout, max_tables: usize) -> Self {
        Self { link, layout, max_tables, known: Mutex::default() }
    }

    /// The table of a name, as it was last seen; `None` also if it was never looked for.
    pub(crate) fn guess(&self, name: &str) -> Option<TableRef> {
        self.known().get(name).copied()
    }

    /// The table of a name, as it was last seen, or else as it is. `None` if there is none now.
    pub(crate) async fn find(
        &self,
        name: &str,
        freshness: Freshness,
    ) -> Result<Option<TableRef>, Failed> {
        let known = self.guess(name);
        if known.is_some() { Ok(known) } else { self.look(name, freshness).await }
    }

    /// The table of a name, as it is.
    pub(crate) async fn look(
        &self,
        name: &str,
        freshness: Freshness,
    ) -> Result<Option<TableRef>, Failed> {
        let ask = freshness.ask();
        let options = match ask {
            Ask::Led => GetOptions::new(),
            Ask::Any => GetOptions::new().with_serializable(),
        };
        let gets = vec![TxnOp::get(self.layout.table(name), Some(options))];
        let found = reply::read(&self.link, self.link.deadline(), ask, gets).await?;
        let kv = found.ranges.first().and_then(|range| range.kvs.first());
        let table = reply::table_of(name, kv).map_err(|error| Failed {
            fault: Fault::Other { endpoint: "etcd".to_owned(), cause: error.to_string() },
            in_doubt: false,
        })?;
        if freshness == Freshness::Latest {
            self.learn(name, table);
        }
        Ok(table)
    }

    /// Learns what stands at a name, from a read that was not stale, or from a write.
    pub(crate) fn learn(&self, name: &str, table: Option<TableRef>) {
        match table {
            Some(table) => drop(self.known().insert(name.to_owned(), table)),
            None => self.forget(name),
        }
    }

    /// Forgets a table that is not what it was.
    pub(crate) fn forget(&self, name: &str) {
        self.known().remove(name);
    }

    /// As [`crate::engine::Engine::create_table`].
    pub(crate) async fn create(&self, name: &TableName) -> Result<bool, EngineError> {
        let deadline = self.link.deadline();
        if self
            .look(name.as_str(), Freshness::Latest)
            .await
            .map_err(|failed| failed.fault)?
            .is_some()
        {
            return Ok(false);
        }
        if self.count(deadline).await? >= self.max_tables {
            return Err(EngineError::TooManyTables { limit: self.max_tables });
        }
        let key = self.layout.table(name.as_str());
        let is_none = Compare::create_revision(key.as_slice(), CompareOp::Equal, 0);
        let put = TxnOp::put(key, TableEntry { id: random()? }.encode(), None);
        let (when, then) = (vec![is_none], vec![put]);
        let made = once(&self.link, &self.layout, deadline, Room::Takes, when, then).await;
        made.map_err(outcome)
    }

    /// As [`crate::engine::Engine::drop_table`]. The records go later.
    pub(crate) async fn drop_table(&self, name: &TableName) -> Result<bool, EngineError> {
        let deadline = self.link.deadline();
        let key = self.layout.table(name.as_str());
        let look = self.look(name.as_str(), Freshness::Latest).await;
        let Some(table) = look.map_err(|failed| failed.fault)? else {
            return Ok(false);
        };
        let is_same = Compare::create_revision(key.as_slice(), CompareOp::Equal, table.created);
        let delete = TxnOp::delete(key, None);
        let garbage = TxnOp::put(self.layout.garbage(table.id), "", None);
        let (when, then) = (vec![is_same], vec![delete, garbage]);
        let dropped = once(&self.link, &self.layout, deadline, Room::Frees, when, then).await;
        self.forget(name.as_str());
        dropped.map_err(outcome)
    }

    /// As [`crate::engine::Engine::tables`].
    pub(crate) async fn names(&self) -> Result<Vec<TableName>, EngineError> {
        let KeyRange { start, end } = self.layout.tables();
        let gets =
            vec![TxnOp::get(start, Some(GetOptions::new().with_range(end).with_keys_only()))];
        let found = reply::read(&self.link, self.link.deadline(), Ask::Led, gets).await;
        let found = found.map_err(|failed| failed.fault)?;
        let keys = found.ranges.iter().flat_map(|range| &range.kvs).map(|kv| &kv.key);
        keys.map(|key| {
            let name = self.layout.table_of(key).and_then(|name| TableName::parse(name).ok());
            name.ok_or_else(|| reply::foreign("?", "the name of a table"))
        })
        .collect()
    }

    /// As [`crate::engine::Engine::table_statistics`]. etcd counts keys, but not their bytes, and
    /// keeps one version for all tables: what it does not know is 0.
    pub(crate) async fn statistics(
        &self,
        name: &str,
    ) -> Result<Option<TableStatistics>, EngineError> {
        let deadline = self.link.deadline();
        loop {
            let found = self.find(name, Freshness::Latest).await;
            let Some(table) = found.map_err(|failed| failed.fault)? else {
                return Ok(None);
            };
            let all = std::ops::Bound::Unbounded;
            let KeyRange { start, end } = self.layout.records(table.id, all, all);
            let count = GetOptions::new().with_range(end).with_count_only();
            let gets =
                vec![TxnOp::get(self.layout.table(name), None), TxnOp::get(start, Some(count))];
            let found = reply::read(&self.link, deadline, Ask::Led, gets).await;
            let found = found.map_err(|failed| failed.fault)?;
            let entry = found.ranges.first().and_then(|range| range.kvs.first());
            let stands = reply::table_of(name, entry)?;
            if stands != Some(table) {
                self.learn(name, stands);
                continue;
            }
            let keys = found.ranges.get(1).map_or(0, |range| range.count);
            return Ok(Some(TableStatistics {
                keys: u64::try_from(keys).unwrap_or(0),
                live_bytes: 0,
                dead_bytes: 0,
                segments: 0,
                disk_bytes: 0,
                last_version: u64::try_from(found.revision).ok().and_then(Version::new),
                incarnation: table.id,
                stopped: None,
            }));
        }
    }

    async fn count(&self, deadline: Instant) -> Result<usize, EngineError> {
        let KeyRange { start, end } = self.layout.tables();
        let count = GetOptions::new().with_range(end).with_count_only();
        let gets = vec![TxnOp::get(start, Some(count))];
        let found = reply::read(&self.link, deadline, Ask::Led, gets).await;
        let found = found.map_err(|failed| failed.fault)?;
        let count = found.ranges.first().map_or(0, |range| range.count);
        Ok(usize::try_from(count).unwrap_or(0))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, TableRef>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a change of the tables ends with that has no answer.
fn outcome(failed: Failed) -> EngineError {
    if failed.in_doubt {
        EngineError::UnknownOutcome { cause: failed.fault.to_string() }
    } else {
        failed.fault.into()
    }
}

fn random() -> Result<u64, EngineError> {
    getrandom::u64().map_err(|error| EngineError::Io {
        context: "cannot draw a random number".to_owned(),
        cause: error.to_string(),
    })
}
