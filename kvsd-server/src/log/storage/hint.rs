//! Hints: what a segment says of its keys, sorted by key, in a file beside it.
//!
//! The hint of `00000001.seg` is `00000001.hint`. It has one entry for each key of the segment, that
//! of the key's highest version in it, deletes included. It says nothing that the segment does not:
//! one that is missing, damaged, of another format or of another state of its segment is no error,
//! and is made again from the segment. It begins with a header of 88 bytes:
//!
//! ```text
//!  0               8       12      16              24              32              40
//!  +---------------+-------+-------+---------------+---------------+---------------+
//!  |"kvsdhnt\0"    |format |88     |incarnation    |segment id     |salt           |
//!  +---------------+-------+-------+---------------+---------------+---------------+
//!  40              48              56              64              72      80      84  88
//!  +---------------+---------------+---------------+---------------+-------+-------+---+
//!  |segment length |entries        |records        |key bytes      |fences |zeros  |CRC|
//!  |               |               |               |               |at     |       |   |
//!  +---------------+---------------+---------------+---------------+-------+-------+---+
//! ```
//!
//! - *segment length*: where the segment's groups end that the hint tells of.
//! - *records* and *key bytes*: of all records of the segment, superseded ones included.
//! - *fences at*: where the fences are, 8 bytes.
//! - The CRC-32C covers bytes 0 to 84. The format is 1, numbers are little-endian. The header is
//!   written last.
//!
//! After it come blocks until all entries are told; an entry never spans blocks. Behind them stands
//! one more block, the fences: for each of the others where it begins and its first key. A block's
//! CRC covers the segment's salt (8 bytes), its id (8) and the block's offset (8), none of which is
//! stored here, then the body's length and the body. A body of entries has at least one and, its
//! last entry apart, less than 64 KiB.
//!
//! ```text
//!  0       4       8          an entry:
//!  +-------+-------+------+   0       4    6 7 8               16              24         32
//!  |CRC    |body   | body |   +-------+----+-+-+---------------+---------------+----------+-----+
//!  |       |bytes  |      |   |value  |key |k|0|offset         |version        |expires   | key |
//!  +-------+-------+------+   |bytes  |byt.| | |               |               |          |     |
//!                             +-------+----+-+-+---------------+---------------+----------+-----+
//!                             a fence:
//!                             0               8    10
//!                             +---------------+----+-----+
//!                             |block at       |key | key |
//!                             |               |byt.|     |
//!                             +---------------+----+-----+
//! ```
//!
//! *offset* is where the record begins in the segment; the other fields are the record's own
//! ([`super::record`]). Keys ascend strictly throughout the file. The fences stay in memory, some
//! 40 bytes for every 64 KiB, so that a search reads one block.
//!
//! Next file to read: [`super::merge`].

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::disk::{Disk, DiskFile, read_full, write_all};
use super::entry::{Counts, Entry, KeyRange, Order};
use super::error::StorageError;
use super::fields::Fields;
use super::record::{Kind, Seed};
use super::segment::SegmentIdentity;

const MAGIC: [u8; 8] = *b"kvsdhnt\0";
const FORMAT: u32 = 1;
const HEADER_BYTES: usize = 88;
const HEADER_BYTES_FIELD: u32 = 88;
const BLOCK_HEADER_BYTES: usize = 8;
const BLOCK_BYTES: usize = 64 * 1024;
const ENTRY_BYTES: usize = 32;
/// A full block and the longest entry behind it.
const MOST_BLOCK_BYTES: usize = BLOCK_BYTES + ENTRY_BYTES + u16::MAX as usize;

/// A segment's hint cannot be used: read the segment instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadHint;

/// An open hint.
#[derive(Debug)]
pub(super) struct Hint {
    file: Arc<dyn DiskFile>,
    seed: Seed,
    segment_length: u64,
    pub(super) counts: Counts,
    /// The file's length.
    pub(super) bytes: u64,
    fences: Vec<Fence>,
    /// The block that was read last: the next page of a scan begins there.
    recent: Mutex<Option<Arc<Block>>>,
}

/// A block in memory.
#[derive(Debug, Default)]
struct Block {
    number: usize,
    body: Vec<u8>,
    /// Where its entries begin.
    starts: Vec<u32>,
}

/// A block and its first key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fence {
    at: u64,
    key: Box<[u8]>,
}

/// What a hint is of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Of<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) folder: &'a Path,
    pub(super) identity: SegmentIdentity,
    /// Where the segment ends.
    pub(super) length: u64,
}

impl Hint {
    /// Opens the hint of a segment.
    pub(super) fn open(of: Of<'_>) -> Result<Self, BadHint> {
        let path = of.folder.join(file_name(of.identity.id));
        let file = of.disk.open(&path).map_err(|_| BadHint)?;
        let mut header = [0; HEADER_BYTES];
        let filled = read_full(&*file, &mut header, 0).map_err(|_| BadHint)?;
        let mut fields = Fields(header.get(48..80).unwrap_or_default());
        let mut number = || fields.u64().ok_or(BadHint);
        let entries = number()?;
        let counts = Counts { records: number()?, key_bytes: number()? };
        let fences_at = number()?;
        let expected = encode_header(of.identity, of.length, entries, counts, fences_at);
        if filled != HEADER_BYTES || header != expected {
            return Err(BadHint);
        }
        let seed = Seed::new(of.identity.salt, of.identity.id);
        let length = file.length().map_err(|_| BadHint)?;
        let body = read_block(&*file, seed, fences_at, length)?;
        let fences = decode_fences(&body)?;
        if entries > 0 && fences.is_empty() {
            return Err(BadHint);
        }
        let segment_length = of.length;
        Ok(Self {
            file,
            seed,
            segment_length,
            counts,
            bytes: length,
            fences,
            recent: Mutex::default(),
        })
    }

    /// Writes the hint of a segment from its entries in the order of their keys, durably but for its
    /// folder's entry.
    pub(super) fn write<'e>(
        of: Of<'_>,
        counts: Counts,
        entries: impl Iterator<Item = Entry<'e>>,
    ) -> Result<Self, StorageError> {
        let path = of.folder.join(file_name(of.identity.id));
        let written = write(of, &path, counts, entries);
        if written.is_err() {
            // Half a hint is no hint, and may be in the way of what needs the room.
            let _ = of.disk.remove(&path);
        }
        written
    }

    /// The block with this number; one without entries past the last.
    fn block(&self, number: usize) -> Result<Arc<Block>, BadHint> {
        // A panic elsewhere cannot leave it half changed.
        let recent = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(block) = recent().as_ref().filter(|block| block.number == number) {
            return Ok(Arc::clone(block));
        }
        let Some(fence) = self.fences.get(number) else {
            return Ok(Arc::new(Block { number, ..Block::default() }));
        };
        let body = read_block(&*self.file, self.seed, fence.at, MOST_BLOCK_BYTES as u64)?;
        let block = Arc::new(Block { number, starts: self.find_entries(&body, &fence.key)?, body });
        *recent() = Some(Arc::clone(&block));
        Ok(block)
    }

    /// Where the entries of a block begin. Checks all that can be wrong with them.
    fn find_entries(&self, body: &[u8], first_key: &[u8]) -> Result<Vec<u32>, BadHint> {
        let mut starts = Vec::with_capacity(body.len() / (ENTRY_BYTES + 16));
        let mut start = 0;
        let mut last_key: Option<&[u8]> = None;
        while start < body.len() {
            let entry = decode_entry(body, start).ok_or(BadHint)?;
            let ascends = match last_key {
                None => entry.key == first_key,
                Some(last) => entry.key > last,
            };
            let end = entry.offset.checked_add(entry.record_bytes() as u64);
            if !ascends || end.is_none_or(|end| end > self.segment_length) {
                return Err(BadHint);
            }
            last_key = Some(entry.key);
            starts.push(u32::try_from(start).map_err(|_| BadHint)?);
            start += ENTRY_BYTES + entry.key.len();
        }
        Ok(starts)
    }

    /// Keys at about equal distances.
    pub(super) fn samples(&self) -> impl Iterator<Item = &[u8]> {
        self.fences.iter().map(|fence| &*fence.key)
    }
}

fn write<'e>(
    of: Of<'_>,
    path: &Path,
    counts: Counts,
    mut entries: impl Iterator<Item = Entry<'e>>,
) -> Result<Hint, StorageError> {
    match of.disk.remove(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(StorageError::io("remove", path)(error));
        }
        _ => {}
    }
    let file = of.disk.create(path).map_err(StorageError::io("create", path))?;
    let write =
        |bytes: &[u8], at| write_all(&*file, bytes, at).map_err(StorageError::io("write", path));
    let seed = Seed::new(of.identity.salt, of.identity.id);
    let mut at = HEADER_BYTES as u64;
    let mut count = 0;
    let mut fences: Vec<Fence> = Vec::new();
    let mut block = Vec::with_capacity(BLOCK_BYTES + 2 * ENTRY_BYTES);
    loop {
        let next = entries.next();
        if block.len() > BLOCK_BYTES || (next.is_none() && !block.is_empty()) {
            close_block(&mut block, seed, at);
            write(&block, at)?;
            at += block.len() as u64;
            block.clear();
        }
        let Some(entry) = next else {
            break;
        };
        if block.is_empty() {
            fences.push(Fence { at, key: entry.key.into() });
            block.extend_from_slice(&[0; BLOCK_HEADER_BYTES]);
        }
        encode_entry(&entry, &mut block);
        count += 1;
    }
    let mut body = vec![0; BLOCK_HEADER_BYTES];
    encode_fences(&fences, &mut body);
    close_block(&mut body, seed, at);
    write(&body, at)?;
    write(&encode_header(of.identity, of.length, count, counts, at), 0)?;
    file.sync_data().map_err(StorageError::io("sync", path))?;
    let bytes = at + body.len() as u64;
    let (segment_length, recent) = (of.length, Mutex::default());
    Ok(Hint { file, seed, segment_length, counts, bytes, fences, recent })
}

/// Puts length and checksum into the room that was left for them.
fn close_block(block: &mut [u8], seed: Seed, at: u64) {
    let body_bytes = u32::try_from(block.len() - BLOCK_HEADER_BYTES).unwrap_or(u32::MAX);
    if let Some(field) = block.get_mut(4..BLOCK_HEADER_BYTES) {
        field.copy_from_slice(&body_bytes.to_le_bytes());
    }
    let crc = seed.crc_at(at, block.get(4..).unwrap_or_default());
    if let Some(field) = block.get_mut(..4) {
        field.copy_from_slice(&crc.to_le_bytes());
    }
}

/// Reads the body of the block that begins at `at`.
fn read_block(
    file: &dyn DiskFile,
    seed: Seed,
    at: u64,
    most_bytes: u64,
) -> Result<Vec<u8>, BadHint> {
    let mut bytes = vec![0; BLOCK_HEADER_BYTES];
    let filled = read_full(file, &mut bytes, at).map_err(|_| BadHint)?;
    let mut fields = Fields(bytes.get(..filled).unwrap_or_default());
    let crc = fields.u32().ok_or(BadHint)?;
    let body_bytes = fields.u32().ok_or(BadHint)?;
    if u64::from(body_bytes) > most_bytes {
        return Err(BadHint);
    }
    bytes.resize(4 + body_bytes as usize, 0);
    let behind_crc = at.checked_add(4).ok_or(BadHint)?;
    let filled = read_full(file, &mut bytes, behind_crc).map_err(|_| BadHint)?;
    if filled != bytes.len() || seed.crc_at(at, &bytes) != crc {
        return Err(BadHint);
    }
    bytes.drain(..4);
    Ok(bytes)
}

/// A place among a hint's entries.
#[derive(Debug)]
pub(super) struct HintCursor {
    hint: Arc<Hint>,
    block: Arc<Block>,
    /// The place in the block; nothing at the end.
    place: Option<usize>,
}

impl HintCursor {
    /// At the first entry of a range in this order.
    pub(super) fn at_start(
        hint: Arc<Hint>,
        range: &KeyRange<'_>,
        order: Order,
    ) -> Result<Self, BadHint> {
        let fence = |place: usize| hint.fences.get(place).map(|f| &*f.key).unwrap_or_default();
        let start = range.start(order, hint.fences.len(), fence);
        let number = match order {
            // The block before may have the first keys of the range.
            Order::Ascending => start.unwrap_or(hint.fences.len()).saturating_sub(1),
            Order::Descending => start.unwrap_or(hint.fences.len()),
        };
        let block = hint.block(number)?;
        let key = |place| block.entry(place).map(|entry| entry.key).unwrap_or_default();
        let place = range.start(order, block.starts.len(), key);
        let mut cursor = Self { hint, block, place };
        if cursor.place.is_none() && order == Order::Ascending {
            cursor.turn_to(Some(number + 1), order)?;
        }
        Ok(cursor)
    }

    /// The entry here; nothing behind the last one.
    pub(super) fn entry(&self) -> Option<Entry<'_>> {
        self.block.entry(self.place?)
    }

    /// Goes on to the next entry in this order.
    pub(super) fn step(&mut self, order: Order) -> Result<(), BadHint> {
        let Some(place) = self.place else {
            return Ok(());
        };
        let next = match order {
            Order::Ascending => Some(place + 1).filter(|next| *next < self.block.starts.len()),
            Order::Descending => place.checked_sub(1),
        };
        if next.is_some() {
            self.place = next;
            return Ok(());
        }
        let number = match order {
            Order::Ascending => Some(self.block.number + 1),
            Order::Descending => self.block.number.checked_sub(1),
        };
        self.turn_to(number, order)
    }

    fn turn_to(&mut self, number: Option<usize>, order: Order) -> Result<(), BadHint> {
        self.place = None;
        let Some(number) = number.filter(|number| *number < self.hint.fences.len()) else {
            return Ok(());
        };
        self.block = self.hint.block(number)?;
        self.place = match order {
            Order::Ascending => Some(0),
            Order::Descending => self.block.starts.len().checked_sub(1),
        };
        Ok(())
    }
}

impl Block {
    fn entry(&self, place: usize) -> Option<Entry<'_>> {
        decode_entry(&self.body, *self.starts.get(place)? as usize)
    }
}

fn encode_entry(entry: &Entry<'_>, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&entry.value_bytes.to_le_bytes());
    // A record's key has at most 65,535 bytes.
    bytes.extend_from_slice(&u16::try_from(entry.key.len()).unwrap_or_default().to_le_bytes());
    bytes.extend_from_slice(&[entry.kind as u8, 0]);
    bytes.extend_from_slice(&entry.offset.to_le_bytes());
    bytes.extend_from_slice(&entry.version.to_le_bytes());
    bytes.extend_from_slice(&entry.expires.to_le_bytes());
    bytes.extend_from_slice(entry.key);
}

fn decode_entry(bytes: &[u8], start: usize) -> Option<Entry<'_>> {
    let (head, rest) = bytes.get(start..)?.split_first_chunk::<ENTRY_BYTES>()?;
    let mut fields = Fields(head);
    let value_bytes = fields.u32()?;
    let key_bytes = fields.u16()?;
    let kind = match (fields.u8()?, fields.u8()?) {
        (1, 0) => Kind::Set,
        (2, 0) => Kind::Delete,
        _ => return None,
    };
    Some(Entry {
        offset: fields.u64()?,
        version: fields.u64()?,
        expires: fields.u64()?,
        key: rest.get(..key_bytes.into())?,
        value_bytes,
        kind,
    })
}

fn encode_fences(fences: &[Fence], bytes: &mut Vec<u8>) {
    for fence in fences {
        bytes.extend_from_slice(&fence.at.to_le_bytes());
        let key_bytes = u16::try_from(fence.key.len()).unwrap_or_default();
        bytes.extend_from_slice(&key_bytes.to_le_bytes());
        bytes.extend_from_slice(&fence.key);
    }
}

fn decode_fences(body: &[u8]) -> Result<Vec<Fence>, BadHint> {
    let mut fields = Fields(body);
    let mut fences: Vec<Fence> = Vec::new();
    while !fields.is_at_end() {
        let at = fields.u64().ok_or(BadHint)?;
        let key_bytes = fields.u16().ok_or(BadHint)?;
        let key: Box<[u8]> = fields.bytes(key_bytes.into()).ok_or(BadHint)?.into();
        if fences.last().is_some_and(|last| last.key >= key) {
            return Err(BadHint);
        }
        fences.push(Fence { at, key });
    }
    fences.shrink_to_fit();
    Ok(fences)
}

/// The name of the hint of the segment with this id.
pub(super) fn file_name(id: u64) -> String {
    format!("{id:08}.hint")
}

/// Makes a whole hint in memory that of a segment of another incarnation. Its blocks know nothing of
/// that.
#[cfg(feature = "cli")]
pub(super) fn readdress(
    bytes: &mut [u8],
    from: SegmentIdentity,
    to: SegmentIdentity,
) -> Result<(), BadHint> {
    let header = bytes.first_chunk_mut::<HEADER_BYTES>().ok_or(BadHint)?;
    let mut fields = Fields(header.get(40..80).unwrap_or_default());
    let mut number = || fields.u64().ok_or(BadHint);
    let (length, entries) = (number()?, number()?);
    let counts = Counts { records: number()?, key_bytes: number()? };
    let fences_at = number()?;
    if *header != encode_header(from, length, entries, counts, fences_at) {
        return Err(BadHint);
    }
    *header = encode_header(to, length, entries, counts, fences_at);
    Ok(())
}

fn encode_header(
    identity: SegmentIdentity,
    length: u64,
    entries: u64,
    counts: Counts,
    fences_at: u64,
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
    bytes[72..80].copy_from_slice(&fences_at.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..84]);
    bytes[84..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use super::*;
    use crate::log::storage::chunk::Entries;
    use crate::log::storage::chunk::in_order;
    use crate::log::storage::sim::SimDisk;

    const IDENTITY: SegmentIdentity = SegmentIdentity { incarnation: 5, id: 1, salt: 9 };
    const LENGTH: u64 = 1 << 30;
    const PATH: &str = "/00000001.hint";

    fn of(disk: &SimDisk, identity: SegmentIdentity, length: u64) -> Of<'_> {
        Of { disk, folder: Path::new("/"), identity, length }
    }

    fn key(number: u64) -> Vec<u8> {
        format!("key{number:08}").into_bytes()
    }

    /// Writes a hint of keys with even numbers.
    fn write(disk: &SimDisk, count: u64) {
        let mut entries = Entries::default();
        for number in (0..count).rev() {
            entries.push(&Entry {
                key: &key(2 * number),
                offset: 64 + number * 100,
                version: 1000 + number,
                expires: u64::MAX,
                value_bytes: 57,
                kind: if number % 3 == 0 { Kind::Delete } else { Kind::Set },
            });
        }
        let chunks = entries.chunks();
        Hint::write(of(disk, IDENTITY, LENGTH), entries.counts, in_order(&chunks)).unwrap();
    }

    /// The numbers in the keys of a range.
    fn read(disk: &SimDisk, range: &KeyRange<'_>, order: Order) -> Result<Vec<u64>, BadHint> {
        let hint = Arc::new(Hint::open(of(disk, IDENTITY, LENGTH))?);
        let mut cursor = HintCursor::at_start(hint, range, order)?;
        let mut numbers = Vec::new();
        while let Some(entry) = cursor.entry().filter(|entry| range.reaches(order, entry.key)) {
            assert_eq!(entry.offset, 64 + (entry.version - 1000) * 100);
            numbers.push(std::str::from_utf8(&entry.key[3..]).unwrap().parse().unwrap());
            cursor.step(order)?;
        }
        Ok(numbers)
    }

    #[test]
    fn a_hint_of_many_blocks_reads_back_in_both_orders() {
        let disk = SimDisk::new(1);
        for count in [0, 1, 5_000] {
            write(&disk, count);
            let mut expected: Vec<u64> = (0..count).map(|number| 2 * number).collect();
            assert_eq!(read(&disk, &KeyRange::ALL, Order::Ascending).as_ref(), Ok(&expected));
            expected.reverse();
            assert_eq!(read(&disk, &KeyRange::ALL, Order::Descending).as_ref(), Ok(&expected));
        }
    }

    #[test]
    fn a_range_begins_and_ends_where_it_says_in_whatever_block_that_is() {
        let disk = SimDisk::new(1);
        write(&disk, 3_000);
        let numbers = (0..3_000).map(|number| 2 * number);
        // The blocks begin at some of these.
        for at in (0..6_010).step_by(7) {
            let (low, high) = (key(at), key(at + 9));
            let ranges = [
                (Bound::Included(&*low), Bound::Excluded(&*high), at..at + 9),
                (Bound::Excluded(&*low), Bound::Included(&*high), at + 1..at + 10),
            ];
            for (from, to, expected) in ranges {
                let range = KeyRange { from, to };
                let mut expected: Vec<u64> =
                    numbers.clone().filter(|number| expected.contains(number)).collect();
                assert_eq!(read(&disk, &range, Order::Ascending).as_ref(), Ok(&expected));
                expected.reverse();
                assert_eq!(read(&disk, &range, Order::Descending).as_ref(), Ok(&expected));
            }
        }
    }

    #[test]
    fn a_hint_opens_only_for_its_segment_as_it_was() {
        let disk = SimDisk::new(1);
        write(&disk, 10);
        assert!(Hint::open(of(&disk, IDENTITY, LENGTH)).is_ok());
        assert!(Hint::open(of(&disk, IDENTITY, LENGTH + 1)).is_err());
        let other = SegmentIdentity { salt: 10, ..IDENTITY };
        assert!(Hint::open(of(&disk, other, LENGTH)).is_err());
    }

    #[test]
    fn a_hint_with_any_byte_flipped_or_cut_off_is_bad() {
        let disk = SimDisk::new(1);
        write(&disk, 10);
        let path = Path::new(PATH);
        let whole = disk.content(path);
        let read = || read(&disk, &KeyRange::ALL, Order::Ascending);
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            disk.put(path, &flipped);
            assert_eq!(read(), Err(BadHint), "flipped at {at}");
            disk.put(path, &whole[..at]);
            assert_eq!(read(), Err(BadHint), "cut at {at}");
        }
    }

    #[test]
    fn the_layout_of_a_hint_is_fixed() {
        let disk = SimDisk::new(1);
        write(&disk, 1);
        let bytes = disk.content(Path::new(PATH));
        assert_eq!(bytes.len(), 88 + 8 + 32 + 11 + 8 + 10 + 11);
        assert_eq!(bytes[..16], *b"kvsdhnt\0\x01\0\0\0\x58\0\0\0");
        assert_eq!(bytes[72..80], (88 + 8 + 32 + 11_u64).to_le_bytes());
        assert_eq!(bytes[92..104], [43, 0, 0, 0, 57, 0, 0, 0, 11, 0, 2, 0]);
        assert_eq!(bytes[104..112], 64_u64.to_le_bytes());
        assert_eq!(bytes[128..139], *b"key00000000");
        assert_eq!(bytes[147..157], [88, 0, 0, 0, 0, 0, 0, 0, 11, 0]);
    }
}
