//! Records, and the groups that they stand in: what a segment holds after its header.
//!
//! A **record** is a header of 32 bytes, the key, and the value. All numbers are little-endian.
//!
//! ```text
//!  0       4       8               16              24      28   30 31 32
//!  +-------+-------+---------------+---------------+-------+----+-+-+-----+-------+
//!  |header |body   |version        |expires        |value  |key |k|0| key | value |
//!  |CRC    |CRC    |               |               |bytes  |byt.| | |     |       |
//!  +-------+-------+---------------+---------------+-------+----+-+-+-----+-------+
//! ```
//!
//! - *header CRC*: CRC-32C over the segment's salt (8 bytes), the segment's id (8), the record's
//!   offset in the segment (8), none of which is stored here, and then bytes 4 to 32. So a record is
//!   valid in one place only, and lengths are never believed before they are checked.
//! - *body CRC*: CRC-32C over key and value.
//! - *version*: of the write that the record belongs to. All records of one write share it.
//! - *expires*: milliseconds since 1970, or 2^64 - 1 for never.
//! - *k*, the kind: 1 set, 2 delete (no value, never expires), 3 commit. 0 is invalid, so that
//!   zeros never parse. The byte after it is 0.
//!
//! A **group** is what one `write` call appends: the records of whole writes, then one **commit**.
//! A group counts as a whole or not at all, and never spans segments. A commit is a record without
//! a key, whose version is the highest of the table so far, whose `expires` is the highest clock
//! reading of the table so far, and whose value has 20 bytes:
//!
//! ```text
//!  0               8               16      20
//!  +---------------+---------------+-------+
//!  |durable        |start          |records|
//!  +---------------+---------------+-------+
//! ```
//!
//! - *durable*: all bytes of this segment below it were written before a sync began that has
//!   succeeded. Damage below it is bit rot, never a torn tail. It is always a group's end.
//! - *start*: where the group begins.
//! - *records*: how many records stand between there and the commit. A commit that stands alone
//!   has 0; it follows idleness, so that the last group is soon declared durable.
//!
//! Next file to read: [`super::segment`].

use super::fields::Fields;

/// The length of a record's header.
pub(crate) const HEADER_BYTES: usize = 32;
/// The length of a commit record.
pub(crate) const COMMIT_BYTES: usize = HEADER_BYTES + COMMIT_BODY_BYTES as usize;
/// The value of `expires` that means never.
pub(crate) const NEVER: u64 = u64::MAX;

const COMMIT_BODY_BYTES: u32 = 20;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A key has a value.
    Set = 1,
    /// A key has none.
    Delete = 2,
    /// A group ends.
    Commit = 3,
}

/// The part of a header CRC that is the same throughout a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seed(u32);

impl Seed {
    /// The seed of a segment.
    pub(crate) fn new(salt: u64, segment: u64) -> Self {
        let salted = crc32c::crc32c(&salt.to_le_bytes());
        Self(crc32c::crc32c_append(salted, &segment.to_le_bytes()))
    }

    /// The CRC of bytes that are valid at one offset of one segment's file only.
    pub(super) fn crc_at(self, offset: u64, checked: &[u8]) -> u32 {
        let placed = crc32c::crc32c_append(self.0, &offset.to_le_bytes());
        crc32c::crc32c_append(placed, checked)
    }
}

/// A record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) body_crc: u32,
    pub(crate) version: u64,
    pub(crate) expires: u64,
    pub(crate) value_bytes: u32,
    pub(crate) key_bytes: u16,
    pub(crate) kind: Kind,
}

impl Header {
    /// The header's bytes for a record at `offset`.
    pub(crate) fn encode(&self, seed: Seed, offset: u64) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[4..8].copy_from_slice(&self.body_crc.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.version.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.expires.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.value_bytes.to_le_bytes());
        bytes[28..30].copy_from_slice(&self.key_bytes.to_le_bytes());
        bytes[30] = self.kind as u8;
        let crc = seed.crc_at(offset, &bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header at the start of `bytes`, which stand at `offset`; `None` if it is cut or damaged.
    pub(crate) fn decode(bytes: &[u8], seed: Seed, offset: u64) -> Option<Self> {
        let checked = bytes.first_chunk::<HEADER_BYTES>()?;
        if Fields(checked).u32()? != seed.crc_at(offset, &checked[4..]) {
            return None;
        }
        Self::fields(bytes)
    }

    /// The header at the start of bytes that were checked before.
    pub(super) fn fields(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes.get(4..HEADER_BYTES)?);
        let header = Self {
            body_crc: fields.u32()?,
            version: fields.u64()?,
            expires: fields.u64()?,
            value_bytes: fields.u32()?,
            key_bytes: fields.u16()?,
            kind: match fields.u8()? {
                1 => Kind::Set,
                2 => Kind::Delete,
                3 => Kind::Commit,
                _ => return None,
            },
        };
        (fields.u8()? == 0).then_some(header)
    }

    /// The length of key and value together.
    pub(crate) fn body_bytes(&self) -> usize {
        usize::from(self.key_bytes) + self.value_bytes as usize
    }

    /// Whether key and value are what was written.
    pub(crate) fn fits_body(&self, body: &[u8]) -> bool {
        body.len() == self.body_bytes() && crc32c::crc32c(body) == self.body_crc
    }
}

/// The end of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Commit {
    /// The table's highest version so far.
    pub(crate) version: u64,
    /// The table's highest clock reading so far.
    pub(crate) time: u64,
    /// Up to where the segment is durable.
    pub(crate) durable: u64,
    /// Where the group begins.
    pub(crate) start: u64,
    /// How many records it has.
    pub(crate) records: u32,
}

impl Commit {
    /// The bytes of the commit that stands at `offset`.
    pub(crate) fn encode(&self, seed: Seed, offset: u64) -> [u8; COMMIT_BYTES] {
        let mut bytes = [0; COMMIT_BYTES];
        bytes[32..40].copy_from_slice(&self.durable.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.start.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.records.to_le_bytes());
        let header = Header {
            body_crc: crc32c::crc32c(&bytes[HEADER_BYTES..]),
            version: self.version,
            expires: self.time,
            value_bytes: COMMIT_BODY_BYTES,
            key_bytes: 0,
            kind: Kind::Commit,
        };
        bytes[..HEADER_BYTES].copy_from_slice(&header.encode(seed, offset));
        bytes
    }

    /// The commit at the start of `bytes`, which stand at `offset`, if there is a whole one.
    pub(crate) fn decode(bytes: &[u8], seed: Seed, offset: u64) -> Option<Self> {
        let bytes = bytes.first_chunk::<COMMIT_BYTES>()?;
        // A glance first: a search tries this at every byte of a damaged segment.
        if bytes[30] != Kind::Commit as u8 || bytes[31] != 0 {
            return None;
        }
        let header = Header::decode(bytes, seed, offset)?;
        Self::from_record(&header, &bytes[HEADER_BYTES..])
    }

    /// The commit with this header and this body.
    pub(crate) fn from_record(header: &Header, body: &[u8]) -> Option<Self> {
        if header.kind != Kind::Commit || header.key_bytes != 0 || !header.fits_body(body) {
            return None;
        }
        let mut fields = Fields(body);
        let commit = Self {
            version: header.version,
            time: header.expires,
            durable: fields.u64()?,
            start: fields.u64()?,
            records: fields.u32()?,
        };
        fields.is_at_end().then_some(commit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: (u64, u64) = (7, 3);

    fn header() -> Header {
        Header {
            body_crc: crc32c::crc32c(b"keyvalue"),
            version: 42,
            expires: NEVER,
            value_bytes: 5,
            key_bytes: 3,
            kind: Kind::Set,
        }
    }

    #[test]
    fn a_header_reads_back_only_in_its_own_place() {
        let seed = Seed::new(SEED.0, SEED.1);
        let bytes = header().encode(seed, 64);
        assert_eq!(Header::decode(&bytes, seed, 64), Some(header()));
        assert_eq!(Header::decode(&bytes, seed, 65), None);
        assert_eq!(Header::decode(&bytes, Seed::new(SEED.0, 4), 64), None);
        assert_eq!(Header::decode(&bytes, Seed::new(8, SEED.1), 64), None);
    }

    #[test]
    fn a_header_with_any_bit_flipped_or_any_byte_missing_is_refused() {
        let seed = Seed::new(SEED.0, SEED.1);
        let bytes = header().encode(seed, 64);
        for bit in 0..HEADER_BYTES * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&damaged, seed, 64), None, "bit {bit}");
        }
        for length in 0..HEADER_BYTES {
            assert_eq!(Header::decode(&bytes[..length], seed, 64), None);
        }
    }

    #[test]
    fn zeros_are_no_record() {
        assert_eq!(Header::decode(&[0; 64], Seed::new(0, 0), 0), None);
    }

    #[test]
    fn a_commit_reads_back_and_any_flipped_bit_is_refused() {
        let seed = Seed::new(SEED.0, SEED.1);
        let commit = Commit { version: 9, time: 1000, durable: 500, start: 400, records: 2 };
        let bytes = commit.encode(seed, 600);
        assert_eq!(Commit::decode(&bytes, seed, 600), Some(commit));
        for bit in 0..COMMIT_BYTES * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Commit::decode(&damaged, seed, 600), None, "bit {bit}");
        }
    }

    #[test]
    fn the_layout_of_a_record_is_fixed() {
        let bytes = header().encode(Seed::new(SEED.0, SEED.1), 64);
        assert_eq!(bytes[8..16], 42u64.to_le_bytes());
        assert_eq!(bytes[16..24], [255; 8]);
        assert_eq!(bytes[24..], [5, 0, 0, 0, 3, 0, 1, 0]);
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    }
}
