//! Opening all tables of a store, on several threads.
//!
//! Next file to read: [`super::tables`].

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use kvsd::TableName;

use super::storage::catalog::CatalogEntry;
use super::storage::error::StorageError;
use super::storage::repair::Recovery;
use super::storage::store::Store;
use super::storage::writer::Writer;

/// How far the opening of a folder is, for whoever else looks.
#[derive(Debug, Default)]
pub struct OpenProgress {
    opened: AtomicUsize,
    tables: AtomicUsize,
}

impl OpenProgress {
    /// How many tables are open, and how many there are; at first that is not known, and both are
    /// zero.
    #[must_use]
    pub fn get(&self) -> (usize, usize) {
        let opened = self.opened.load(Ordering::Relaxed);
        (opened, self.tables.load(Ordering::Relaxed).max(opened))
    }
}

type Opened = Result<(Writer, Option<Recovery>), StorageError>;

/// Opens every table of a store, and tells of those that were not closed cleanly. Blocks while it
/// does. Of several tables that do not open, the error is that of the lowest id.
pub(super) fn open_tables(
    store: &Store,
    progress: &OpenProgress,
) -> Result<Vec<(TableName, Writer)>, StorageError> {
    let mut opened = open_side_by_side(store, progress);
    opened.sort_unstable_by_key(|(entry, _)| entry.id);
    let open = |(entry, opened): (&CatalogEntry, Opened)| {
        let (writer, recovery) = opened?;
        if let Some(recovery) = recovery {
            tell(&entry.name, &recovery);
        }
        Ok((entry.name.clone(), writer))
    };
    opened.into_iter().map(open).collect()
}

/// After an error no further table is begun, but those before it are.
fn open_side_by_side<'s>(
    store: &'s Store,
    progress: &OpenProgress,
) -> Vec<(&'s CatalogEntry, Opened)> {
    let tables = store.tables();
    progress.tables.store(tables.len(), Ordering::Relaxed);
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let open_some = || {
        let mut opened = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            // Tables stand in the order of their ids, and are begun in it.
            let Some(entry) = tables.get(next.fetch_add(1, Ordering::Relaxed)) else {
                break;
            };
            let result = store.open_table(entry);
            progress.opened.fetch_add(1, Ordering::Relaxed);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            opened.push((entry, result));
        }
        opened
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let threads = processors.min(MOST_THREADS).min(tables.len());
    thread::scope(|scope| {
        let spawn = |_| {
            let thread = thread::Builder::new().name("kvsd-open".into());
            // Without another thread this one does it all.
            thread.spawn_scoped(scope, open_some).ok()
        };
        let others: Vec<_> = (1..threads).filter_map(spawn).collect();
        let mut opened = open_some();
        for other in others {
            match other.join() {
                Ok(more) => opened.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        opened
    })
}

fn tell(table: &TableName, recovery: &Recovery) {
    match recovery {
        Recovery { kept_in: Some(file), torn_bytes } => {
            let file = file.display();
            tracing::warn!(
                %table, torn_bytes, %file,
                "recovered a table that was not closed; a write that was torn is kept aside"
            );
        }
        Recovery { kept_in: None, .. } => {
            tracing::info!(%table, "recovered a table that was not closed; nothing was torn");
        }
    }
}

/// The most threads that open tables.
const MOST_THREADS: usize = 8;
