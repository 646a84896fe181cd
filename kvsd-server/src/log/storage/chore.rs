//! Work on sealed segments that is done beside the writes, at leisure.
//!
//! A chore knows all it needs, touches nothing that the writer or a reader would miss, and may take
//! its time. The writer hands it out ([`super::writer::Writer::next_chore`]) and takes its result
//! between two groups. Whoever runs it holds the folder's lock until it is done.
//!
//! Next file to read: [`super::scan`].

use std::path::PathBuf;
use std::sync::Arc;

use super::disk::Disk;
use super::error::StorageError;
use super::hint::Digest;
use super::segment::{Segment, SegmentIdentity};

/// The hint of a sealed segment, to be written.
#[derive(Debug)]
pub(crate) struct Chore {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) folder: PathBuf,
    pub(super) segment: Arc<Segment>,
    pub(super) identity: SegmentIdentity,
    pub(super) length: u64,
}

impl Chore {
    /// Writes the hint. Without one the next start reads the segment instead.
    pub(crate) fn run(&self) -> Result<(), StorageError> {
        let digest = Digest::of(&self.segment, self.length)?;
        digest.write(&*self.disk, &self.folder, self.identity, self.length)
    }
}
