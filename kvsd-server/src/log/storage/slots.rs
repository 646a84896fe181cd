//! The open segments by the slots that locations name.
//!
//! Next file to read: [`super::reader`].

use std::sync::Arc;

use super::index::{Location, SEGMENT_SLOTS};
use super::segment::Segment;

/// The open segments.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// A slot without a segment is free.
    by_slot: Vec<Option<Arc<Segment>>>,
    next: u32,
}

impl Slots {
    /// Slots are used in turn, so that one is seldom used twice: after 64 TiB, as segments are.
    pub(super) fn add(&mut self, segment: Arc<Segment>) -> u32 {
        let is_free =
            |slot: &u32| self.by_slot.get(*slot as usize).is_none_or(|segment| segment.is_none());
        let Some(slot) = (self.next..SEGMENT_SLOTS).chain(0..self.next).find(is_free) else {
            // A slot past what a location holds is refused when a location is made.
            return u32::MAX;
        };
        self.next = slot + 1;
        match self.by_slot.get_mut(slot as usize) {
            Some(free) => *free = Some(segment),
            None => self.by_slot.push(Some(segment)),
        }
        slot
    }

    /// Gives a slot back.
    pub(super) fn release(&mut self, slot: u32) {
        if let Some(segment) = self.by_slot.get_mut(slot as usize) {
            *segment = None;
        }
    }

    /// The segment that a location is in.
    pub(super) fn get(&self, location: Location) -> Option<Arc<Segment>> {
        self.by_slot.get(location.slot()).cloned().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::log::storage::segment::SegmentIdentity;
    use crate::log::storage::sim::SimDisk;

    #[test]
    fn a_slot_is_used_twice_only_after_all_others() {
        let disk = SimDisk::new(1);
        let identity = SegmentIdentity { incarnation: 1, id: 1, salt: 1 };
        let segment = Arc::new(Segment::create(&disk, Path::new("/"), identity).unwrap());
        let mut slots = Slots::default();
        let add = |slots: &mut Slots| slots.add(Arc::clone(&segment));
        assert_eq!([add(&mut slots), add(&mut slots)], [0, 1]);
        slots.release(0);
        assert_eq!(add(&mut slots), 2);
        slots.next = SEGMENT_SLOTS;
        assert_eq!(add(&mut slots), 0);
        assert_eq!(add(&mut slots), 3);
    }
}
