//! Reading a segment's groups in order, and telling a torn tail from bit rot.
//!
//! The groups of a segment are read one after the other until the bytes end or one does not
//! verify. What stands from there on, at the group that begins at G, is
//!
//! - **bit rot** if anything says that G's bytes were durable: the manifest's length of the segment,
//!   or a commit found anywhere behind, verified in its own place, whose `durable` is beyond G.
//!   The table is not opened: what was acknowledged is damaged, and nobody may drop it silently.
//! - a **torn tail** otherwise: bytes that were written and never synced. It is cut off, and kept
//!   aside.
//!
//! With every write synced before it is acknowledged, a group is written only after the one
//! before it is durable, and its commit says so: any later group proves rot. One case stays
//! ambiguous: damage in the very last group of a table, when the process died within 50 ms of
//! writing it, so that no commit behind it tells that it was durable.
//!
//! Next file to read: [`super::repair`].

use super::entry::Entry;
use super::record::{COMMIT_BYTES, Commit, HEADER_BYTES, Header, Kind, Seed};
use super::segment::SEGMENT_HEADER_BYTES;

/// One record of a segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) offset: u64,
    pub(super) header: Header,
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

impl<'a> Record<'a> {
    /// What a hint says of it.
    pub(super) fn entry(&self) -> Entry<'a> {
        Entry {
            key: self.key,
            offset: self.offset,
            version: self.header.version,
            expires: self.header.expires,
            value_bytes: self.header.value_bytes,
            kind: self.header.kind,
        }
    }
}

/// Where a segment stops making sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damage {
    /// Where the first group begins that does not verify.
    pub(super) group: u64,
    /// The byte at which it fails.
    pub(super) at: u64,
}

/// The groups of a segment.
#[derive(Debug)]
pub(super) struct Groups<'a> {
    bytes: &'a [u8],
    seed: Seed,
    next: u64,
}

impl<'a> Groups<'a> {
    /// The groups of a whole segment, its header included.
    pub(super) fn new(bytes: &'a [u8], seed: Seed) -> Self {
        Self { bytes, seed, next: SEGMENT_HEADER_BYTES }
    }

    /// Where the next group begins.
    pub(super) fn position(&self) -> u64 {
        self.next
    }

    /// Reads the next group's records into `entries` (which is cleared first); `None` at the end.
    pub(super) fn next(&mut self, entries: &mut Vec<Record<'a>>) -> Result<Option<Commit>, Damage> {
        entries.clear();
        let start = self.next;
        if start >= self.bytes.len() as u64 {
            return Ok(None);
        }
        let mut at = start;
        loop {
            let Some((entry, end)) = self.entry_at(at) else {
                return Err(Damage { group: start, at });
            };
            if entry.header.kind != Kind::Commit {
                entries.push(entry);
                at = end;
                continue;
            }
            let commit = Commit::from_record(&entry.header, entry.value);
            let fits = |c: &Commit| c.start == start && c.records as usize == entries.len();
            let Some(commit) = commit.filter(fits) else {
                return Err(Damage { group: start, at });
            };
            self.next = end;
            return Ok(Some(commit));
        }
    }

    /// The record at an offset, and where it ends.
    fn entry_at(&self, offset: u64) -> Option<(Record<'a>, u64)> {
        let bytes = self.bytes.get(usize::try_from(offset).ok()?..)?;
        let header = Header::decode(bytes, self.seed, offset)?;
        let body = bytes.get(HEADER_BYTES..)?.get(..header.body_bytes())?;
        if !header.fits_body(body) {
            return None;
        }
        let (key, value) = body.split_at_checked(header.key_bytes.into())?;
        let end = offset + (HEADER_BYTES + body.len()) as u64;
        Some((Record { offset, header, key, value }, end))
    }

    /// Whether a commit behind the damage says that the damaged group was durable.
    pub(super) fn is_rot(&self, damage: Damage) -> bool {
        self.commits_from(damage.at).any(|commit| commit.durable > damage.group)
    }

    /// Up to where the commits from an offset on say that the segment is durable.
    #[cfg(feature = "cli")]
    pub(super) fn durable_behind(&self, at: u64) -> u64 {
        self.commits_from(at).map(|commit| commit.durable).max().unwrap_or_default()
    }

    /// The commits that verify in their own place, from an offset on.
    fn commits_from(&self, at: u64) -> impl Iterator<Item = Commit> + '_ {
        let from = usize::try_from(at).unwrap_or(usize::MAX);
        // Behind the last byte that is not zero there is only room that was reserved.
        let until = (content_end(self.bytes) + COMMIT_BYTES).min(self.bytes.len());
        let bytes = self.bytes.get(from..until).unwrap_or_default();
        let windows = bytes.windows(COMMIT_BYTES).zip(at..);
        windows.filter_map(|(window, offset)| Commit::decode(window, self.seed, offset))
    }

    /// Goes on behind damage: adds the records that verify, from the first one behind it up to a
    /// commit or to further damage. The answer is where the damage ends.
    #[cfg(feature = "cli")]
    pub(super) fn resume(&mut self, damage: Damage, entries: &mut Vec<Record<'a>>) -> u64 {
        let end = match self.entry_at(damage.at) {
            // A commit whose group is not all there.
            Some((_, end)) => end,
            None => match self.next_entry_behind(damage.at) {
                Some(next) => next,
                None => {
                    self.next = self.bytes.len() as u64;
                    return damage.at.max(content_end(self.bytes) as u64);
                }
            },
        };
        self.next = end;
        while let Some((entry, end)) = self.entry_at(self.next) {
            self.next = end;
            if entry.header.kind == Kind::Commit {
                break;
            }
            entries.push(entry);
        }
        end
    }

    /// Where the next whole record begins.
    #[cfg(feature = "cli")]
    fn next_entry_behind(&self, at: u64) -> Option<u64> {
        let looks_like_one = |offset: &u64| {
            let kind = usize::try_from(*offset).unwrap_or(usize::MAX).saturating_add(30);
            // A glance first, as for a commit.
            matches!(self.bytes.get(kind..kind.saturating_add(2)), Some([1..=3, 0]))
        };
        let offsets = at + 1..content_end(self.bytes) as u64;
        offsets.filter(looks_like_one).find(|offset| self.entry_at(*offset).is_some())
    }
}

/// Where the zeros begin that a segment ends with.
pub(super) fn content_end(bytes: &[u8]) -> usize {
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut end = bytes.len();
    for chunk in bytes.rchunks(ZEROS.len()) {
        if ZEROS.get(..chunk.len()) != Some(chunk) {
            let zeros = chunk.iter().rev().take_while(|byte| **byte == 0).count();
            return end - zeros;
        }
        end -= chunk.len();
    }
    0
}

#[cfg(test)]
mod tests {
    #![expect(clippy::cast_possible_truncation, reason = "test segments are small")]

    use super::*;

    const SEED: (u64, u64) = (1, 1);

    /// A segment with one group for each of these `durable`s; where the groups begin, and its end.
    fn segment(durables: &[u64]) -> (Vec<u8>, Vec<u64>) {
        let seed = Seed::new(SEED.0, SEED.1);
        let mut bytes = vec![0; 64];
        let mut starts = Vec::new();
        for (version, durable) in (1..).zip(durables) {
            let start = bytes.len() as u64;
            starts.push(start);
            let body = b"keyvalue";
            let header = Header {
                body_crc: crc32c::crc32c(body),
                version,
                expires: u64::MAX,
                value_bytes: 5,
                key_bytes: 3,
                kind: Kind::Set,
            };
            bytes.extend_from_slice(&header.encode(seed, start));
            bytes.extend_from_slice(body);
            let commit = Commit { version, time: 0, durable: *durable, start, records: 1 };
            let at = bytes.len() as u64;
            bytes.extend_from_slice(&commit.encode(seed, at));
        }
        starts.push(bytes.len() as u64);
        (bytes, starts)
    }

    fn read(bytes: &[u8]) -> (usize, Option<(Damage, bool)>) {
        let mut groups = Groups::new(bytes, Seed::new(SEED.0, SEED.1));
        let mut entries = Vec::new();
        let mut count = 0;
        loop {
            match groups.next(&mut entries) {
                Ok(Some(_)) => count += 1,
                Ok(None) => return (count, None),
                Err(damage) => return (count, Some((damage, groups.is_rot(damage)))),
            }
        }
    }

    #[test]
    fn whole_groups_are_read_to_the_end() {
        assert_eq!(read(&segment(&[64, 64, 64]).0), (3, None));
        assert_eq!(read(&[0; 64]), (0, None));
    }

    #[test]
    fn a_group_cut_at_any_byte_is_a_torn_tail() {
        let (bytes, starts) = segment(&[64, 64]);
        for length in starts[1] + 1..starts[2] {
            let (count, damage) = read(&bytes[..length as usize]);
            let (damage, rot) = damage.unwrap();
            assert_eq!((count, damage.group, rot), (1, starts[1], false), "cut at {length}");
        }
    }

    #[test]
    fn damage_is_rot_when_a_later_commit_says_durable_and_torn_when_none_does() {
        let (_, starts) = segment(&[64, 64, 64]);
        for (durable, expected) in [(starts[2], true), (starts[1], false), (64, false)] {
            let (whole, _) = segment(&[64, 64, durable]);
            for at in starts[1]..starts[2] {
                let mut bytes = whole.clone();
                bytes[at as usize] ^= 0x40;
                let (count, damage) = read(&bytes);
                let (damage, rot) = damage.unwrap();
                assert_eq!((count, damage.group, rot), (1, starts[1], expected), "byte {at}");
            }
        }
    }
}
