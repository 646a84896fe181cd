//! A data folder: its lock, its catalog, and the tables in it.
//!
//! Next file to read: [`crate::log::turn`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kvsd::TableName;

use super::backup::BACKUP_FILE;
use super::catalog::{self, CATALOG_FILE, CatalogEntry, CatalogFile, TABLES_FOLDER};
use super::disk::{Disk, Lock};
use super::envelope::ReplaceError;
use super::error::StorageError;
use super::load::{TableOptions, load, open_table};
use super::manifest::{Left, Lost, Manifest, SegmentEntry};
use super::names;
use super::repair::{Recovery, VERSION_JUMP};
use super::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentIdentity};
use super::writer::{WriteError, Writer};

/// The name of the file that is locked while the folder is in use.
pub(super) const LOCK_FILE: &str = "LOCK";

/// An open data folder.
#[derive(Debug)]
pub(crate) struct Store {
    disk: Arc<dyn Disk>,
    data: PathBuf,
    options: TableOptions,
    catalog: CatalogFile,
    lock: Arc<dyn Lock>,
}

/// Why a data folder does not open.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// Another process has it open.
    Locked,
    /// It is a backup, whose files are another folder's too.
    Backup,
    /// The disk, or what is on it.
    Storage(StorageError),
}

impl From<StorageError> for StoreError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl Store {
    /// Opens a data folder, and makes it if there is none.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        data: &Path,
        options: TableOptions,
    ) -> Result<Self, StoreError> {
        disk.create_folder(data).map_err(StorageError::io("make", data))?;
        let names = disk.list(data).map_err(StorageError::io("list", data))?;
        if names.iter().any(|name| name == BACKUP_FILE) {
            return Err(StoreError::Backup);
        }
        let lock = lock_folder(&*disk, data)?;
        // As with a manifest: what is seen now must not be gone after a crash.
        disk.sync_folder(data).map_err(StorageError::io("sync", data))?;
        let names = disk.list(data).map_err(StorageError::io("list", data))?;
        let has = |name: &str| names.iter().any(|found| found == name);
        let catalog = match (has(CATALOG_FILE), has(TABLES_FOLDER)) {
            (true, _) => CatalogFile::read(&*disk, data)?,
            (false, false) => first_catalog(&*disk, data)?,
            (false, true) => {
                let path = catalog::path_in(data);
                let what = "there are tables, but the catalog is missing";
                return Err(StorageError::corrupt(&path, 0, what).into());
            }
        };
        let store = Self { disk, data: data.to_owned(), options, catalog, lock };
        if has(TABLES_FOLDER) {
            store.remove_unnamed()?;
        }
        Ok(store)
    }

    /// What keeps others from the folder; whoever still writes holds it.
    pub(crate) fn lock(&self) -> Arc<dyn Lock> {
        Arc::clone(&self.lock)
    }

    /// Every table to come has versions above this one.
    pub(crate) fn version_floor(&self) -> u64 {
        self.catalog.version_floor
    }

    /// The tables there are, by id.
    pub(crate) fn tables(&self) -> &[CatalogEntry] {
        &self.catalog.tables
    }

    /// Opens a table of the catalog; the answer tells of a repair, if there was one.
    pub(crate) fn open_table(
        &self,
        entry: &CatalogEntry,
    ) -> Result<(Writer, Option<Recovery>), StorageError> {
        let folder = catalog::table_folder(&self.data, entry.id);
        open_table(&self.disk, &folder, (entry.id, entry.incarnation), &self.options)
    }

    /// Makes a table that is not there yet. It is durable when this returns.
    pub(crate) fn create_table(&mut self, name: &TableName) -> Result<Writer, StorageError> {
        // An attempt that failed in its last step has left it there.
        if let Some(entry) = self.catalog.tables.iter().find(|entry| entry.name == *name) {
            return self.open_table(entry).map(|(writer, _)| writer);
        }
        let disk = &*self.disk;
        let entry = CatalogEntry {
            id: self.catalog.next_id,
            incarnation: super::random_u64()?,
            name: name.clone(),
        };
        let tables = self.data.join(TABLES_FOLDER);
        disk.create_folder(&tables).map_err(StorageError::io("make", &tables))?;
        disk.sync_folder(&self.data).map_err(StorageError::io("sync", &self.data))?;
        let folder = catalog::table_folder(&self.data, entry.id);
        let manifest = create_table_folder(disk, &folder, &entry, self.catalog.version_floor)?;
        disk.sync_folder(&tables).map_err(StorageError::io("sync", &tables))?;

        let mut catalog = self.catalog.clone();
        catalog.next_id += 1;
        catalog.tables.push(entry);
        match catalog.write(disk, &self.data) {
            Ok(()) => self.catalog = catalog,
            Err(ReplaceError::Unchanged(error)) => return Err(error),
            Err(ReplaceError::Unknown(error)) => {
                // The catalog on the disk may name this id: it is never used for another table.
                self.catalog.next_id = catalog.next_id;
                return Err(error);
            }
        }
        load(&self.disk, &folder, manifest, &self.options)
    }

    /// Takes a table out of the catalog, durably: it is gone, whatever happens next. Its versions go
    /// up to `last_version`, or not far above. The answer is what is to be removed once nothing is
    /// written there any more; `None` if there is no such table.
    pub(crate) fn forget_table(
        &mut self,
        name: &TableName,
        last_version: u64,
    ) -> Result<Option<Remains>, WriteError> {
        let mut catalog = self.catalog.clone();
        let Some(place) = catalog.tables.iter().position(|entry| entry.name == *name) else {
            return Ok(None);
        };
        let entry = catalog.tables.remove(place);
        // Far enough for whatever is on its way now.
        let floor = last_version.saturating_add(VERSION_JUMP);
        catalog.version_floor = catalog.version_floor.max(floor);
        let (disk, folder) = (&*self.disk, catalog::table_folder(&self.data, entry.id));
        let written = match catalog.write(disk, &self.data) {
            Err(ReplaceError::Unchanged(error))
                if error.is_full() && names::remove_hints(disk, &folder) =>
            {
                catalog.write(disk, &self.data)
            }
            written => written,
        };
        match written {
            Ok(()) => self.catalog = catalog,
            Err(ReplaceError::Unchanged(error)) if error.is_full() => return Err(WriteError::Full),
            Err(ReplaceError::Unchanged(error)) => return Err(WriteError::Refused(error)),
            Err(ReplaceError::Unknown(error)) => return Err(WriteError::Broken(error)),
        }
        Ok(Some(Remains { disk: Arc::clone(&self.disk), folder, _lock: self.lock() }))
    }

    /// Removes the folders of tables that the catalog does not name. What no kvsd has made is left
    /// as it is.
    fn remove_unnamed(&self) -> Result<(), StorageError> {
        let disk = &*self.disk;
        let tables = self.data.join(TABLES_FOLDER);
        for name in disk.list(&tables).map_err(StorageError::io("list", &tables))? {
            let folder = tables.join(&name);
            let is_folder_of =
                |entry: &CatalogEntry| catalog::table_folder(&self.data, entry.id) == folder;
            let is_named = self.catalog.tables.iter().any(is_folder_of);
            if !is_named && names::is_table_folder(&name) && !names::is_file(disk, &folder)? {
                names::remove_table_folder(disk, &folder)?;
            }
        }
        Ok(())
    }
}

/// The files of a table that the catalog does not name any more.
#[derive(Debug)]
pub(crate) struct Remains {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    _lock: Arc<dyn Lock>,
}

impl Remains {
    /// Removes them. Nothing may be written there any more. What is left after an error, opening
    /// the data folder removes.
    pub(crate) fn remove(self) -> Result<(), StorageError> {
        names::remove_table_folder(&*self.disk, &self.folder)
    }
}

/// Keeps others from a data folder until the answer is dropped.
pub(super) fn lock_folder(disk: &dyn Disk, data: &Path) -> Result<Arc<dyn Lock>, StoreError> {
    let path = data.join(LOCK_FILE);
    disk.lock(&path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => StoreError::Locked,
        _ => StorageError::io("lock", &path)(error).into(),
    })
}

fn first_catalog(disk: &dyn Disk, data: &Path) -> Result<CatalogFile, StorageError> {
    let catalog = CatalogFile::empty();
    catalog.write(disk, data).map_err(ReplaceError::into_inner)?;
    let parent = match data.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match disk.sync_folder(parent) {
        // A folder that may be entered but not read is another's to keep.
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
            Err(StorageError::io("sync", parent)(error))
        }
        _ => Ok(catalog),
    }
}

fn create_table_folder(
    disk: &dyn Disk,
    folder: &Path,
    entry: &CatalogEntry,
    version_floor: u64,
) -> Result<Manifest, StorageError> {
    disk.create_folder(folder).map_err(StorageError::io("make", folder))?;
    let salt = super::random_u64()?;
    let identity = SegmentIdentity { incarnation: entry.incarnation, id: 1, salt };
    Segment::create(disk, folder, identity)?;
    let manifest = Manifest {
        table: entry.id,
        incarnation: entry.incarnation,
        // The first write is on its way.
        left: Left::InUse,
        version_floor,
        time_floor: 0,
        next_segment: 2,
        history_floor: 0,
        lost: Lost::default(),
        segments: vec![SegmentEntry {
            id: 1,
            salt,
            length: SEGMENT_HEADER_BYTES,
            last_version: 0,
            time: 0,
        }],
    };
    manifest.write(disk, folder).map_err(ReplaceError::into_inner)?;
    Ok(manifest)
}
