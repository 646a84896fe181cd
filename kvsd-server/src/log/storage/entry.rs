//! What a segment says of one key.
//!
//! Next file to read: [`super::chunk`].

use std::ops::Bound;

use super::record::{HEADER_BYTES, Kind};

/// A key's last record in a segment, but for its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a [u8],
    /// Where the record begins in the segment.
    pub(super) offset: u64,
    pub(super) version: u64,
    pub(super) expires: u64,
    pub(super) value_bytes: u32,
    pub(super) kind: Kind,
}

impl Entry<'_> {
    /// The length of the whole record.
    pub(super) fn record_bytes(&self) -> usize {
        HEADER_BYTES + self.key.len() + self.value_bytes as usize
    }
}

/// The beginning of a key, which is enough to tell most keys apart: it ascends with them.
pub(super) fn prefix_of(key: &[u8]) -> u128 {
    if let Some(prefix) = key.first_chunk() {
        return u128::from_be_bytes(*prefix);
    }
    let mut prefix = [0; 16];
    for (to, from) in prefix.iter_mut().zip(key) {
        *to = *from;
    }
    u128::from_be_bytes(prefix)
}

/// How much of what its limits count a segment has, superseded records included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) records: u64,
    pub(super) key_bytes: u64,
}

/// In which order keys are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The lowest key first.
    Ascending,
    /// The highest key first.
    Descending,
}

/// Keys from one to another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyRange<'a> {
    /// Where the lowest key is.
    pub(crate) from: Bound<&'a [u8]>,
    /// Where the highest key is.
    pub(crate) to: Bound<&'a [u8]>,
}

impl KeyRange<'_> {
    /// All keys.
    pub(super) const ALL: Self = Self { from: Bound::Unbounded, to: Bound::Unbounded };

    /// The place of the range's first key in this order, among `count` keys that ascend.
    pub(super) fn start<'k>(
        &self,
        order: Order,
        count: usize,
        key: impl Fn(usize) -> &'k [u8],
    ) -> Option<usize> {
        match order {
            Order::Ascending => {
                let first = partition(count, |place| match self.from {
                    Bound::Unbounded => false,
                    Bound::Included(from) => key(place) < from,
                    Bound::Excluded(from) => key(place) <= from,
                });
                (first < count).then_some(first)
            }
            Order::Descending => partition(count, |place| match self.to {
                Bound::Unbounded => true,
                Bound::Included(to) => key(place) <= to,
                Bound::Excluded(to) => key(place) < to,
            })
            .checked_sub(1),
        }
    }

    /// Whether a key that comes in this order, from the range's start on, is still inside.
    pub(super) fn reaches(&self, order: Order, key: &[u8]) -> bool {
        match order {
            Order::Ascending => match self.to {
                Bound::Unbounded => true,
                Bound::Included(to) => key <= to,
                Bound::Excluded(to) => key < to,
            },
            Order::Descending => match self.from {
                Bound::Unbounded => true,
                Bound::Included(from) => key >= from,
                Bound::Excluded(from) => key > from,
            },
        }
    }
}

/// How many of the places from 0 to `count` fulfil a condition that holds for the first ones.
fn partition(count: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut from, mut to) = (0, count);
    while from < to {
        let middle = from.midpoint(to);
        match holds(middle) {
            true => from = middle + 1,
            false => to = middle,
        }
    }
    from
}
