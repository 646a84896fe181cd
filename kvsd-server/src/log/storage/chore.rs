//! Work on sealed segments that is done beside the writes, at leisure.
//!
//! A chore knows all it needs, touches nothing that the writer or a reader would miss, and may take
//! its time. The writer hands it out ([`Writer::next_chore`]), one at a time, and takes its result
//! between two groups. Whoever runs it holds the folder's lock until it is done.
//!
//! Next file to read: [`super::compact`].

use std::path::PathBuf;
use std::sync::Arc;

use super::adopt::Rest;
use super::compact::{Compacted, Compaction};
use super::disk::Disk;
use super::error::StorageError;
use super::view::{Run, Sorted};
use super::writer::Writer;

/// Something to be done.
#[derive(Debug)]
pub(crate) enum Chore {
    /// The hint of a sealed segment is to be written.
    Hint(HintChore),
    /// Sealed segments are to be compacted.
    Compact(Compaction),
}

/// A chore's result.
#[derive(Debug)]
pub(crate) enum Done {
    /// [`Writer::hint_done`] takes it.
    Hint(Hinted),
    /// [`Writer::adopt`] takes it.
    Compact(Compacted),
}

impl Chore {
    /// Does it. Waits for the disk.
    pub(crate) fn run(self) -> Done {
        match self {
            Self::Hint(chore) => Done::Hint(chore.run()),
            Self::Compact(compaction) => Done::Compact(compaction.run()),
        }
    }
}

impl Chore {
    /// How long the segments are that a compaction is to replace, in bytes; 0 of another chore.
    pub(crate) fn victim_bytes(&self) -> u64 {
        match self {
            Self::Hint(_) => 0,
            Self::Compact(compaction) => compaction.victim_bytes(),
        }
    }
}

impl Done {
    /// How long the segment is that a compaction has made, in bytes: none if there was nothing to
    /// be freed, an error if it has failed.
    pub(crate) fn copied_bytes(&self) -> Result<Option<u64>, ()> {
        match self {
            Self::Hint(_) => Ok(None),
            Self::Compact(compacted) => compacted.copied_bytes(),
        }
    }
}

/// The hint of a sealed segment, to be written.
#[derive(Debug)]
pub(crate) struct HintChore {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    run: Arc<Run>,
}

/// A hint that is written; or it is not, and its entries stay in memory.
#[derive(Debug)]
pub(crate) struct Hinted {
    segment: u64,
    result: Result<(), StorageError>,
}

impl HintChore {
    fn run(&self) -> Hinted {
        let result = self.run.write_hint(&*self.disk, &self.folder);
        Hinted { segment: self.run.identity.id, result }
    }
}

impl Writer {
    /// What can be done now beside the writes, if anything. The chore before it must be done.
    pub(crate) fn next_chore(&mut self, now: u64) -> Option<Chore> {
        match self.next_hint() {
            Some(hint) => Some(Chore::Hint(hint)),
            None => self.next_compaction(now).map(Chore::Compact),
        }
    }

    fn next_hint(&mut self) -> Option<HintChore> {
        if !self.looks_for_hint {
            return None;
        }
        let is_next =
            |run: &Run, rest| rest == Rest::Ready && matches!(run.sorted(), Sorted::Chunks(..));
        let next = self.sealed.iter().find(|sealed| is_next(&sealed.run, sealed.hint_rest));
        self.looks_for_hint = next.is_some();
        let next = next?;
        Some(HintChore {
            disk: Arc::clone(&self.disk),
            folder: self.folder.clone(),
            run: Arc::clone(&next.run),
        })
    }

    /// Takes the result of a hint. The answer is why there is none, if somebody should know.
    pub(crate) fn hint_done(&mut self, hinted: Hinted) -> Option<StorageError> {
        let error = hinted.result.err()?;
        let is_it = |sealed: &&mut super::adopt::Sealed| sealed.run.identity.id == hinted.segment;
        if let Some(sealed) = self.sealed.iter_mut().find(is_it) {
            sealed.hint_rest = Rest::Failed;
        }
        Some(error)
    }
}
