//! Which key comes next.

use std::sync::Arc;

use crate::cell::Pick;

/// Picks keys at random, the same ones for every peer.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(task: usize) -> Self {
        Self((task as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        // The high bits are the better ones; the quotient is below `end`.
        usize::try_from((u128::from(self.next()) * end as u128) >> 64).unwrap_or_default()
    }

    /// A number from 0 to 1.
    fn share(&mut self) -> f64 {
        self.next() as f64 / u64::MAX as f64
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// How keys are picked among so many.
#[derive(Debug, Clone)]
pub(crate) struct Picking {
    count: usize,
    zipf: Option<Arc<Zipf>>,
}

impl Picking {
    pub(crate) fn new(pick: Pick, count: usize) -> Self {
        let zipf = match pick {
            Pick::Evenly => None,
            Pick::Zipf => Some(Arc::new(Zipf::new(count))),
        };
        Self { count, zipf }
    }

    pub(crate) fn next(&self, dice: &mut Dice) -> usize {
        match &self.zipf {
            None => dice.below(self.count),
            // Else the most wanted keys would stand beside each other.
            Some(zipf) => scatter(zipf.rank(dice.share()), self.count),
        }
    }
}

/// Ranks whose likelihoods are in proportion to 1, 1/2^s, 1/3^s and so on.
///
/// Exact for the first two; the others come from the integral instead of the sum, as in the
/// generator that most benchmarks of stores use, which needs one power for each.
#[derive(Debug)]
struct Zipf {
    count: usize,
    /// The sum of all terms.
    sum: f64,
    stretch: f64,
}

impl Zipf {
    fn new(count: usize) -> Self {
        let sum: f64 = (1..=count).map(|rank| (rank as f64).powf(-EXPONENT)).sum();
        let both = 1.0 + 0.5_f64.powf(EXPONENT);
        let stretch = (1.0 - (2.0 / count as f64).powf(1.0 - EXPONENT)) / (1.0 - both / sum);
        Self { count, sum, stretch }
    }

    /// The rank, from 0, at this share of the whole.
    fn rank(&self, share: f64) -> usize {
        let part = share * self.sum;
        if part < 1.0 {
            return 0;
        }
        if part < 1.0 + 0.5_f64.powf(EXPONENT) {
            return 1.min(self.count - 1);
        }
        let place = (self.stretch * (share - 1.0) + 1.0).powf(1.0 / (1.0 - EXPONENT));
        #[expect(clippy::cast_possible_truncation, reason = "it is no larger than the count")]
        let rank = (self.count as f64 * place) as usize;
        rank.min(self.count - 1)
    }
}

/// Another place for each rank: the factor is a prime, which divides no number of keys.
fn scatter(rank: usize, count: usize) -> usize {
    let place = rank as u64 * 2_654_435_761 % count as u64;
    usize::try_from(place).unwrap_or_default()
}

const EXPONENT: f64 = 0.99;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_key_is_picked() {
        let (mut dice, mut picked) = (Dice::new(0), [false; 100]);
        let picking = Picking::new(Pick::Evenly, 100);
        for _ in 0..10_000 {
            picked[picking.next(&mut dice)] = true;
        }
        assert_eq!(picked, [true; 100]);
    }

    #[test]
    fn keys_are_wanted_as_much_as_their_ranks_say() {
        const COUNT: usize = 10_000;
        const PICKS: usize = 200_000;
        let (mut dice, picking) = (Dice::new(0), Picking::new(Pick::Zipf, COUNT));
        let mut picked = vec![0_usize; COUNT];
        for _ in 0..PICKS {
            picked[picking.next(&mut dice)] += 1;
        }
        let sum: f64 = (1..=COUNT).map(|rank| (rank as f64).powf(-EXPONENT)).sum();
        for rank in [0, 1, 2, 9, 99] {
            let expected = PICKS as f64 * ((rank + 1) as f64).powf(-EXPONENT) / sum;
            let seen = picked[scatter(rank, COUNT)] as f64;
            // From the third on the integral stands for the sum.
            assert!((seen / expected - 1.0).abs() < 0.2, "rank {rank}: {seen}, not {expected}");
        }
    }

    #[test]
    fn no_two_ranks_share_a_key_and_few_keys_will_do() {
        let places: HashSet<_> = (0..10_000).map(|rank| scatter(rank, 10_000)).collect();
        assert_eq!(places.len(), 10_000);
        for count in 1..5 {
            let (mut dice, picking) = (Dice::new(count), Picking::new(Pick::Zipf, count));
            assert!((0..1000).all(|_| picking.next(&mut dice) < count));
        }
    }
}
