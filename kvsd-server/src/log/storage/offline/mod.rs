//! A data folder read while no server has it open, damaged or not.
//!
//! This is what the commands `verify`, `dump` and `salvage` stand on. It reads with the code that
//! the server reads with ([`super::groups`]), but goes on behind damage, and takes whatever still
//! verifies. It never changes a byte of the folder that it reads: no repair, no cut, no clean-up.
//!
//! Reading order: [`walk`], [`plan`], [`readable`], [`survey`], [`hints`], [`salvage`].

mod hints;
mod plan;
mod readable;
mod salvage;
mod survey;
mod walk;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kvsd::TableName;

pub(crate) use super::backup::{BackupFolder, Restored};
pub(crate) use super::error::StorageError;
pub(crate) use super::posix::{PosixDisk, ReadOnlyDisk};
pub(crate) use super::record::NEVER;
pub(crate) use super::store::StoreError;
pub(crate) use salvage::NewFolder;
pub(crate) use survey::{Expired, Hints, Live, Survey};

use super::backup::BACKUP_FILE;
use super::catalog::{self, CATALOG_FILE, CatalogFile, TABLES_FOLDER};
use super::disk::{Disk, Lock};
use super::store::{LOCK_FILE, lock_folder};

/// A place that does not verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) file: PathBuf,
    /// The first byte that is wrong, and the first behind it that makes sense again.
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) what: String,
}

impl Damage {
    /// What an error says of the data; an error of another kind comes back.
    fn from_error(error: StorageError) -> Result<Self, StorageError> {
        match error {
            StorageError::Corrupt { file, offset, what } => {
                Ok(Self { file, from: offset, to: offset, what: what.to_owned() })
            }
            StorageError::Io { action, file, source } => {
                Ok(Self { file, from: 0, to: 0, what: format!("cannot {action} it: {source}") })
            }
            StorageError::NewerFormat { .. } => Err(error),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is damaged at byte {}", self.file.display(), self.from)?;
        if self.to > self.from {
            write!(f, ", up to byte {}", self.to)?;
        }
        write!(f, ": {}", self.what)
    }
}

/// A data folder that nobody else has open meanwhile.
#[derive(Debug)]
pub(crate) struct DataFolder {
    disk: Arc<dyn Disk>,
    data: PathBuf,
    _lock: Option<Arc<dyn Lock>>,
}

/// One table of the folder.
#[derive(Debug, Clone)]
pub(crate) struct TableFolder {
    pub(crate) name: TableName,
    path: PathBuf,
    id: u64,
    /// Unknown without a catalog.
    incarnation: Option<u64>,
}

/// The tables of the folder.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) tables: Vec<TableFolder>,
    /// What is wrong with the catalog: then the tables are those whose folders are there, and
    /// their names are made up.
    pub(crate) damage: Option<Damage>,
}

impl DataFolder {
    /// Opens a folder that is there.
    pub(crate) fn open(disk: Arc<dyn Disk>, data: &Path) -> Result<Self, StoreError> {
        let names = disk.list(data).map_err(StorageError::io("list", data))?;
        let has = |name: &str| names.iter().any(|found| found == name);
        if has(BACKUP_FILE) {
            return Err(StoreError::Backup);
        }
        if !has(CATALOG_FILE) && !has(TABLES_FOLDER) {
            let what = "there is no kvsd data in this folder";
            let missing = std::io::Error::new(std::io::ErrorKind::NotFound, what);
            return Err(StorageError::io("read", &catalog::path_in(data))(missing).into());
        }
        // A copy without the file was never opened, and stays as it is.
        let lock = match has(LOCK_FILE) {
            true => Some(lock_folder(&*disk, data)?),
            false => None,
        };
        Ok(Self { disk, data: data.to_owned(), _lock: lock })
    }

    /// The tables there are.
    pub(crate) fn tables(&self) -> Result<Tables, StorageError> {
        match CatalogFile::read(&*self.disk, &self.data) {
            Ok(catalog) => {
                let table = |entry: catalog::CatalogEntry| TableFolder {
                    path: catalog::table_folder(&self.data, entry.id),
                    name: entry.name,
                    id: entry.id,
                    incarnation: Some(entry.incarnation),
                };
                let tables = catalog.tables.into_iter().map(table).collect();
                Ok(Tables { tables, damage: None })
            }
            Err(error) => {
                let damage = Some(Damage::from_error(error)?);
                Ok(Tables { tables: self.tables_by_folder()?, damage })
            }
        }
    }

    fn tables_by_folder(&self) -> Result<Vec<TableFolder>, StorageError> {
        let parent = self.data.join(TABLES_FOLDER);
        let names = self.disk.list(&parent).map_err(StorageError::io("list", &parent))?;
        let table = |name: String| {
            let id = name.parse().ok()?;
            let path = catalog::table_folder(&self.data, id);
            let name = TableName::parse(&format!("unnamed-{id}")).ok()?;
            Some(TableFolder { name, path, id, incarnation: None })
        };
        Ok(names.into_iter().filter_map(table).collect())
    }

    /// How many bytes the files of a table have; for a progress bar.
    pub(crate) fn size(&self, table: &TableFolder) -> u64 {
        let names = self.disk.list(&table.path).unwrap_or_default();
        let segments = names.iter().filter(|name| name.ends_with(".seg"));
        let length = |name: &String| self.disk.open(&table.path.join(name))?.length();
        segments.map(|name| length(name).unwrap_or_default()).sum()
    }
}
