//! Numbers that look random and follow from a seed. Not for secrets.

/// A generator with 64 bits of state: the same seed gives the same numbers, everywhere.
#[derive(Debug)]
pub(super) struct Random(u64);

/// 2^64 divided by the golden ratio: no two steps of the state fall close together.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// The generator number `stream` of a seed.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut random = Self(seed);
        let start = random.next() ^ stream.wrapping_mul(STEP);
        Self(start)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end`, which is not one of them unless it is 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        // The bias is one part in 2^64 / end, which no test notices.
        self.next().checked_rem(end).unwrap_or(0)
    }

    /// A number from 1 to `most`, each order of magnitude as likely as any other.
    pub(super) fn length(&mut self, most: usize) -> usize {
        let most = most.max(1);
        let magnitudes = u64::from(usize::BITS - most.leading_zeros());
        let end = 1_u64 << self.below(magnitudes);
        let length = end + self.below(end);
        usize::try_from(length).map_or(most, |length| length.min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_every_number_and_its_streams_differ() {
        let numbers = |seed, stream| {
            let mut random = Random::new(seed, stream);
            [random.next(), random.next(), random.next()]
        };
        assert_eq!(numbers(7, 1), numbers(7, 1));
        assert_ne!(numbers(7, 1), numbers(7, 2));
        assert_ne!(numbers(7, 1), numbers(8, 1));
    }

    #[test]
    fn lengths_reach_both_ends_and_nothing_beyond() {
        for most in [1, 2, 3, 7, 8, 1000] {
            let mut random = Random::new(1, most as u64);
            let lengths: Vec<_> = (0..20_000).map(|_| random.length(most)).collect();
            assert_eq!(lengths.iter().min(), Some(&1), "{most}");
            assert_eq!(lengths.iter().max(), Some(&most), "{most}");
        }
        assert_eq!(Random::new(1, 1).length(0), 1);
        assert!(Random::new(1, 1).length(usize::MAX) >= 1);
        assert_eq!(Random::new(1, 1).below(0), 0);
    }
}
