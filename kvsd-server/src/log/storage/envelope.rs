//! Small files that are read whole and replaced whole: their frame, and how they are replaced.
//!
//! ```text
//!  0               8       12      16      20      24
//!  +---------------+-------+-------+-------+-------+------+
//!  |magic          |format |body   |body   |header | body |
//!  |               |       |bytes  |CRC    |CRC    |      |
//!  +---------------+-------+-------+-------+-------+------+
//! ```
//!
//! Numbers are little-endian, checksums CRC-32C; the header CRC covers bytes 0 to 20. Every later
//! format keeps these 24 bytes, so that a newer file is told from a damaged one. The file ends with
//! its body.
//!
//! Next file to read: [`super::manifest`].

use std::path::{Path, PathBuf};

use super::disk::{Disk, read_full, write_all};
use super::error::StorageError;
use super::fields::Fields;

const HEADER_BYTES: usize = 24;
/// More than any of these files needs: a table's manifest with a million segments.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// What tells one kind of file from another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) magic: [u8; 8],
    pub(super) format: u32,
}

/// A body in its frame.
fn frame(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend_from_slice(&kind.magic);
    bytes.extend_from_slice(&kind.format.to_le_bytes());
    // Bodies are bounded far below 4 GiB; a larger one would be refused when read.
    bytes.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// The body of a framed file.
fn unframe<'a>(kind: Kind, file: &Path, bytes: &'a [u8]) -> Result<&'a [u8], StorageError> {
    let damaged = |offset, what| StorageError::corrupt(file, offset, what);
    let Some((header, body)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(damaged(bytes.len() as u64, "the file is cut"));
    };
    let mut fields = Fields(header);
    let mut read = || {
        let magic = fields.bytes(8)?;
        Some((magic, fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?))
    };
    let Some((magic, format, body_bytes, body_crc, header_crc)) = read() else {
        return Err(damaged(0, "the header is cut"));
    };
    if magic != kind.magic || header_crc != crc32c::crc32c(&header[..20]) {
        return Err(damaged(0, "the header's checksum does not fit"));
    }
    if format > kind.format {
        return Err(StorageError::NewerFormat {
            file: file.to_owned(),
            found: format,
            supported: kind.format,
        });
    }
    if body.len() as u64 != u64::from(body_bytes) {
        return Err(damaged(bytes.len() as u64, "the file's length does not fit its header"));
    }
    if crc32c::crc32c(body) != body_crc {
        return Err(damaged(HEADER_BYTES as u64, "the body's checksum does not fit"));
    }
    Ok(body)
}

/// Reads a framed file's body.
pub(super) fn read(disk: &dyn Disk, kind: Kind, path: &Path) -> Result<Vec<u8>, StorageError> {
    let file = disk.open(path).map_err(StorageError::io("open", path))?;
    let length = file.length().map_err(StorageError::io("read", path))?;
    if length > MAX_FILE_BYTES {
        return Err(StorageError::corrupt(path, MAX_FILE_BYTES, "the file is too long"));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    let filled = read_full(&*file, &mut bytes, 0).map_err(StorageError::io("read", path))?;
    bytes.truncate(filled);
    unframe(kind, path, &bytes).map(<[u8]>::to_vec)
}

/// Why a file was not replaced.
#[derive(Debug)]
pub(super) enum ReplaceError {
    /// The old file stands.
    Unchanged(StorageError),
    /// After a crash there may be the old file or the new one.
    Unknown(StorageError),
}

impl ReplaceError {
    pub(super) fn into_inner(self) -> StorageError {
        match self {
            Self::Unchanged(error) | Self::Unknown(error) => error,
        }
    }
}

/// Replaces a framed file, or makes it: when this returns without an error, the new one is durable.
pub(super) fn replace(
    disk: &dyn Disk,
    kind: Kind,
    path: &Path,
    body: &[u8],
) -> Result<(), ReplaceError> {
    let temporary = temporary_of(path);
    if let Err(error) = write_new(disk, &temporary, &frame(kind, body)) {
        // Opening removes it, should this fail as well.
        let _ = disk.remove(&temporary);
        return Err(ReplaceError::Unchanged(error));
    }
    let unknown =
        |action| move |source| ReplaceError::Unknown(StorageError::io(action, path)(source));
    disk.rename(&temporary, path).map_err(unknown("replace"))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    disk.sync_folder(folder).map_err(unknown("sync the folder of"))
}

/// Writes a whole new file and makes its content durable.
pub(super) fn write_new(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    match disk.remove(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(StorageError::io("remove", path)(error));
        }
        _ => {}
    }
    let file = disk.create(path).map_err(StorageError::io("create", path))?;
    write_all(&*file, bytes, 0).map_err(StorageError::io("write", path))?;
    file.sync_data().map_err(StorageError::io("sync", path))
}

/// The name under which the next content of a file is written.
fn temporary_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(TEMPORARY_EXTENSION);
    PathBuf::from(name)
}

/// The end of the names of files that a crash may leave behind and nobody misses.
pub(super) const TEMPORARY_EXTENSION: &str = "tmp";
