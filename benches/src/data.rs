//! Keys and values as bytes, for the suites below the SDK: a 16-byte key for each number, and a
//! value that cannot be compressed and tells whose it is and which run wrote it.

use crate::Error;
use crate::load::Dice;

/// A set of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Data {
    pub(crate) keys: usize,
    pub(crate) value_bytes: usize,
    pub(crate) order: Order,
}

/// The order in which records are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Shuffled,
    Ascending,
}

/// A key.
pub(crate) type Key = [u8; KEY_BYTES];

impl Data {
    /// The bytes of a key and its value.
    pub(crate) fn record_bytes(&self) -> usize {
        KEY_BYTES + self.value_bytes
    }

    /// The value of a key, as run number `revision` writes it.
    pub(crate) fn value(&self, at: usize, revision: u32) -> Vec<u8> {
        let words = self.value_bytes.div_ceil(WORD_BYTES);
        let mut value = Vec::with_capacity(words * WORD_BYTES);
        for place in 0..words {
            value.extend(word(at, revision, place).to_le_bytes());
        }
        value.truncate(self.value_bytes);
        value
    }

    /// Checks that a value belongs to its key and run: its length, its first and its last whole
    /// word. To compare all of a long one would be the greater part of reading it.
    pub(crate) fn check(&self, at: usize, revision: u32, value: &[u8]) -> Result<(), Error> {
        let last = self.value_bytes / WORD_BYTES - 1;
        let is_right = |place: usize| {
            let found = value.get(place * WORD_BYTES..(place + 1) * WORD_BYTES);
            found == Some(word(at, revision, place).to_le_bytes().as_slice())
        };
        match value.len() == self.value_bytes && is_right(0) && is_right(last) {
            true => Ok(()),
            false => Err(format!("key {at} has another value than was written").into()),
        }
    }

    /// What the marks of all values come to, as they are loaded.
    pub(crate) fn mark(&self) -> u64 {
        (0..self.keys).fold(0, |mark, at| mark ^ word(at, 0, 0))
    }

    /// The first word of a value.
    pub(crate) fn mark_of(value: &[u8]) -> u64 {
        value.first_chunk().copied().map_or(0, u64::from_le_bytes)
    }

    /// All keys, in the order in which they are loaded.
    pub(crate) fn loading_order(&self) -> Vec<usize> {
        let mut order: Vec<_> = (0..self.keys).collect();
        if self.order == Order::Shuffled {
            let mut dice = Dice::new(0);
            for at in (1..order.len()).rev() {
                order.swap(at, dice.below(at + 1));
            }
        }
        order
    }
}

/// The key with a number. Keys sort as their numbers do.
pub(crate) fn key(at: usize) -> Key {
    let mut key = *b"key/000000000000";
    let mut rest = at;
    for digit in key.iter_mut().rev().take(KEY_BYTES - "key/".len()) {
        *digit += u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
    key
}

/// A word of a value: every one looks random, and none is alike.
fn word(at: usize, revision: u32, place: usize) -> u64 {
    let mut mixed = (at as u64) << 32 | (place as u64) << 20 ^ u64::from(revision);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

/// The bytes of a key.
pub(crate) const KEY_BYTES: usize = 16;
const WORD_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: Data = Data { keys: 1000, value_bytes: 100, order: Order::Shuffled };

    #[test]
    fn another_keys_another_runs_and_a_cut_value_are_told_apart() {
        let value = DATA.value(7, 3);
        assert_eq!(value.len(), 100);
        assert!(DATA.check(7, 3, &value).is_ok());
        assert!(DATA.check(8, 3, &value).is_err());
        assert!(DATA.check(7, 4, &value).is_err());
        assert!(DATA.check(7, 3, &value[..99]).is_err());
    }

    #[test]
    fn keys_sort_as_their_numbers_do() {
        assert_eq!(&key(0), b"key/000000000000");
        assert_eq!(&key(1_234_567), b"key/000001234567");
        assert!(key(999) < key(1000));
    }

    #[test]
    fn shuffling_loses_no_key() {
        let mut order = DATA.loading_order();
        assert!(order.iter().enumerate().any(|(place, at)| place != *at));
        order.sort_unstable();
        assert!(order.into_iter().eq(0..1000));
    }
}
