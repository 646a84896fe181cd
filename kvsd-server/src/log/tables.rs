//! Which tables are open, by name; and making one with its first write.
//!
//! Next file to read: [`super::LogEngine`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use futures_util::future::join_all;
use kvsd::TableName;

use super::actor::Shared;
use super::clock::Clock;
use super::convert::in_table;
use super::error::OpenError;
use super::storage::store::Store;
use super::table::Table;
use crate::engine::EngineError;

/// The open tables; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Tables {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    open: RwLock<HashMap<TableName, Arc<Table>>>,
    /// Gone once the engine is closed. Its lock is held while a table is made.
    store: Mutex<Option<Store>>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    runtime: tokio::runtime::Handle,
    most: usize,
}

impl Tables {
    /// Opens every table of a store.
    pub(super) fn open(
        store: Store,
        shared: Arc<Shared>,
        clock: Arc<dyn Clock>,
        runtime: tokio::runtime::Handle,
        most: usize,
    ) -> Result<Self, OpenError> {
        let mut writers = Vec::with_capacity(store.tables().len());
        for entry in store.tables() {
            let writer = store.open_table(entry).map_err(OpenError::from_storage)?;
            writers.push((entry.name.clone(), writer));
        }
        let start = |(name, writer)| {
            let table = Table::start(&runtime, &shared, &name, &clock, (writer, store.lock()));
            (name, Arc::new(table))
        };
        let open = writers.into_iter().map(start).collect();
        let store = Mutex::new(Some(store));
        let open = RwLock::new(open);
        Ok(Self { inner: Arc::new(Inner { open, store, shared, clock, runtime, most }) })
    }

    /// A table that is open.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Table>> {
        self.inner.open.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// A table that is open or is made now.
    pub(super) async fn find_or_create(&self, name: &TableName) -> Result<Arc<Table>, EngineError> {
        if let Some(table) = self.find(name.as_str()) {
            return Ok(table);
        }
        let inner = Arc::clone(&self.inner);
        let name = name.clone();
        // All of it happens over there, so that nothing is half done if the caller goes away.
        let created = self.inner.shared.sync_pool.run(move || inner.create(&name)).await;
        created.unwrap_or(Err(EngineError::Closed))
    }

    /// Closes every table and lets go of the folder.
    pub(super) async fn close(&self) -> Result<(), EngineError> {
        let inner = Arc::clone(&self.inner);
        // Waits for a table that is being made.
        let store = self.inner.shared.sync_pool.run(move || inner.store().take()).await;
        let open =
            std::mem::take(&mut *self.inner.open.write().unwrap_or_else(PoisonError::into_inner));
        let closed = join_all(open.values().map(|table| table.close())).await;
        drop(store);
        closed.into_iter().collect()
    }
}

impl Inner {
    fn store(&self) -> MutexGuard<'_, Option<Store>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn create(&self, name: &TableName) -> Result<Arc<Table>, EngineError> {
        let mut store = self.store();
        let Some(store) = store.as_mut() else {
            return Err(EngineError::Closed);
        };
        // Another caller may have made it while this one waited.
        if let Some(table) = self.open.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(Arc::clone(table));
        }
        if store.tables().len() >= self.most {
            return Err(EngineError::TooManyTables { limit: self.most });
        }
        let writer = store.create_table(name).map_err(|error| in_table(name, &error))?;
        let written = (writer, store.lock());
        let table = Table::start(&self.runtime, &self.shared, name, &self.clock, written);
        let table = Arc::new(table);
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.insert(name.clone(), Arc::clone(&table));
        Ok(table)
    }
}
