//! Records that were read or replaced not long ago, in memory: a get of one is no call to the system.
//!
//! All tables share one cache, of a fixed size. It is made of rings of bytes, each behind a lock of
//! its own: a record is appended to its ring, and the oldest one makes room for it, unless it was
//! asked for since it was put there; then it is appended once more (a "second chance"). So a scan of
//! everything does not drive out what is read all the time, and nothing is ever allocated or freed.
//!
//! ```text
//!  0               8               16              24      28
//!  +---------------+---------------+---------------+-------+-------+--------------------------+
//!  |hash           |owner          |location       |bytes  |asked  |record as in its segment  |
//!  +---------------+---------------+---------------+-------+-------+--------------------------+
//! ```
//!
//! What is found is never stale: the index says where a key's record is, and a place of an owner
//! ([`super::reader::Reader`]) never holds another one. A record that compaction has copied gets the
//! copy's place, and keeps the header of the original: that differs in checksum, offset and salt,
//! which nobody asks of a record from here.
//!
//! Next file to read: [`super::group`].

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;

use super::fields::Fields;
use super::index::{KeyHash, Location};

/// The longest record that is kept, in bytes: reading a longer one is more work than calling for it.
pub(crate) const MAX_RECORD_BYTES: usize = 4 * 1024;

/// The records of all tables.
#[derive(Debug)]
pub(crate) struct Cache {
    rings: Box<[Mutex<Ring>]>,
    owners: AtomicU64,
}

/// Where a record is: a name that no other record ever has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    hash: u64,
    owner: u64,
    location: Location,
}

impl Place {
    pub(super) fn new(hash: KeyHash, owner: Owner, location: Location) -> Self {
        Self { hash: hash.get(), owner: owner.0, location }
    }
}

/// Whose locations are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner(pub(super) u64);

impl Cache {
    /// A cache of so many bytes, which it takes when it has something to keep; none of 0.
    pub(crate) fn new(bytes: usize) -> Self {
        let rings = (bytes / LEAST_RING_BYTES).clamp(1, MOST_RINGS);
        let ring = || Mutex::new(Ring::new(bytes / rings));
        Self { rings: (0..rings).map(|_| ring()).collect(), owners: AtomicU64::new(0) }
    }

    /// A new owner of locations.
    pub(super) fn owner(&self) -> Owner {
        Owner(self.owners.fetch_add(1, Ordering::Relaxed))
    }

    /// Copies a record to the front of a buffer, which only ever grows, and tells how long it is.
    pub(super) fn get(&self, place: Place, buffer: &mut Vec<u8>) -> Option<usize> {
        self.ring(place).get(place, buffer)
    }

    /// Keeps a record whose checksums hold, if it is not too long.
    pub(super) fn put(&self, place: Place, record: &[u8]) {
        if record.len() <= MAX_RECORD_BYTES {
            self.ring(place).put(place, record);
        }
    }

    /// Keeps a key's new record in the place of the one before it.
    pub(super) fn replace(&self, old: Place, new: Place, record: &[u8]) {
        debug_assert_eq!(old.hash, new.hash, "they are of one key, and so in one ring");
        let mut ring = self.ring(new);
        if !ring.overwrite(old, new, record) {
            ring.forget(old);
            if record.len() <= MAX_RECORD_BYTES {
                ring.put(new, record);
            }
        }
    }

    /// Follows records that are the same at their new places, as far as they are here. In the order of
    /// their hashes many are of one ring, and the waits for their memory, which is far away, overlap:
    /// a lock taken for each would end that.
    pub(super) fn follow(&self, moves: impl Iterator<Item = (Place, Place)>) {
        let mut held = None;
        for (old, new) in moves {
            debug_assert_eq!(old.hash, new.hash, "they are of one key, and so in one ring");
            let number = self.ring_of(old);
            let (_, mut ring) = match held.take() {
                Some((at, ring)) if at == number => (at, ring),
                other => {
                    // Never two at a time.
                    drop(other);
                    (number, self.lock(number))
                }
            };
            ring.follow(old, new);
            held = Some((number, ring));
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

    fn ring(&self, place: Place) -> MutexGuard<'_, Ring> {
        self.lock(self.ring_of(place))
    }

    /// The ring of a place: higher hashes are in higher rings.
    fn ring_of(&self, place: Place) -> usize {
        let rings = self.rings.len() as u64;
        // Below their number.
        (((place.hash >> 32) * rings) >> 32) as usize
    }

    #[expect(clippy::indexing_slicing, reason = "a ring's number is below how many there are")]
    fn lock(&self, ring: usize) -> MutexGuard<'_, Ring> {
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

/// Some of the records, in the order of their coming.
#[derive(Debug)]
struct Ring {
    /// Empty until there is something to keep.
    bytes: Vec<u8>,
    capacity: usize,
    /// Where the next record goes, and where the oldest one begins.
    head: usize,
    tail: usize,
    /// The end of the records before the ring's end, while newer ones stand at its beginning.
    wrapped_at: Option<usize>,
    /// Where each of them begins.
    places: HashTable<u32>,
    hits: u64,
    misses: u64,
}

impl Ring {
    fn new(capacity: usize) -> Self {
        // What a place can say.
        let capacity = capacity.min(MOST_RING_BYTES);
        let places = HashTable::new();
        Self {
            bytes: Vec::new(),
            capacity,
            head: 0,
            tail: 0,
            wrapped_at: None,
            places,
            hits: 0,
            misses: 0,
        }
    }

    fn get(&mut self, place: Place, buffer: &mut Vec<u8>) -> Option<usize> {
        let Self { places, bytes, .. } = self;
        let mut entry = None;
        // Copied before it is known whether it is the one and how long it is: so the processor
        // waits once for memory that is far away.
        let guess = place.location.read_bytes().min(MAX_RECORD_BYTES);
        let is_it = |at: &u32| {
            let at = *at as usize;
            copy(bytes, at + PREFIX_BYTES, guess, buffer);
            let found = Entry::decode(bytes, at);
            let is_it = found.place == place;
            entry = is_it.then_some(found);
            is_it
        };
        places.find(probe(place.hash), is_it);
        let Some(entry) = entry else {
            self.misses += 1;
            return None;
        };
        self.hits += 1;
        if entry.bytes > guess {
            copy(&self.bytes, entry.at + PREFIX_BYTES, entry.bytes, buffer);
        }
        if entry.asked != ASKED {
            // Only then: what nobody writes stays near to each processor that reads it.
            self.set_asked(entry.at, ASKED);
        }
        Some(entry.bytes)
    }

    fn put(&mut self, place: Place, record: &[u8]) {
        let bytes = PREFIX_BYTES + record.len();
        if bytes > self.capacity || self.find(place).is_some() {
            return;
        }
        if self.bytes.is_empty() {
            self.bytes = vec![0; self.capacity];
        }
        let mut chances = MOST_CHANCES;
        let at = loop {
            if let Some(at) = self.take_room(bytes) {
                break at;
            }
            self.let_go(&mut chances);
        };
        let entry = Entry { place, at, bytes: record.len(), asked: NOT_ASKED };
        self.set_prefix(&entry);
        if let Some(target) = self.bytes.get_mut(entry.record()) {
            target.copy_from_slice(record);
        }
        let Self { places, bytes, .. } = self;
        let hash = |at: &u32| probe(Entry::decode(bytes, *at as usize).place.hash);
        places.insert_unique(probe(place.hash), narrow(at), hash);
    }

    /// The bytes that records take, those included that were let go before their time.
    fn used(&self) -> usize {
        match self.wrapped_at {
            Some(end) => self.head + end - self.tail,
            None => self.head - self.tail,
        }
    }

    /// Writes a record over another one of the same length, if that is there.
    fn overwrite(&mut self, old: Place, new: Place, record: &[u8]) -> bool {
        let Some(at) = self.find(old) else {
            return false;
        };
        let entry = Entry { place: new, ..self.entry(at) };
        let range = entry.record();
        if range.len() != record.len() {
            return false;
        }
        self.set_prefix(&entry);
        if let Some(target) = self.bytes.get_mut(range) {
            target.copy_from_slice(record);
        }
        true
    }

    fn follow(&mut self, old: Place, new: Place) {
        if let Some(at) = self.find(old) {
            let entry = Entry { place: new, ..self.entry(at) };
            self.set_prefix(&entry);
        }
    }

    /// Lets a record go before its time; its room is free when its turn comes.
    fn forget(&mut self, place: Place) {
        if let Some(at) = self.find(place) {
            self.set_asked(at, NOT_ASKED);
            self.remove(place.hash, at);
        }
    }

    fn remove(&mut self, hash: u64, at: usize) {
        if let Ok(found) = self.places.find_entry(probe(hash), |other| *other == narrow(at)) {
            found.remove();
        }
    }

    fn set_prefix(&mut self, entry: &Entry) {
        if let Some(target) = self.bytes.get_mut(entry.at..entry.at + PREFIX_BYTES) {
            target.copy_from_slice(&entry.encode());
        }
    }

    fn find(&self, place: Place) -> Option<usize> {
        let is_it = |at: &u32| self.entry(*at as usize).place == place;
        self.places.find(probe(place.hash), is_it).map(|at| *at as usize)
    }

    fn entry(&self, at: usize) -> Entry {
        Entry::decode(&self.bytes, at)
    }

    fn set_asked(&mut self, at: usize, asked: u8) {
        if let Some(byte) = self.bytes.get_mut(at + ASKED_AT) {
            *byte = asked;
        }
    }

    /// Room for so many bytes in a row, if there is.
    fn take_room(&mut self, bytes: usize) -> Option<usize> {
        if self.wrapped_at.is_none() && self.head == self.tail {
            (self.head, self.tail) = (0, 0);
        }
        let free = match self.wrapped_at {
            Some(_) => self.tail - self.head,
            None => self.capacity - self.head,
        };
        if bytes > free {
            if self.wrapped_at.is_some() || bytes > self.tail {
                return None;
            }
            self.wrapped_at = Some(self.head);
            self.head = 0;
        }
        let at = self.head;
        self.head += bytes;
        Some(at)
    }

    /// Makes the oldest record go, or the youngest one if it was asked for.
    fn let_go(&mut self, chances: &mut usize) {
        let Entry { place, at, bytes, asked } = self.entry(self.tail);
        let bytes = PREFIX_BYTES + bytes;
        self.tail += bytes;
        if self.wrapped_at == Some(self.tail) {
            (self.tail, self.wrapped_at) = (0, None);
        }
        let room = match asked {
            ASKED if *chances > 0 => self.take_room(bytes),
            _ => None,
        };
        let Some(room) = room else {
            self.remove(place.hash, at);
            return;
        };
        *chances -= 1;
        if let Some(found) = self.places.find_mut(probe(place.hash), |other| *other == narrow(at)) {
            *found = narrow(room);
        }
        self.bytes.copy_within(at..at + bytes, room);
        self.set_asked(room, NOT_ASKED);
    }
}

/// What a ring's table probes with, first of all with other bits than those that tell the ring.
fn probe(hash: u64) -> u64 {
    hash.rotate_left(32)
}

/// What stands before a record in its ring.
#[derive(Debug, Clone, Copy)]
struct Entry {
    place: Place,
    at: usize,
    /// How long the record is.
    bytes: usize,
    asked: u8,
}

impl Entry {
    fn encode(&self) -> [u8; PREFIX_BYTES] {
        let mut prefix = [0; PREFIX_BYTES];
        prefix[..8].copy_from_slice(&self.place.hash.to_le_bytes());
        prefix[8..16].copy_from_slice(&self.place.owner.to_le_bytes());
        prefix[16..24].copy_from_slice(&self.place.location.get().to_le_bytes());
        prefix[24..28].copy_from_slice(&narrow(self.bytes).to_le_bytes());
        prefix[ASKED_AT] = self.asked;
        prefix
    }

    fn decode(ring: &[u8], at: usize) -> Self {
        let prefix = ring.get(at..).and_then(|bytes| bytes.first_chunk::<PREFIX_BYTES>());
        debug_assert!(prefix.is_some(), "a place is within its ring");
        let prefix = prefix.copied().unwrap_or_default();
        let mut fields = Fields(&prefix);
        let mut number = || fields.u64().unwrap_or_default();
        let (hash, owner) = (number(), number());
        let location = Location::from_bits(number());
        Self {
            place: Place { hash, owner, location },
            at,
            bytes: fields.u32().unwrap_or_default() as usize,
            asked: prefix[ASKED_AT],
        }
    }

    fn record(&self) -> Range<usize> {
        let start = self.at + PREFIX_BYTES;
        start..start + self.bytes
    }
}

/// Copies up to so many bytes of a ring to the front of a buffer.
fn copy(ring: &[u8], at: usize, bytes: usize, buffer: &mut Vec<u8>) {
    let end = ring.len().min(at + bytes);
    let source = ring.get(at..end).unwrap_or_default();
    if buffer.len() < source.len() {
        buffer.resize(source.len(), 0);
    }
    if let Some(target) = buffer.get_mut(..source.len()) {
        target.copy_from_slice(source);
    }
}

/// A place in a ring, or a length that fits there.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

const PREFIX_BYTES: usize = 32;
const ASKED_AT: usize = 28;
const ASKED: u8 = 1;
const NOT_ASKED: u8 = 0;
/// How many records one that is new may move: the rest lose their chance, so that a put is short.
const MOST_CHANCES: usize = 8;
/// Enough for many threads to meet seldom.
const MOST_RINGS: usize = 64;
/// Some records of the longest kind.
const LEAST_RING_BYTES: usize = 64 * 1024;
const MOST_RING_BYTES: usize = 1 << 31;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn place(number: u64) -> Place {
        // Of eight bits, so that several share one.
        let location = Location::from_bits(number);
        Place { hash: number % 256, owner: number / 1000, location }
    }

    fn record(number: u64) -> Vec<u8> {
        let bytes = 32 + usize::try_from(number).unwrap() * 37 % 300;
        number.to_le_bytes().iter().copied().cycle().take(bytes).collect()
    }

    fn found(cache: &Cache, number: u64) -> Option<Vec<u8>> {
        let mut buffer = vec![9; 7];
        let bytes = cache.get(place(number), &mut buffer)?;
        Some(buffer[..bytes].to_vec())
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_was_put_there(
            bytes in 0_usize..20_000,
            steps in proptest::collection::vec((0_u64..400, any::<bool>()), 0..2_000),
        ) {
            let cache = Cache::new(bytes);
            for (number, put) in steps {
                if put {
                    cache.put(place(number), &record(number));
                }
                let there = found(&cache, number);
                if let Some(there) = &there {
                    prop_assert_eq!(there, &record(number));
                }
                let fits = PREFIX_BYTES + record(number).len() <= bytes;
                prop_assert_eq!(put && fits && there.is_none(), false, "it was not kept");
                prop_assert!(held(&cache) <= bytes);
            }
        }
    }

    proptest! {
        #[test]
        fn a_record_that_was_replaced_is_not_found_and_its_successor_is(
            bytes in 1_000_usize..10_000,
            steps in proptest::collection::vec((0_u64..40, 0_usize..4), 0..1_000),
        ) {
            let cache = Cache::new(bytes);
            let place = |key: u64, version: u64| {
                let location = Location::from_bits(key * 10_000 + version);
                Place { hash: key % 32, owner: 0, location }
            };
            let record = |version: u64, kind: usize| vec![version.to_le_bytes()[0]; 40 + 7 * kind];
            let mut keys = HashMap::new();
            for (version, (key, kind)) in (1_u64..).zip(steps) {
                let (before, _) = keys.insert(key, (version, kind)).unwrap_or((0, 0));
                cache.replace(place(key, before), place(key, version), &record(version, kind));
                let mut buffer = Vec::new();
                prop_assert_eq!(cache.get(place(key, before), &mut buffer), None);
                prop_assert!(cache.get(place(key, version), &mut buffer).is_some());
                for (key, (version, kind)) in &keys {
                    if let Some(bytes) = cache.get(place(*key, *version), &mut buffer) {
                        prop_assert_eq!(&buffer[..bytes], &record(*version, *kind));
                    }
                }
                prop_assert!(held(&cache) <= bytes);
            }
        }
    }

    /// How many bytes the records take that can be found.
    fn held(cache: &Cache) -> usize {
        let rings = cache.rings.iter().map(|ring| ring.lock().unwrap());
        let held = |ring: &Ring| -> usize {
            let bytes = |at: &u32| PREFIX_BYTES + ring.entry(*at as usize).bytes;
            ring.places.iter().map(bytes).sum()
        };
        rings.map(|ring| held(&ring)).sum()
    }

    #[test]
    fn what_is_asked_for_stays_while_others_pass_through() {
        let cache = Cache::new(10_000);
        cache.put(place(1), &record(1));
        cache.put(place(2), &record(2));
        for number in 3..2_000 {
            cache.put(place(number), &record(number));
            assert!(found(&cache, 1).is_some(), "gone after {number} others");
        }
        assert!(found(&cache, 2).is_none(), "it takes room though nobody asks for it");
    }

    #[test]
    fn one_place_of_two_owners_is_two_records() {
        let cache = Cache::new(10_000);
        let mut places = HashMap::new();
        for owner in [cache.owner(), cache.owner()] {
            let place = Place { owner: owner.0, ..place(7) };
            cache.put(place, &record(owner.0));
            places.insert(owner.0, place);
        }
        assert_eq!(places.len(), 2);
        for (owner, place) in places {
            let mut buffer = Vec::new();
            let bytes = cache.get(place, &mut buffer).unwrap();
            assert_eq!(buffer[..bytes], record(owner));
        }
    }

    #[test]
    fn a_cache_that_keeps_nothing_takes_no_memory() {
        for cache in [Cache::new(0), Cache::new(1 << 20)] {
            assert_eq!(found(&cache, 1), None);
            assert!(cache.rings.iter().all(|ring| ring.lock().unwrap().bytes.capacity() == 0));
        }
        let cache = Cache::new(1 << 20);
        cache.put(place(1), &vec![0; MAX_RECORD_BYTES + 1]);
        assert!(cache.rings.iter().all(|ring| ring.lock().unwrap().bytes.capacity() == 0));
    }
}
