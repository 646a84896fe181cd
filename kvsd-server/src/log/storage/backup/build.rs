//! Making a backup, table by table.
//!
//! Every byte that goes into it is read and verified, so that a backup that was made can be
//! restored. Nothing of the server's own files is changed, and nobody waits for this but who asked
//! for it.
//!
//! Next file to read: [`super::partial`].

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kvsd::TableName;

use super::partial::{partial_of, remove_partial, sync_parent};
use super::{BACKUP_FILE, Contents, KIND, Pinned, SavedFile, SavedTable, check_groups};
use crate::log::storage::catalog::{TABLES_FOLDER, table_folder};
use crate::log::storage::chunk::in_order;
use crate::log::storage::disk::{Disk, Lock, read_full};
use crate::log::storage::envelope::{ReplaceError, replace, write_new};
use crate::log::storage::error::StorageError;
use crate::log::storage::hint::{self, Hint, Of};
use crate::log::storage::manifest::{MANIFEST_FILE, SegmentEntry};
use crate::log::storage::random_u64;
use crate::log::storage::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentIdentity, file_name};
use crate::log::storage::view::{Run, Sorted};

/// A backup that is being made. Whoever gives it up calls [`Building::abandon`].
#[derive(Debug)]
pub(crate) struct Building {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    partial: PathBuf,
    tables: Vec<SavedTable>,
    _lock: Arc<dyn Lock>,
}

/// Hears how many bytes of segments were added, and says whether to go on.
pub(crate) type Course<'a> = &'a mut dyn FnMut(u64) -> ControlFlow<()>;

/// Why a backup was not begun.
#[derive(Debug)]
pub(crate) enum NotBegun {
    /// There is something of that name.
    Exists,
    /// Another process makes one in the same folder.
    Busy,
    /// The disk, or what is on it.
    Storage(StorageError),
}

impl From<StorageError> for NotBegun {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// How much a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) tables: u64,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

impl Building {
    /// Begins a backup in a folder for backups, which is made if there is none. The name is one
    /// part of a path.
    pub(crate) fn begin(disk: Arc<dyn Disk>, backups: &Path, name: &str) -> Result<Self, NotBegun> {
        disk.create_folder(backups).map_err(StorageError::io("make", backups))?;
        sync_parent(&*disk, backups)?;
        // Two servers may have the same folder, and one must not take the other's for remains.
        let path = backups.join(LOCK_FILE);
        let lock = disk.lock(&path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => NotBegun::Busy,
            _ => StorageError::io("lock", &path)(error).into(),
        })?;
        let names = disk.list(backups).map_err(StorageError::io("list", backups))?;
        if names.iter().any(|found| found == name) {
            return Err(NotBegun::Exists);
        }
        let folder = backups.join(name);
        let partial = partial_of(&folder);
        remove_partial(&*disk, &partial)?;
        let building = Self { disk, folder, partial, tables: Vec::new(), _lock: lock };
        match building.make_folders() {
            Ok(()) => Ok(building),
            Err(error) => {
                building.abandon();
                Err(error.into())
            }
        }
    }

    fn make_folders(&self) -> Result<(), StorageError> {
        for folder in [self.partial.clone(), self.partial.join(TABLES_FOLDER)] {
            self.disk.create_folder(&folder).map_err(StorageError::io("make", &folder))?;
        }
        Ok(())
    }

    /// Adds a table. After an error the backup can only be given up.
    pub(crate) fn add(
        &mut self,
        name: &TableName,
        pinned: &Pinned,
        course: Course<'_>,
    ) -> Result<(), StorageError> {
        let disk = &*self.disk;
        let mut manifest = pinned.manifest.clone();
        let folder = table_folder(&self.partial, manifest.table);
        disk.create_folder(&folder).map_err(StorageError::io("make", &folder))?;
        let mut files = Vec::new();
        for run in &pinned.runs {
            files.push(self.add_segment(run, pinned, &folder)?);
            files.extend(self.add_hint(run, pinned, &folder)?);
            if course(run.length).is_break() {
                let error = io::Error::new(io::ErrorKind::Interrupted, "the server is stopping");
                return Err(StorageError::io("finish", &self.partial)(error));
            }
        }
        // Where the table goes on once it is restored.
        let id = manifest.next_segment;
        let identity =
            SegmentIdentity { incarnation: manifest.incarnation, id, salt: random_u64()? };
        Segment::create(disk, &folder, identity)?;
        files.push(self.saved(&folder, file_name(id))?);
        manifest.next_segment += 1;
        manifest.segments.push(SegmentEntry {
            id,
            salt: identity.salt,
            length: SEGMENT_HEADER_BYTES,
            last_version: manifest.version_floor,
            time: manifest.time_floor,
        });
        // This syncs the folder.
        manifest.write(disk, &folder).map_err(ReplaceError::into_inner)?;
        files.push(self.saved(&folder, MANIFEST_FILE.to_owned())?);
        let (id, incarnation) = (manifest.table, manifest.incarnation);
        self.tables.push(SavedTable { id, incarnation, name: name.clone(), files });
        Ok(())
    }

    fn add_segment(
        &self,
        run: &Run,
        pinned: &Pinned,
        folder: &Path,
    ) -> Result<SavedFile, StorageError> {
        let disk = &*self.disk;
        let name = file_name(run.identity.id);
        let (from, to) = (pinned.folder.join(&name), folder.join(&name));
        let source = &run.segment;
        let length = source.file.length().map_err(StorageError::io("read", &source.path))?;
        // One that is longer than its groups is cut when the table is next opened.
        let is_linked = length == run.length && link(disk, &from, &to)?;
        if !is_linked {
            write_new(disk, &to, &source.read_up_to(run.length)?)?;
        }
        // What the server's file says is wrong there; the link is the same file.
        let in_source = |error| match error {
            StorageError::Corrupt { offset, what, .. } => {
                StorageError::corrupt(&source.path, offset, what)
            }
            error => error,
        };
        let segment = Segment::open(disk, folder, run.identity).map_err(in_source)?;
        let bytes = segment.read_up_to(u64::MAX)?;
        if bytes.len() as u64 != run.length {
            let what = "the segment is cut";
            return Err(StorageError::corrupt(&source.path, bytes.len() as u64, what));
        }
        check_groups(&source.path, &bytes, segment.seed)?;
        if is_linked {
            // Its groups are durable since it was sealed, but perhaps not that it was cut behind them.
            segment.file.sync_data().map_err(StorageError::io("sync", &to))?;
        }
        Ok(SavedFile::of(name, &bytes))
    }

    /// Adds a segment's hint. There need not be one: a restored table makes it again.
    fn add_hint(
        &self,
        run: &Run,
        pinned: &Pinned,
        folder: &Path,
    ) -> Result<Option<SavedFile>, StorageError> {
        let disk = &*self.disk;
        let name = hint::file_name(run.identity.id);
        let is_there = match run.sorted() {
            Sorted::Hint(_) => link(disk, &pinned.folder.join(&name), &folder.join(&name))?,
            Sorted::Chunks(chunks, counts) => {
                let of = Of { disk, folder, identity: run.identity, length: run.length };
                Hint::write(of, counts, in_order(&chunks))?;
                true
            }
        };
        if is_there { self.saved(folder, name).map(Some) } else { Ok(None) }
    }

    /// A small file that is there, as it is.
    fn saved(&self, folder: &Path, name: String) -> Result<SavedFile, StorageError> {
        let path = folder.join(&name);
        let bytes = read_whole(&*self.disk, &path)?;
        Ok(SavedFile::of(name, &bytes))
    }

    /// Makes the backup durable and gives it its name. `version_floor` is the catalog's.
    pub(crate) fn finish(self, version_floor: u64) -> Result<Summary, StorageError> {
        let finished = self.complete(version_floor);
        if finished.is_err() {
            self.abandon();
        }
        finished
    }

    fn complete(&self, version_floor: u64) -> Result<Summary, StorageError> {
        let disk = &*self.disk;
        let tables = self.partial.join(TABLES_FOLDER);
        disk.sync_folder(&tables).map_err(StorageError::io("sync", &tables))?;
        let contents = Contents { version_floor, tables: self.tables.clone() };
        replace(disk, KIND, &self.partial.join(BACKUP_FILE), &contents.encode())
            .map_err(ReplaceError::into_inner)?;
        disk.rename(&self.partial, &self.folder)
            .map_err(StorageError::io("give its name to", &self.partial))?;
        sync_parent(disk, &self.folder)?;
        let files = contents.tables.iter().flat_map(|table| &table.files);
        Ok(Summary {
            tables: contents.tables.len() as u64,
            files: files.clone().count() as u64,
            bytes: files.map(|file| file.length).sum(),
        })
    }

    /// Removes what was built so far.
    pub(crate) fn abandon(&self) {
        // What is left the next backup of this name removes.
        let _ = remove_partial(&*self.disk, &self.partial);
    }
}

/// Gives a file a second name; `false` where that cannot be, or the file has lost its first one.
fn link(disk: &dyn Disk, from: &Path, to: &Path) -> Result<bool, StorageError> {
    match disk.link(from, to) {
        Ok(()) => Ok(true),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::CrossesDevices
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::TooManyLinks
            | io::ErrorKind::Unsupported => Ok(false),
            _ => Err(StorageError::io("link", from)(error)),
        },
    }
}

/// All bytes of a file.
pub(super) fn read_whole(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, StorageError> {
    let file = disk.open(path).map_err(StorageError::io("open", path))?;
    let length = file.length().map_err(StorageError::io("read", path))?;
    let Ok(length) = usize::try_from(length) else {
        return Err(StorageError::corrupt(path, length, "the file is too long"));
    };
    let mut bytes = vec![0; length];
    let filled = read_full(&*file, &mut bytes, 0).map_err(StorageError::io("read", path))?;
    bytes.truncate(filled);
    Ok(bytes)
}

/// The file in the folder for backups that is locked while one is made; no backup has such a name.
const LOCK_FILE: &str = ".lock";
