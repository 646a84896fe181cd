//! Entries in memory: of a segment that grows, or of one that has no hint yet.
//!
//! They are kept in the order in which they were written, 48 bytes for one with a key of 16, and
//! cost the writer a copy. Only who asks for them in the order of keys has a chunk sorted, once.
//!
//! Next file to read: [`super::hint`].

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::entry::{Counts, Entry, KeyRange, Order, prefix_of};
use super::error::StorageError;
use super::groups::Groups;
use super::record::Kind;
use super::segment::Segment;

/// Some entries of a segment; it never changes.
#[derive(Debug)]
pub(super) struct Chunk {
    keys: Vec<u8>,
    slots: Vec<Slot>,
    /// Places of slots by key, of each key that with the highest version.
    sorted: OnceLock<Box<[u16]>>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    version: u64,
    expires: u64,
    offset: u32,
    value_bytes: u32,
    key_at: u32,
    key_bytes: u16,
    kind: Kind,
}

const _: () = assert!(size_of::<Slot>() == 32);

impl Chunk {
    fn new(keys: Vec<u8>, slots: Vec<Slot>) -> Self {
        Self { keys, slots, sorted: OnceLock::new() }
    }

    fn key(&self, slot: &Slot) -> &[u8] {
        let start = slot.key_at as usize;
        self.keys.get(start..start + usize::from(slot.key_bytes)).unwrap_or_default()
    }

    fn sorted(&self) -> &[u16] {
        self.sorted.get_or_init(|| {
            let slot = |place: &u16| self.slots.get(usize::from(*place));
            let key = |place: &u16| slot(place).map(|slot| self.key(slot));
            let version = |place: &u16| slot(place).map(|slot| slot.version);
            // A chunk has far fewer entries than there are such numbers.
            let count = u16::try_from(self.slots.len()).unwrap_or(u16::MAX);
            let mut places: Vec<u16> = (0..count).collect();
            places.sort_unstable_by(|a, b| key(a).cmp(&key(b)).then(version(b).cmp(&version(a))));
            places.dedup_by(|later, first| key(later) == key(first));
            places.into()
        })
    }

    /// The entry at this place in the order of keys.
    fn entry(&self, place: usize) -> Option<Entry<'_>> {
        let slot = self.slots.get(usize::from(*self.sorted().get(place)?))?;
        Some(self.entry_of(slot))
    }

    fn entry_of(&self, slot: &Slot) -> Entry<'_> {
        Entry {
            key: self.key(slot),
            offset: slot.offset.into(),
            version: slot.version,
            expires: slot.expires,
            value_bytes: slot.value_bytes,
            kind: slot.kind,
        }
    }
}

/// The entries of a whole segment in the order of their keys, of each key that with the highest
/// version.
pub(super) fn in_order(chunks: &[Arc<Chunk>]) -> impl Iterator<Item = Entry<'_>> {
    let slots = || {
        chunks.iter().zip(0..).flat_map(|(chunk, at)| {
            // A chunk has far fewer entries than there are such numbers.
            chunk.slots.iter().zip(0_u16..).map(move |(slot, slot_at)| (chunk, slot, (at, slot_at)))
        })
    };
    let mut keys = slots().map(|(chunk, slot, _)| chunk.key(slot));
    let first = keys.next().unwrap_or_default();
    // What all keys begin with tells none apart.
    let (shared, longest) = keys.fold((first, first.len()), |(shared, longest), key| {
        let length = shared.iter().zip(key).take_while(|(a, b)| a == b).count();
        (shared.get(..length).unwrap_or_default(), longest.max(key.len()))
    });
    let shared = shared.len();
    // Then only keys that differ in length, by bytes of zero, have the same prefix.
    let are_told = longest <= shared + size_of::<u128>();
    let places = slots().map(|(chunk, slot, (at, slot_at))| Place {
        prefix: prefix_of(chunk.key(slot).get(shared..).unwrap_or_default()),
        version: slot.version,
        chunk: at,
        slot: slot_at,
        key_bytes: slot.key_bytes,
    });
    let at = move |place: &Place| {
        let chunk = chunks.get(place.chunk as usize)?;
        Some((chunk, chunk.slots.get(usize::from(place.slot))?))
    };
    let key = |place: &Place| at(place).map(|(chunk, slot)| chunk.key(slot));
    let by_key = |a: &Place, b: &Place| {
        a.prefix.cmp(&b.prefix).then_with(|| match are_told {
            true => a.key_bytes.cmp(&b.key_bytes),
            false => key(a).cmp(&key(b)),
        })
    };
    let mut all = Vec::with_capacity(chunks.iter().map(|chunk| chunk.slots.len()).sum());
    all.extend(places);
    all.sort_unstable_by(|a, b| by_key(a, b).then(b.version.cmp(&a.version)));
    all.dedup_by(|later, first| by_key(later, first).is_eq());
    all.into_iter().filter_map(move |place| at(&place).map(|(chunk, slot)| chunk.entry_of(slot)))
}

/// Where an entry is, and what is nearly always enough to sort it by.
struct Place {
    prefix: u128,
    version: u64,
    chunk: u32,
    slot: u16,
    key_bytes: u16,
}

const _: () = assert!(size_of::<Place>() == 32);

/// A segment's entries, as they are added.
#[derive(Debug, Default)]
pub(super) struct Entries {
    full: Vec<Arc<Chunk>>,
    keys: Vec<u8>,
    slots: Vec<Slot>,
    /// The last chunk as it is, for who asks again before anything is added.
    open: Mutex<Option<Arc<Chunk>>>,
    pub(super) counts: Counts,
}

impl Entries {
    /// Adds the entry of one more record.
    pub(super) fn push(&mut self, entry: &Entry<'_>) {
        if self.slots.len() == CHUNK_ENTRIES || self.keys.len() > CHUNK_KEY_BYTES {
            self.close_chunk();
        }
        if self.slots.is_empty() {
            self.slots.reserve_exact(CHUNK_ENTRIES);
        }
        *self.open.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        self.counts.records += 1;
        self.counts.key_bytes += entry.key.len() as u64;
        // Offsets have 32 bits where the index can name them, and keys 16 in every record.
        self.slots.push(Slot {
            version: entry.version,
            expires: entry.expires,
            offset: u32::try_from(entry.offset).unwrap_or(u32::MAX),
            value_bytes: entry.value_bytes,
            key_at: u32::try_from(self.keys.len()).unwrap_or(u32::MAX),
            key_bytes: u16::try_from(entry.key.len()).unwrap_or(u16::MAX),
            kind: entry.kind,
        });
        self.keys.extend_from_slice(entry.key);
    }

    fn close_chunk(&mut self) {
        let mut keys = std::mem::take(&mut self.keys);
        keys.shrink_to_fit();
        self.full.push(Arc::new(Chunk::new(keys, std::mem::take(&mut self.slots))));
    }

    /// The entries so far. What is added later is not among them.
    pub(super) fn chunks(&self) -> Vec<Arc<Chunk>> {
        let mut chunks = self.full.clone();
        if !self.slots.is_empty() {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let copy = || Arc::new(Chunk::new(self.keys.clone(), self.slots.clone()));
            chunks.push(Arc::clone(open.get_or_insert_with(copy)));
        }
        chunks
    }

    /// All entries of a segment that ends at `length`; every byte of it is read and verified.
    pub(super) fn read(segment: &Segment, length: u64) -> Result<Self, StorageError> {
        let damaged = |at, what| Err(StorageError::corrupt(&segment.path, at, what));
        let bytes = segment.read_up_to(length)?;
        let mut groups = Groups::new(&bytes, segment.seed);
        let mut records = Vec::new();
        let mut entries = Self::default();
        loop {
            match groups.next(&mut records) {
                Ok(Some(_)) => {}
                Ok(None) if groups.position() == length => return Ok(entries),
                Ok(None) => return damaged(groups.position(), "the segment is cut"),
                Err(damage) => return damaged(damage.at, "a durable record does not verify"),
            }
            for record in &records {
                entries.push(&record.entry());
            }
        }
    }
}

/// A place among a chunk's entries.
#[derive(Debug)]
pub(super) struct ChunkCursor {
    chunk: Arc<Chunk>,
    place: Option<usize>,
}

impl ChunkCursor {
    /// At the first entry of a range in this order.
    pub(super) fn at_start(chunk: Arc<Chunk>, range: &KeyRange<'_>, order: Order) -> Self {
        let key = |place| chunk.entry(place).map(|entry| entry.key).unwrap_or_default();
        let place = range.start(order, chunk.sorted().len(), key);
        Self { chunk, place }
    }

    /// The entry here; nothing behind the last one.
    pub(super) fn entry(&self) -> Option<Entry<'_>> {
        self.chunk.entry(self.place?)
    }

    /// Goes on to the next entry in this order.
    pub(super) fn step(&mut self, order: Order) {
        self.place = self.place.and_then(|place| match order {
            Order::Ascending => Some(place + 1),
            Order::Descending => place.checked_sub(1),
        });
    }
}

/// A chunk is full with this many entries, or with keys of this many bytes.
const CHUNK_ENTRIES: usize = 4096;
const CHUNK_KEY_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    fn entry(key: &[u8], version: u64) -> Entry<'_> {
        Entry { key, offset: version, version, expires: 0, value_bytes: 0, kind: Kind::Set }
    }

    fn told(chunk: &Arc<Chunk>, range: &KeyRange<'_>, order: Order) -> Vec<(Vec<u8>, u64)> {
        let mut cursor = ChunkCursor::at_start(Arc::clone(chunk), range, order);
        let mut told = Vec::new();
        while let Some(entry) = cursor.entry().filter(|entry| range.reaches(order, entry.key)) {
            told.push((entry.key.to_vec(), entry.version));
            cursor.step(order);
        }
        told
    }

    #[test]
    fn a_chunk_tells_each_key_once_with_its_highest_version_in_either_order() {
        let mut entries = Entries::default();
        for (version, key) in (1..).zip([&b"b"[..], b"a", b"c", b"a", b"ab", b"b"]) {
            entries.push(&entry(key, version));
        }
        let chunk = entries.chunks().remove(0);
        let mut expected: Vec<(Vec<u8>, u64)> =
            [(&b"a"[..], 4), (b"ab", 5), (b"b", 6), (b"c", 3)].map(|(k, v)| (k.into(), v)).into();
        assert_eq!(told(&chunk, &KeyRange::ALL, Order::Ascending), expected);
        expected.reverse();
        assert_eq!(told(&chunk, &KeyRange::ALL, Order::Descending), expected);
    }

    proptest! {
        #[test]
        fn a_segment_tells_each_key_once_with_its_highest_version_in_order(
            stems in vec(vec(0_u8..2, 0..20), 1..4),
            keys in vec((any::<Index>(), vec(0_u8..2, 0..4)), 1..60),
        ) {
            let (mut chunks, mut expected) = (Vec::new(), BTreeMap::new());
            for (number, keys) in (0..).zip(keys.chunks(7)) {
                let mut entries = Entries::default();
                for (version, (stem, end)) in (number * 7..).zip(keys) {
                    let key = [&stem.get(&stems)[..], end].concat();
                    entries.push(&entry(&key, version));
                    expected.insert(key, version);
                }
                chunks.extend(entries.chunks());
            }
            let told = in_order(&chunks).map(|entry| (entry.key.to_vec(), entry.version));
            prop_assert_eq!(told.collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_added_later_is_not_among_the_chunks_of_before() {
        let mut entries = Entries::default();
        for number in 0..CHUNK_ENTRIES as u64 + 10 {
            entries.push(&entry(&number.to_be_bytes(), number));
        }
        let before = entries.chunks();
        entries.push(&entry(b"later", 1));
        let count = |chunks: &[Arc<Chunk>]| -> usize {
            chunks.iter().map(|c| told(c, &KeyRange::ALL, Order::Ascending).len()).sum()
        };
        assert_eq!(count(&before), CHUNK_ENTRIES + 10);
        assert_eq!(count(&entries.chunks()), CHUNK_ENTRIES + 11);
        assert_eq!(entries.counts.records, CHUNK_ENTRIES as u64 + 11);
    }
}
