//! What the writer does to whole files: a segment sealed and the next begun, the manifest replaced,
//! the clean close.
//!
//! Everything here waits for the disk, syncs included, and no other sync of the table may be under
//! way. Under every policy a segment is durable before the next one is written.
//!
//! Next file to read: [`super::entry`].

use std::sync::Arc;

use super::adopt::{Rest, Sealed};
use super::chunk::Entries;
use super::entry::Counts;
use super::envelope::ReplaceError;
use super::error::StorageError;
use super::hint;
use super::manifest::{Left, Manifest, SegmentEntry};
use super::record::{COMMIT_BYTES, HEADER_BYTES};
use super::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentIdentity, file_name};
use super::view::{Active, Run, Sorted};
use super::writer::{WriteError, Writer};

/// When a segment is full. A group that alone is larger has a segment of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of the file: 64 MiB.
    pub(crate) bytes: u64,
    /// Records: 262,144.
    pub(crate) records: u64,
    /// Bytes of keys: 16 MiB.
    pub(crate) key_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 << 20, records: 1 << 18, key_bytes: 16 << 20 }
    }
}

/// How much of the latest changes is kept for watches: segments with more than so many bytes behind
/// them, or older than this, may be compacted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    /// 64 MiB.
    pub(crate) bytes: u64,
    /// Ten minutes.
    pub(crate) millis: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { bytes: 64 << 20, millis: 600_000 }
    }
}

/// What a group will need, at most.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Demand {
    pub(crate) bytes: u64,
    pub(crate) records: u64,
    pub(crate) key_bytes: u64,
}

impl Demand {
    /// Adds one record.
    pub(crate) fn add(&mut self, key_bytes: usize, value_bytes: usize) {
        self.bytes += (HEADER_BYTES + key_bytes + value_bytes) as u64;
        self.records += 1;
        self.key_bytes += key_bytes as u64;
    }
}

impl Writer {
    /// Whether [`Writer::prepare`] has something to do before a group of this size.
    pub(crate) fn needs_preparation(&self, demand: &Demand) -> bool {
        self.manifest.left == Left::Clean || self.is_full_for(demand)
    }

    fn is_full_for(&self, demand: &Demand) -> bool {
        let limits = &self.limits;
        self.end > SEGMENT_HEADER_BYTES
            && (self.end + demand.bytes + COMMIT_BYTES as u64 > limits.bytes
                || self.counts.records + demand.records > limits.records
                || self.counts.key_bytes + demand.key_bytes > limits.key_bytes)
    }

    /// Makes the table ready for a group: in use, and with a segment that has room for it. Waits
    /// for the disk, syncs included; no other sync of the table may be under way.
    pub(crate) fn prepare(&mut self, demand: &Demand) -> Result<(), WriteError> {
        if self.manifest.left == Left::Clean {
            match self.mark_in_use() {
                Err(WriteError::Full) if self.give_up_last_hint() => self.mark_in_use()?,
                marked => marked?,
            }
        }
        if self.is_full_for(demand) {
            match self.rotate() {
                // The limits are soft: the reserve of the old segment may still serve deletes.
                Ok(()) | Err(WriteError::Full) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes the hint of the last segment, which is of no use once that grows: on a full disk its
    /// room may be enough for the manifest, and for deletes. Says whether there was one.
    fn give_up_last_hint(&self) -> bool {
        self.disk.remove(&self.folder.join(hint::file_name(self.active.segment.id))).is_ok()
    }

    pub(super) fn mark_in_use(&mut self) -> Result<(), WriteError> {
        let manifest = Manifest { left: Left::InUse, ..self.manifest.clone() };
        self.replace_manifest(manifest)
    }

    pub(super) fn replace_manifest(&mut self, manifest: Manifest) -> Result<(), WriteError> {
        let mut written = manifest.write(&*self.disk, &self.folder);
        // On a full disk what is reserved for records is enough for a manifest.
        if let Err(ReplaceError::Unchanged(error)) = &written
            && error.is_full()
            && self.allocated > self.end
            && self.active.segment.file.truncate(self.end).is_ok()
        {
            self.allocated = self.end;
            written = manifest.write(&*self.disk, &self.folder);
        }
        match written {
            Ok(()) => {
                self.manifest = manifest;
                Ok(())
            }
            Err(ReplaceError::Unchanged(error)) if error.is_full() => Err(WriteError::Full),
            Err(ReplaceError::Unchanged(error)) => Err(WriteError::Refused(error)),
            Err(ReplaceError::Unknown(error)) => Err(WriteError::Broken(error)),
        }
    }

    /// Seals the active segment and begins another.
    pub(super) fn rotate(&mut self) -> Result<(), WriteError> {
        let id = self.manifest.next_segment;
        let (segment, salt) = match self.create_segment(id) {
            Ok(created) => created,
            Err(error) if error.is_full() => {
                return Err(self.give_up_rotation(id, WriteError::Full));
            }
            // Too many open files, say: the table itself is as it was.
            Err(error) => return Err(self.give_up_rotation(id, WriteError::Refused(error))),
        };
        match self.seal().and_then(|()| self.name_segment(id, salt)) {
            Ok(()) => {}
            Err(error @ (WriteError::Full | WriteError::Refused(_))) => {
                return Err(self.give_up_rotation(id, error));
            }
            Err(error @ WriteError::Broken(_)) => return Err(error),
        }
        // Only gives back room; the manifest says where the groups end.
        let _ = self.active.segment.file.truncate(self.end);
        let run = self.manifest.segments.iter().rev().nth(1).map(|entry| self.run_of_active(entry));
        self.sealed.extend(run.map(|run| Sealed::new(&Arc::new(run), self.slot)));
        self.wake(Rest::Failed);
        let segment = Arc::new(segment);
        self.slot = self.reader.add_segment(Arc::clone(&segment));
        self.active = Arc::new(Active::new(segment, Entries::default(), SEGMENT_HEADER_BYTES));
        self.show_view();
        self.end = SEGMENT_HEADER_BYTES;
        self.allocated = SEGMENT_HEADER_BYTES;
        self.durable = SEGMENT_HEADER_BYTES;
        self.declared = 0;
        self.counts = Counts::default();
        self.tell_figures();
        Ok(())
    }

    fn create_segment(&self, id: u64) -> Result<(Segment, u64), StorageError> {
        let salt = super::random_u64()?;
        let identity = SegmentIdentity { incarnation: self.manifest.incarnation, id, salt };
        Ok((Segment::create(&*self.disk, &self.folder, identity)?, salt))
    }

    /// Puts a new segment behind the active one in the manifest.
    fn name_segment(&mut self, id: u64, salt: u64) -> Result<(), WriteError> {
        let mut manifest = self.manifest.clone();
        if let Some(last) = manifest.segments.last_mut() {
            *last = self.sealed_entry(*last);
        }
        manifest.segments.push(SegmentEntry {
            id,
            salt,
            length: SEGMENT_HEADER_BYTES,
            last_version: self.version,
            time: self.time,
        });
        manifest.next_segment = id + 1;
        self.replace_manifest(manifest)
    }

    fn give_up_rotation(&self, id: u64, error: WriteError) -> WriteError {
        // The manifest does not name it; the next attempt or opening would remove it as well.
        let _ = self.disk.remove(&self.folder.join(file_name(id)));
        error
    }

    /// Closes the active segment's groups with a commit, and makes them durable.
    fn seal(&mut self) -> Result<(), WriteError> {
        self.declare_durable()?;
        let sync = self.sync();
        sync.run().map_err(WriteError::Broken)?;
        self.synced(&sync);
        Ok(())
    }

    /// The active segment as it is now, under its entry of the manifest.
    fn run_of_active(&self, entry: &SegmentEntry) -> Run {
        let (chunks, counts) = self.active.chunks();
        Run::new(
            Arc::clone(&self.active.segment),
            self.manifest.identity(entry),
            (self.end, self.version, self.time),
            Sorted::Chunks(Arc::new(chunks), counts),
        )
    }

    fn sealed_entry(&self, entry: SegmentEntry) -> SegmentEntry {
        SegmentEntry { length: self.end, last_version: self.version, time: self.time, ..entry }
    }

    /// Makes everything durable and says in the manifest that nothing more came. Waits for the
    /// disk. A table that was not written since it was opened is left as it is.
    pub(crate) fn close(&mut self) -> Result<(), WriteError> {
        if self.manifest.left == Left::Clean {
            return Ok(());
        }
        self.seal()?;
        let active = self.manifest.segments.last().map(|entry| Arc::new(self.run_of_active(entry)));
        for run in self.sealed.iter().map(|sealed| &sealed.run).chain(&active) {
            // Without a hint the next start reads the segment.
            let _ = run.write_hint(&*self.disk, &self.folder);
        }
        let mut manifest = Manifest {
            left: Left::Clean,
            version_floor: self.version,
            time_floor: self.time,
            ..self.manifest.clone()
        };
        if let Some(last) = manifest.segments.last_mut() {
            *last = self.sealed_entry(*last);
        }
        self.replace_manifest(manifest)?;
        // Only gives back room; the manifest says where the groups end.
        let _ = self.active.segment.file.truncate(self.end);
        self.allocated = self.end;
        Ok(())
    }
}
