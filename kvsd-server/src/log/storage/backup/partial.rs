//! Folders that are built under another name and get their own when they are complete.
//!
//! Next file to read: [`super::restore`].

use std::io;
use std::path::{Path, PathBuf};

use super::BACKUP_FILE;
use crate::log::storage::catalog::{CATALOG_FILE, TABLES_FOLDER};
use crate::log::storage::disk::Disk;
use crate::log::storage::error::StorageError;
use crate::log::storage::names;

/// What a folder is called until it is complete.
pub(super) fn partial_of(folder: &Path) -> PathBuf {
    // Without a slash at its end.
    let mut name = folder.components().collect::<PathBuf>().into_os_string();
    name.push(PARTIAL_END);
    PathBuf::from(name)
}

/// Removes a folder that was not completed, if it is there. With anything in it that we do not put
/// into such folders it stays as it is, and that is an error: a data folder that was ever opened has
/// a `LOCK`.
pub(super) fn remove_partial(disk: &dyn Disk, partial: &Path) -> Result<(), StorageError> {
    match disk.is_folder(partial) {
        Ok(true) => {}
        Ok(false) if !is_listed(disk, partial)? => return Ok(()),
        Ok(false) => {
            let error = io::Error::new(io::ErrorKind::AlreadyExists, "it is no folder");
            return Err(StorageError::io("replace", partial)(error));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StorageError::io("look at", partial)(error)),
    }
    let names = disk.list(partial).map_err(StorageError::io("list", partial))?;
    let is_ours = |name: &String| name == TABLES_FOLDER || OWN_FILES.contains(&name.as_str());
    if let Some(other) = names.iter().find(|name| !is_ours(name)) {
        let error = io::Error::new(io::ErrorKind::DirectoryNotEmpty, "it is none of ours");
        return Err(StorageError::io("replace what holds", &partial.join(other))(error));
    }
    for name in names {
        let path = partial.join(&name);
        if name == TABLES_FOLDER {
            remove_tables(disk, &path)?;
        } else {
            disk.remove(&path).map_err(StorageError::io("remove", &path))?;
        }
    }
    disk.remove_folder(partial).map_err(StorageError::io("remove", partial))
}

fn remove_tables(disk: &dyn Disk, tables: &Path) -> Result<(), StorageError> {
    for name in disk.list(tables).map_err(StorageError::io("list", tables))? {
        let folder = tables.join(&name);
        if names::is_table_folder(&name) && !names::is_file(disk, &folder)? {
            names::remove_table_folder(disk, &folder)?;
        }
    }
    disk.remove_folder(tables).map_err(StorageError::io("remove", tables))
}

fn is_listed(disk: &dyn Disk, path: &Path) -> Result<bool, StorageError> {
    let parent = parent_of(path);
    let names = disk.list(parent).map_err(StorageError::io("list", parent))?;
    Ok(names.iter().any(|name| path.ends_with(name)))
}

/// Makes the entry of a folder durable that was made in a folder of somebody else's.
pub(super) fn sync_parent(disk: &dyn Disk, folder: &Path) -> Result<(), StorageError> {
    let parent = parent_of(folder);
    match disk.sync_folder(parent) {
        // A folder that may be entered but not read is another's to keep.
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
            Err(StorageError::io("sync", parent)(error))
        }
        _ => Ok(()),
    }
}

/// The folder that a path is in.
pub(super) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

const PARTIAL_END: &str = ".partial";
/// The files that stand beside the tables, and those that take their place.
const OWN_FILES: [&str; 4] = [BACKUP_FILE, "BACKUP.tmp", CATALOG_FILE, "CATALOG.tmp"];
