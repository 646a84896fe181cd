//! A hash table whose slots stand in lines of memory: who looks a key up waits for one line, seldom
//! for more.
//!
//! A bucket is a line of four slots. A slot stands in the bucket that its hash says (its home), or,
//! where that is full, in the next one that is not: all buckets from its home to its own are full.
//! So a search ends at the first bucket with room.
//!
//! Homes are in the order of the hashes, and the number of buckets is any, not a power of two: the
//! table grows by a sixth, in one pass over old and new memory, and its slots are never fewer than
//! five sevenths of its places. It stands in parts of one length, and what a part held moves before
//! there are many new ones: so growing uses old parts again, and takes no more than the sixth.
//!
//! Next file to read: [`super::cache`].

use prefetch_index::prefetch_index;

use super::cache::Spot;
use super::index::Location;

/// The slots.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    /// All but the last have [`PART`] buckets.
    parts: Vec<Part>,
    buckets: usize,
    slots: usize,
}

/// Buckets that follow each other.
type Part = Box<[Bucket]>;

/// What is known of a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// Some bits of its hash.
    pub(super) hash: u32,
    /// Where the cache may have a copy of its record.
    pub(super) spot: Spot,
    /// Where its record is.
    pub(super) location: Location,
}

/// The first ones of its slots are in use.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Bucket([Slot; SLOTS]);

const SLOTS: usize = 4;
/// 16 KiB: little beside any table that has more than one, and many for each line that tells where
/// they are.
const PART: usize = 256;
const _: () = assert!(size_of::<Bucket>() == 64);

impl Slot {
    const FREE: Self = Self { hash: 0, spot: Spot::NONE, location: Location::NOWHERE };

    fn is_free(&self) -> bool {
        self.location == Location::NOWHERE
    }

    fn is(&self, hash: u32, location: Location) -> bool {
        self.hash == hash && self.location == location
    }
}

impl Bucket {
    const EMPTY: Self = Self([Slot::FREE; SLOTS]);

    fn is_full(&self) -> bool {
        self.0.last().is_some_and(|last| !last.is_free())
    }

    fn used(&self) -> &[Slot] {
        // Added up, for no processor could guess where the first free one is.
        let used = self.0.iter().map(|slot| usize::from(!slot.is_free())).sum();
        self.0.get(..used).unwrap_or_default()
    }
}

impl Buckets {
    /// How many slots there are.
    pub(super) fn len(&self) -> usize {
        self.slots
    }

    /// How much memory they take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.buckets * size_of::<Bucket>()
    }

    /// Tells all slots with this hash.
    #[inline]
    pub(super) fn each(&self, hash: u32, mut tell: impl FnMut(&Slot)) {
        let mut at = self.home(hash);
        while let Some(bucket) = self.bucket(at) {
            for slot in &bucket.0 {
                if slot.hash == hash && !slot.is_free() {
                    tell(slot);
                }
            }
            if !bucket.is_full() {
                return;
            }
            at = self.after(at);
        }
    }

    /// Has the processor fetch what a search for this hash begins with.
    pub(super) fn fetch(&self, hash: u32) {
        let home = self.home(hash);
        if let Some(part) = self.parts.get(home / PART) {
            prefetch_index(part, home % PART);
        }
    }

    /// The slot of this hash that points there.
    pub(super) fn find(&self, hash: u32, location: Location) -> Option<&Slot> {
        let (bucket, slot) = self.place(hash, location)?;
        self.bucket(bucket)?.0.get(slot)
    }

    /// As [`Buckets::find`], to change it; its hash stays as it is.
    pub(super) fn find_mut(&mut self, hash: u32, location: Location) -> Option<&mut Slot> {
        let (bucket, slot) = self.place(hash, location)?;
        self.parts.get_mut(bucket / PART)?.get_mut(bucket % PART)?.0.get_mut(slot)
    }

    /// Adds a slot.
    pub(super) fn insert(&mut self, slot: Slot) {
        if self.slots >= room(self.buckets) {
            self.grow(larger(self.buckets));
        }
        self.put(slot, &mut Vec::new());
    }

    /// Makes room for so many more.
    pub(super) fn reserve(&mut self, more: usize) {
        let mut buckets = self.buckets;
        while room(buckets) < self.slots + more {
            buckets = larger(buckets);
        }
        if buckets > self.buckets {
            self.grow(buckets);
        }
    }

    /// Removes the slot of this hash that points there.
    pub(super) fn remove(&mut self, hash: u32, location: Location) -> Option<Slot> {
        let (mut at, place) = self.place(hash, location)?;
        let removed = self.bucket(at)?.0.get(place).copied();
        self.slots -= 1;
        let mut was_full = self.take_out(at, place);
        // What stands behind a bucket that has room again for want of it moves there.
        let mut next = self.after(at);
        while was_full && let Some(bucket) = self.bucket(next) {
            let steps = self.steps(at, next);
            let moves = |slot: &Slot| self.steps(self.home(slot.hash), next) >= steps;
            let is_full = bucket.is_full();
            if let Some((place, moved)) = bucket.used().iter().enumerate().find(|(_, s)| moves(s)) {
                let moved = *moved;
                self.take_out(next, place);
                self.append(at, moved);
                at = next;
            }
            was_full = is_full;
            next = self.after(next);
        }
        removed
    }

    #[inline]
    fn bucket(&self, at: usize) -> Option<&Bucket> {
        self.parts.get(at / PART)?.get(at % PART)
    }

    /// The bucket that a hash belongs in.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        home(hash, self.buckets)
    }

    #[inline]
    fn after(&self, bucket: usize) -> usize {
        let next = bucket + 1;
        if next == self.buckets { 0 } else { next }
    }

    /// How many buckets further on the second one stands.
    fn steps(&self, from: usize, to: usize) -> usize {
        if to < from { to + self.buckets - from } else { to - from }
    }

    fn place(&self, hash: u32, location: Location) -> Option<(usize, usize)> {
        let mut at = self.home(hash);
        loop {
            let bucket = self.bucket(at)?;
            if let Some(slot) = bucket.0.iter().position(|slot| slot.is(hash, location)) {
                return Some((at, slot));
            }
            if !bucket.is_full() {
                return None;
            }
            at = self.after(at);
        }
    }

    /// Adds a slot for which there is room somewhere. Parts that are not there yet are made, of
    /// spare ones if there are any.
    fn put(&mut self, slot: Slot, spare: &mut Vec<Part>) {
        let mut at = self.home(slot.hash);
        loop {
            while self.parts.len() <= at / PART {
                self.add_part(spare);
            }
            if self.append(at, slot) {
                break;
            }
            at = self.after(at);
        }
        self.slots += 1;
    }

    fn add_part(&mut self, spare: &mut Vec<Part>) {
        let buckets = PART.min(self.buckets - self.parts.len() * PART);
        let part = match spare.pop_if(|spare| spare.len() == buckets) {
            Some(mut part) => {
                part.fill(Bucket::EMPTY);
                part
            }
            None => vec![Bucket::EMPTY; buckets].into_boxed_slice(),
        };
        self.parts.push(part);
    }

    /// Adds a slot to a bucket, unless that is full.
    #[expect(clippy::indexing_slicing, reason = "the place of a bucket")]
    fn append(&mut self, bucket: usize, slot: Slot) -> bool {
        let bucket = &mut self.parts[bucket / PART][bucket % PART];
        let used = bucket.used().len();
        bucket.0.get_mut(used).map(|free| *free = slot).is_some()
    }

    /// Takes a slot out of a bucket; says whether that was full.
    #[expect(clippy::indexing_slicing, reason = "the place of a bucket")]
    fn take_out(&mut self, bucket: usize, slot: usize) -> bool {
        let bucket = &mut self.parts[bucket / PART][bucket % PART];
        let was_full = bucket.is_full();
        let last = bucket.used().len().saturating_sub(1);
        bucket.0.swap(slot, last);
        bucket.0[last] = Slot::FREE;
        was_full
    }

    /// Moves all slots to so many buckets, more than there are.
    fn grow(&mut self, buckets: usize) {
        let (old, old_buckets) = (std::mem::take(&mut self.parts), self.buckets);
        (self.buckets, self.slots) = (buckets, 0);
        let (mut spare, mut around, mut at) = (Vec::new(), Vec::new(), 0);
        for part in old {
            for bucket in &part {
                for slot in bucket.used() {
                    // In the first ones may stand what the last ones had no room for.
                    match home(slot.hash, old_buckets) > at {
                        true => around.push(*slot),
                        false => self.put(*slot, &mut spare),
                    }
                }
                at += 1;
            }
            spare.push(part);
        }
        around.into_iter().for_each(|slot| self.put(slot, &mut spare));
        while self.parts.len() * PART < buckets {
            self.add_part(&mut spare);
        }
    }
}

/// The bucket that a hash belongs in, of so many.
#[inline]
fn home(hash: u32, buckets: usize) -> usize {
    // Below their number.
    ((u64::from(hash) * buckets as u64) >> 32) as usize
}

/// How many buckets there are after so many.
fn larger(buckets: usize) -> usize {
    buckets + buckets / 6 + 1
}

/// How many slots so many buckets take: five sixths of their places.
fn room(buckets: usize) -> usize {
    buckets * SLOTS * 5 / 6
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn at(offset: u64) -> Location {
        Location::new(0, offset, 40).unwrap()
    }

    /// What the slots of a hash say, and whether a search would find each of them.
    fn told(buckets: &Buckets, hash: u32) -> BTreeSet<u64> {
        let mut told = BTreeSet::new();
        buckets.each(hash, |slot| assert!(told.insert(slot.location.offset())));
        assert!(told.iter().all(|offset| buckets.find(hash, at(*offset)).is_some()));
        told
    }

    proptest! {
        // Few hashes, near each other and at both ends: buckets overflow, the last into the first.
        #[test]
        fn every_slot_is_found_until_it_is_removed(
            steps in proptest::collection::vec((0_u32..12, 0_u64..40, any::<bool>()), 0..400),
        ) {
            let hash = |number: u32| match number {
                0..6 => number * 0x0200_0000,
                _ => u32::MAX - number,
            };
            let (mut buckets, mut expected) = (Buckets::default(), BTreeSet::new());
            for (number, offset, insert) in steps {
                if insert {
                    if expected.insert((number, offset)) {
                        let spot = Spot::NONE;
                        buckets.insert(Slot { hash: hash(number), spot, location: at(offset) });
                    }
                } else {
                    let was_there = expected.remove(&(number, offset));
                    prop_assert_eq!(buckets.remove(hash(number), at(offset)).is_some(), was_there);
                }
                prop_assert_eq!(buckets.len(), expected.len());
                for number in 0..12 {
                    let of_number = expected.range((number, 0)..(number + 1, 0));
                    let offsets: BTreeSet<u64> = of_number.map(|(_, offset)| *offset).collect();
                    prop_assert_eq!(told(&buckets, hash(number)), offsets);
                }
            }
        }
    }

    #[test]
    fn slots_are_found_in_many_parts_and_where_the_last_overflows_into_the_first() {
        // Every tenth is one of the highest hashes: far more than the last buckets have room for.
        let hash = |number: u32| match number % 10 {
            0 => u32::MAX - number % 300,
            _ => number.wrapping_mul(0x9e37_79b9),
        };
        let mut buckets = Buckets::default();
        let is_there = |buckets: &Buckets, number: u32| {
            let mut places = 0;
            buckets.each(hash(number), |slot| {
                places += usize::from(slot.location == at(u64::from(number)));
            });
            places == 1 && buckets.find(hash(number), at(u64::from(number))).is_some()
        };
        for number in 0..20_000 {
            let location = at(u64::from(number));
            buckets.insert(Slot { hash: hash(number), spot: Spot::NONE, location });
            if number % 1999 == 0 {
                assert!((0..=number).all(|number| is_there(&buckets, number)), "of {number}");
            }
        }
        assert!(buckets.parts.len() > 10);
        for number in (0..20_000).step_by(3) {
            assert!(buckets.remove(hash(number), at(u64::from(number))).is_some());
        }
        for number in 0..20_000 {
            assert_eq!(is_there(&buckets, number), number % 3 != 0, "{number}");
        }
    }

    #[test]
    fn there_is_always_room_and_never_more_than_two_fifths_beside() {
        let mut buckets = Buckets::default();
        for number in 0..100_000_u32 {
            let hash = number.wrapping_mul(0x9e37_79b9);
            buckets.insert(Slot { hash, spot: Spot::NONE, location: at(u64::from(number)) });
            let places = buckets.bytes() / size_of::<Slot>();
            assert!(buckets.len() < places);
            assert!(number < 100 || places < buckets.len() * 7 / 5 + 8, "{number} in {places}");
        }
        buckets.reserve(100_000);
        let before = buckets.bytes();
        for number in 0..100_000_u32 {
            let hash = number.wrapping_mul(0x9e37_79b1);
            buckets.insert(Slot { hash, spot: Spot::NONE, location: at(u64::from(number)) });
        }
        assert_eq!(buckets.bytes(), before, "it grew though there was room");
    }
}
