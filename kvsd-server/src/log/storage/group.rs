//! A group being put together: its bytes, and what it changes once it is published.
//!
//! While a group is open, a later write of it must see what an earlier one does; readers must not.
//!
//! Next file to read: [`super::writer`].

use std::ops::Range;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Latest;

use super::chunk::Entries;
use super::entry::Entry;
use super::index::{KeyHash, Location};
use super::reader::Reader;
use super::record::{COMMIT_BYTES, Commit, HEADER_BYTES, Header, Kind, NEVER, Seed};
use super::usage::Usage;

/// What a record says of its key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content<'a> {
    /// The key has this value until `expires`, or for ever ([`NEVER`]).
    Set {
        /// The value.
        value: &'a [u8],
        /// When it ends.
        expires: u64,
    },
    /// The key has none.
    Delete,
}

/// One key's change that is not published yet.
#[derive(Debug)]
pub(super) struct Pending {
    hash: KeyHash,
    pub(super) version: u64,
    pub(super) expires: u64,
    kind: Kind,
    /// Where the record begins in the segment.
    offset: u64,
    key: Range<usize>,
    /// Where the value stands in the group's bytes.
    pub(super) value: Range<usize>,
    /// Where the key's record was until now.
    replaces: Option<Location>,
    /// Where it is from now on.
    pub(super) location: Option<Location>,
}

/// The open group. It is used again and again, so that its memory is.
#[derive(Debug, Default)]
pub(super) struct Group {
    bytes: Vec<u8>,
    pending: Vec<Pending>,
    /// For each changed key its last change.
    latest: HashTable<usize>,
    key_bytes: u64,
}

impl Group {
    /// Forgets what it holds, and gives back memory that only a very large group needs.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.pending.clear();
        self.latest.clear();
        self.key_bytes = 0;
    }

    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn records(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn key_bytes(&self) -> u64 {
        self.key_bytes
    }

    /// Whether several of its records are of one write. Versions never go down in a group.
    pub(super) fn has_batch(&self) -> bool {
        !self.pending.is_sorted_by(|earlier, later| earlier.version < later.version)
    }

    /// What the group does to a key so far.
    pub(super) fn find(&self, hash: KeyHash, key: &[u8]) -> Option<&Pending> {
        if self.pending.is_empty() {
            return None;
        }
        let found = self.latest.find(hash.get(), |place| self.is_key(*place, hash, key))?;
        self.pending.get(*found)
    }

    /// A change's record, as it is in the segment.
    fn record(&self, pending: &Pending) -> &[u8] {
        let start = pending.key.start - HEADER_BYTES;
        self.bytes.get(start..pending.value.end).unwrap_or_default()
    }

    fn is_key(&self, place: usize, hash: KeyHash, key: &[u8]) -> bool {
        self.pending.get(place).is_some_and(|pending| {
            pending.hash == hash && self.bytes.get(pending.key.clone()) == Some(key)
        })
    }

    /// Adds a record at `offset` of the segment at `slot`. `None` if no location can name that.
    pub(super) fn append(
        &mut self,
        (seed, slot, offset): (Seed, u32, u64),
        (hash, key): (KeyHash, &[u8]),
        content: Content<'_>,
        version: u64,
        replaces: Option<Location>,
    ) -> Option<()> {
        let (kind, value, expires) = match content {
            Content::Set { value, expires } => (Kind::Set, value, expires),
            Content::Delete => (Kind::Delete, &[][..], NEVER),
        };
        let record_bytes = HEADER_BYTES + key.len() + value.len();
        let location = match kind {
            Kind::Set => Some(Location::new(slot, offset, record_bytes)?),
            Kind::Delete | Kind::Commit => None,
        };
        let header = Header {
            body_crc: crc32c::crc32c_append(crc32c::crc32c(key), value),
            version,
            expires,
            value_bytes: u32::try_from(value.len()).ok()?,
            key_bytes: u16::try_from(key.len()).ok()?,
            kind,
        };
        let key_start = self.bytes.len() + HEADER_BYTES;
        let value_start = key_start + key.len();
        self.bytes.reserve(record_bytes + COMMIT_BYTES);
        self.bytes.extend_from_slice(&header.encode(seed, offset));
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.key_bytes += key.len() as u64;
        self.pending.push(Pending {
            hash,
            version,
            expires,
            kind,
            offset,
            key: key_start..value_start,
            value: value_start..value_start + value.len(),
            replaces,
            location,
        });
        self.set_latest(self.pending.len() - 1, hash, key_start..value_start);
        Some(())
    }

    fn set_latest(&mut self, place: usize, hash: KeyHash, key: Range<usize>) {
        let Self { bytes, pending, latest, .. } = self;
        let same = |other: &usize| {
            pending.get(*other).is_some_and(|other| {
                other.hash == hash && bytes.get(other.key.clone()) == bytes.get(key.clone())
            })
        };
        let rehash = |place: &usize| pending.get(*place).map_or(0, |pending| pending.hash.get());
        match latest.entry(hash.get(), same, rehash) {
            Latest::Occupied(mut entry) => *entry.get_mut() = place,
            Latest::Vacant(entry) => {
                entry.insert(place);
            }
        }
    }

    /// Closes the group.
    pub(super) fn commit(&mut self, commit: &Commit, seed: Seed, offset: u64) {
        self.bytes.extend_from_slice(&commit.encode(seed, offset));
    }

    /// Lets readers see what the group changes, and forgets it.
    pub(super) fn publish(&mut self, reader: &Reader, entries: &mut Entries, usage: &mut Usage) {
        for pending in &self.pending {
            let was_there = match (pending.replaces, pending.location) {
                (None, Some(new)) => {
                    reader.index.insert(pending.hash, new);
                    true
                }
                (Some(old), Some(new)) => {
                    // What is written again and again is likely to be asked for, by the next write.
                    reader.replace(pending.hash, (old, new), self.record(pending))
                }
                (Some(old), None) => reader.remove(pending.hash, old),
                // A delete without a record.
                (None, None) => true,
            };
            debug_assert!(was_there, "only the writer moves and removes slots");
            usage.moved(pending.replaces, pending.location);
            if let Some(location) = pending.location {
                usage.will_end(location, pending.expires);
            }
            entries.push(&Entry {
                key: self.bytes.get(pending.key.clone()).unwrap_or_default(),
                offset: pending.offset,
                version: pending.version,
                expires: pending.expires,
                // Checked when the record was added.
                value_bytes: u32::try_from(pending.value.len()).unwrap_or(u32::MAX),
                kind: pending.kind,
            });
        }
        self.clear();
    }
}

/// How much memory an idle table keeps for its next group, and for what that will read: 256 KiB.
pub(super) const KEPT_BYTES: usize = 256 * 1024;
