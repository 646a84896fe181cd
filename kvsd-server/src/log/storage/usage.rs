//! How many bytes of each segment the index names, and when they end.

use std::collections::BTreeMap;

use super::index::Location;
use super::record::NEVER;

/// What is live, by the slot of its segment; lengths are as exact as a [`Location`]'s.
#[derive(Debug, Default)]
pub(super) struct Usage {
    slots: Vec<Share>,
    live: u64,
}

#[derive(Debug, Default)]
struct Share {
    live: u64,
    ends: Ends,
}

impl Usage {
    /// A key's record was there, and is here now.
    pub(super) fn moved(&mut self, old: Option<Location>, new: Option<Location>) {
        if let Some(new) = new {
            self.share(new.slot()).live += new.read_bytes() as u64;
            self.live += new.read_bytes() as u64;
        }
        if let Some(old) = old {
            let share = self.share(old.slot());
            debug_assert!(share.live >= old.read_bytes() as u64, "what goes has come");
            share.live = share.live.saturating_sub(old.read_bytes() as u64);
            self.live = self.live.saturating_sub(old.read_bytes() as u64);
        }
    }

    /// A record that was put there ends then.
    pub(super) fn will_end(&mut self, at: Location, expires: u64) {
        if expires != NEVER {
            self.share(at.slot()).ends.add(expires, at.read_bytes() as u64);
        }
    }

    /// What is live in any segment.
    pub(super) fn live(&self) -> u64 {
        self.live
    }

    /// The bytes of a segment of this length that are not named by the index or have ended by now;
    /// an estimate, for what has ended may have been replaced before.
    pub(super) fn dead(&self, slot: u32, length: u64, now: u64) -> u64 {
        let Some(share) = self.slots.get(slot as usize) else {
            return length;
        };
        let live = share.live.min(length);
        let ended = u128::from(share.ends.by(now)) * u128::from(live) / u128::from(length.max(1));
        length - live + u64::try_from(ended).unwrap_or(u64::MAX).min(live)
    }

    /// Whether anything ends at all, and so may be dead without a write.
    pub(super) fn has_ends(&self) -> bool {
        self.slots.iter().any(|share| !share.ends.bytes.is_empty())
    }

    /// A slot has another segment from now on, or none.
    pub(super) fn forget(&mut self, slot: u32) {
        if let Some(share) = self.slots.get_mut(slot as usize) {
            self.live = self.live.saturating_sub(share.live);
            *share = Share::default();
        }
    }

    /// Takes in what another part of the same table has.
    pub(super) fn add(&mut self, other: Self) {
        for (slot, more) in other.slots.into_iter().enumerate() {
            let share = self.share(slot);
            share.live += more.live;
            share.ends.add_all(&more.ends);
        }
        self.live += other.live;
    }

    fn share(&mut self, slot: usize) -> &mut Share {
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, Share::default);
        }
        // It has just been made.
        self.slots.get_mut(slot).expect("the vector reaches as far as the slot")
    }
}

/// How many bytes end when, in at most [`MOST_STEPS`] steps of equal length.
#[derive(Debug)]
struct Ends {
    /// A step's length is 2 to the power of this, in milliseconds.
    step_bits: u32,
    bytes: BTreeMap<u64, u64>,
}

impl Default for Ends {
    fn default() -> Self {
        Self { step_bits: FIRST_STEP_BITS, bytes: BTreeMap::new() }
    }
}

impl Ends {
    fn add(&mut self, expires: u64, bytes: u64) {
        *self.bytes.entry(expires >> self.step_bits).or_default() += bytes;
        while self.bytes.len() > MOST_STEPS {
            self.widen();
        }
    }

    fn add_all(&mut self, other: &Self) {
        for (step, bytes) in &other.bytes {
            self.add(step << other.step_bits, *bytes);
        }
    }

    fn widen(&mut self) {
        self.step_bits += 1;
        for (step, bytes) in std::mem::take(&mut self.bytes) {
            *self.bytes.entry(step >> 1).or_default() += bytes;
        }
    }

    /// The bytes that have ended for sure.
    fn by(&self, now: u64) -> u64 {
        self.bytes.range(..now >> self.step_bits).map(|(_, bytes)| bytes).sum()
    }
}

/// The first steps are of about a second.
const FIRST_STEP_BITS: u32 = 10;
const MOST_STEPS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_count_once_they_have_passed_however_far_apart_they_are() {
        let mut ends = Ends::default();
        for day in 0..1000_u64 {
            ends.add(day * 86_400_000, 1);
        }
        assert!(ends.bytes.len() <= MOST_STEPS);
        let by = |day: u64| ends.by(day * 86_400_000);
        assert_eq!(by(0), 0);
        assert!((480..=500).contains(&by(500)), "{}", by(500));
        assert_eq!(by(2000), 1000);
    }

    #[test]
    fn what_has_ended_or_was_replaced_is_dead() {
        let mut usage = Usage::default();
        let at = |offset| Location::new(3, offset, 100).unwrap();
        for offset in [0, 100, 200] {
            usage.moved(None, Some(at(offset)));
        }
        usage.will_end(at(200), 5_000);
        assert_eq!((usage.live(), usage.dead(3, 300, 0)), (300, 0));
        assert_eq!(usage.dead(3, 300, 100_000), 100);
        usage.moved(Some(at(0)), None);
        assert_eq!((usage.live(), usage.dead(3, 300, 0)), (200, 100));
        usage.forget(3);
        assert_eq!((usage.live(), usage.dead(3, 300, 0)), (0, 300));
    }
}
