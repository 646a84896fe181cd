//! Where each key's record is, without the keys.
//!
//! A slot has 16 bytes: 32 bits of a keyed hash, a [`Location`], and where the cache may have a
//! copy of the record. Several keys may share the 32 bits, so that every slot with them is a
//! candidate, and only the record says whose it is. The table's one writer changes slots; readers
//! copy candidates and let go of the lock before they touch a record.
//!
//! Next file to read: [`super::buckets`].

use std::hash::{BuildHasher, RandomState};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::buckets::{Buckets, Slot};
use super::cache::Spot;

/// Where a record is: segment slot (20 bits), offset (32 bits), length class (12 bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location(u64);

impl Location {
    /// No record's: none has this length class.
    pub(super) const NOWHERE: Self = Self(u64::MAX);

    /// The location of a record of `bytes` bytes; `None` past what the bits hold.
    pub(super) fn new(slot: u32, offset: u64, bytes: usize) -> Option<Self> {
        let offset = u64::from(u32::try_from(offset).ok()?);
        let class = length_class(u32::try_from(bytes).ok()?);
        (slot < SEGMENT_SLOTS).then_some(Self(u64::from(slot) << 44 | offset << 12 | class))
    }

    /// The place of the record's segment among the open segments.
    pub(super) fn slot(self) -> usize {
        (self.0 >> 44) as usize
    }

    /// Where the record begins.
    pub(super) fn offset(self) -> u64 {
        (self.0 >> 12) & 0xffff_ffff
    }

    /// At least the record's length, and less than a hundredth more.
    pub(super) fn read_bytes(self) -> usize {
        class_length(self.0 & 0xfff)
    }
}

/// How many segments can be open at once.
pub(super) const SEGMENT_SLOTS: u32 = 1 << 20;

/// Lengths below 128 as they are, above with eight significant bits, rounded up.
fn length_class(bytes: u32) -> u64 {
    if bytes < 128 {
        return u64::from(bytes);
    }
    let shift = bytes.ilog2() - 7;
    let mantissa = u64::from(bytes).div_ceil(1 << shift) - 128;
    // A mantissa rounded up to 128 is the next class, with mantissa 0.
    u64::from(shift + 1) * 128 + mantissa
}

fn class_length(class: u64) -> usize {
    let length = match class {
        0..128 => class,
        _ => (128 + class % 128) << (class / 128 - 1),
    };
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// A key's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyHash(u64);

impl KeyHash {
    /// The bits that are stored.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is meant")]
    fn stored(self) -> u32 {
        self.0 as u32
    }

    /// All bits.
    pub(super) fn get(self) -> u64 {
        self.0
    }

    /// The shard, from bits that are not stored.
    fn shard(self) -> usize {
        (((self.0 >> 32) * SHARDS as u64) >> 32) as usize
    }
}

/// How much of a key's hash is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HashBits {
    /// All of it.
    Full,
    /// Eight bits, so that tests meet collisions all the time.
    #[cfg(test)]
    Eight,
}

/// The slots.
#[derive(Debug)]
pub(crate) struct Index {
    shards: Box<[RwLock<Buckets>]>,
    hasher: RandomState,
    bits: HashBits,
}

/// Enough for many threads to meet seldom, and for none to wait long while one of them grows.
const SHARDS: usize = 128;

/// For how many keys one looks ahead: more than a processor fetches from memory at a time, and few
/// enough for all of it to stay near.
pub(crate) const LOOK_AHEAD: usize = 32;

/// What stays near a processor: 1 MiB.
const FAR_BYTES: usize = 1 << 20;

impl Index {
    /// An index without slots.
    pub(super) fn new(bits: HashBits) -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        Self { shards, hasher: RandomState::new(), bits }
    }

    /// How many slots there are.
    pub(super) fn len(&self) -> usize {
        self.sum(Buckets::len)
    }

    /// How much memory the slots take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.sum(Buckets::bytes)
    }

    fn sum(&self, of: fn(&Buckets) -> usize) -> usize {
        let of =
            |shard: &RwLock<Buckets>| of(&shard.read().unwrap_or_else(PoisonError::into_inner));
        self.shards.iter().map(of).sum()
    }

    /// A key's hash in this index.
    pub(super) fn hash(&self, key: &[u8]) -> KeyHash {
        let hash = self.hasher.hash_one(key);
        match self.bits {
            HashBits::Full => KeyHash(hash),
            #[cfg(test)]
            HashBits::Eight => KeyHash((hash & 0xff) * 0x0101_0101_0101_0101),
        }
    }

    /// All records whose key may have this hash.
    pub(super) fn candidates(&self, hash: KeyHash) -> Candidates {
        let mut candidates = Candidates::default();
        self.read(hash).each(hash.stored(), |slot| {
            let candidate = Candidate { location: slot.location, spot: slot.spot };
            match candidates.first {
                None => candidates.first = Some(candidate),
                Some(_) => candidates.rest.push(candidate),
            }
        });
        candidates
    }

    /// Whether the processor waits for what a search looks at: the slots are too many to stay near
    /// it. Told by the shard of one hash.
    pub(super) fn is_far(&self, hash: KeyHash) -> bool {
        self.read(hash).bytes() >= FAR_BYTES / SHARDS
    }

    /// Has the processor fetch what a search for this hash begins with, if it is not near: searches
    /// that follow wait for all of it at once.
    pub(super) fn fetch(&self, hash: KeyHash) {
        self.read(hash).fetch(hash.stored());
    }

    /// Whether a slot of this hash points there.
    pub(super) fn is_named(&self, hash: KeyHash, location: Location) -> bool {
        self.read(hash).find(hash.stored(), location).is_some()
    }

    /// Adds a slot for a key that has none.
    pub(super) fn insert(&self, hash: KeyHash, location: Location) {
        self.write(hash).insert(slot(hash, location));
    }

    /// Adds slots for keys that have none, shard by shard: what is near in memory is done together.
    /// Takes all of them.
    pub(super) fn insert_all(&self, slots: &mut Vec<(KeyHash, Location)>) {
        slots.sort_unstable_by_key(|(hash, _)| hash.shard());
        for slots in slots.chunk_by(|(a, _), (b, _)| a.shard() == b.shard()) {
            let Some((first, _)) = slots.first() else {
                continue;
            };
            let mut shard = self.write(*first);
            shard.reserve(slots.len());
            slots.iter().for_each(|(hash, location)| shard.insert(slot(*hash, *location)));
        }
        slots.clear();
    }

    /// Points a key's slot elsewhere; the slot is told by where it points now. Says whether there
    /// is one. Nobody sees the slot while `copy` says where the cache has the record from now on.
    pub(super) fn replace(
        &self,
        hash: KeyHash,
        old: Location,
        new: Location,
        copy: impl FnOnce(Spot) -> Spot,
    ) -> bool {
        let mut shard = self.write(hash);
        let slot = shard.find_mut(hash.stored(), old);
        slot.map(|slot| (slot.location, slot.spot) = (new, copy(slot.spot))).is_some()
    }

    /// Removes a key's slot, told by where it points. Says whether there is one, and tells where
    /// the cache may have the record while nobody sees the slot.
    pub(super) fn remove(&self, hash: KeyHash, old: Location, forget: impl FnOnce(Spot)) -> bool {
        let mut shard = self.write(hash);
        let removed = shard.remove(hash.stored(), old);
        removed.map(|slot| forget(slot.spot)).is_some()
    }

    // A panic cannot leave a shard half changed, so that a poisoned lock means nothing here.

    #[expect(clippy::indexing_slicing, reason = "a shard's number is below how many there are")]
    fn read(&self, hash: KeyHash) -> RwLockReadGuard<'_, Buckets> {
        self.shards[hash.shard()].read().unwrap_or_else(PoisonError::into_inner)
    }

    #[expect(clippy::indexing_slicing, reason = "a shard's number is below how many there are")]
    fn write(&self, hash: KeyHash) -> RwLockWriteGuard<'_, Buckets> {
        self.shards[hash.shard()].write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn slot(hash: KeyHash, location: Location) -> Slot {
    Slot { hash: hash.stored(), spot: Spot::NONE, location }
}

/// A record that may be a key's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) location: Location,
    /// Where the cache may have a copy of it.
    pub(super) spot: Spot,
}

/// Records that may be a key's. One is the rule, and takes no allocation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Candidates {
    first: Option<Candidate>,
    rest: Vec<Candidate>,
}

impl Candidates {
    pub(super) fn is_one(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Candidate> + '_ {
        self.first.into_iter().chain(self.rest.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_class_never_reads_too_little_and_hardly_too_much() {
        for bytes in (0..100_000).chain([1 << 20, (10 << 20) + 33, u32::MAX - 1, u32::MAX]) {
            let read = class_length(length_class(bytes)) as u64;
            assert!(read >= u64::from(bytes), "{bytes} -> {read}");
            assert!(read <= u64::from(bytes) + u64::from(bytes) / 100, "{bytes} -> {read}");
            assert!(length_class(bytes) < Location::NOWHERE.0 & 0xfff);
        }
    }

    #[test]
    fn a_location_keeps_its_parts_and_refuses_what_it_cannot_hold() {
        let location = Location::new(SEGMENT_SLOTS - 1, u64::from(u32::MAX), 500).unwrap();
        assert_eq!(location.slot(), (1 << 20) - 1);
        assert_eq!(location.offset(), u64::from(u32::MAX));
        assert!((500..=505).contains(&location.read_bytes()));
        assert_eq!(Location::new(SEGMENT_SLOTS, 0, 1), None);
        assert_eq!(Location::new(0, 1 << 32, 1), None);
    }

    #[test]
    fn keys_with_one_hash_coexist_and_only_the_slot_that_is_meant_moves() {
        let index = Index::new(HashBits::Eight);
        let hash = index.hash(b"any");
        let at = |offset| Location::new(0, offset, 40).unwrap();
        for offset in 0..50 {
            index.insert(hash, at(offset));
        }
        index.replace(hash, at(7), at(1007), |spot| spot);
        index.remove(hash, at(8), |_| ());
        let found = index.candidates(hash);
        let mut found: Vec<u64> = found.iter().map(|found| found.location.offset()).collect();
        found.sort_unstable();
        let mut expected: Vec<u64> = (0..50).filter(|o| !matches!(o, 7 | 8)).collect();
        expected.push(1007);
        assert_eq!(found, expected);
    }

    #[test]
    fn every_slot_is_found_again_after_growth() {
        let index = Index::new(HashBits::Full);
        let key = |i: u32| i.to_le_bytes();
        for i in 0..20_000 {
            index.insert(index.hash(&key(i)), Location::new(1, i.into(), 50).unwrap());
        }
        for i in 0..20_000 {
            let candidates = index.candidates(index.hash(&key(i)));
            assert!(candidates.iter().any(|found| found.location.offset() == u64::from(i)));
        }
    }

    /// Fills a shard as it is among 17 million keys, and tells the longest time that its lock was
    /// held (`cargo test --release -p kvsd-server --lib growth -- --nocapture`).
    #[test]
    fn growth_among_seventeen_million_keys_moves_few_slots_under_one_lock() {
        let keys = 17_000_000 / SHARDS as u64;
        let index = Index::new(HashBits::Full);
        let mut longest = std::time::Duration::ZERO;
        for key in 0..keys {
            let hash = KeyHash(index.hash(&key.to_le_bytes()).0 >> SHARDS.ilog2());
            let location = Location::new(1, key, 50).unwrap();
            let began = std::time::Instant::now();
            index.insert(hash, location);
            longest = longest.max(began.elapsed());
        }
        println!("{keys} keys in a shard, longest insert {longest:?}");
        assert!(keys < 133_000, "{keys}");
        assert_eq!(index.read(KeyHash(0)).len() as u64, keys);
    }
}
