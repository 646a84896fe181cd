//! Backups: folders that hold the sealed segments of all tables, and say what must be in them.
//!
//! ```text
//! BACKUP                        which tables and files there are
//! tables/00000001/MANIFEST      the table, as after a clean close     (manifest)
//! tables/00000001/00000001.seg  its segments, the last one empty       (segment)
//! tables/00000001/00000001.hint   their hints, some of them             (hint)
//! ```
//!
//! A table's folder is that of a table that was closed. Its sealed segments and hints are links to
//! the server's own files, which never change, or copies where the file system cannot link. For that
//! reason nobody may open the folder to write: it has no `CATALOG`, and whoever finds a `BACKUP`
//! in a folder leaves it alone ([`super::store`]). A backup is built in `NAME.partial` and gets its
//! name when all of it is durable; what a crash leaves under the other name, the next backup of that
//! name removes.
//!
//! Each table is as it stood at one moment between the call and the answer: all that was acknowledged
//! before the call, and nothing without what was written to the table before it. The moments of two
//! tables differ.
//!
//! `BACKUP` is framed by [`super::envelope`] with the magic `kvsdbck\0` and format 1. Its body:
//!
//! ```text
//!  0               8       12
//!  +---------------+-------+
//!  |version floor  |tables |
//!  +---------------+-------+
//!
//! then for each table:                          then for each of its files:
//!  0         8           16      20    21        0       8     12    13
//!  +---------+-----------+-------+-----+------+  +-------+-----+-----+------+
//!  |id       |incarnation|files  |name | name |  |length |CRC  |name | name |
//!  |         |           |       |bytes|      |  |       |     |bytes|      |
//!  +---------+-----------+-------+-----+------+  +-------+-----+-----+------+
//! ```
//!
//! Numbers are little-endian; a file's CRC is the CRC-32C of all its bytes. Its name is one that a
//! table's file may have ([`super::names`]), and so never leads out of the table's folder. The version
//! floor is the catalog's.
//!
//! Reading order: [`pin`], [`build`], [`partial`], [`restore`].

mod build;
mod partial;
mod pin;
#[cfg(feature = "cli")]
mod restore;

use std::path::Path;

use kvsd::TableName;

#[cfg(test)]
pub(crate) use build::Summary;
pub(crate) use build::{Building, NotBegun};
pub(crate) use pin::Pinned;
#[cfg(feature = "cli")]
pub(crate) use restore::{BackupFolder, Restored};

use super::envelope::Kind;
use super::error::StorageError;
#[cfg(any(feature = "cli", test))]
use super::fields::Fields;
use super::groups::Groups;
#[cfg(any(feature = "cli", test))]
use super::names;
use super::record::Seed;

/// The name of the file that makes a folder a backup.
pub(super) const BACKUP_FILE: &str = "BACKUP";

const KIND: Kind = Kind { magic: *b"kvsdbck\0", format: 1 };

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Contents {
    version_floor: u64,
    tables: Vec<SavedTable>,
}

/// A table of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SavedTable {
    id: u64,
    incarnation: u64,
    name: TableName,
    files: Vec<SavedFile>,
}

/// A file of a table's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SavedFile {
    name: String,
    length: u64,
    crc: u32,
}

impl SavedFile {
    fn of(name: String, bytes: &[u8]) -> Self {
        Self { name, length: bytes.len() as u64, crc: crc32c::crc32c(bytes) }
    }
}

impl Contents {
    fn encode(&self) -> Vec<u8> {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes();
        let mut body = Vec::new();
        // Names of tables have at most 64 bytes, those of our files far fewer.
        let name = |body: &mut Vec<u8>, name: &str| {
            body.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            body.extend_from_slice(name.as_bytes());
        };
        body.extend_from_slice(&self.version_floor.to_le_bytes());
        body.extend_from_slice(&count(self.tables.len()));
        for table in &self.tables {
            body.extend_from_slice(&table.id.to_le_bytes());
            body.extend_from_slice(&table.incarnation.to_le_bytes());
            body.extend_from_slice(&count(table.files.len()));
            name(&mut body, table.name.as_str());
            for file in &table.files {
                body.extend_from_slice(&file.length.to_le_bytes());
                body.extend_from_slice(&file.crc.to_le_bytes());
                name(&mut body, &file.name);
            }
        }
        body
    }

    #[cfg(any(feature = "cli", test))]
    fn decode(body: &[u8]) -> Option<Self> {
        let mut fields = Fields(body);
        let mut contents = Self { version_floor: fields.u64()?, tables: Vec::new() };
        for _ in 0..fields.u32()? {
            let (id, incarnation) = (fields.u64()?, fields.u64()?);
            let files = fields.u32()?;
            let name = TableName::parse(&name_in(&mut fields)?).ok()?;
            if contents.tables.iter().any(|table| table.name == name || table.id == id) {
                return None;
            }
            let mut table = SavedTable { id, incarnation, name, files: Vec::new() };
            for _ in 0..files {
                let (length, crc) = (fields.u64()?, fields.u32()?);
                let name = name_in(&mut fields)?;
                if !names::is_table_file(&name) {
                    return None;
                }
                table.files.push(SavedFile { name, length, crc });
            }
            contents.tables.push(table);
        }
        fields.is_at_end().then_some(contents)
    }
}

#[cfg(any(feature = "cli", test))]
fn name_in(fields: &mut Fields<'_>) -> Option<String> {
    let bytes = fields.u8()?;
    std::str::from_utf8(fields.bytes(bytes.into())?).ok().map(str::to_owned)
}

/// Checks every group of a whole segment, which ends with the last of them.
fn check_groups(path: &Path, bytes: &[u8], seed: Seed) -> Result<(), StorageError> {
    let mut groups = Groups::new(bytes, seed);
    let mut records = Vec::new();
    loop {
        match groups.next(&mut records) {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(()),
            Err(damage) => {
                let what = "a durable record does not verify";
                return Err(StorageError::corrupt(path, damage.at, what));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents() -> Contents {
        let file = |name: &str| SavedFile::of(name.to_owned(), b"bytes");
        let table = |id, name| SavedTable {
            id,
            incarnation: 7,
            name: TableName::parse(name).unwrap(),
            files: vec![file("MANIFEST"), file("00000001.seg")],
        };
        Contents { version_floor: 3, tables: vec![table(1, "users"), table(2, "orders")] }
    }

    #[test]
    fn the_layout_of_a_backups_list_is_fixed() {
        let mut one = contents();
        one.tables.truncate(1);
        one.tables[0].files.truncate(1);
        let body = one.encode();
        assert_eq!(Contents::decode(&body), Some(one));
        assert_eq!(body.len(), 12 + 21 + 5 + 13 + 8);
        assert_eq!(body[..12], [3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(body[12..38], *b"\x01\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x01\0\0\0\x05users");
        assert_eq!(body[38..46], 5_u64.to_le_bytes());
        assert_eq!(body[46..50], crc32c::crc32c(b"bytes").to_le_bytes());
        assert_eq!(body[50..], *b"\x08MANIFEST");
    }

    #[test]
    fn a_list_that_is_cut_or_names_what_is_none_of_a_tables_files_is_refused() {
        let body = contents().encode();
        assert_eq!(Contents::decode(&body), Some(contents()));
        for at in 0..body.len() {
            assert_eq!(Contents::decode(&body[..at]), None, "cut at {at}");
        }
        for name in ["../MANIFEST", "CATALOG", "", "/etc/passwd", "00000001.seg/.."] {
            let mut other = contents();
            other.tables[0].files[0].name = name.to_owned();
            assert_eq!(Contents::decode(&other.encode()), None, "{name}");
        }
        let mut twice = contents();
        twice.tables[1].name = twice.tables[0].name.clone();
        assert_eq!(Contents::decode(&twice.encode()), None);
    }
}
