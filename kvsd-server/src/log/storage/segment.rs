//! Segments: the files that hold a table's records.
//!
//! A segment is called `00000001.seg` by its id. It begins with a header of 64 bytes, which is
//! durable before the manifest names the segment; after it come groups ([`super::record`]), one
//! after the other. A file may be longer than its groups: room is reserved ahead, as zeros.
//!
//! ```text
//!  0               8       12      16              24              32              40
//!  +---------------+-------+-------+---------------+---------------+---------------+
//!  |"kvsdseg\0"    |format |64     |incarnation    |segment id     |salt           |
//!  +---------------+-------+-------+---------------+---------------+---------------+
//!  40                                                              60      64
//!  +---------------------------------------------------------------+-------+
//!  |zeros                                                          |CRC    |
//!  +---------------------------------------------------------------+-------+
//! ```
//!
//! Numbers are little-endian. The CRC-32C covers bytes 0 to 60, in every later format as well. The
//! format is 1. The salt is random; the manifest repeats it.
//!
//! Only the last segment of a table grows; the others are sealed and never change.
//!
//! Next file to read: [`super::groups`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile, read_full, write_all};
use super::error::StorageError;
use super::fields::Fields;
use super::history::Marks;
use super::record::Seed;

/// The format that is written, and the latest that is read.
pub(crate) const SEGMENT_FORMAT: u32 = 1;
/// Where the first group of a segment begins.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 64;

const MAGIC: [u8; 8] = *b"kvsdseg\0";
const HEADER_BYTES: usize = 64;
const HEADER_BYTES_FIELD: u32 = 64;

/// What makes a segment the one that the manifest means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentIdentity {
    /// The incarnation of its table.
    pub(crate) incarnation: u64,
    /// Its number in the table, from 1, never used twice.
    pub(crate) id: u64,
    /// Random, so that old blocks of the disk hold no valid records.
    pub(crate) salt: u64,
}

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: u64,
    pub(crate) seed: Seed,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(super) marks: Marks,
}

impl Segment {
    /// Makes a segment without groups. It is durable, and so is every other entry of the folder.
    pub(super) fn create(
        disk: &dyn Disk,
        folder: &Path,
        identity: SegmentIdentity,
    ) -> Result<Self, StorageError> {
        let path = folder.join(file_name(identity.id));
        // Left by a crash, or by an attempt that failed: the manifest does not name it.
        match disk.remove(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StorageError::io("remove", &path)(error));
            }
            _ => {}
        }
        let file = disk.create(&path).map_err(StorageError::io("create", &path))?;
        write_all(&*file, &encode(identity), 0).map_err(StorageError::io("write", &path))?;
        file.sync_data().map_err(StorageError::io("sync", &path))?;
        disk.sync_folder(folder).map_err(StorageError::io("sync", folder))?;
        Ok(Self::new(path, file, identity))
    }

    /// Opens a segment and checks that it is the one that is meant.
    pub(super) fn open(
        disk: &dyn Disk,
        folder: &Path,
        identity: SegmentIdentity,
    ) -> Result<Self, StorageError> {
        let path = folder.join(file_name(identity.id));
        let file = disk.open(&path).map_err(StorageError::io("open", &path))?;
        let mut header = [0; HEADER_BYTES];
        let filled = read_full(&*file, &mut header, 0).map_err(StorageError::io("read", &path))?;
        if filled < HEADER_BYTES {
            return Err(StorageError::corrupt(&path, filled as u64, "the segment's header is cut"));
        }
        check(&path, &header, identity)?;
        Ok(Self::new(path, file, identity))
    }

    /// Opens what is left of a segment whose header may be damaged.
    #[cfg(feature = "cli")]
    pub(super) fn open_unchecked(
        disk: &dyn Disk,
        folder: &Path,
        identity: SegmentIdentity,
    ) -> Result<Self, StorageError> {
        let path = folder.join(file_name(identity.id));
        let file = disk.open(&path).map_err(StorageError::io("open", &path))?;
        Ok(Self::new(path, file, identity))
    }

    /// What a segment says of itself, where no manifest does.
    #[cfg(feature = "cli")]
    pub(super) fn identify(disk: &dyn Disk, path: &Path) -> Result<SegmentIdentity, StorageError> {
        let file = disk.open(path).map_err(StorageError::io("open", path))?;
        let mut header = [0; HEADER_BYTES];
        read_full(&*file, &mut header, 0).map_err(StorageError::io("read", path))?;
        let mut fields = Fields(&header[16..]);
        let mut field = || fields.u64().unwrap_or_default();
        let identity = SegmentIdentity { incarnation: field(), id: field(), salt: field() };
        check(path, &header, identity)?;
        Ok(identity)
    }

    fn new(path: PathBuf, file: Arc<dyn DiskFile>, identity: SegmentIdentity) -> Self {
        let seed = Seed::new(identity.salt, identity.id);
        Self { id: identity.id, seed, path, file, marks: Marks::default() }
    }

    /// The first bytes of the segment, up to `length` or the file's end.
    pub(super) fn read_up_to(&self, length: u64) -> Result<Vec<u8>, StorageError> {
        let failed = |source| StorageError::io("read", &self.path)(source);
        let length = self.file.length().map_err(failed)?.min(length);
        let Ok(length) = usize::try_from(length) else {
            return Err(StorageError::corrupt(&self.path, length, "the segment is too long"));
        };
        let mut bytes = vec![0; length];
        let filled = read_full(&*self.file, &mut bytes, 0).map_err(failed)?;
        bytes.truncate(filled);
        Ok(bytes)
    }
}

/// Checks the header of a whole segment in memory; what its records are bound to.
#[cfg(feature = "cli")]
pub(super) fn check_header(
    path: &Path,
    bytes: &[u8],
    identity: SegmentIdentity,
) -> Result<Seed, StorageError> {
    let Some(header) = bytes.first_chunk() else {
        return Err(StorageError::corrupt(path, bytes.len() as u64, "the segment's header is cut"));
    };
    check(path, header, identity)?;
    Ok(Seed::new(identity.salt, identity.id))
}

/// Makes a whole segment in memory one of another incarnation. Its records know nothing of that.
#[cfg(feature = "cli")]
pub(super) fn readdress(bytes: &mut [u8], identity: SegmentIdentity) {
    if let Some(header) = bytes.first_chunk_mut() {
        *header = encode(identity);
    }
}

/// The name of a segment's file.
pub(super) fn file_name(id: u64) -> String {
    format!("{id:08}.seg")
}

fn encode(identity: SegmentIdentity) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&SEGMENT_FORMAT.to_le_bytes());
    bytes[12..16].copy_from_slice(&HEADER_BYTES_FIELD.to_le_bytes());
    bytes[16..24].copy_from_slice(&identity.incarnation.to_le_bytes());
    bytes[24..32].copy_from_slice(&identity.id.to_le_bytes());
    bytes[32..40].copy_from_slice(&identity.salt.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..60]);
    bytes[60..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn check(
    path: &Path,
    header: &[u8; HEADER_BYTES],
    identity: SegmentIdentity,
) -> Result<(), StorageError> {
    let damaged = |what| Err(StorageError::corrupt(path, 0, what));
    if header[..8] != MAGIC || header[60..] != crc32c::crc32c(&header[..60]).to_le_bytes() {
        return damaged("the segment header's checksum does not fit");
    }
    let mut fields = Fields(&header[8..]);
    let found = fields.u32().unwrap_or_default();
    if found > SEGMENT_FORMAT {
        return Err(StorageError::NewerFormat {
            file: path.to_owned(),
            found,
            supported: SEGMENT_FORMAT,
        });
    }
    if *header != encode(identity) {
        return damaged("this is another segment than the manifest names");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::storage::sim::SimDisk;

    const IDENTITY: SegmentIdentity = SegmentIdentity { incarnation: 5, id: 1, salt: 9 };

    #[test]
    fn a_segment_opens_only_as_what_it_was_made() {
        let disk = SimDisk::new(1);
        let folder = Path::new("/");
        Segment::create(&disk, folder, IDENTITY).unwrap();
        assert_eq!(Segment::open(&disk, folder, IDENTITY).unwrap().id, 1);
        let other = SegmentIdentity { salt: 10, ..IDENTITY };
        assert!(matches!(
            Segment::open(&disk, folder, other),
            Err(StorageError::Corrupt { offset: 0, .. })
        ));
    }

    #[test]
    fn a_newer_segment_is_refused_by_its_format_and_not_as_damage() {
        let disk = SimDisk::new(1);
        let mut header = encode(IDENTITY);
        header[8] = 2;
        let crc = crc32c::crc32c(&header[..60]);
        header[60..].copy_from_slice(&crc.to_le_bytes());
        disk.put(Path::new("/00000001.seg"), &header);
        assert!(matches!(
            Segment::open(&disk, Path::new("/"), IDENTITY),
            Err(StorageError::NewerFormat { found: 2, supported: 1, .. })
        ));
    }
}
