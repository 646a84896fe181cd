//! Which tables are open, by name; making them and dropping them.
//!
//! A drop first takes the table out of the catalog: from then on it is gone, for readers as after a
//! crash. Then its actor ends and hands back the writes that it has not carried out, which find
//! another table or make one; then its files go.
//!
//! Next file to read: [`super::firsts`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use kvsd::{TableName, UnixMillis};
use tokio::sync::Notify;

use super::actor::Shared;
use super::clock::Clock;
use super::config::LogConfig;
use super::convert::{in_table, with_cause};
use super::error::OpenError;
use super::opening::open_tables;
use super::pool::Lost;
#[cfg(test)]
use super::pool::Pool;
use super::storage::store::{Remains, Store};
use super::storage::writer::WriteError;
use super::table::Table;
use crate::engine::{EngineError, Figures, TableFigures};

/// The open tables; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Tables {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Another map after each change, so that readers write nothing that others read.
    open: ArcSwap<HashMap<TableName, Arc<Table>>>,
    /// Gone once the engine is closed. Its lock is held while a table is made or forgotten: nobody
    /// else changes `open` meanwhile, and nobody does later.
    store: Mutex<Option<Store>>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    runtime: tokio::runtime::Handle,
    most: usize,
    /// A table was made: notifies those who wait for one that is not there.
    made: Notify,
    /// Read while a table is dropped; closing waits for that.
    drops: tokio::sync::RwLock<()>,
}

impl Tables {
    /// Opens every table of a store.
    pub(super) fn open(
        store: Store,
        shared: Arc<Shared>,
        config: &LogConfig,
        runtime: tokio::runtime::Handle,
    ) -> Result<Self, OpenError> {
        let (clock, most) = (Arc::clone(&config.clock), config.max_tables);
        let writers = open_tables(&store, &config.progress).map_err(OpenError::from_storage)?;
        let start = |(name, writer)| {
            let table = Table::start(&runtime, &shared, &name, &clock, (writer, store.lock()));
            (name, Arc::new(table))
        };
        let open = ArcSwap::from_pointee(writers.into_iter().map(start).collect());
        let store = Mutex::new(Some(store));
        let drops = tokio::sync::RwLock::default();
        let made = Notify::new();
        let inner = Inner { open, store, shared, clock, runtime, most, made, drops };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// A table that is open.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Table>> {
        self.inner.open.load().get(name).cloned()
    }

    /// Looks at a table that is open, for as long as that takes at once.
    pub(super) fn look<T>(&self, name: &str, look: impl FnOnce(&Table) -> T) -> Option<T> {
        self.inner.open.load().get(name).map(|table| look(table))
    }

    /// The time that expiry in a table goes by, or would go by if it were there.
    pub(super) fn time(&self, name: &str) -> UnixMillis {
        self.find(name).map_or_else(|| self.inner.clock.now(), |table| table.time())
    }

    /// A table that is open or is made now.
    pub(super) async fn find_or_create(&self, name: &TableName) -> Result<Arc<Table>, EngineError> {
        match self.find(name.as_str()) {
            Some(table) => Ok(table),
            None => self.create(name).await.map(|(table, _)| table),
        }
    }

    /// Makes a table, unless there is one; says which.
    pub(super) async fn create(
        &self,
        name: &TableName,
    ) -> Result<(Arc<Table>, Found), EngineError> {
        let inner = Arc::clone(&self.inner);
        let name = name.clone();
        // All of it happens over there, so that nothing is half done if the caller goes away.
        let created = self.inner.shared.catalog_pool.run(move || inner.create(&name)).await;
        created.unwrap_or(Err(EngineError::Closed))
    }

    /// Notifies when a table was made.
    pub(super) fn made(&self) -> &Notify {
        &self.inner.made
    }

    /// Wakes whoever waits for any table to change.
    pub(super) fn wake_all(&self) {
        self.all().iter().for_each(|(_, table)| table.published().notify_waiters());
        self.inner.made.notify_waiters();
    }

    /// The names of all tables, in order.
    pub(super) fn names(&self) -> Vec<TableName> {
        let mut names: Vec<TableName> = self.inner.open.load().keys().cloned().collect();
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names
    }

    /// All tables, in the order of their names.
    pub(super) fn all(&self) -> Vec<(TableName, Arc<Table>)> {
        let open = self.inner.open.load();
        let all = open.iter().map(|(name, table)| (name.clone(), Arc::clone(table)));
        let mut all: Vec<_> = all.collect();
        all.sort_unstable_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
        all
    }

    /// How all of them stand, and what their actors have done.
    pub(super) fn figures(&self) -> Figures {
        let counts = &self.inner.shared.counts;
        let mut figures = Figures {
            groups: counts.groups.read(),
            syncs: counts.syncs.read(),
            compaction: counts.compaction(),
            ..Figures::default()
        };
        for (name, table) in self.all() {
            figures.index_bytes += table.index_bytes();
            let (statistics, queued) = (table.statistics(), table.queued());
            figures.tables.push(TableFigures { name, statistics, queued });
        }
        figures
    }

    /// Every table to come has versions above this one; `None` once the engine is closed. Waits for
    /// a table that is being made.
    pub(super) fn version_floor(&self) -> Option<u64> {
        self.inner.store().as_ref().map(Store::version_floor)
    }

    /// How many threads work for the tables now.
    #[cfg(test)]
    pub(super) fn threads(&self) -> usize {
        let Shared { sync_pool, read_pool, chore_pool, catalog_pool, .. } = &*self.inner.shared;
        [sync_pool, read_pool, chore_pool, catalog_pool].map(Pool::threads).iter().sum()
    }

    /// Drops a table; says whether there was one.
    pub(super) async fn drop_table(&self, name: &TableName) -> Result<bool, EngineError> {
        let (tables, name) = (self.clone(), name.clone());
        // A task, so that nothing is half done if the caller goes away.
        let dropped = self.inner.runtime.spawn(async move { tables.drop_now(name).await });
        dropped.await.unwrap_or(Err(EngineError::Closed))
    }

    async fn drop_now(&self, name: TableName) -> Result<bool, EngineError> {
        let _drops = self.inner.drops.read().await;
        let inner = Arc::clone(&self.inner);
        let forgotten = self.inner.shared.catalog_pool.run({
            let name = name.clone();
            move || inner.forget(&name)
        });
        let Some((table, remains)) = forgotten.await.unwrap_or(Err(EngineError::Closed))? else {
            return Ok(false);
        };
        table.leave().await;
        // Lest every file that goes is opened first, for who may still read it.
        drop(table);
        match self.inner.shared.catalog_pool.run(move || remains.remove()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let cause = with_cause(&error);
                tracing::warn!(
                    table = %name, %cause,
                    "files of a dropped table are left; the next start removes them"
                );
            }
            Err(Lost) => tracing::error!(table = %name, "files of a dropped table are left"),
        }
        Ok(true)
    }

    /// Closes every table and lets go of the folder.
    pub(super) async fn close(&self) -> Result<(), EngineError> {
        // Waits for the tables that are being dropped, which need the store, and then for one that
        // is being made.
        let _no_drops = self.inner.drops.write().await;
        let inner = Arc::clone(&self.inner);
        let store = self.inner.shared.catalog_pool.run(move || inner.store().take()).await;
        let open = self.inner.open.swap(Arc::default());
        let closed = join_all(open.values().map(|table| table.close())).await;
        drop(store);
        closed.into_iter().collect()
    }
}

impl Inner {
    fn store(&self) -> MutexGuard<'_, Option<Store>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn create(&self, name: &TableName) -> Result<(Arc<Table>, Found), EngineError> {
        let mut store = self.store();
        let Some(store) = store.as_mut() else {
            return Err(EngineError::Closed);
        };
        // Another caller may have made it while this one waited.
        if let Some(table) = self.open.load().get(name) {
            return Ok((Arc::clone(table), Found::Before));
        }
        if store.tables().len() >= self.most {
            return Err(EngineError::TooManyTables { limit: self.most });
        }
        let writer = store.create_table(name).map_err(|error| in_table(name, &error))?;
        let written = (writer, store.lock());
        let table = Table::start(&self.runtime, &self.shared, name, &self.clock, written);
        let table = Arc::new(table);
        let mut open = HashMap::clone(&self.open.load());
        open.insert(name.clone(), Arc::clone(&table));
        self.open.store(Arc::new(open));
        self.made.notify_waiters();
        Ok((table, Found::Now))
    }

    /// Takes a table out of the catalog and out of everybody's sight.
    fn forget(&self, name: &TableName) -> Result<Option<(Arc<Table>, Remains)>, EngineError> {
        let mut store = self.store();
        let Some(store) = store.as_mut() else {
            return Err(EngineError::Closed);
        };
        let Some(table) = self.open.load().get(name).cloned() else {
            return Ok(None);
        };
        match store.forget_table(name, table.last_version()) {
            Ok(None) => Ok(None),
            Ok(Some(remains)) => {
                table.mark_dropped();
                let mut open = HashMap::clone(&self.open.load());
                open.remove(name);
                self.open.store(Arc::new(open));
                table.published().notify_waiters();
                Ok(Some((table, remains)))
            }
            Err(WriteError::Full) => Err(EngineError::DiskFull),
            Err(WriteError::Refused(error)) => Err(in_table(name, &error)),
            Err(WriteError::Broken(error)) => {
                // After a crash it is there or it is not: what it would acknowledge could be lost.
                let cause = format!("dropping it has failed half way: {}", with_cause(&error));
                table.stop(cause.clone());
                Err(EngineError::UnknownOutcome { cause })
            }
        }
    }
}

/// Since when there is a table that was to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Before,
    Now,
}
