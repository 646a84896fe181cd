//! Where each key's record is, without the keys.
//!
//! A slot has 12 bytes: 32 bits of a keyed hash and a [`Location`]. Several keys may share the 32
//! bits, so that every slot with them is a candidate, and only the record on disk says whose it
//! is. The table's one writer changes slots; readers copy candidates and let go of the lock before
//! they touch a file.
//!
//! Shards have unequal shares of the keys, from 1 to 2, evenly spread on a logarithmic scale, so
//! that they do not all double together: memory grows smoothly and no lock is held for long.
//!
//! Next file to read: [`super::reader`].

use std::hash::{BuildHasher, RandomState};
use std::sync::{LazyLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::HashTable;

/// Where a record is: segment slot (20 bits), offset (32 bits), length class (12 bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location(u64);

impl Location {
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

    /// The bits.
    pub(super) fn get(self) -> u64 {
        self.0
    }

    /// The location that has these bits.
    pub(super) fn from_bits(bits: u64) -> Self {
        Self(bits)
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

    /// All bits, which a set of keys outside of the index is probed with.
    pub(super) fn get(self) -> u64 {
        self.0
    }

    /// The shard, from bits that are not stored.
    fn shard(self) -> usize {
        let bits = (self.0 >> (64 - SHARD_MAP_BITS)) as usize;
        SHARD_MAP.get(bits).copied().unwrap_or_default().into()
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
    shards: Box<[RwLock<HashTable<Slot>>]>,
    hasher: RandomState,
    mask: u64,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u32,
    /// A location in halves, so that a slot has 12 bytes.
    location: [u32; 2],
}

const _: () = assert!(size_of::<Slot>() == 12);

impl Slot {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves are what is meant")]
    fn new(hash: u32, location: Location) -> Self {
        Self { hash, location: [location.0 as u32, (location.0 >> 32) as u32] }
    }

    fn location(&self) -> Location {
        Location(u64::from(self.location[0]) | u64::from(self.location[1]) << 32)
    }

    fn is(&self, hash: u32, location: Location) -> bool {
        self.hash == hash && self.location() == location
    }
}

/// The stored bits spread over the width that the hash table probes with. Growth re-places a slot
/// with this very function, for it has nothing else.
fn probe(stored: u32) -> u64 {
    u64::from(stored).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

const SHARDS: u16 = 256;
const SHARD_MAP_BITS: u32 = 12;

/// The shard of each value of the hash's upper bits: shard `i` ends at `2^((i + 1) / SHARDS) - 1`
/// of the whole.
static SHARD_MAP: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let entries = 1_u32 << SHARD_MAP_BITS;
    let shard_of = |entry: u32| {
        let part = (f64::from(entry) + 0.5) / f64::from(entries);
        (1..SHARDS)
            .take_while(|shard| (f64::from(*shard) / f64::from(SHARDS)).exp2() - 1.0 <= part)
            .count()
    };
    (0..entries).map(|entry| u8::try_from(shard_of(entry)).unwrap_or(u8::MAX)).collect()
});

impl Index {
    /// An index without slots.
    pub(super) fn new(bits: HashBits) -> Self {
        let mask = match bits {
            HashBits::Full => u64::MAX,
            #[cfg(test)]
            HashBits::Eight => 0xff,
        };
        Self {
            shards: (0..SHARDS).map(|_| RwLock::new(HashTable::new())).collect(),
            hasher: RandomState::new(),
            mask,
        }
    }

    /// How many slots there are.
    pub(super) fn len(&self) -> usize {
        let length = |shard: &RwLock<HashTable<Slot>>| {
            shard.read().unwrap_or_else(PoisonError::into_inner).len()
        };
        self.shards.iter().map(length).sum()
    }

    /// How much memory the slots take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let bytes = |shard: &RwLock<HashTable<Slot>>| {
            shard.read().unwrap_or_else(PoisonError::into_inner).allocation_size()
        };
        self.shards.iter().map(bytes).sum()
    }

    /// A key's hash in this index.
    pub(super) fn hash(&self, key: &[u8]) -> KeyHash {
        KeyHash(self.hasher.hash_one(key) & self.mask)
    }

    /// The locations of all records whose key may have this hash.
    pub(super) fn candidates(&self, hash: KeyHash) -> Candidates {
        let mut candidates = Candidates::default();
        let stored = hash.stored();
        let shard = self.read(hash);
        for slot in shard.iter_hash(probe(stored)).filter(|slot| slot.hash == stored) {
            match candidates.first {
                None => candidates.first = Some(slot.location()),
                Some(_) => candidates.rest.push(slot.location()),
            }
        }
        candidates
    }

    /// Whether a slot of this hash points there.
    pub(super) fn is_named(&self, hash: KeyHash, location: Location) -> bool {
        let stored = hash.stored();
        self.read(hash).find(probe(stored), |slot| slot.is(stored, location)).is_some()
    }

    /// Adds a slot for a key that has none.
    pub(super) fn insert(&self, hash: KeyHash, location: Location) {
        let stored = hash.stored();
        let slot = Slot::new(stored, location);
        self.write(hash).insert_unique(probe(stored), slot, |slot| probe(slot.hash));
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
            for (hash, location) in slots {
                let slot = Slot::new(hash.stored(), *location);
                shard.insert_unique(probe(hash.stored()), slot, |slot| probe(slot.hash));
            }
        }
        slots.clear();
    }

    /// Points a key's slot elsewhere; the slot is told by where it points now. Says whether there
    /// is one.
    pub(super) fn replace(&self, hash: KeyHash, old: Location, new: Location) -> bool {
        let stored = hash.stored();
        let mut shard = self.write(hash);
        let slot = shard.find_mut(probe(stored), |slot| slot.is(stored, old));
        slot.map(|slot| *slot = Slot::new(stored, new)).is_some()
    }

    /// Removes a key's slot, told by where it points. Says whether there is one.
    pub(super) fn remove(&self, hash: KeyHash, old: Location) -> bool {
        let stored = hash.stored();
        let mut shard = self.write(hash);
        let slot = shard.find_entry(probe(stored), |slot| slot.is(stored, old));
        slot.map(|slot| slot.remove()).is_ok()
    }

    // A panic cannot leave a shard half changed, so that a poisoned lock means nothing here.

    #[expect(clippy::indexing_slicing, reason = "the shard map holds numbers of shards only")]
    fn read(&self, hash: KeyHash) -> RwLockReadGuard<'_, HashTable<Slot>> {
        self.shards[hash.shard()].read().unwrap_or_else(PoisonError::into_inner)
    }

    #[expect(clippy::indexing_slicing, reason = "the shard map holds numbers of shards only")]
    fn write(&self, hash: KeyHash) -> RwLockWriteGuard<'_, HashTable<Slot>> {
        self.shards[hash.shard()].write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a key's record may be. One candidate is the rule, and takes no allocation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Candidates {
    first: Option<Location>,
    rest: Vec<Location>,
}

impl Candidates {
    pub(super) fn iter(&self) -> impl Iterator<Item = Location> + '_ {
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
            assert!(length_class(bytes) < 1 << 12);
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
        index.replace(hash, at(7), at(1007));
        index.remove(hash, at(8));
        let mut found: Vec<u64> = index.candidates(hash).iter().map(Location::offset).collect();
        found.sort_unstable();
        let mut expected: Vec<u64> = (0..50).filter(|o| !matches!(o, 7 | 8)).collect();
        expected.push(1007);
        assert_eq!(found, expected);
    }

    #[test]
    fn shards_have_shares_from_one_to_two_and_all_of_them_are_used() {
        let mut shares = [0_u32; SHARDS as usize];
        for shard in SHARD_MAP.iter() {
            shares[usize::from(*shard)] += 1;
        }
        let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
        assert!(*least >= 10 && *most <= 25, "{least} {most}");
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
            assert!(candidates.iter().any(|location| location.offset() == u64::from(i)));
        }
    }

    /// Fills the largest shard as it is among 17 million keys, and tells the longest time that its
    /// lock was held (`cargo test --release -p kvsd-server --lib growth -- --nocapture`).
    #[test]
    fn growth_among_seventeen_million_keys_moves_few_slots_under_one_lock() {
        let shares = |shard: u8| SHARD_MAP.iter().filter(|mapped| **mapped == shard).count();
        let largest = (0..=u8::MAX).max_by_key(|shard| shares(*shard)).unwrap();
        let keys = 17_000_000 * shares(largest) as u64 / SHARD_MAP.len() as u64;
        let upper = SHARD_MAP.iter().position(|mapped| *mapped == largest).unwrap() as u64;

        let index = Index::new(HashBits::Full);
        let mut longest = std::time::Duration::ZERO;
        for key in 0..keys {
            let lower = index.hash(&key.to_le_bytes()).0 >> SHARD_MAP_BITS;
            let hash = KeyHash(upper << (64 - SHARD_MAP_BITS) | lower);
            let location = Location::new(1, key, 50).unwrap();
            let began = std::time::Instant::now();
            index.insert(hash, location);
            longest = longest.max(began.elapsed());
        }
        println!("{keys} keys in the largest shard, longest insert {longest:?}");
        // A doubling moves no more than are there.
        assert!(keys < 110_000, "{keys}");
        assert_eq!(index.len() as u64, keys);
    }
}
