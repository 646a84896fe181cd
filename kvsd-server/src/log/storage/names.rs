//! Which names are ours: what has another one is left as it is, whoever put it there.
//!
//! Next file to read: [`super::load`].

use std::path::Path;

use super::disk::Disk;
use super::envelope::TEMPORARY_EXTENSION;
use super::error::StorageError;
use super::manifest::MANIFEST_FILE;
use super::repair::CUT_EXTENSION;

/// Whether a table's folder may have this name: `00000001`.
pub(super) fn is_table_folder(name: &str) -> bool {
    is_number(name, 8)
}

/// Whether a file of a table's folder may have this name: `MANIFEST`, `00000001.seg`,
/// `00000001.hint`, each of them perhaps with `.tmp`, and `00000001.seg-000000000064.cut`.
pub(super) fn is_table_file(name: &str) -> bool {
    let whole = name.strip_suffix(TEMPORARY_EXTENSION).and_then(|name| name.strip_suffix('.'));
    let whole = whole.unwrap_or(name);
    let is_of_segment =
        |extension| whole.strip_suffix(extension).is_some_and(|number| is_number(number, 8));
    whole == MANIFEST_FILE || is_of_segment(".seg") || is_of_segment(".hint") || is_cut(name)
}

/// Whether a file keeps what a recovery has cut off.
pub(super) fn is_cut(name: &str) -> bool {
    let parts = name.strip_suffix(CUT_EXTENSION).and_then(|name| name.split_once(".seg-"));
    parts.is_some_and(|(segment, offset)| is_number(segment, 8) && is_number(offset, 12))
}

/// Whether a name is a number, written with at least so many digits.
fn is_number(name: &str, digits: usize) -> bool {
    name.len() >= digits && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Removes a table's hints, for their room: the segments say the same. Says whether there were any.
pub(super) fn remove_hints(disk: &dyn Disk, folder: &Path) -> bool {
    let names = disk.list(folder).unwrap_or_default();
    let is_hint = |name: &&String| is_table_file(name) && name.ends_with(".hint");
    let removed =
        names.iter().filter(is_hint).filter(|name| disk.remove(&folder.join(name)).is_ok());
    removed.count() > 0
}

/// Removes a table's folder and what we have made in it; what others have put there stays, and so
/// does the folder then.
pub(super) fn remove_table_folder(disk: &dyn Disk, folder: &Path) -> Result<(), StorageError> {
    for name in disk.list(folder).map_err(StorageError::io("list", folder))? {
        let path = folder.join(&name);
        if is_table_file(&name) && is_file(disk, &path)? {
            disk.remove(&path).map_err(StorageError::io("remove", &path))?;
        }
    }
    match disk.remove_folder(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => Ok(()),
        removed => removed.map_err(StorageError::io("remove", folder)),
    }
}

/// Whether this can be removed as a file; a link can, and what it leads to stays.
pub(super) fn is_file(disk: &dyn Disk, path: &Path) -> Result<bool, StorageError> {
    disk.is_folder(path).map(|is_folder| !is_folder).map_err(StorageError::io("look at", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_ours_pass() {
        for ours in [
            "MANIFEST",
            "MANIFEST.tmp",
            "00000001.seg",
            "123456789.seg",
            "00000001.hint",
            "00000001.hint.tmp",
            "00000001.seg-000000000064.cut",
        ] {
            assert!(is_table_file(ours), "{ours}");
        }
        for other in [
            "",
            ".tmp",
            "tmp",
            "MANIFEST2",
            "MANIFEST.bak",
            "1.seg",
            "0000000a.seg",
            "00000001.seg~",
            "00000001.seg.tmp.tmp",
            "00000001.segtmp",
            "+0000001.seg",
            "00000001",
            "00000001.seg-64.cut",
            "mine.cut",
            "notes.txt",
        ] {
            assert!(!is_table_file(other), "{other}");
        }
        assert!(is_table_folder("00000001") && is_table_folder("100000000"));
        for other in ["1", "0000000x", "lost+found", "00000001.old", ""] {
            assert!(!is_table_folder(other), "{other}");
        }
    }
}
