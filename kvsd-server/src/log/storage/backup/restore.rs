//! A new data folder from a backup.
//!
//! Every file of the backup is read and verified before anything is said to be restored, and copied:
//! the new folder shares nothing with the backup. Its tables are others than those of before, with
//! incarnations of their own: the headers of segments and hints say so, everything behind them is
//! as it was. Versions go on 2^32 above the highest that the backup knows, and history begins there.
//!
//! Next file to read: [`crate::log::storage::offline`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use kvsd::Version;

use super::build::read_whole;
use super::partial::{parent_of, partial_of, remove_partial, sync_parent};
use super::{BACKUP_FILE, Contents, KIND, SavedFile, SavedTable, check_groups};
use crate::log::storage::catalog::{CatalogEntry, CatalogFile, TABLES_FOLDER, table_folder};
use crate::log::storage::disk::Disk;
use crate::log::storage::envelope::{self, ReplaceError, write_new};
use crate::log::storage::error::StorageError;
use crate::log::storage::hint;
use crate::log::storage::manifest::{MANIFEST_FILE, Manifest, path_in};
use crate::log::storage::random_u64;
use crate::log::storage::repair::VERSION_JUMP;
use crate::log::storage::segment::{self, SegmentIdentity};

/// A backup that can be read.
#[derive(Debug)]
pub(crate) struct BackupFolder {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    contents: Contents,
}

/// How much was restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Restored {
    pub(crate) tables: u64,
    pub(crate) bytes: u64,
}

impl BackupFolder {
    /// Opens a backup, which is only read.
    pub(crate) fn open(disk: Arc<dyn Disk>, folder: &Path) -> Result<Self, StorageError> {
        let path = folder.join(BACKUP_FILE);
        let body = envelope::read(&*disk, KIND, &path)?;
        let contents = Contents::decode(&body).ok_or_else(|| {
            StorageError::corrupt(&path, 0, "the list of files says what no kvsd has written")
        })?;
        Ok(Self { disk, folder: folder.to_owned(), contents })
    }

    /// How many bytes its files have.
    pub(crate) fn size(&self) -> u64 {
        let files = self.contents.tables.iter().flat_map(|table| &table.files);
        files.map(|file| file.length).fold(0, u64::saturating_add)
    }

    /// Makes a data folder of it where there is none, or an empty one. After an error there is
    /// none. `progress` hears how many bytes came.
    pub(crate) fn restore(
        &self,
        disk: &dyn Disk,
        to: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Restored, StorageError> {
        match disk.list(to) {
            Ok(names) if names.is_empty() => {}
            Ok(_) => {
                let error = io::Error::new(io::ErrorKind::AlreadyExists, "it is not empty");
                return Err(StorageError::io("restore into", to)(error));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StorageError::io("list", to)(error)),
        }
        let partial = partial_of(to);
        remove_partial(disk, &partial)?;
        let restored = self.fill(disk, &partial, progress).and_then(|restored| {
            disk.rename(&partial, to).map_err(StorageError::io("give its name to", &partial))?;
            sync_parent(disk, to)?;
            Ok(restored)
        });
        if restored.is_err() {
            // What is left the next attempt removes.
            let _ = remove_partial(disk, &partial);
        }
        restored
    }

    fn fill(
        &self,
        disk: &dyn Disk,
        data: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Restored, StorageError> {
        let tables = data.join(TABLES_FOLDER);
        for folder in [parent_of(data), data, &tables] {
            disk.create_folder(folder).map_err(StorageError::io("make", folder))?;
        }
        let mut restored = Restored::default();
        let mut catalog = CatalogFile::empty();
        let mut highest = self.contents.version_floor;
        for table in &self.contents.tables {
            let entry = CatalogEntry {
                id: catalog.next_id,
                incarnation: random_u64()?,
                name: table.name.clone(),
            };
            let copy = Copy { from: &self.folder, to: table_folder(data, entry.id), table, disk };
            let version = copy.table(&*self.disk, &entry, progress)?;
            highest = highest.max(version);
            restored.tables += 1;
            restored.bytes += table.files.iter().map(|file| file.length).sum::<u64>();
            catalog.next_id += 1;
            catalog.tables.push(entry);
        }
        catalog.version_floor = floor_above(highest);
        disk.sync_folder(&tables).map_err(StorageError::io("sync", &tables))?;
        catalog.write(disk, data).map_err(ReplaceError::into_inner)?;
        Ok(restored)
    }
}

/// A version above all that the table had, and above those of every other life that began at the same
/// backup: a millisecond of the clock counts for a million versions.
fn floor_above(highest: u64) -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let by_clock = millis.saturating_mul(VERSIONS_A_MILLISECOND).min(Version::MAX / 2);
    highest.saturating_add(VERSION_JUMP).max(by_clock)
}

const VERSIONS_A_MILLISECOND: u64 = 1 << 20;

/// A table on its way.
#[derive(Debug)]
struct Copy<'a> {
    from: &'a Path,
    to: PathBuf,
    table: &'a SavedTable,
    disk: &'a dyn Disk,
}

impl Copy<'_> {
    /// Copies the table under a new entry of a catalog; the answer is its highest version.
    fn table(
        &self,
        source: &dyn Disk,
        entry: &CatalogEntry,
        progress: &mut dyn FnMut(u64),
    ) -> Result<u64, StorageError> {
        let from = table_folder(self.from, self.table.id);
        self.disk.create_folder(&self.to).map_err(StorageError::io("make", &self.to))?;
        self.read(source, &from, self.file(&from, MANIFEST_FILE)?)?;
        let manifest = Manifest::read(source, &from)?;
        if (manifest.table, manifest.incarnation) != (self.table.id, self.table.incarnation) {
            let what = "this is the manifest of another table";
            return Err(StorageError::corrupt(&path_in(&from), 0, what));
        }
        for saved in &manifest.segments {
            let old = manifest.identity(saved);
            let new = SegmentIdentity { incarnation: entry.incarnation, ..old };
            let name = segment::file_name(old.id);
            let path = from.join(&name);
            let file = self.file(&from, &name)?;
            if file.length != saved.length {
                let what = "the list of files and the manifest do not fit";
                return Err(StorageError::corrupt(&path, saved.length, what));
            }
            let mut bytes = self.read_segment(source, &path, file, old)?;
            segment::readdress(&mut bytes, new);
            write_new(self.disk, &self.to.join(&name), &bytes)?;
            progress(file.length);

            let name = hint::file_name(old.id);
            if let Ok(file) = self.file(&from, &name) {
                let mut bytes = self.read(source, &from, file)?;
                // A hint that was bad before is left out: the table makes it again.
                if hint::readdress(&mut bytes, old, new).is_ok() {
                    write_new(self.disk, &self.to.join(&name), &bytes)?;
                }
                progress(file.length);
            }
        }
        let last = manifest.segments.iter().map(|entry| entry.last_version);
        let highest = last.fold(manifest.version_floor, u64::max);
        let version_floor = floor_above(highest);
        let restored = Manifest {
            table: entry.id,
            incarnation: entry.incarnation,
            version_floor,
            history_floor: version_floor,
            ..manifest
        };
        // This syncs the folder.
        restored.write(self.disk, &self.to).map_err(ReplaceError::into_inner)?;
        Ok(highest)
    }

    /// What the backup's list says of a file.
    fn file(&self, from: &Path, name: &str) -> Result<&SavedFile, StorageError> {
        let file = self.table.files.iter().find(|file| file.name == name);
        let what = "the file is not in the backup's list";
        file.ok_or_else(|| StorageError::corrupt(&from.join(name), 0, what))
    }

    /// Reads a file that is as the list says.
    fn read(
        &self,
        source: &dyn Disk,
        from: &Path,
        file: &SavedFile,
    ) -> Result<Vec<u8>, StorageError> {
        let path = from.join(&file.name);
        let bytes = read_listed(source, &path, file)?;
        match crc32c::crc32c(&bytes) == file.crc {
            true => Ok(bytes),
            false => Err(StorageError::corrupt(&path, 0, "the file's checksum does not fit")),
        }
    }

    /// Reads a segment that is as the list says, every group of it; names the place if it is not.
    fn read_segment(
        &self,
        source: &dyn Disk,
        path: &Path,
        file: &SavedFile,
        identity: SegmentIdentity,
    ) -> Result<Vec<u8>, StorageError> {
        let bytes = read_listed(source, path, file)?;
        let seed = segment::check_header(path, &bytes, identity)?;
        check_groups(path, &bytes, seed)?;
        match crc32c::crc32c(&bytes) == file.crc {
            true => Ok(bytes),
            false => Err(StorageError::corrupt(path, 0, "the file's checksum does not fit")),
        }
    }
}

fn read_listed(source: &dyn Disk, path: &Path, file: &SavedFile) -> Result<Vec<u8>, StorageError> {
    // Before it is read, for it may be of any length.
    let found = source.open(path).and_then(|found| found.length());
    let length = found.map_err(StorageError::io("read", path))?;
    if length != file.length {
        let what = "the file has another length than when it was backed up";
        return Err(StorageError::corrupt(path, length.min(file.length), what));
    }
    read_whole(source, path)
}
