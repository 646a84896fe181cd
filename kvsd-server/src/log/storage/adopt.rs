//! Which sealed segments are compacted next, and how the copy takes their place.
//!
//! A sealed segment is a victim when more than a third of it is dead (not named by the index, or
//! expired), and where room is short already when a sixth is. The deadest is first, and others go
//! with it as long as what is live of all of them fits one segment. Without one, many small
//! segments are joined. Deletes count as dead; where they cannot be dropped yet, and the compaction
//! was futile, the segments are left alone until another compaction has freed something, or an
//! eighth more of them is dead. Those that failed are tried again after the next rotation, and one
//! that is damaged not before the table is opened again: its file stays as it is. The youngest
//! segments are the history that watches read, and no victims ([`Retention`]). The writer looks for
//! victims after opening, after each rotation, after each compaction, and when the table is idle.
//!
//! The copy takes the victims' place:
//!
//! 1. The active segment is synced: what has replaced the victims' records must not be lost now.
//! 2. One exchange of the manifest names the copy in the victims' place, and a view with it
//!    replaces the readers' one.
//! 3. Bit by bit, between groups, the index learns of each copy whose original it still names.
//! 4. The victims' slots are given back ([`Reader::release_segment`]), their files and hints are
//!    removed. Readers that still have them open go on reading them.
//!
//! A crash before 2 leaves the copy, a crash after it the victims, as files without a name in the
//! manifest; opening removes either.
//!
//! Next file to read: [`super::clear`].
//!
//! [`Retention`]: super::rotation::Retention
//! [`Reader::release_segment`]: super::reader::Reader::release_segment

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::compact::{
    Compacted, Compaction, Copied, Move, Outcome, Purpose, Signals, remove_files,
};
use super::error::StorageError;
use super::index::{LOOK_AHEAD, Location};
use super::manifest::SegmentEntry;
use super::segment::SegmentIdentity;
use super::view::{Run, Sorted, View};
use super::writer::{WriteError, Writer};

/// A sealed segment of the table.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) run: Arc<Run>,
    pub(super) slot: u32,
    pub(super) rest: Rest,
    /// How much was dead when a compaction was futile.
    futile_dead: u64,
    pub(super) hint_rest: Rest,
}

impl Sealed {
    pub(super) fn new(run: &Arc<Run>, slot: u32) -> Self {
        let (rest, hint_rest) = (Rest::Ready, Rest::Ready);
        Self { run: Arc::clone(run), slot, rest, futile_dead: 0, hint_rest }
    }
}

/// Whether something may be done with a sealed segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// It may.
    Ready,
    /// Not before a compaction has freed something, or an eighth more of it is dead.
    Futile,
    /// Not before the next rotation, or until the table is idle.
    Failed,
    /// Not before the table is opened again: it is damaged.
    Quarantined,
}

/// A copy that is named by the manifest, and not by all of the index yet.
#[derive(Debug)]
pub(super) struct Adoption {
    moves: std::vec::IntoIter<Move>,
    /// The copy's slot.
    slot: Option<u32>,
    /// The victims, whose files are still there.
    victims: Vec<Sealed>,
}

impl Adoption {
    /// The length of the victims' files.
    pub(super) fn victim_bytes(&self) -> u64 {
        self.victims.iter().map(|victim| victim.run.bytes()).sum()
    }
}

impl Writer {
    /// Lets the next look for victims find those that rest for this reason.
    pub(super) fn wake(&mut self, reason: Rest) {
        for sealed in &mut self.sealed {
            for rest in [&mut sealed.rest, &mut sealed.hint_rest] {
                if *rest == reason {
                    *rest = Rest::Ready;
                }
            }
        }
        self.looks_for_victim = true;
        self.looks_for_hint = true;
    }

    /// Whether segments may become victims without a write, because records expire.
    pub(crate) fn has_ends(&self) -> bool {
        self.usage.has_ends()
    }

    /// The table is idle: a good time to tidy up, and to try again what has failed. On a full disk
    /// there may be no other time: no rotation comes before there is room.
    pub(crate) fn look_for_victim(&mut self) {
        self.wake(Rest::Failed);
    }

    /// Lets a compaction that is under way end soon, in vain.
    pub(crate) fn cancel_compaction(&self) {
        if let Some(signals) = &self.signals {
            signals.cancelled.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn next_compaction(&mut self, now: u64) -> Option<Compaction> {
        if self.adoption.is_some() {
            return None;
        }
        let (purpose, places) = match self.next_to_clear(now) {
            Some(places) => (Purpose::Clear, places),
            None if !std::mem::take(&mut self.looks_for_victim) => return None,
            None => self.choose(now)?,
        };
        let salt = super::random_u64().ok()?;
        let id = self.manifest.next_segment;
        // Every later exchange of the manifest says so; without one, nothing names this id.
        self.manifest.next_segment += 1;
        let (mut victims, mut others) = (Vec::new(), Vec::new());
        for (place, sealed) in self.sealed.iter().enumerate() {
            match places.contains(&place) {
                true => victims.push((Arc::clone(&sealed.run), sealed.slot)),
                false => others.push(Arc::clone(&sealed.run)),
            }
        }
        let signals = Arc::new(Signals::default());
        self.signals = Some(Arc::clone(&signals));
        Some(Compaction {
            disk: Arc::clone(&self.disk),
            folder: self.folder.clone(),
            reader: Arc::clone(&self.reader),
            victims,
            others,
            purpose,
            output: SegmentIdentity { incarnation: self.manifest.incarnation, id, salt },
            now,
            signals,
        })
    }

    /// The places of the segments that are to be compacted together.
    fn choose(&self, now: u64) -> Option<(Purpose, HashSet<usize>)> {
        let mut ready = Vec::new();
        let history = self.first_of_history(now);
        for (place, sealed) in self.sealed.iter().enumerate().rev() {
            let dead = self.usage.dead(sealed.slot, sealed.run.length, now);
            let may = match sealed.rest {
                Rest::Ready => true,
                Rest::Futile => dead >= sealed.futile_dead + sealed.run.length / MORE_DEAD_SHARE,
                Rest::Failed | Rest::Quarantined => false,
            };
            if place < history && may {
                ready.push(Candidate::new(place, &sealed.run, dead));
            }
        }
        let share = match self.crowding() {
            0 => DEAD_SHARE,
            _ => CROWDED_DEAD_SHARE,
        };
        let is_worth_it = |candidate: &&Candidate| candidate.dead * share > candidate.length;
        let mut dead: Vec<&Candidate> = ready.iter().filter(is_worth_it).collect();
        dead.sort_by_key(|candidate| std::cmp::Reverse(candidate.dead_permille()));
        let dead = self.fit_together(dead);
        if !dead.is_empty() {
            return Some((Purpose::Free, dead));
        }
        let is_small = |candidate: &&Candidate| {
            candidate.length * SMALL_SHARE < self.limits.bytes
                && candidate.records * SMALL_SHARE < self.limits.records
        };
        let mut small: Vec<&Candidate> = ready.iter().filter(is_small).collect();
        small.sort_by_key(|candidate| candidate.length);
        let small = self.fit_together(small);
        (small.len() >= JOINED).then_some((Purpose::Join, small))
    }

    /// The place of the first sealed segment that watches may still want, or behind the last.
    pub(super) fn first_of_history(&self, now: u64) -> usize {
        // How much was written after the segment.
        let mut newer = self.end;
        let is_history = |sealed: &&Sealed| {
            let is_history = newer < self.retention.bytes
                && now < sealed.run.time.saturating_add(self.retention.millis);
            newer += sealed.run.length;
            is_history
        };
        self.sealed.len() - self.sealed.iter().rev().take_while(is_history).count()
    }

    /// The first of the candidates, and those that fit into one segment with it.
    pub(super) fn fit_together(&self, candidates: Vec<&Candidate>) -> HashSet<usize> {
        let mut places = HashSet::new();
        let (mut length, mut live, mut records) = (0, 0, 0);
        for candidate in candidates {
            length += candidate.length;
            live += candidate.length - candidate.dead;
            records += candidate.live_records();
            let fits = !self.victims_alone
                && length <= MOST_VICTIMS * self.limits.bytes
                && live <= self.limits.bytes
                && records <= self.limits.records;
            if !fits && !places.is_empty() {
                break;
            }
            places.insert(candidate.place);
        }
        places
    }

    /// Takes the result of a compaction. Waits for the disk, syncs included; no group may be open,
    /// and no other sync of the table may be under way. The answer is why there is no copy, if
    /// somebody should know.
    pub(crate) fn adopt(
        &mut self,
        compacted: Compacted,
    ) -> Result<Option<StorageError>, WriteError> {
        let Compacted { victims, output, now, outcome } = compacted;
        self.signals = None;
        let (rest, error) = match outcome {
            Outcome::Copied(copied) => match self.exchange(&victims, (output, now), copied) {
                Err(WriteError::Full) => {
                    self.victims_alone = true;
                    self.clearing_found_no_room();
                    remove_files(&*self.disk, &self.folder, output.id);
                    (Rest::Failed, None)
                }
                Err(WriteError::Refused(error)) => {
                    remove_files(&*self.disk, &self.folder, output.id);
                    (Rest::Failed, Some(error))
                }
                exchanged => return exchanged.map(|()| None),
            },
            Outcome::Futile => (Rest::Futile, None),
            Outcome::Damaged(error @ StorageError::Corrupt { .. }) => {
                (Rest::Quarantined, Some(error))
            }
            // It could not be read: that may pass.
            Outcome::Damaged(error) => (Rest::Failed, Some(error)),
            Outcome::GivenUp(error) => {
                self.victims_alone = error.is_full();
                if error.is_full() {
                    self.clearing_found_no_room();
                }
                (Rest::Failed, Some(error))
            }
        };
        let is_meant = |sealed: &Sealed| match &error {
            // The others are as good as before.
            Some(error) if rest == Rest::Quarantined => error.file() == sealed.run.segment.path,
            _ => victims.contains(&sealed.run.identity.id),
        };
        for sealed in self.sealed.iter_mut().filter(|sealed| is_meant(sealed)) {
            sealed.rest = rest;
            sealed.futile_dead = self.usage.dead(sealed.slot, sealed.run.length, now);
        }
        self.looks_for_victim = true;
        Ok(error)
    }

    fn clearing_found_no_room(&mut self) {
        if let Some(clearing) = &mut self.clearing {
            clearing.is_full = true;
        }
    }

    fn exchange(
        &mut self,
        victims: &[u64],
        (output, now): (SegmentIdentity, u64),
        copied: Copied,
    ) -> Result<(), WriteError> {
        let sync = self.sync();
        sync.run().map_err(WriteError::Broken)?;
        self.synced(&sync);

        let Copied { run, moves } = copied;
        let mut manifest = self.manifest.clone();
        let entry = run.as_ref().map(|run| SegmentEntry {
            id: output.id,
            salt: output.salt,
            length: run.length,
            last_version: run.last_version,
            time: run.time,
        });
        let is_victim = |id: u64| victims.contains(&id);
        for gone in manifest.segments.iter().filter(|entry| is_victim(entry.id)) {
            manifest.history_floor = manifest.history_floor.max(gone.last_version);
        }
        replace(&mut manifest.segments, |entry| is_victim(entry.id), entry);
        // What was dropped because it had expired must not count as live again.
        manifest.time_floor = manifest.time_floor.max(now);
        self.replace_manifest(manifest)?;
        self.time = self.time.max(now);
        self.reader.set_time(self.time);

        let slot = run.as_ref().map(|run| self.reader.add_segment(Arc::clone(&run.segment)));
        let sealed = run.zip(slot).map(|(run, slot)| Sealed::new(&Arc::new(run), slot));
        let gone = replace(&mut self.sealed, |sealed| is_victim(sealed.run.identity.id), sealed);
        if let Some(clearing) = &mut self.clearing {
            let before: u64 = gone.iter().map(|victim| victim.run.length).sum();
            clearing.freed_bytes += before.saturating_sub(entry.map_or(0, |copy| copy.length));
        }
        self.show_view();
        self.adoption = Some(Adoption { moves: moves.into_iter(), slot, victims: gone });
        Ok(())
    }

    /// Whether [`Writer::adopt_more`] has something to do.
    pub(crate) fn is_adopting(&self) -> bool {
        self.adoption.is_some()
    }

    /// Lets the index learn of some more of the copies; never waits for the disk but to remove the
    /// victims in the end. No group may be open.
    pub(crate) fn adopt_more(&mut self) -> Result<(), StorageError> {
        let Some(mut adoption) = self.adoption.take() else {
            return Ok(());
        };
        for number in 0..MOVES_AT_ONCE {
            if number % LOOK_AHEAD == 0 {
                let next = adoption.moves.as_slice().iter().take(LOOK_AHEAD);
                next.for_each(|moved| self.reader.index.fetch(moved.hash));
            }
            let Some(moved) = adoption.moves.next() else {
                break;
            };
            let Move { hash, old, copy } = moved;
            let new = match copy.zip(adoption.slot) {
                Some(((offset, bytes, expires), slot)) => {
                    // What is named now must stay.
                    let new = Location::new(slot, offset, bytes);
                    Some((new.ok_or_else(|| self.too_many())?, expires))
                }
                None => None,
            };
            let was_current = match new {
                Some((new, _)) => self.reader.index.replace(hash, old, new, |spot| spot),
                None => self.reader.remove(hash, old),
            };
            if was_current {
                self.usage.moved(Some(old), new.map(|(new, _)| new));
                if let Some((new, expires)) = new {
                    self.usage.will_end(new, expires);
                }
            }
        }
        if adoption.moves.len() > 0 {
            self.adoption = Some(adoption);
            return Ok(());
        }
        for victim in adoption.victims {
            self.reader.release_segment(victim.slot);
            self.usage.forget(victim.slot);
            remove_files(&*self.disk, &self.folder, victim.run.identity.id);
        }
        self.victims_alone = false;
        self.wake(Rest::Futile);
        self.tell_figures();
        Ok(())
    }

    /// Lets readers see the segments as they are now.
    pub(super) fn show_view(&self) {
        self.reader.set_view(View {
            runs: self.sealed.iter().map(|sealed| Arc::clone(&sealed.run)).collect(),
            active: Arc::clone(&self.active),
            memory: self.manifest.memory(),
        });
    }

    /// No location can name the copy.
    fn too_many(&self) -> StorageError {
        StorageError::io("number the segments of", &self.folder)(
            std::io::ErrorKind::FileTooLarge.into(),
        )
    }
}

/// Puts something in the place of the last of those that go, which are the answer.
fn replace<T>(items: &mut Vec<T>, goes: impl Fn(&T) -> bool, new: Option<T>) -> Vec<T> {
    let mut new = new;
    let (mut kept, mut gone) = (Vec::with_capacity(items.len()), Vec::new());
    // From the end, so that the first that goes is the last.
    for item in std::mem::take(items).into_iter().rev() {
        match goes(&item) {
            true => {
                kept.extend(new.take());
                gone.push(item);
            }
            false => kept.push(item),
        }
    }
    kept.reverse();
    *items = kept;
    gone
}

/// A segment that may be compacted.
#[derive(Debug)]
pub(super) struct Candidate {
    place: usize,
    length: u64,
    dead: u64,
    records: u64,
}

impl Candidate {
    pub(super) fn new(place: usize, run: &Run, dead: u64) -> Self {
        let counts = match run.sorted() {
            Sorted::Hint(hint) => hint.counts,
            Sorted::Chunks(_, counts) => counts,
        };
        Self { place, length: run.length, dead, records: counts.records }
    }

    fn dead_permille(&self) -> u64 {
        self.dead * 1000 / self.length.max(1)
    }

    fn live_records(&self) -> u64 {
        self.records * (1000 - self.dead_permille()) / 1000
    }
}

/// A victim has more than this part of it dead: a third.
const DEAD_SHARE: u64 = 3;
/// Where room is short, a sixth.
const CROWDED_DEAD_SHARE: u64 = 6;
/// What was futile is tried again when this part of it has died since: an eighth.
const MORE_DEAD_SHARE: u64 = 8;
/// A segment is small below this part of a full one: an eighth.
const SMALL_SHARE: u64 = 8;
/// So many small segments are joined.
const JOINED: usize = 8;
/// All victims together have at most the length of so many full segments.
const MOST_VICTIMS: u64 = 4;
/// How many copies the index learns of between two groups.
/// Few under test, so that writes fall in between.
const MOVES_AT_ONCE: usize = if cfg!(test) { 2 } else { 1024 };
