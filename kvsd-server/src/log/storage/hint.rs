//! Hints: what a segment says of its keys, sorted by key, in a file beside it.
//!
//! The hint of `00000001.seg` is `00000001.hint`. It has one entry for each key of the segment, that
//! of the key's highest version in it, deletes included. It says nothing that the segment does not:
//! one that is missing, damaged, of another format or of another state of its segment is no error,
//! and is made again from the segment. It begins with a header of 80 bytes:
//!
//! ```text
//!  0               8       12      16              24              32              40
//!  +---------------+-------+-------+---------------+---------------+---------------+
//!  |"kvsdhnt\0"    |format |80     |incarnation    |segment id     |salt           |
//!  +---------------+-------+-------+---------------+---------------+---------------+
//!  40              48              56              64              72      76      80
//!  +---------------+---------------+---------------+---------------+-------+-------+
//!  |segment length |entries        |records        |key bytes      |zeros  |CRC    |
//!  +---------------+---------------+---------------+---------------+-------+-------+
//! ```
//!
//! - *segment length*: where the segment's groups end that the hint tells of.
//! - *records* and *key bytes*: of all records of the segment, superseded ones included.
//! - The CRC-32C covers bytes 0 to 76. The format is 1, numbers are little-endian.
//!
//! After it come blocks until all entries are told; an entry never spans blocks. A block's CRC
//! covers the segment's salt (8 bytes), its id (8) and the block's offset (8), none of which is
//! stored here, then the body's length and the body. A body has at least one entry and, its last
//! entry apart, less than 64 KiB.
//!
//! ```text
//!  0       4       8          an entry:
//!  +-------+-------+------+   0       4    6 7 8               16              24         32
//!  |CRC    |body   | body |   +-------+----+-+-+---------------+---------------+----------+-----+
//!  |       |bytes  |      |   |value  |key |k|0|offset         |version        |expires   | key |
//!  +-------+-------+------+   |bytes  |byt.| | |               |               |          |     |
//!                             +-------+----+-+-+---------------+---------------+----------+-----+
//! ```
//!
//! *offset* is where the record begins in the segment; the other fields are the record's own
//! ([`super::record`]). Keys ascend strictly throughout the file.
//!
//! Next file to read: [`super::merge`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile, read_full, write_all};
use super::error::StorageError;
use super::fields::Fields;
use super::record::{HEADER_BYTES as RECORD_HEADER_BYTES, Kind, Seed};
use super::scan::Groups;
use super::segment::{Segment, SegmentIdentity};

const MAGIC: [u8; 8] = *b"kvsdhnt\0";
const FORMAT: u32 = 1;
const HEADER_BYTES: usize = 80;
const HEADER_BYTES_FIELD: u32 = 80;
const BLOCK_HEADER_BYTES: usize = 8;
const BLOCK_BYTES: usize = 64 * 1024;
const ENTRY_BYTES: usize = 32;
/// A full block and the longest entry behind it.
const MOST_BLOCK_BYTES: usize = BLOCK_BYTES + ENTRY_BYTES + u16::MAX as usize;

/// A key's last record in a segment, but for its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HintEntry {
    pub(super) key: Box<[u8]>,
    pub(super) offset: u64,
    pub(super) version: u64,
    pub(super) expires: u64,
    pub(super) value_bytes: u32,
    pub(super) kind: Kind,
}

impl HintEntry {
    /// The length of the whole record.
    pub(super) fn record_bytes(&self) -> usize {
        RECORD_HEADER_BYTES + self.key.len() + self.value_bytes as usize
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.value_bytes.to_le_bytes());
        // A record's key has at most 65,535 bytes.
        bytes.extend_from_slice(&u16::try_from(self.key.len()).unwrap_or_default().to_le_bytes());
        bytes.extend_from_slice(&[self.kind as u8, 0]);
        bytes.extend_from_slice(&self.offset.to_le_bytes());
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&self.expires.to_le_bytes());
        bytes.extend_from_slice(&self.key);
    }

    fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        let value_bytes = fields.u32()?;
        let key_bytes = fields.u16()?;
        let kind = match (fields.u8()?, fields.u8()?) {
            (1, 0) => Kind::Set,
            (2, 0) => Kind::Delete,
            _ => return None,
        };
        Some(Self {
            offset: fields.u64()?,
            version: fields.u64()?,
            expires: fields.u64()?,
            key: fields.bytes(key_bytes.into())?.into(),
            value_bytes,
            kind,
        })
    }
}

/// What a segment says of its keys.
#[derive(Debug, Default)]
pub(super) struct Digest {
    /// Sorted by key, each key once.
    pub(super) entries: Vec<HintEntry>,
    pub(super) counts: Counts,
}

/// How much a segment has of what its limits count, superseded records included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) records: u64,
    pub(super) key_bytes: u64,
}

impl Digest {
    /// Reads a segment up to its end, and verifies every byte of it.
    pub(super) fn of(segment: &Segment, length: u64) -> Result<Self, StorageError> {
        let damaged = |at, what| Err(StorageError::corrupt(&segment.path, at, what));
        let bytes = segment.read_up_to(length)?;
        let mut groups = Groups::new(&bytes, segment.seed);
        let mut records = Vec::new();
        let mut digest = Self::default();
        loop {
            match groups.next(&mut records) {
                Ok(Some(_)) => {}
                Ok(None) if groups.position() == length => break,
                Ok(None) => return damaged(groups.position(), "the segment is cut"),
                Err(damage) => return damaged(damage.at, "a durable record does not verify"),
            }
            digest.counts.records += records.len() as u64;
            digest.entries.extend(records.iter().map(|record| HintEntry {
                key: record.key.into(),
                offset: record.offset,
                version: record.header.version,
                expires: record.header.expires,
                value_bytes: record.header.value_bytes,
                kind: record.header.kind,
            }));
        }
        let entries = &mut digest.entries;
        digest.counts.key_bytes = entries.iter().map(|entry| entry.key.len() as u64).sum();
        entries.sort_unstable_by(|a, b| a.key.cmp(&b.key).then(b.version.cmp(&a.version)));
        entries.dedup_by(|later, first| later.key == first.key);
        Ok(digest)
    }

    /// Writes the hint of a segment that ends at `length`, durably but for its folder's entry.
    pub(super) fn write(
        &self,
        disk: &dyn Disk,
        folder: &Path,
        identity: SegmentIdentity,
        length: u64,
    ) -> Result<(), StorageError> {
        let path = folder.join(file_name(identity.id));
        let written = self.write_to(disk, &path, identity, length);
        if written.is_err() {
            // Half a hint is no hint, and may be in the way of what needs the room.
            let _ = disk.remove(&path);
        }
        written
    }

    fn write_to(
        &self,
        disk: &dyn Disk,
        path: &Path,
        identity: SegmentIdentity,
        length: u64,
    ) -> Result<(), StorageError> {
        match disk.remove(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StorageError::io("remove", path)(error));
            }
            _ => {}
        }
        let file = disk.create(path).map_err(StorageError::io("create", path))?;
        let mut end = 0;
        let mut write = |bytes: &[u8]| {
            let written = write_all(&*file, bytes, end);
            end += bytes.len() as u64;
            written.map_err(StorageError::io("write", path)).map(|()| end)
        };
        let header = encode_header(identity, length, self.entries.len() as u64, self.counts);
        let mut at = write(&header)?;
        let seed = Seed::new(identity.salt, identity.id);
        let mut block = vec![0; BLOCK_HEADER_BYTES];
        let last = self.entries.len().saturating_sub(1);
        for (place, entry) in self.entries.iter().enumerate() {
            entry.encode(&mut block);
            if block.len() < BLOCK_BYTES && place != last {
                continue;
            }
            // Bounded by the constants above.
            let body_bytes = u32::try_from(block.len() - BLOCK_HEADER_BYTES).unwrap_or(u32::MAX);
            block.splice(4..BLOCK_HEADER_BYTES, body_bytes.to_le_bytes());
            let crc = seed.crc_at(at, block.get(4..).unwrap_or_default());
            block.splice(..4, crc.to_le_bytes());
            at = write(&block)?;
            block.truncate(BLOCK_HEADER_BYTES);
        }
        file.sync_data().map_err(StorageError::io("sync", path))
    }
}

/// A segment's hint cannot be used: read the segment instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadHint;

/// A hint being read, a block at a time.
#[derive(Debug)]
pub(super) struct HintReader {
    file: Arc<dyn DiskFile>,
    seed: Seed,
    segment_length: u64,
    pub(super) counts: Counts,
    /// Entries that are still to come, and where their first block is.
    left: u64,
    at: u64,
    block: Vec<u8>,
    /// What is told of the block.
    told: usize,
    last_key: Box<[u8]>,
}

impl HintReader {
    /// Opens the hint of a segment that ends at `length`.
    pub(super) fn open(
        disk: &dyn Disk,
        folder: &Path,
        identity: SegmentIdentity,
        length: u64,
    ) -> Result<Self, BadHint> {
        let path: PathBuf = folder.join(file_name(identity.id));
        let file = disk.open(&path).map_err(|_| BadHint)?;
        let mut header = [0; HEADER_BYTES];
        let filled = read_full(&*file, &mut header, 0).map_err(|_| BadHint)?;
        let mut fields = Fields(header.get(48..72).unwrap_or_default());
        let mut number = || fields.u64().ok_or(BadHint);
        let left = number()?;
        let counts = Counts { records: number()?, key_bytes: number()? };
        if filled != HEADER_BYTES || header != encode_header(identity, length, left, counts) {
            return Err(BadHint);
        }
        Ok(Self {
            file,
            seed: Seed::new(identity.salt, identity.id),
            segment_length: length,
            counts,
            left,
            at: HEADER_BYTES as u64,
            block: Vec::new(),
            told: 0,
            last_key: Box::default(),
        })
    }

    /// The next entry, by key.
    pub(super) fn next(&mut self) -> Result<Option<HintEntry>, BadHint> {
        if self.told == self.block.len() {
            if self.left == 0 {
                return Ok(None);
            }
            self.read_block()?;
        }
        let mut fields = Fields(self.block.get(self.told..).unwrap_or_default());
        let before = fields.0.len();
        let entry = HintEntry::decode(&mut fields).ok_or(BadHint)?;
        self.told += before - fields.0.len();
        let end = entry.offset.checked_add(entry.record_bytes() as u64);
        let ascends = *entry.key > *self.last_key || self.last_key.is_empty();
        if !ascends || end.is_none_or(|end| end > self.segment_length) {
            return Err(BadHint);
        }
        self.left = self.left.checked_sub(1).ok_or(BadHint)?;
        self.last_key.clone_from(&entry.key);
        Ok(Some(entry))
    }

    fn read_block(&mut self) -> Result<(), BadHint> {
        let mut header = [0; BLOCK_HEADER_BYTES];
        let filled = read_full(&*self.file, &mut header, self.at).map_err(|_| BadHint)?;
        let mut fields = Fields(header.get(..filled).unwrap_or_default());
        let crc = fields.u32().ok_or(BadHint)?;
        let body_bytes = fields.u32().ok_or(BadHint)? as usize;
        if body_bytes == 0 || body_bytes > MOST_BLOCK_BYTES {
            return Err(BadHint);
        }
        self.block.clear();
        self.block.resize(4 + body_bytes, 0);
        let filled = read_full(&*self.file, &mut self.block, self.at + 4).map_err(|_| BadHint)?;
        if filled != self.block.len() || self.seed.crc_at(self.at, &self.block) != crc {
            return Err(BadHint);
        }
        self.told = 4;
        self.at += (4 + self.block.len()) as u64;
        Ok(())
    }
}

/// The name of the hint of the segment with this id.
pub(super) fn file_name(id: u64) -> String {
    format!("{id:08}.hint")
}

fn encode_header(
    identity: SegmentIdentity,
    length: u64,
    entries: u64,
    counts: Counts,
) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[12..16].copy_from_slice(&HEADER_BYTES_FIELD.to_le_bytes());
    bytes[16..24].copy_from_slice(&identity.incarnation.to_le_bytes());
    bytes[24..32].copy_from_slice(&identity.id.to_le_bytes());
    bytes[32..40].copy_from_slice(&identity.salt.to_le_bytes());
    bytes[40..48].copy_from_slice(&length.to_le_bytes());
    bytes[48..56].copy_from_slice(&entries.to_le_bytes());
    bytes[56..64].copy_from_slice(&counts.records.to_le_bytes());
    bytes[64..72].copy_from_slice(&counts.key_bytes.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..76]);
    bytes[76..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::storage::sim::SimDisk;

    const IDENTITY: SegmentIdentity = SegmentIdentity { incarnation: 5, id: 1, salt: 9 };
    const LENGTH: u64 = 1 << 30;

    fn digest(count: u64) -> Digest {
        let entries = (0..count).map(|number| HintEntry {
            key: format!("key{number:08}").into_bytes().into(),
            offset: 64 + number * 100,
            version: 1000 - number % 7,
            expires: u64::MAX,
            value_bytes: 57,
            kind: if number % 3 == 0 { Kind::Delete } else { Kind::Set },
        });
        let counts = Counts { records: count + 1, key_bytes: count * 11 };
        Digest { entries: entries.collect(), counts }
    }

    fn read(disk: &SimDisk, length: u64) -> Result<Vec<HintEntry>, BadHint> {
        let mut reader = HintReader::open(disk, Path::new("/"), IDENTITY, length)?;
        let mut entries = Vec::new();
        while let Some(entry) = reader.next()? {
            entries.push(entry);
        }
        Ok(entries)
    }

    #[test]
    fn a_hint_of_many_blocks_reads_back_and_only_for_its_segment_as_it_was() {
        let disk = SimDisk::new(1);
        for count in [0, 1, 5_000] {
            let digest = digest(count);
            digest.write(&disk, Path::new("/"), IDENTITY, LENGTH).unwrap();
            assert_eq!(read(&disk, LENGTH), Ok(digest.entries));
            assert_eq!(read(&disk, LENGTH + 1), Err(BadHint));
            let other = SegmentIdentity { salt: 10, ..IDENTITY };
            let opened = HintReader::open(&disk, Path::new("/"), other, LENGTH);
            assert_eq!(opened.err(), Some(BadHint));
        }
    }

    #[test]
    fn a_hint_with_any_byte_flipped_or_cut_off_is_bad() {
        let disk = SimDisk::new(1);
        digest(10).write(&disk, Path::new("/"), IDENTITY, LENGTH).unwrap();
        let path = Path::new("/00000001.hint");
        let whole = disk.content(path);
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            disk.put(path, &flipped);
            assert_eq!(read(&disk, LENGTH), Err(BadHint), "flipped at {at}");
            disk.put(path, &whole[..at]);
            assert_eq!(read(&disk, LENGTH), Err(BadHint), "cut at {at}");
        }
    }

    #[test]
    fn the_layout_of_a_hint_is_fixed() {
        let disk = SimDisk::new(1);
        digest(1).write(&disk, Path::new("/"), IDENTITY, LENGTH).unwrap();
        let bytes = disk.content(Path::new("/00000001.hint"));
        assert_eq!(bytes.len(), 80 + 8 + 32 + 11);
        assert_eq!(bytes[..16], *b"kvsdhnt\0\x01\0\0\0\x50\0\0\0");
        assert_eq!(bytes[84..96], [43, 0, 0, 0, 57, 0, 0, 0, 11, 0, 2, 0]);
        assert_eq!(bytes[96..104], 64_u64.to_le_bytes());
        assert_eq!(bytes[120..], *b"key00000000");
    }
}
