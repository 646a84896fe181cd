//! The catalog file: which tables there are.
//!
//! The file `CATALOG` in the data folder, framed by [`super::envelope`] with the magic `kvsdcat\0`
//! and format 1. Its body:
//!
//! ```text
//!  0               8               16      20
//!  +---------------+---------------+-------+
//!  |next table id  |version floor  |count  |
//!  +---------------+---------------+-------+
//!
//! then for each table:
//!  0               8               16    17
//!  +---------------+---------------+-----+------+
//!  |id             |incarnation    |name | name |
//!  |               |               |bytes|      |
//!  +---------------+---------------+-----+------+
//! ```
//!
//! A table's folder is `tables/00000001` by its id; its name never becomes part of a path. The
//! folder is complete and durable before the catalog names the table. A folder that the catalog
//! does not name is the remains of a crash or of a drop, and is removed, but for files that are
//! none of ours ([`super::names`]). An incarnation is random: a table that is dropped and made again
//! is another one. Its versions begin above the version floor, which lies above those of every table
//! that was dropped, so that a version that was shown never returns with other content.
//!
//! Next file to read: [`super::index`].

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use kvsd::TableName;

use super::disk::Disk;
use super::envelope::{self, Kind, ReplaceError};
use super::error::StorageError;
use super::fields::Fields;

/// The name of the catalog in the data folder.
pub(super) const CATALOG_FILE: &str = "CATALOG";
/// The name of the folder that holds the tables' folders.
pub(super) const TABLES_FOLDER: &str = "tables";

const KIND: Kind = Kind { magic: *b"kvsdcat\0", format: 1 };

/// One table of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CatalogEntry {
    pub(crate) id: u64,
    pub(crate) incarnation: u64,
    pub(crate) name: TableName,
}

/// Which tables there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CatalogFile {
    pub(crate) next_id: u64,
    pub(crate) version_floor: u64,
    pub(crate) tables: Vec<CatalogEntry>,
}

impl CatalogFile {
    /// A catalog without tables.
    pub(crate) fn empty() -> Self {
        Self { next_id: 1, version_floor: 0, tables: Vec::new() }
    }

    /// Reads a data folder's catalog.
    pub(super) fn read(disk: &dyn Disk, data: &Path) -> Result<Self, StorageError> {
        let path = path_in(data);
        let body = envelope::read(disk, KIND, &path)?;
        Self::decode(&body).ok_or_else(|| {
            StorageError::corrupt(&path, 0, "the catalog says what no kvsd has written")
        })
    }

    /// Replaces a data folder's catalog, durably.
    pub(super) fn write(&self, disk: &dyn Disk, data: &Path) -> Result<(), ReplaceError> {
        envelope::replace(disk, KIND, &path_in(data), &self.encode())
    }

    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend_from_slice(&self.next_id.to_le_bytes());
        body.extend_from_slice(&self.version_floor.to_le_bytes());
        let count = u32::try_from(self.tables.len()).unwrap_or(u32::MAX);
        body.extend_from_slice(&count.to_le_bytes());
        for entry in &self.tables {
            body.extend_from_slice(&entry.id.to_le_bytes());
            body.extend_from_slice(&entry.incarnation.to_le_bytes());
            let name = entry.name.as_str();
            // A table name has at most 64 bytes.
            body.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            body.extend_from_slice(name.as_bytes());
        }
        body
    }

    fn decode(body: &[u8]) -> Option<Self> {
        let mut fields = Fields(body);
        let (next_id, version_floor) = (fields.u64()?, fields.u64()?);
        let mut catalog = Self { next_id, version_floor, tables: Vec::new() };
        let (mut ids, mut names) = (HashSet::new(), HashSet::new());
        for _ in 0..fields.u32()? {
            let id = fields.u64()?;
            let incarnation = fields.u64()?;
            let name_bytes = fields.u8()?;
            let name = std::str::from_utf8(fields.bytes(name_bytes.into())?).ok()?;
            let name = TableName::parse(name).ok()?;
            if !ids.insert(id) || !names.insert(name.clone()) {
                return None;
            }
            catalog.tables.push(CatalogEntry { id, incarnation, name });
        }
        fields.is_at_end().then_some(catalog)
    }
}

/// Where a data folder's catalog is.
pub(super) fn path_in(data: &Path) -> PathBuf {
    data.join(CATALOG_FILE)
}

/// Where the table with this id is.
pub(super) fn table_folder(data: &Path, id: u64) -> PathBuf {
    data.join(TABLES_FOLDER).join(format!("{id:08}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::storage::sim::SimDisk;

    #[test]
    fn a_catalog_reads_back_and_a_damaged_one_is_refused() {
        let disk = SimDisk::new(1);
        let data = Path::new("/");
        let name = TableName::parse("users").unwrap();
        let tables = vec![CatalogEntry { id: 1, incarnation: 99, name }];
        let catalog = CatalogFile { next_id: 2, version_floor: 7, tables };
        catalog.write(&disk, data).unwrap();
        assert_eq!(CatalogFile::read(&disk, data).unwrap(), catalog);

        let whole = disk.content(&path_in(data));
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            disk.put(&path_in(data), &flipped);
            let read = CatalogFile::read(&disk, data);
            assert!(matches!(read, Err(StorageError::Corrupt { .. })), "byte {at}: {read:?}");
        }
    }

    #[test]
    fn a_catalog_with_a_name_or_an_id_twice_is_refused() {
        let disk = SimDisk::new(1);
        let data = Path::new("/");
        let entry =
            |id, name| CatalogEntry { id, incarnation: id, name: TableName::parse(name).unwrap() };
        let read = |second| {
            let tables = vec![entry(1, "users"), second, entry(3, "orders")];
            CatalogFile { next_id: 4, version_floor: 0, tables }.write(&disk, data).unwrap();
            CatalogFile::read(&disk, data)
        };
        assert!(read(entry(2, "carts")).is_ok());
        for double in [entry(2, "users"), entry(1, "carts")] {
            let read = read(double);
            assert!(matches!(read, Err(StorageError::Corrupt { .. })), "{read:?}");
        }
    }
}
