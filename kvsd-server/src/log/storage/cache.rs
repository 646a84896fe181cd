//! Records that were read or replaced not long ago, in memory: a get of one is no call to the system.
//!
//! All tables share one cache, of a fixed size. It is made of rings of bytes, each behind a lock of
//! its own: a record is written where its ring has come to, and the records there make room for it;
//! one that was asked for since it was written stays for another round (a "second chance"). So a
//! scan of everything does not drive out what is read all the time, and nothing is ever allocated,
//! moved or freed.
//!
//! ```text
//!  0               8               16
//!  +---------+-----+---------------+---------------------------+-----+
//!  |owner    |bytes|hash           |record as in its segment   |     |
//!  +---------+-----+---------------+---------------------------+-----+
//! ```
//!
//! - *owner*: 40 bits; the highest number is that of a gap, which has no more than these 8 bytes.
//! - *bytes*: 23 bits, the length of the record, or of the gap; and above them one that says
//!   whether the record was asked for.
//! - *hash*: of the key, all 64 bits. Everything begins at a multiple of 8 bytes.
//!
//! **What is found is never stale.** The index ([`super::index`]) holds the [`Spot`] of each copy
//! in the slot of its key, and a copy is written, or written over, only while that slot is locked:
//! it is the copy of what the slot names. When its room is taken its hash is wiped out first, so
//! that a spot that is out of date finds another hash, or bytes of a value, which cannot know a
//! hash. A record that compaction has moved is the same record: its copy keeps the header of the
//! original, which differs in checksum, offset and salt, and nobody asks those of a record from
//! here.
//!
//! Next file to read: [`super::reader`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prefetch_index::prefetch_index;

use super::index::KeyHash;

/// The longest record that is kept, in bytes: reading a longer one is more work than calling for it.
pub(crate) const MAX_RECORD_BYTES: usize = 8 * 1024;

/// The records of all tables.
#[derive(Debug)]
pub(crate) struct Cache {
    rings: Box<[Mutex<Ring>]>,
    ring_bytes: usize,
    owners: AtomicU64,
}

/// Whose record it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    hash: u64,
    owner: Owner,
}

/// A table, as long as it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner(u64);

/// Where a ring may have a record: it began there once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot(u32);

impl Spot {
    /// Nowhere.
    pub(super) const NONE: Self = Self(u32::MAX);

    fn new(at: usize) -> Self {
        u32::try_from(at / UNIT_BYTES).map_or(Self::NONE, Self)
    }

    fn at(self) -> Option<usize> {
        (self != Self::NONE).then_some(self.0 as usize * UNIT_BYTES)
    }
}

impl Name {
    pub(super) fn new(hash: KeyHash, owner: Owner) -> Self {
        Self { hash: hash.get(), owner }
    }
}

impl Cache {
    /// A cache of so many bytes, which it takes when it has something to keep; none of 0.
    pub(crate) fn new(bytes: usize) -> Self {
        let rings = (bytes / LEAST_RING_BYTES).clamp(1, MOST_RINGS);
        let ring_bytes = (bytes / rings).min(MOST_RING_BYTES) / UNIT_BYTES * UNIT_BYTES;
        let ring = || Mutex::new(Ring::new(ring_bytes));
        let rings = (0..rings).map(|_| ring()).collect();
        Self { rings, ring_bytes, owners: AtomicU64::new(0) }
    }

    /// A new owner of records.
    pub(super) fn owner(&self) -> Owner {
        // A trillion are enough for any process; the last number is not given away.
        Owner(self.owners.fetch_add(1, Ordering::Relaxed) % GAP)
    }

    /// Whether a record of so many bytes may be kept.
    pub(super) fn takes(&self, bytes: usize) -> bool {
        bytes <= MAX_RECORD_BYTES && room(bytes) <= self.ring_bytes
    }

    /// Copies a record to the front of a buffer, which only ever grows, and tells how long it is:
    /// `guess` or less, or else it is copied a second time.
    pub(super) fn get(
        &self,
        name: Name,
        spot: Spot,
        guess: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<usize> {
        self.ring(name).get(name, spot, guess, buffer)
    }

    /// Has the processor fetch a record, as [`Cache::get`] would copy it.
    pub(super) fn fetch(&self, name: Name, spot: Spot, guess: usize) {
        if let Some(at) = spot.at() {
            self.ring(name).fetch(at, guess);
        }
    }

    /// Keeps a record whose checksums hold, if it is not there and not too long. The answer is its
    /// new spot. The key's slot must be locked, and the record be what it names.
    pub(super) fn put(&self, name: Name, spot: Spot, record: &[u8]) -> Spot {
        match self.takes(record.len()) {
            true => self.ring(name).put(name, spot, record),
            false => Spot::NONE,
        }
    }

    /// Keeps a key's new record in the place of the one before it. The answer is its new spot. The
    /// key's slot must be locked.
    pub(super) fn replace(&self, name: Name, spot: Spot, record: &[u8]) -> Spot {
        let mut ring = self.ring(name);
        if ring.overwrite(name, spot, record) {
            return spot;
        }
        match self.takes(record.len()) {
            true => ring.put(name, Spot::NONE, record),
            false => Spot::NONE,
        }
    }

    /// Lets go of the record of a key that is removed. The key's slot must be locked.
    pub(super) fn forget(&self, name: Name, spot: Spot) {
        if let Some(at) = spot.at() {
            self.ring(name).forget(name, at);
        }
    }

    /// What was found in it and what was not, and how much memory its records take.
    pub(crate) fn tally(&self) -> CacheTally {
        let mut all = CacheTally::default();
        for ring in &self.rings {
            let ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
            all.hits += ring.hits;
            all.misses += ring.misses;
            all.bytes += ring.used() as u64;
        }
        all
    }

    /// The ring of a key: higher hashes are in higher rings.
    #[expect(
        clippy::indexing_slicing,
        reason = "the upper half of the product is below the number"
    )]
    fn ring(&self, name: Name) -> MutexGuard<'_, Ring> {
        let rings = self.rings.len() as u64;
        let ring = (((name.hash >> 32) * rings) >> 32) as usize;
        // A panic elsewhere cannot leave a ring half changed.
        self.rings[ring].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a cache has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CacheTally {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) bytes: u64,
}

/// Some of the records, one behind the other, and gaps.
#[derive(Debug)]
struct Ring {
    /// Empty until there is something to keep.
    bytes: Vec<u8>,
    capacity: usize,
    /// Where the next record goes, and how far there is room for it. Before the one, and from the
    /// other on, everything is records and gaps; behind the other nothing yet in the first round.
    head: usize,
    free_end: usize,
    hits: u64,
    misses: u64,
}

/// What stands before a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Prefix {
    owner: u64,
    asked: bool,
    /// How long the record is; of a gap, all of it.
    bytes: usize,
}

impl Ring {
    fn new(capacity: usize) -> Self {
        Self { bytes: Vec::new(), capacity, head: 0, free_end: capacity, hits: 0, misses: 0 }
    }

    fn get(&mut self, name: Name, spot: Spot, guess: usize, to: &mut Vec<u8>) -> Option<usize> {
        if let Some(at) = spot.at() {
            // Copied before it is known whether it is the one and how long it is: so the processor
            // waits once for memory that is far away.
            let guess = guess.min(MAX_RECORD_BYTES);
            self.copy(at, guess, to);
            if let Some(prefix) = self.find(name, at) {
                self.hits += 1;
                if prefix.bytes > guess {
                    self.copy(at, prefix.bytes, to);
                }
                if !prefix.asked {
                    // Only then: what nobody writes stays near to each processor that reads it.
                    self.set_prefix(at, Prefix { asked: true, ..prefix });
                }
                return Some(prefix.bytes);
            }
        }
        self.misses += 1;
        None
    }

    fn fetch(&self, at: usize, guess: usize) {
        let end = at + PREFIX_BYTES + guess.min(MOST_FETCHED_BYTES);
        (at..end).step_by(LINE_BYTES).for_each(|line| prefetch_index(&self.bytes, line));
        // A record may begin late in its first line, and so end in one more.
        prefetch_index(&self.bytes, end);
    }

    fn put(&mut self, name: Name, spot: Spot, record: &[u8]) -> Spot {
        if spot.at().is_some_and(|at| self.find(name, at).is_some()) {
            return spot;
        }
        if self.bytes.is_empty() {
            self.bytes = vec![0; self.capacity];
        }
        let at = self.take(room(record.len()));
        self.set_prefix(at, Prefix { owner: name.owner.0, asked: false, bytes: record.len() });
        self.set(at + UNIT_BYTES, &name.hash.to_le_bytes());
        self.set(at + PREFIX_BYTES, record);
        Spot::new(at)
    }

    /// Writes a record over the one before it if that is there and has as much room; else lets it
    /// go.
    fn overwrite(&mut self, name: Name, spot: Spot, record: &[u8]) -> bool {
        let Some((at, prefix)) = spot.at().and_then(|at| Some((at, self.find(name, at)?))) else {
            return false;
        };
        if room(prefix.bytes) != room(record.len()) {
            self.wipe(at, room(prefix.bytes));
            return false;
        }
        self.set_prefix(at, Prefix { bytes: record.len(), ..prefix });
        self.set(at + PREFIX_BYTES, record);
        true
    }

    fn forget(&mut self, name: Name, at: usize) {
        if let Some(prefix) = self.find(name, at) {
            self.wipe(at, prefix.room());
        }
    }

    /// The bytes that records and gaps take.
    fn used(&self) -> usize {
        self.capacity - (self.free_end - self.head)
    }

    /// The record of this name that begins there.
    fn find(&self, name: Name, at: usize) -> Option<Prefix> {
        let prefix = self.prefix(at);
        let is_it = prefix.owner == name.owner.0 && self.word(at + UNIT_BYTES) == name.hash;
        is_it.then_some(prefix)
    }

    /// Room for so many bytes in a row, no more than the ring has.
    fn take(&mut self, bytes: usize) -> usize {
        let mut chances = MOST_CHANCES;
        while self.free_end - self.head < bytes {
            if self.free_end == self.capacity {
                self.leave_gap();
                (self.head, self.free_end) = (0, 0);
                continue;
            }
            let (at, prefix) = (self.free_end, self.prefix(self.free_end));
            let end = at + prefix.room();
            if prefix.asked && chances > 0 {
                chances -= 1;
                self.set_prefix(at, Prefix { asked: false, ..prefix });
                self.leave_gap();
                self.head = end;
            } else {
                self.wipe(at, end - at);
            }
            self.free_end = end;
        }
        let at = self.head;
        self.head += bytes;
        at
    }

    /// What is free now stays so until the next round.
    fn leave_gap(&mut self) {
        if self.head < self.free_end {
            self.wipe(self.head, self.free_end - self.head);
        }
    }

    /// Makes a gap of so many bytes.
    fn wipe(&mut self, at: usize, bytes: usize) {
        self.set_prefix(at, Prefix { owner: GAP, asked: false, bytes });
        if bytes >= PREFIX_BYTES {
            self.set(at + UNIT_BYTES, &u64::MAX.to_le_bytes());
        }
    }

    fn prefix(&self, at: usize) -> Prefix {
        let word = self.word(at);
        let bytes = usize::try_from(word >> 40 & MOST_BYTES).unwrap_or_default();
        Prefix { owner: word & GAP, asked: word >> 63 == 1, bytes }
    }

    fn set_prefix(&mut self, at: usize, prefix: Prefix) {
        let Prefix { owner, asked, bytes } = prefix;
        debug_assert!(bytes as u64 <= MOST_BYTES, "gaps are shorter than the longest record");
        let word = owner | (bytes as u64) << 40 | u64::from(asked) << 63;
        self.set(at, &word.to_le_bytes());
    }

    fn word(&self, at: usize) -> u64 {
        let bytes = self.bytes.get(at..).and_then(|bytes| bytes.first_chunk::<UNIT_BYTES>());
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    fn set(&mut self, at: usize, bytes: &[u8]) {
        let target = self.bytes.get_mut(at..at + bytes.len());
        debug_assert!(target.is_some(), "what is written is within the ring");
        if let Some(target) = target {
            target.copy_from_slice(bytes);
        }
    }

    /// Copies up to so many bytes of a record to the front of a buffer.
    fn copy(&self, at: usize, bytes: usize, buffer: &mut Vec<u8>) {
        let (start, end) = (at + PREFIX_BYTES, at + PREFIX_BYTES + bytes);
        let source = self.bytes.get(start..end.min(self.bytes.len())).unwrap_or_default();
        if buffer.len() < source.len() {
            buffer.resize(source.len(), 0);
        }
        if let Some(target) = buffer.get_mut(..source.len()) {
            target.copy_from_slice(source);
        }
    }
}

impl Prefix {
    /// How much of the ring it and what it says take.
    fn room(&self) -> usize {
        match self.owner {
            GAP => self.bytes,
            _ => room(self.bytes),
        }
    }
}

/// How much of a ring a record takes.
fn room(bytes: usize) -> usize {
    (PREFIX_BYTES + bytes).next_multiple_of(UNIT_BYTES)
}

/// What comes from memory at once.
const LINE_BYTES: usize = 64;
/// Behind this the processor has seen what it is about.
const MOST_FETCHED_BYTES: usize = 512;
/// Everything begins at a multiple of this.
const UNIT_BYTES: usize = 8;
const PREFIX_BYTES: usize = 16;
/// The owner of gaps.
const GAP: u64 = (1 << 40) - 1;
const MOST_BYTES: u64 = (1 << 23) - 1;
/// How many records a new one may pass by: the rest lose their chance, so that a put is short.
const MOST_CHANCES: usize = 8;
/// Enough for many threads to meet seldom.
const MOST_RINGS: usize = 64;
/// Some records of the longest kind.
const LEAST_RING_BYTES: usize = 64 * 1024;
/// 16 GiB: what a spot can say, and some to spare.
const MOST_RING_BYTES: usize = 1 << 34;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// A cache, and what an index would hold.
    struct Kept {
        cache: Cache,
        spots: HashMap<u64, Spot>,
    }

    impl Kept {
        fn new(bytes: usize) -> Self {
            Self { cache: Cache::new(bytes), spots: HashMap::new() }
        }

        fn spot(&self, number: u64) -> Spot {
            self.spots.get(&number).copied().unwrap_or(Spot::NONE)
        }

        fn put(&mut self, number: u64) {
            let spot = self.cache.put(name(number), self.spot(number), &record(number));
            self.spots.insert(number, spot);
        }

        fn found(&self, number: u64) -> Option<Vec<u8>> {
            found(&self.cache, number, self.spot(number))
        }

        /// How many bytes the records and the gaps take: they fill their rings without a seam.
        fn filled(&self) -> usize {
            let filled = |ring: &Mutex<Ring>| {
                let ring = ring.lock().unwrap();
                if ring.bytes.is_empty() {
                    return 0;
                }
                let walk = |from: usize, to: usize| {
                    let mut at = from;
                    while at < to {
                        at += ring.prefix(at).room();
                    }
                    assert_eq!(at, to);
                    to - from
                };
                walk(0, ring.head) + walk(ring.free_end, ring.capacity)
            };
            self.cache.rings.iter().map(filled).sum()
        }
    }

    fn name(number: u64) -> Name {
        // Of eight bits, so that several share one.
        Name { hash: number % 256, owner: Owner(number / 256) }
    }

    fn record(number: u64) -> Vec<u8> {
        let bytes = 32 + usize::try_from(number).unwrap() * 37 % 300;
        number.to_le_bytes().iter().copied().cycle().take(bytes).collect()
    }

    fn found(cache: &Cache, number: u64, spot: Spot) -> Option<Vec<u8>> {
        let mut buffer = vec![9; 7];
        let bytes = cache.get(name(number), spot, 100, &mut buffer)?;
        Some(buffer[..bytes].to_vec())
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_was_put_there(
            bytes in 0_usize..20_000,
            steps in proptest::collection::vec((0_u64..400, any::<bool>()), 0..2_000),
        ) {
            let mut kept = Kept::new(bytes);
            for (number, put) in steps {
                if put {
                    kept.put(number);
                }
                let there = kept.found(number);
                if let Some(there) = &there {
                    prop_assert_eq!(there, &record(number));
                }
                let fits = kept.cache.takes(record(number).len());
                prop_assert_eq!(put && fits && there.is_none(), false, "it was not kept");
                let tally = kept.cache.tally();
                prop_assert_eq!(tally.bytes, kept.filled() as u64);
                prop_assert!(kept.filled() <= bytes);
            }
        }
    }

    proptest! {
        #[test]
        fn no_spot_of_any_time_finds_a_record_that_was_replaced_or_removed(
            bytes in 1_000_usize..10_000,
            steps in proptest::collection::vec((0_u64..20, 0_usize..5, any::<bool>()), 0..300),
        ) {
            let mut kept = Kept::new(bytes);
            let (mut current, mut all) = (HashMap::new(), Vec::new());
            for (version, (key, kind, ask)) in (1_u8..=255).cycle().zip(steps) {
                if kind == 4 {
                    kept.cache.forget(name(key), kept.spot(key));
                    kept.spots.remove(&key);
                    current.remove(&key);
                } else {
                    let record = vec![version; 40 + 7 * kind];
                    let spot = kept.cache.replace(name(key), kept.spot(key), &record);
                    kept.spots.insert(key, spot);
                    current.insert(key, record);
                    all.push((key, spot));
                }
                if ask {
                    let found = kept.found(key);
                    prop_assert_eq!(found.as_ref(), current.get(&key));
                }
                for (key, spot) in &all {
                    let found = found(&kept.cache, *key, *spot);
                    prop_assert!(found.is_none() || found.as_ref() == current.get(key));
                }
                kept.filled();
            }
        }
    }

    #[test]
    fn what_is_asked_for_stays_while_others_pass_through() {
        let mut kept = Kept::new(10_000);
        kept.put(1);
        kept.put(2);
        for number in 3..2_000 {
            kept.put(number);
            assert!(kept.found(1).is_some(), "gone after {number} others");
        }
        assert!(kept.found(2).is_none(), "it takes room though nobody asks for it");
    }

    #[test]
    fn one_key_of_two_owners_is_two_records() {
        let cache = Cache::new(10_000);
        let named = |owner| Name { hash: 7, owner };
        let owners = [cache.owner(), cache.owner()];
        let spots = owners.map(|owner| cache.put(named(owner), Spot::NONE, &record(owner.0)));
        for (owner, spot) in owners.into_iter().zip(spots) {
            let mut buffer = Vec::new();
            let bytes = cache.get(named(owner), spot, 0, &mut buffer).unwrap();
            assert_eq!(buffer[..bytes], record(owner.0));
        }
        assert_eq!(cache.get(named(owners[0]), spots[1], 0, &mut Vec::new()), None);
    }

    #[test]
    fn a_cache_that_keeps_nothing_takes_no_memory() {
        let is_empty = |cache: &Cache| {
            cache.rings.iter().all(|ring| ring.lock().unwrap().bytes.capacity() == 0)
        };
        for cache in [Cache::new(0), Cache::new(1 << 20)] {
            assert_eq!(found(&cache, 1, Spot::NONE), None);
            assert!(is_empty(&cache));
        }
        for (cache, bytes) in [(Cache::new(0), 0), (Cache::new(1 << 20), MAX_RECORD_BYTES + 1)] {
            assert_eq!(cache.put(name(1), Spot::NONE, &vec![0; bytes]), Spot::NONE);
            assert_eq!(cache.replace(name(1), Spot::NONE, &vec![0; bytes]), Spot::NONE);
            assert!(is_empty(&cache));
        }
    }
}
