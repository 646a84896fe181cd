//! The keys and values of a run: each value tells whose it is.
//!
//! Knows numbers and bytes; never a server. Next file to read: `pick`.

use std::hash::{BuildHasher, RandomState};

use super::pick::mix;

/// The keys of a run, and the value that belongs to each of them.
#[derive(Debug)]
pub(super) struct Data {
    run: u32,
    keys: u64,
    size: usize,
    /// Bytes that no compression makes smaller; a value is a piece of them behind its mark.
    block: Box<[u8]>,
}

impl Data {
    /// So many keys with values of so many bytes. No other run has these keys or values.
    pub(super) fn new(keys: u64, size: usize) -> Self {
        let random = RandomState::new().hash_one(());
        let words =
            (0..(size + SPREAD).div_ceil(MARK_BYTES) as u64).map(|at| mix(random ^ mix(at)));
        let block = words.flat_map(u64::to_le_bytes).collect();
        let run = u32::try_from(random >> 32).unwrap_or_default();
        Self { run, keys, size, block }
    }

    pub(super) fn keys(&self) -> u64 {
        self.keys
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// What tells this run from others.
    pub(super) fn run(&self) -> String {
        format!("{:08x}", self.run)
    }

    /// What all keys begin with.
    pub(super) fn prefix(&self) -> String {
        format!("kvsd-bench/{:08x}/", self.run)
    }

    /// The key with a number.
    pub(super) fn key(&self, at: u64) -> String {
        format!("kvsd-bench/{:08x}/{at:09}", self.run)
    }

    /// Writes the value of a key into a buffer, in the place of what is there.
    pub(super) fn write_value(&self, at: u64, buffer: &mut Vec<u8>) {
        let (mark, piece) = self.parts(at);
        buffer.clear();
        buffer.extend_from_slice(&mark);
        buffer.extend_from_slice(piece);
        buffer.truncate(self.size);
    }

    /// Whether these bytes are the value of a key, the whole of it.
    pub(super) fn is_value(&self, at: u64, found: &[u8]) -> bool {
        let (mark, piece) = self.parts(at);
        match found.split_first_chunk() {
            Some((found_mark, rest)) => *found_mark == mark && rest == piece,
            None => mark.get(..self.size) == Some(found),
        }
    }

    fn parts(&self, at: u64) -> ([u8; MARK_BYTES], &[u8]) {
        let mark = mix(u64::from(self.run) << 32 ^ at);
        let from = usize::try_from(mark % SPREAD as u64).unwrap_or_default();
        let piece = self.block.get(from..).unwrap_or_default();
        let length = self.size.saturating_sub(MARK_BYTES);
        (mark.to_le_bytes(), piece.get(..length).unwrap_or_default())
    }
}

const MARK_BYTES: usize = 8;
/// In so many places of the block a value may begin.
const SPREAD: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_known_whatever_its_size_and_a_cut_or_changed_one_is_not() {
        for size in [0, 1, 7, 8, 9, 100, 70_000] {
            let data = Data::new(100, size);
            let mut value = vec![1, 2, 3];
            data.write_value(7, &mut value);
            assert_eq!(value.len(), size);
            assert!(data.is_value(7, &value), "{size}");
            assert!(!data.is_value(7, &[&value[..], b"x"].concat()), "{size}");
            for place in [0, size / 2, size.saturating_sub(1)] {
                if let Some(byte) = value.get_mut(place) {
                    *byte ^= 1;
                    assert!(!data.is_value(7, &value), "{size}");
                    value[place] ^= 1;
                    assert!(!data.is_value(7, &value[..place]), "{size}");
                }
            }
        }
    }

    #[test]
    fn a_value_belongs_to_one_key_of_one_run() {
        let (data, other) = (Data::new(100_000, 100), Data::new(100_000, 100));
        let mut value = Vec::new();
        data.write_value(7, &mut value);
        assert!((0..100_000).all(|at| data.is_value(at, &value) == (at == 7)));
        assert!(!other.is_value(7, &value));
        assert!(
            data.key(7).starts_with(&data.prefix()) && !other.key(7).starts_with(&data.prefix())
        );
    }
}
