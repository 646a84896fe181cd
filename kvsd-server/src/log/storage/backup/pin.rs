//! A table as a backup takes it: everything written so far in sealed segments, held on to.
//!
//! Next file to read: [`super::build`].

use std::path::PathBuf;
use std::sync::Arc;

use crate::log::storage::manifest::{Left, Lost, Manifest, SegmentEntry};
use crate::log::storage::view::Run;
use crate::log::storage::writer::{WriteError, Writer};

/// A table's sealed segments. They stay readable for as long as this is held, whatever a compaction
/// or a drop of the table does meanwhile.
#[derive(Debug)]
pub(crate) struct Pinned {
    pub(super) runs: Vec<Arc<Run>>,
    /// The server's folder of the table.
    pub(super) folder: PathBuf,
    /// What a clean close would have left, but for the segment behind the sealed ones.
    pub(super) manifest: Manifest,
}

impl Writer {
    /// Seals the active segment if it has records, and holds on to all that are sealed. Waits for
    /// the disk, syncs included; no group may be open, and no other sync of the table may be under
    /// way.
    pub(crate) fn pin(&mut self) -> Result<Pinned, WriteError> {
        if self.counts.records > 0 {
            if self.manifest.left == Left::Clean {
                self.mark_in_use()?;
            }
            self.rotate()?;
        }
        let runs: Vec<Arc<Run>> =
            self.sealed.iter().map(|sealed| Arc::clone(&sealed.run)).collect();
        let entry = |run: &Arc<Run>| SegmentEntry {
            id: run.identity.id,
            salt: run.identity.salt,
            length: run.length,
            last_version: run.last_version,
            time: run.time,
        };
        let manifest = Manifest {
            table: self.manifest.table,
            incarnation: self.manifest.incarnation,
            left: Left::Clean,
            version_floor: self.version,
            time_floor: self.time,
            next_segment: self.manifest.next_segment,
            history_floor: self.version,
            lost: Lost::default(),
            segments: runs.iter().map(entry).collect(),
        };
        Ok(Pinned { runs, folder: self.folder.clone(), manifest })
    }
}
