//! A compaction of all that may go, because somebody has asked for it.
//!
//! Every sealed segment that is there when it begins is looked at once, the oldest first: so what is
//! shadowed goes before, or together with, the deletes that shadow it, and then those go as well. As
//! many as fit into one new segment go together. What watches may still want stays, and so does what
//! is damaged; a set of segments without garbage is left as it is. The active segment is sealed
//! first, unless watches may still want it.
//!
//! The rules of a single compaction are those of every other ([`super::compact`],
//! [`super::adopt`]).
//!
//! Next file to read: [`super::space`].

use std::collections::HashSet;

use super::adopt::{Candidate, Rest};
use super::rotation::Demand;
use super::segment::SEGMENT_HEADER_BYTES;
use super::writer::{WriteError, Writer};

/// A clearing under way.
#[derive(Debug, Default)]
pub(super) struct Clearing {
    /// The segments that are not looked at yet.
    left: HashSet<u64>,
    pub(super) freed_bytes: u64,
    /// Whether room was missing for a copy.
    pub(super) is_full: bool,
}

/// What a clearing has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cleared {
    /// By how many bytes the segments are shorter.
    pub(crate) freed_bytes: u64,
    /// Whether room was missing for a copy: some garbage is left that might go.
    pub(crate) is_full: bool,
}

impl Writer {
    /// Begins to clear the table: the next chores do it. Waits for the disk, syncs included; no
    /// group may be open, no other sync of the table and no compaction may be under way.
    pub(crate) fn begin_clearing(&mut self, now: u64) -> Result<(), WriteError> {
        if self.counts.records > 0 && !self.would_be_history(now) {
            // A demand that no segment has room for.
            match self.prepare(&Demand { bytes: u64::MAX / 2, ..Demand::default() }) {
                // What is sealed already can still be cleared, which makes room.
                Ok(()) | Err(WriteError::Full) => {}
                Err(error) => return Err(error),
            }
        }
        let history = self.first_of_history(now);
        let may = self.sealed.iter().take(history).filter(|it| it.rest != Rest::Quarantined);
        let left = may.map(|sealed| sealed.run.identity.id).collect();
        self.clearing = Some(Clearing { left, ..Clearing::default() });
        Ok(())
    }

    /// Whether the active segment, if it were sealed now, would be one that watches may still want.
    fn would_be_history(&self, now: u64) -> bool {
        SEGMENT_HEADER_BYTES < self.retention.bytes
            && now < self.time.saturating_add(self.retention.millis)
    }

    /// Whether a clearing is under way.
    pub(crate) fn is_clearing(&self) -> bool {
        self.clearing.is_some()
    }

    /// The places of the segments that are to be cleared next, together.
    pub(super) fn next_to_clear(&mut self, now: u64) -> Option<HashSet<usize>> {
        let left = &self.clearing.as_ref()?.left;
        let candidates: Vec<Candidate> = self
            .sealed
            .iter()
            .enumerate()
            .filter(|(_, sealed)| left.contains(&sealed.run.identity.id))
            .map(|(place, sealed)| {
                let dead = self.usage.dead(sealed.slot, sealed.run.length, now);
                Candidate::new(place, &sealed.run, dead)
            })
            .collect();
        let places = self.fit_together(candidates.iter().collect());
        let looked_at: Vec<u64> = places
            .iter()
            .filter_map(|place| self.sealed.get(*place))
            .map(|sealed| sealed.run.identity.id)
            .collect();
        let clearing = self.clearing.as_mut()?;
        match looked_at.is_empty() {
            true => clearing.left.clear(),
            false => clearing.left.retain(|id| !looked_at.contains(id)),
        }
        (!places.is_empty()).then_some(places)
    }

    /// Ends a clearing that has nothing left to do.
    pub(crate) fn end_clearing(&mut self) -> Option<Cleared> {
        if self.frees_room() {
            return None;
        }
        let over = self.clearing.take_if(|clearing| clearing.left.is_empty())?;
        Some(Cleared { freed_bytes: over.freed_bytes, is_full: over.is_full })
    }
}
