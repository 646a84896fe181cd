//! How much room a table takes for what is live in it, and when writes must wait for compaction.
//!
//! A table may take 2.2 times its live bytes, hints included, or three full segments more than them
//! if that is more; with what a compaction is copying, some 2.5 times were measured. From 1.7 times
//! (or two segments) on compaction takes no more rests, and writes begin to wait: at first little,
//! and the closer to the bound the longer, so that they slow down to the pace of compaction and
//! never stop. Only what compaction may free counts: while there is nothing to compact, nobody
//! waits.
//!
//! Next file to read: [`super::groups`].

use std::sync::atomic::Ordering;

use super::adopt::Adoption;
use super::writer::Writer;

impl Writer {
    /// How far the table is on its way to the bound, in thousandths; 0 up to where writes need not
    /// wait. Tells a compaction that is under way to hurry, or not to.
    pub(crate) fn crowding(&self) -> u64 {
        let crowding = self.space().crowding(self.limits.bytes);
        if let Some(signals) = &self.signals {
            signals.hurry.store(crowding > 0, Ordering::Relaxed);
        }
        crowding
    }

    /// Whether a compaction is under way, or what it has copied is being taken in.
    pub(crate) fn frees_room(&self) -> bool {
        self.signals.is_some() || self.adoption.is_some()
    }

    pub(super) fn space(&self) -> Space {
        let sealed: u64 = self.sealed.iter().map(|sealed| sealed.run.bytes()).sum();
        let victims = self.adoption.as_ref().map_or(0, Adoption::victim_bytes);
        Space { taken: sealed + victims + self.allocated, live: self.usage.live() }
    }
}

/// What a table takes of the disk, and what the index names of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) taken: u64,
    pub(super) live: u64,
}

impl Space {
    fn crowding(self, segment_bytes: u64) -> u64 {
        let bound = |permille: u64, segments: u64| {
            (self.live / 1000 * permille).max(self.live + segments * segment_bytes)
        };
        let (easy, full) = (bound(1700, 2), bound(2200, 3));
        let over = self.taken.saturating_sub(easy);
        (over.saturating_mul(1000) / (full - easy).max(1)).min(MOST_CROWDING)
    }
}

/// The bound is never quite reached: writes always get a little of the time.
const MOST_CROWDING: u64 = 980;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_crowded_only_far_above_its_live_bytes() {
        const MIB: u64 = 1 << 20;
        let crowding =
            |live, taken| Space { taken: taken * MIB, live: live * MIB }.crowding(64 * MIB);
        // A small table may have some segments whatever is live.
        assert_eq!((crowding(0, 64), crowding(0, 128)), (0, 0));
        assert_eq!((crowding(0, 160), crowding(0, 1000)), (500, MOST_CROWDING));
        assert_eq!((crowding(1000, 1500), crowding(1000, 1690)), (0, 0));
        assert!((450..550).contains(&crowding(1000, 1950)));
        assert_eq!(crowding(1000, 2200), MOST_CROWDING);
    }
}
