//! A table's manifest: which segments the table has, and what must survive of their past.
//!
//! The file `MANIFEST` in the table's folder, framed by [`super::envelope`] with the magic
//! `kvsdtab\0` and format 1. Its body:
//!
//! ```text
//!  0               8               16      20      24              32              40
//!  +---------------+---------------+-------+-------+---------------+---------------+
//!  |table id       |incarnation    |flags  |count  |version floor  |time floor     |
//!  +---------------+---------------+-------+-------+---------------+---------------+
//!  40              48              56              64              72
//!  +---------------+---------------+---------------+---------------+
//!  |next segment id|history floor  |lost after     |lost before    |
//!  +---------------+---------------+---------------+---------------+
//!
//!  then 48 bytes for each segment, in the order of their groups:
//!  +---------+---------+---------+--------------+--------+--------+
//!  |id     8 |salt   8 |length 8 |last version 8|time  8 |zeros 8 |
//!  +---------+---------+---------+--------------+--------+--------+
//! ```
//!
//! - *flags*: bit 0 is set while the table is cleanly closed. It is durably cleared before the
//!   first write after that.
//! - *version floor*: every version to come is greater. *time floor*: no clock reading to come is
//!   lower.
//! - *history floor*: the changes of all greater versions are in the segments, each of them.
//! - *lost after*, *lost before*: a version between the two may have been shown and then lost by an
//!   end that was not clean, so that it is no place to go on from.
//! - *length*: for a sealed segment where its groups end, all of them durable; for the last one,
//!   which may grow, up to where it was durable when the manifest was written (if the table is
//!   cleanly closed, its end too).
//! - *last version* and *time*: the highest of the segment, when the manifest was written.
//!
//! Files of the folder that the manifest does not name are remains of a crash and are removed,
//! except the hints of segments that it names ([`super::hint`]), and those that end in `.cut`, which
//! keep what a recovery has cut off.
//!
//! Next file to read: [`super::catalog`].

use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::envelope::{self, Kind, ReplaceError};
use super::error::StorageError;
use super::fields::Fields;
use super::history::Memory;
use super::segment::SegmentIdentity;

/// The name of the manifest in a table's folder.
pub(super) const MANIFEST_FILE: &str = "MANIFEST";

const KIND: Kind = Kind { magic: *b"kvsdtab\0", format: 1 };
const FLAG_CLEAN: u32 = 1;

/// How the table was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Closed; nothing was written since.
    Clean,
    /// In use, so that the last segment may have grown and may be torn.
    InUse,
}

/// Versions that may have been shown and are not there: those between the two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) after: u64,
    pub(super) before: u64,
}

/// What is known of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentEntry {
    pub(super) id: u64,
    pub(super) salt: u64,
    pub(super) length: u64,
    pub(super) last_version: u64,
    pub(super) time: u64,
}

/// A table's manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) table: u64,
    pub(super) incarnation: u64,
    pub(super) left: Left,
    pub(super) version_floor: u64,
    pub(super) time_floor: u64,
    pub(super) next_segment: u64,
    pub(super) history_floor: u64,
    pub(super) lost: Lost,
    pub(super) segments: Vec<SegmentEntry>,
}

impl Manifest {
    /// What makes a segment the one that this manifest means.
    pub(super) fn identity(&self, entry: &SegmentEntry) -> SegmentIdentity {
        SegmentIdentity { incarnation: self.incarnation, id: entry.id, salt: entry.salt }
    }

    /// The versions above `last` are lost, up to the floor, which has been raised.
    ///
    /// Only one gap is told. With two of them the history begins behind the first, unless nothing
    /// was written in between.
    pub(super) fn lose(&mut self, last: u64) {
        let goes_on = last == self.lost.before;
        if !goes_on {
            self.history_floor = self.history_floor.max(self.lost.before);
        }
        let after = if goes_on { self.lost.after } else { last };
        self.lost = Lost { after, before: self.version_floor };
    }

    /// Which part of the table's past the segments tell.
    pub(super) fn memory(&self) -> Memory {
        Memory { floor: self.history_floor, lost: self.lost }
    }

    /// Reads a folder's manifest.
    pub(super) fn read(disk: &dyn Disk, folder: &Path) -> Result<Self, StorageError> {
        let path = path_in(folder);
        let body = envelope::read(disk, KIND, &path)?;
        Self::decode(&body).ok_or_else(|| {
            StorageError::corrupt(&path, 0, "the manifest says what no kvsd has written")
        })
    }

    /// Replaces a folder's manifest, durably.
    pub(super) fn write(&self, disk: &dyn Disk, folder: &Path) -> Result<(), ReplaceError> {
        envelope::replace(disk, KIND, &path_in(folder), &self.encode())
    }

    fn encode(&self) -> Vec<u8> {
        let flags = match self.left {
            Left::Clean => FLAG_CLEAN,
            Left::InUse => 0,
        };
        let count = u32::try_from(self.segments.len()).unwrap_or(u32::MAX);
        let mut body = Vec::with_capacity(72 + 48 * self.segments.len());
        body.extend_from_slice(&self.table.to_le_bytes());
        body.extend_from_slice(&self.incarnation.to_le_bytes());
        body.extend_from_slice(&flags.to_le_bytes());
        body.extend_from_slice(&count.to_le_bytes());
        body.extend_from_slice(&self.version_floor.to_le_bytes());
        body.extend_from_slice(&self.time_floor.to_le_bytes());
        body.extend_from_slice(&self.next_segment.to_le_bytes());
        body.extend_from_slice(&self.history_floor.to_le_bytes());
        body.extend_from_slice(&self.lost.after.to_le_bytes());
        body.extend_from_slice(&self.lost.before.to_le_bytes());
        for entry in &self.segments {
            let fields = [entry.id, entry.salt, entry.length, entry.last_version, entry.time, 0];
            for field in fields {
                body.extend_from_slice(&field.to_le_bytes());
            }
        }
        body
    }

    fn decode(body: &[u8]) -> Option<Self> {
        let mut fields = Fields(body);
        let table = fields.u64()?;
        let incarnation = fields.u64()?;
        let left = match fields.u32()? {
            0 => Left::InUse,
            FLAG_CLEAN => Left::Clean,
            _ => return None,
        };
        let count = fields.u32()?;
        let mut manifest = Self {
            table,
            incarnation,
            left,
            version_floor: fields.u64()?,
            time_floor: fields.u64()?,
            next_segment: fields.u64()?,
            history_floor: fields.u64()?,
            lost: Lost { after: fields.u64()?, before: fields.u64()? },
            segments: Vec::new(),
        };
        for _ in 0..count {
            manifest.segments.push(SegmentEntry {
                id: fields.u64()?,
                salt: fields.u64()?,
                length: fields.u64()?,
                last_version: fields.u64()?,
                time: fields.u64()?,
            });
            fields.u64()?;
        }
        // The last segment is the one that grows: a table is never without.
        (fields.is_at_end() && !manifest.segments.is_empty()).then_some(manifest)
    }
}

/// Where a folder's manifest is.
pub(super) fn path_in(folder: &Path) -> PathBuf {
    folder.join(MANIFEST_FILE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::storage::sim::SimDisk;

    fn manifest() -> Manifest {
        let entry = |id| SegmentEntry { id, salt: 77, length: 64, last_version: 3, time: 9 };
        Manifest {
            table: 1,
            incarnation: 2,
            left: Left::InUse,
            version_floor: 10,
            time_floor: 11,
            next_segment: 4,
            history_floor: 5,
            lost: Lost { after: 6, before: 7 },
            segments: vec![entry(1), entry(3)],
        }
    }

    #[test]
    fn a_manifest_reads_back() {
        let disk = SimDisk::new(1);
        let folder = Path::new("/");
        manifest().write(&disk, folder).unwrap();
        assert_eq!(Manifest::read(&disk, folder).unwrap(), manifest());
        let clean = Manifest { left: Left::Clean, ..manifest() };
        clean.write(&disk, folder).unwrap();
        assert_eq!(Manifest::read(&disk, folder).unwrap(), clean);
    }

    #[test]
    fn a_manifest_with_any_byte_flipped_cut_or_doubled_is_refused() {
        let disk = SimDisk::new(1);
        let folder = Path::new("/");
        manifest().write(&disk, folder).unwrap();
        let whole = disk.content(&path_in(folder));
        let refused = |bytes: &[u8]| {
            disk.put(&path_in(folder), bytes);
            let read = Manifest::read(&disk, folder);
            assert!(matches!(read, Err(StorageError::Corrupt { .. })), "{read:?}");
        };
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            refused(&flipped);
            refused(&whole[..at]);
            let mut doubled = whole.clone();
            doubled.insert(at, whole[at]);
            refused(&doubled);
        }
        refused(&vec![0; whole.len()]);
    }

    #[test]
    fn a_newer_manifest_is_refused_by_its_format() {
        let disk = SimDisk::new(1);
        let newer = Kind { format: 2, ..KIND };
        envelope::replace(&disk, newer, &path_in(Path::new("/")), b"of tomorrow").unwrap();
        let read = Manifest::read(&disk, Path::new("/"));
        assert!(matches!(read, Err(StorageError::NewerFormat { found: 2, .. })));
    }
}
