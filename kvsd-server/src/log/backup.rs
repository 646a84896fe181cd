//! Making a backup while the tables are served.
//!
//! One backup at a time, one table after the other: its actor seals and pins what was written
//! ([`super::actor`]), which holds up writes as a rotation does, and a thread of its own does the
//! rest ([`super::storage::backup`]). A table that is dropped before its turn is left out; one that
//! is made meanwhile is not looked for. Closing the engine ends a backup that is being made.
//!
//! Next file to read: [`super::LogEngine`].

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::convert::with_cause;
use super::pool::Pool;
use super::storage::backup::{Building, NotBegun};
use super::storage::disk::Disk;
use super::storage::error::StorageError;
use super::tables::Tables;
use crate::engine::{BackupError, BackupName, BackupProgress, BackupSummary, EngineError};

/// What makes backups; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Backups {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    disk: Arc<dyn Disk>,
    folder: Option<PathBuf>,
    tables: Tables,
    pool: Pool,
    runtime: tokio::runtime::Handle,
    /// Held by the backup that is being made.
    turn: Arc<tokio::sync::Mutex<()>>,
    closed: AtomicBool,
}

impl Backups {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        folder: Option<PathBuf>,
        tables: Tables,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        let pool = Pool::new("kvsd-backup", 1);
        let (turn, closed) = (Arc::default(), AtomicBool::new(false));
        Self { inner: Arc::new(Inner { disk, folder, tables, pool, runtime, turn, closed }) }
    }

    /// Makes a backup.
    pub(super) async fn make(
        &self,
        name: &BackupName,
        progress: &Arc<BackupProgress>,
    ) -> Result<BackupSummary, BackupError> {
        let Some(folder) = self.inner.folder.clone() else {
            return Err(BackupError::NotConfigured);
        };
        let turn = Arc::clone(&self.inner.turn);
        let turn = turn.try_lock_owned().map_err(|_| BackupError::Busy)?;
        let (backups, name, progress) = (self.clone(), name.clone(), Arc::clone(progress));
        // A task, so that nothing is half done if the caller goes away.
        let made = self.inner.runtime.spawn(async move {
            let made = backups.make_in(folder, &name, &progress).await;
            drop(turn);
            match &made {
                Ok(BackupSummary { tables, files, bytes }) => {
                    tracing::info!(%name, tables, files, bytes, "a backup was made");
                }
                Err(error) => tracing::warn!(%name, %error, "a backup was not made"),
            }
            made
        });
        made.await.unwrap_or(Err(EngineError::Closed.into()))
    }

    async fn make_in(
        &self,
        folder: PathBuf,
        name: &BackupName,
        progress: &Arc<BackupProgress>,
    ) -> Result<BackupSummary, BackupError> {
        let tables = self.inner.tables.all();
        progress.expect(tables.iter().map(|(_, table)| table.statistics().disk_bytes).sum());
        let (disk, text) = (Arc::clone(&self.inner.disk), name.as_str().to_owned());
        let begun = self.run(move || Building::begin(disk, &folder, &text)).await?;
        let mut building = begun.map_err(|error| match error {
            NotBegun::Busy => BackupError::Busy,
            NotBegun::Exists => BackupError::Exists { name: name.clone() },
            NotBegun::Storage(error) => failed(&error),
        })?;
        for (name, table) in tables {
            let pinned = match table.pin().await {
                Ok(Some(pinned)) => pinned,
                Ok(None) => continue,
                Err(error) => return self.give_up(building, error.into()).await,
            };
            let (inner, progress) = (Arc::clone(&self.inner), Arc::clone(progress));
            let added;
            (building, added) = self
                .run(move || {
                    let added = building.add(&name, &pinned, &mut |bytes| {
                        progress.add(bytes);
                        inner.course()
                    });
                    (building, added)
                })
                .await?;
            if let Err(error) = added {
                return self.give_up(building, failed(&error)).await;
            }
        }
        let inner = Arc::clone(&self.inner);
        let finished = self.run(move || match inner.tables.version_floor() {
            Some(floor) => building.finish(floor).map_err(|error| failed(&error)),
            None => {
                building.abandon();
                Err(EngineError::Closed.into())
            }
        });
        let made = finished.await??;
        Ok(BackupSummary { tables: made.tables, files: made.files, bytes: made.bytes })
    }

    async fn give_up(
        &self,
        building: Building,
        error: BackupError,
    ) -> Result<BackupSummary, BackupError> {
        self.run(move || building.abandon()).await?;
        let is_closed = self.inner.closed.load(Ordering::Acquire);
        Err(if is_closed { EngineError::Closed.into() } else { error })
    }

    /// Does something on the thread for backups.
    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BackupError> {
        self.inner.pool.run(job).await.map_err(|_| {
            let context = "the thread for backups gave no answer".to_owned();
            EngineError::Io { context, cause: "it panicked".to_owned() }.into()
        })
    }

    /// Ends the backup that is being made, if there is one, and waits until it has ended.
    pub(super) async fn close(&self) {
        self.inner.closed.store(true, Ordering::Release);
        drop(self.inner.turn.lock().await);
    }
}

impl Inner {
    fn course(&self) -> ControlFlow<()> {
        match self.closed.load(Ordering::Acquire) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

fn failed(error: &StorageError) -> BackupError {
    if error.is_full() {
        return BackupError::DiskFull;
    }
    let (context, cause) = match error {
        StorageError::Io { source, .. } => (error.to_string(), source.to_string()),
        StorageError::Corrupt { .. } | StorageError::NewerFormat { .. } => {
            ("a file cannot be backed up".to_owned(), with_cause(error))
        }
    };
    EngineError::Io { context, cause }.into()
}
