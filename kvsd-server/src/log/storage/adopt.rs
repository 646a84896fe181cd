//! Which sealed segment is compacted next, and how the copy takes its place.
//!
//! A sealed segment is a victim when more than a third of it is dead: not named by the index. Of
//! several it is the one with the most dead bytes. Deletes count as dead; where they cannot be
//! dropped yet, and the compaction was futile, the segment is left alone until another compaction
//! has freed something. One that failed is tried again after the next rotation, and one that is
//! damaged never again until the table is opened: its file stays as it is. The writer looks for a
//! victim after opening, after each rotation, after each compaction, and when the table is idle.
//!
//! The copy takes the victim's place between two groups:
//!
//! 1. The active segment is synced: what has replaced the victim's records must not be lost now.
//! 2. One exchange of the manifest names the copy in the victim's place.
//! 3. The index learns of each copy whose original it still names.
//! 4. The victim's slot is given back ([`Reader::release_segment`]), its file and hint are removed.
//!    Readers that still have it open go on reading it.
//!
//! A crash before 2 leaves the copy, a crash after it the victim, as a file without a name in the
//! manifest; opening removes either.
//!
//! Next file to read: [`super::scan`].

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::chore::Chore;
use super::compact::{Compacted, Compaction, Copied, Input, Outcome, remove_files};
use super::error::StorageError;
use super::index::Location;
use super::manifest::SegmentEntry;
use super::segment::{Segment, SegmentIdentity};
use super::writer::{WriteError, Writer};

/// A sealed segment of the table.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) segment: Arc<Segment>,
    pub(super) slot: u32,
    pub(super) rest: Rest,
}

/// Whether a sealed segment may be compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// It may.
    Ready,
    /// Not before another compaction has freed something.
    Futile,
    /// Not before the next rotation, or until the table is idle.
    Failed,
    /// Never again: it is damaged.
    Quarantined,
}

impl Writer {
    /// Lets the next look for a victim find those that rest for this reason.
    pub(super) fn wake(&mut self, reason: Rest) {
        for sealed in self.sealed.iter_mut().filter(|sealed| sealed.rest == reason) {
            sealed.rest = Rest::Ready;
        }
        self.looks_for_victim = true;
    }

    /// The table is idle: a good time to tidy up, and to try again what has failed. On a full disk
    /// there may be no other time: no rotation comes before there is room.
    pub(crate) fn look_for_victim(&mut self) {
        self.wake(Rest::Failed);
    }

    /// Lets a compaction that is under way end soon, in vain.
    pub(crate) fn cancel_compaction(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(super) fn next_compaction(&mut self) -> Option<Chore> {
        if !std::mem::take(&mut self.looks_for_victim) {
            return None;
        }
        let inputs: Vec<Input> =
            self.manifest.segments.iter().filter_map(|e| self.input(e)).collect();
        let dead = |input: &Input| input.length.saturating_sub(self.usage.live(input.slot));
        let is_victim = |input: &&Input| {
            let rest = self.sealed.iter().find(|sealed| sealed.slot == input.slot);
            rest.is_some_and(|sealed| sealed.rest == Rest::Ready)
                && dead(input) * DEAD_SHARE > input.length
        };
        let victim = inputs.iter().filter(is_victim).max_by_key(|input| dead(input))?.clone();
        let others = inputs.into_iter().filter(|input| input.slot != victim.slot).collect();
        let id = self.manifest.next_segment;
        let salt = super::random_u64().ok()?;
        // Every later exchange of the manifest says so; without one, nothing names this id.
        self.manifest.next_segment += 1;
        Some(Chore::Compact(Compaction {
            disk: Arc::clone(&self.disk),
            folder: self.folder.clone(),
            reader: Arc::clone(&self.reader),
            victim,
            others,
            output: SegmentIdentity { incarnation: self.manifest.incarnation, id, salt },
            cancelled: Arc::clone(&self.cancelled),
        }))
    }

    fn input(&self, entry: &SegmentEntry) -> Option<Input> {
        let sealed = self.sealed.iter().find(|sealed| sealed.segment.id == entry.id)?;
        Some(Input {
            segment: Arc::clone(&sealed.segment),
            slot: sealed.slot,
            identity: self.manifest.identity(entry),
            length: entry.length,
            last_version: entry.last_version,
            time: entry.time,
        })
    }

    /// Takes the result of a compaction. Waits for the disk, syncs included; no group may be open,
    /// and no other sync of the table may be under way. The answer is why there is no copy, if
    /// somebody should know.
    pub(crate) fn adopt(
        &mut self,
        compacted: Compacted,
    ) -> Result<Option<StorageError>, WriteError> {
        let Compacted { victim, output, outcome } = compacted;
        let (rest, error) = match outcome {
            Outcome::Copied(copied) => match self.exchange(victim, output, copied) {
                Err(WriteError::Full) => {
                    remove_files(&*self.disk, &self.folder, output.id);
                    (Rest::Failed, None)
                }
                exchanged => return exchanged.map(|()| None),
            },
            Outcome::Futile => (Rest::Futile, None),
            Outcome::Damaged(error) => (Rest::Quarantined, Some(error)),
            Outcome::GivenUp(error) => (Rest::Failed, Some(error)),
        };
        if let Some(sealed) = self.sealed.iter_mut().find(|sealed| sealed.segment.id == victim) {
            sealed.rest = rest;
        }
        self.looks_for_victim = true;
        Ok(error)
    }

    fn exchange(
        &mut self,
        victim: u64,
        output: SegmentIdentity,
        copied: Copied,
    ) -> Result<(), WriteError> {
        let sync = self.sync();
        sync.run().map_err(WriteError::Broken)?;
        self.synced(&sync);

        let mut manifest = self.manifest.clone();
        let length = copied.segment.as_ref().map(|(_, length)| *length);
        manifest.segments.retain_mut(|entry| match length {
            _ if entry.id != victim => true,
            Some(length) => {
                *entry = SegmentEntry { id: output.id, salt: output.salt, length, ..*entry };
                true
            }
            None => false,
        });
        match self.replace_manifest(manifest.clone()) {
            // What is kept for deletes is enough for a manifest, after which there is room again.
            Err(WriteError::Full) if self.active.file.truncate(self.end).is_ok() => {
                self.allocated = self.end;
                self.replace_manifest(manifest)?;
            }
            replaced => replaced?,
        }

        let new_slot = copied.segment.map(|(segment, _)| {
            let slot = self.reader.add_segment(Arc::clone(&segment));
            self.sealed.push(Sealed { segment, slot, rest: Rest::Ready });
            slot
        });
        for moved in &copied.moves {
            let new = match moved.copy.zip(new_slot) {
                Some(((offset, bytes), slot)) => {
                    let new = Location::new(slot, offset, bytes).ok_or_else(|| self.too_many());
                    Some(new.map_err(WriteError::Broken)?)
                }
                None => None,
            };
            let index = &self.reader.index;
            let was_current = match new {
                Some(new) => index.replace(moved.hash, moved.old, new),
                None => index.remove(moved.hash, moved.old),
            };
            if was_current {
                self.usage.moved(Some(moved.old), new);
            }
        }
        if let Some(place) = self.sealed.iter().position(|sealed| sealed.segment.id == victim) {
            let sealed = self.sealed.swap_remove(place);
            self.reader.release_segment(sealed.slot);
            remove_files(&*self.disk, &self.folder, victim);
        }
        self.wake(Rest::Futile);
        Ok(())
    }

    /// No location can name the copy: what is named now must stay.
    fn too_many(&self) -> StorageError {
        StorageError::io("number the segments of", &self.folder)(
            std::io::ErrorKind::FileTooLarge.into(),
        )
    }
}

/// A victim has more than this part of it dead: a third.
const DEAD_SHARE: u64 = 3;
