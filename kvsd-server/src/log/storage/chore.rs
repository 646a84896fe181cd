//! Work on sealed segments that is done beside the writes, at leisure.
//!
//! A chore knows all it needs, touches nothing that the writer or a reader would miss, and may take
//! its time. The writer hands it out ([`Writer::next_chore`]), one at a time, and takes its result
//! between two groups. Whoever runs it holds the folder's lock until it is done.
//!
//! Next file to read: [`super::compact`].

use std::path::PathBuf;
use std::sync::Arc;

use super::compact::{Compacted, Compaction};
use super::disk::Disk;
use super::error::StorageError;
use super::hint::Digest;
use super::segment::{Segment, SegmentIdentity};
use super::writer::Writer;

/// Something to be done.
#[derive(Debug)]
pub(crate) enum Chore {
    /// The hint of a sealed segment is to be written.
    Hint(HintChore),
    /// A sealed segment is to be compacted.
    Compact(Compaction),
}

/// A chore's result.
#[derive(Debug)]
pub(crate) enum Done {
    /// The hint is written; or it is not, and the next start reads the segment instead.
    Hint(Result<(), StorageError>),
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

/// The hint of a sealed segment, to be written.
#[derive(Debug)]
pub(crate) struct HintChore {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) folder: PathBuf,
    pub(super) segment: Arc<Segment>,
    pub(super) identity: SegmentIdentity,
    pub(super) length: u64,
}

impl HintChore {
    pub(super) fn run(&self) -> Result<(), StorageError> {
        let digest = Digest::of(&self.segment, self.length)?;
        digest.write(&*self.disk, &self.folder, self.identity, self.length)
    }
}

impl Writer {
    /// What can be done now beside the writes, if anything. The chore before it must be done.
    pub(crate) fn next_chore(&mut self) -> Option<Chore> {
        match self.hints.pop_front() {
            Some(hint) => Some(Chore::Hint(hint)),
            None => self.next_compaction(),
        }
    }
}
