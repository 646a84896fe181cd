//! Which key comes next, and what is done to it: at random, evenly or by Zipf's law.
//!
//! The law is drawn from by rejection (Hoermann and Derflinger's rejection inversion): no table,
//! and the same short time for ten keys and for a billion. Next file to read: `pace`.

use super::args::Distribution;

/// Random numbers, the same ones for the same seed.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number from 0 to below `end`, which is not 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        // The quotient is below `end`.
        let quotient = (u128::from(self.roll()) * u128::from(end)) >> 64;
        u64::try_from(quotient).unwrap_or_default()
    }

    /// A number from 0 to below 1.
    fn fraction(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// How keys are picked.
#[derive(Debug, Clone)]
pub(super) enum Pick {
    Uniform { keys: u64 },
    Zipf(Zipf),
}

impl Pick {
    pub(super) fn new(distribution: Distribution, keys: u64) -> Self {
        match distribution {
            Distribution::Uniform => Self::Uniform { keys },
            Distribution::Zipf => Self::Zipf(Zipf::new(keys)),
        }
    }

    /// The number of a key.
    pub(super) fn key(&self, dice: &mut Dice) -> u64 {
        match self {
            Self::Uniform { keys } => dice.below(*keys),
            // So that popular keys are no neighbours. A prime above the number of keys has no
            // divisor in common with it: no two ranks meet.
            Self::Zipf(zipf) => {
                let key = u128::from(zipf.rank(dice) - 1) * PRIME % u128::from(zipf.keys);
                u64::try_from(key).unwrap_or_default()
            }
        }
    }
}

/// Ranks from 1 on, each with a chance in proportion to its power of -0.99.
#[derive(Debug, Clone)]
pub(super) struct Zipf {
    keys: u64,
    /// The integral of the smooth curve up to half a step before the first rank, less the first
    /// rank's own share, and up to half a step behind the last.
    from: f64,
    to: f64,
}

impl Zipf {
    fn new(keys: u64) -> Self {
        Self { keys, from: integral(1.5) - 1.0, to: integral(keys as f64 + 0.5) }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a rank is whole, from 1 to `keys`")]
    fn rank(&self, dice: &mut Dice) -> u64 {
        loop {
            let area = self.from + dice.fraction() * (self.to - self.from);
            let rank = integral_inverse(area).round().clamp(1.0, self.keys as f64);
            // The part of the rank's area that its own share fills.
            if area >= integral(rank + 0.5) - rank.powf(-EXPONENT) {
                return rank as u64;
            }
        }
    }
}

/// The integral of x to the power of -0.99, and its inverse.
fn integral(x: f64) -> f64 {
    x.powf(1.0 - EXPONENT) / (1.0 - EXPONENT)
}

fn integral_inverse(area: f64) -> f64 {
    (area * (1.0 - EXPONENT)).powf(1.0 / (1.0 - EXPONENT))
}

/// A number that looks random; other numbers become other ones.
pub(super) fn mix(number: u64) -> u64 {
    let mixed = (number ^ number >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

const EXPONENT: f64 = 0.99;
/// Above the most keys that there may be.
const PRIME: u128 = 2_305_843_009_213_693_951;

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each of some keys is picked.
    fn counts(distribution: Distribution, keys: usize, times: usize) -> Vec<f64> {
        let (pick, mut dice) = (Pick::new(distribution, keys as u64), Dice::new(1));
        let mut counts = vec![0.0; keys];
        for _ in 0..times {
            counts[usize::try_from(pick.key(&mut dice)).unwrap()] += 1.0;
        }
        counts
    }

    #[test]
    fn uniform_picks_every_key_about_as_often() {
        let counts = counts(Distribution::Uniform, 10, 100_000);
        assert!(counts.iter().all(|count| (9_000.0..11_000.0).contains(count)), "{counts:?}");
    }

    #[test]
    fn zipf_picks_keys_in_proportion_to_the_power_of_their_rank() {
        for keys in [1, 2, 3, 100] {
            let mut counts = counts(Distribution::Zipf, keys, 200_000);
            counts.sort_by(|one, other| other.total_cmp(one));
            let ranks = || (1..=keys).map(|rank| (rank as f64).powf(-0.99));
            let sum: f64 = ranks().sum();
            for (rank, (count, share)) in counts.iter().zip(ranks()).enumerate().take(10) {
                let expected = 200_000.0 * share / sum;
                assert!((count / expected - 1.0).abs() < 0.1, "{keys}: {rank}: {count} {expected}");
            }
        }
    }

    #[test]
    fn zipf_reaches_no_key_past_the_last_however_many_there_are() {
        for keys in [1, 7, 1_000_000_000] {
            let (pick, mut dice) = (Pick::new(Distribution::Zipf, keys), Dice::new(2));
            assert!((0..10_000).all(|_| pick.key(&mut dice) < keys));
        }
    }
}
