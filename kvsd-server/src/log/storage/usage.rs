//! How many bytes of each segment the index names.

use super::index::Location;

/// Live bytes by the slot of their segment; lengths are as exact as a [`Location`]'s.
#[derive(Debug, Default)]
pub(super) struct Usage(Vec<u64>);

impl Usage {
    /// A key's record was there, and is here now.
    pub(super) fn moved(&mut self, old: Option<Location>, new: Option<Location>) {
        if let Some(new) = new {
            if self.0.len() <= new.slot() {
                self.0.resize(new.slot() + 1, 0);
            }
            if let Some(live) = self.0.get_mut(new.slot()) {
                *live += new.read_bytes() as u64;
            }
        }
        if let Some(live) = old.and_then(|old| self.0.get_mut(old.slot()).map(|live| (live, old))) {
            let (live, old) = live;
            debug_assert!(*live >= old.read_bytes() as u64, "what goes has come");
            *live = live.saturating_sub(old.read_bytes() as u64);
        }
    }

    /// The live bytes of all segments.
    pub(super) fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The live bytes of a segment.
    pub(super) fn live(&self, slot: u32) -> u64 {
        self.0.get(slot as usize).copied().unwrap_or_default()
    }
}
