//! The writing end of a table: groups, and room for them on the disk.
//!
//! There is one writer per table. Nothing here waits for anybody but the disk, and the caller says
//! in which calls that is allowed. The order of a group's life is the caller's to keep:
//! [`Writer::prepare`], [`Writer::begin`], [`Writer::current`] and [`Writer::append`] as often as
//! needed, [`Writer::write`], then the sync that the policy asks for, then [`Writer::publish`].
//!
//! Next file to read: [`super::figures`].

use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::adopt::{Adoption, Sealed};
use super::clear::Clearing;
use super::compact::Signals;
use super::disk::{Disk, DiskFile, write_all};
use super::entry::Counts;
use super::error::{StorageError, is_full, is_out_of_descriptors};
use super::group::{Content, Group, KEPT_BYTES};
use super::index::{KeyHash, Location};
use super::manifest::Manifest;
use super::reader::{Access, Extent, ReadError, Reader};
use super::record::Commit;
use super::rotation::{Limits, Retention};
use super::usage::Usage;
use super::view::Active;

/// Whether a group may use the room that is kept for deletes on a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reserve {
    /// It may not.
    Keep,
    /// It may: it frees room.
    Use,
}

/// Why a change of the files did not happen.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// There is no room. Nothing has changed.
    Full,
    /// Something else is in the way. Nothing has changed, and it can be tried again.
    Refused(StorageError),
    /// Nobody knows what is on the disk now: the table must not be written again.
    Broken(StorageError),
}

/// What stands at a key, the open group included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Current {
    pub(crate) version: u64,
    /// When it ends, or [`super::record::NEVER`].
    pub(crate) expires: u64,
    /// How long its value is, read or not.
    pub(crate) value_bytes: usize,
    location: Location,
    value: ValueAt,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum ValueAt {
    Group(Range<usize>),
    Buffer(Range<usize>),
}

/// A sync that is to be made, away from the writer.
#[derive(Debug, Clone)]
pub(crate) struct Sync {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    segment: u64,
    end: u64,
}

impl Sync {
    /// Makes the file durable. After an error it must not be tried again.
    pub(crate) fn run(&self) -> Result<(), StorageError> {
        self.file.sync_data().map_err(StorageError::io("sync", &self.path))
    }
}

/// The writing end of a table.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) folder: PathBuf,
    pub(super) limits: Limits,
    pub(super) retention: Retention,
    pub(super) reader: Arc<Reader>,
    pub(super) manifest: Manifest,
    pub(super) active: Arc<Active>,
    pub(super) slot: u32,
    /// Where the next group goes.
    pub(super) end: u64,
    /// Up to where the file has its room.
    pub(super) allocated: u64,
    pub(super) room: Room,
    /// Up to where the active segment is durable, and up to where a commit in it says so.
    pub(super) durable: u64,
    pub(super) declared: u64,
    pub(super) counts: Counts,
    pub(super) version: u64,
    pub(super) time: u64,
    pub(super) group: Group,
    pub(super) buffer: Vec<u8>,
    /// The other segments in the order of the manifest, and how much of each is live.
    pub(super) sealed: Vec<Sealed>,
    pub(super) usage: Usage,
    pub(super) looks_for_victim: bool,
    pub(super) looks_for_hint: bool,
    /// What the compaction under way is told, if there is one.
    pub(super) signals: Option<Arc<Signals>>,
    /// A compaction has found no room: the next one takes the deadest segment alone, which may need
    /// none.
    pub(super) victims_alone: bool,
    pub(super) adoption: Option<Adoption>,
    pub(super) clearing: Option<Clearing>,
}

/// How a segment has its room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Room {
    /// Reserved ahead of the writes, in growing steps.
    #[default]
    Reserved,
    /// Reserved ahead, and filled with zeros. A file system that keeps a journal has a note to make
    /// of each reserved block that is written for the first time, which a sync waits for; with the
    /// zeros it does so once for many syncs. Everything small is written twice for that.
    Zeroed,
    /// By writing: the file system cannot reserve.
    Unreserved,
}

/// What opening a table has found.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) folder: PathBuf,
    pub(super) limits: Limits,
    pub(super) retention: Retention,
    pub(super) room: Room,
    pub(super) reader: Arc<Reader>,
    pub(super) manifest: Manifest,
    pub(super) active: Arc<Active>,
    pub(super) slot: u32,
    pub(super) sealed: Vec<Sealed>,
    pub(super) usage: Usage,
    pub(super) end: u64,
    pub(super) counts: Counts,
    pub(super) version: u64,
    pub(super) time: u64,
}

impl Writer {
    pub(super) fn new(opened: Opened) -> Self {
        opened.reader.set_time(opened.time);
        opened.reader.set_version(opened.version);
        let writer = Self {
            disk: opened.disk,
            folder: opened.folder,
            limits: opened.limits,
            retention: opened.retention,
            reader: opened.reader,
            manifest: opened.manifest,
            active: opened.active,
            slot: opened.slot,
            end: opened.end,
            allocated: opened.end,
            room: opened.room,
            durable: opened.end,
            declared: 0,
            counts: opened.counts,
            version: opened.version,
            time: opened.time,
            group: Group::default(),
            buffer: Vec::new(),
            sealed: opened.sealed,
            usage: opened.usage,
            looks_for_victim: true,
            looks_for_hint: true,
            signals: None,
            victims_alone: false,
            adoption: None,
            clearing: None,
        };
        writer.tell_figures();
        writer
    }

    /// The table's other end.
    pub(crate) fn reader(&self) -> &Arc<Reader> {
        &self.reader
    }

    /// The version of the last write.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Takes a reading of the clock; the answer is never below an earlier one.
    pub(crate) fn advance_time(&mut self, now: u64) -> u64 {
        self.time = self.time.max(now);
        self.time
    }

    /// What the time is for this table when the clock says so.
    pub(crate) fn time_at(&self, now: u64) -> u64 {
        self.time.max(now)
    }

    /// Opens a group.
    pub(crate) fn begin(&mut self) {
        self.group.clear();
    }

    /// Gives back memory that only a large value needed to be read. What [`Writer::current`] has
    /// found last has no value any more.
    pub(crate) fn tidy(&mut self) {
        self.buffer.truncate(KEPT_BYTES);
        self.buffer.shrink_to(KEPT_BYTES);
    }

    /// How much memory is kept between groups.
    #[cfg(test)]
    pub(crate) fn kept_bytes(&self) -> usize {
        self.buffer.capacity() + self.group.kept_bytes()
    }

    /// How many bytes the open group has.
    pub(crate) fn group_bytes(&self) -> usize {
        self.group.bytes().len()
    }

    /// A key's hash in this table.
    pub(crate) fn hash(&self, key: &[u8]) -> KeyHash {
        self.reader.index.hash(key)
    }

    /// Has the processor fetch what [`Writer::current`] will look at for these keys, and what the
    /// group's publication will.
    pub(crate) fn look_ahead<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) {
        self.reader.look_ahead(keys);
    }

    /// What stands at a key, expired or not.
    pub(crate) fn current(
        &mut self,
        hash: KeyHash,
        key: &[u8],
        access: Access,
        extent: Extent,
    ) -> Result<Option<Current>, ReadError> {
        if let Some(pending) = self.group.find(hash, key) {
            return Ok(pending.location.map(|location| Current {
                version: pending.version,
                expires: pending.expires,
                value_bytes: pending.value.len(),
                location,
                value: ValueAt::Group(pending.value.clone()),
            }));
        }
        let hit = self.reader.find_hashed(hash, key, &mut self.buffer, access, extent)?;
        Ok(hit.map(|hit| Current {
            version: hit.version,
            expires: hit.expires,
            value_bytes: hit.value_bytes,
            location: hit.location,
            value: ValueAt::Buffer(hit.value),
        }))
    }

    /// The value of what [`Writer::current`] has found with its last call; `None` if it was not
    /// read.
    pub(crate) fn value(&self, current: &Current) -> Option<&[u8]> {
        let value = match &current.value {
            ValueAt::Group(range) => self.group.bytes().get(range.clone()),
            ValueAt::Buffer(range) => self.buffer.get(range.clone()),
        };
        value.filter(|value| value.len() == current.value_bytes)
    }

    /// Adds a record to the open group. `replaces` is what stands at the key.
    pub(crate) fn append(
        &mut self,
        hashed: (KeyHash, &[u8]),
        content: Content<'_>,
        version: u64,
        replaces: Option<&Current>,
    ) -> Result<(), StorageError> {
        let offset = self.end + self.group.bytes().len() as u64;
        let place = (self.active.segment.seed, self.slot, offset);
        let replaces = replaces.map(|current| current.location);
        self.group.append(place, hashed, content, version, replaces).ok_or_else(|| {
            StorageError::io("append to", &self.active.segment.path)(
                std::io::ErrorKind::FileTooLarge.into(),
            )
        })
    }

    /// Writes the open group, the last version of which is `version`, with one call to the system.
    /// A group without records is not written.
    pub(crate) fn write(&mut self, version: u64, reserve: Reserve) -> Result<(), WriteError> {
        if self.group.records() == 0 {
            return Ok(());
        }
        self.write_committed(version, reserve)
    }

    fn write_committed(&mut self, version: u64, reserve: Reserve) -> Result<(), WriteError> {
        let commit = Commit {
            version,
            time: self.time,
            durable: self.durable,
            start: self.end,
            records: u32::try_from(self.group.records()).unwrap_or(u32::MAX),
        };
        let offset = self.end + self.group.bytes().len() as u64;
        self.group.commit(&commit, self.active.segment.seed, offset);
        self.make_room(self.group.bytes().len() as u64, reserve)?;
        if let Err(error) = write_all(&*self.active.segment.file, self.group.bytes(), self.end) {
            return Err(self.take_back(error));
        }
        self.end += self.group.bytes().len() as u64;
        self.allocated = self.allocated.max(self.end);
        self.declared = self.durable;
        self.version = version;
        self.counts.records += self.group.records() as u64;
        self.counts.key_bytes += self.group.key_bytes();
        Ok(())
    }

    /// Cuts off what a failed write may have left.
    fn take_back(&mut self, error: std::io::Error) -> WriteError {
        if is_out_of_descriptors(&error) {
            return WriteError::Refused(StorageError::io("open", &self.active.segment.path)(error));
        }
        let cut = self.active.segment.file.truncate(self.end);
        self.allocated = self.end;
        if cut.is_ok() && is_full(&error) {
            return WriteError::Full;
        }
        WriteError::Broken(StorageError::io("write", &self.active.segment.path)(error))
    }

    fn make_room(&mut self, bytes: u64, reserve: Reserve) -> Result<(), WriteError> {
        let kept = match reserve {
            Reserve::Keep => RESERVED_BYTES,
            Reserve::Use => 0,
        };
        let needed = self.end + bytes + kept;
        if needed <= self.allocated || self.room == Room::Unreserved {
            return Ok(());
        }
        let last_step = match self.room {
            Room::Zeroed => LAST_ZEROED_STEP_BYTES,
            Room::Reserved | Room::Unreserved => LAST_STEP_BYTES,
        };
        let step = self.allocated.clamp(FIRST_STEP_BYTES, last_step);
        let ahead = needed.max(self.allocated + step);
        let file = &self.active.segment.file;
        let result = file.allocate(ahead).map(|()| ahead);
        let result = match result {
            // Not a whole step, but perhaps what is needed now.
            Err(error) if is_full(&error) => file.allocate(needed).map(|()| needed),
            result => result,
        };
        match result {
            Ok(allocated) => {
                if self.room == Room::Zeroed {
                    self.fill_with_zeros(self.allocated.max(self.end + bytes)..allocated)?;
                }
                self.allocated = allocated;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {
                self.room = Room::Unreserved;
            }
            Err(error) if is_full(&error) => return Err(WriteError::Full),
            Err(error) => {
                let error = StorageError::io("reserve room for", &self.active.segment.path)(error);
                return Err(WriteError::Refused(error));
            }
        }
        Ok(())
    }

    fn fill_with_zeros(&mut self, room: Range<u64>) -> Result<(), WriteError> {
        let bytes = usize::try_from(room.end.saturating_sub(room.start)).unwrap_or(usize::MAX);
        let zeros = ZEROS.get(..bytes).unwrap_or(&ZEROS);
        let written = write_all(&*self.active.segment.file, zeros, room.start);
        written.map_err(|error| self.take_back(error))
    }

    /// The sync that makes everything written so far durable.
    pub(crate) fn sync(&self) -> Sync {
        Sync {
            file: Arc::clone(&self.active.segment.file),
            path: self.active.segment.path.clone(),
            segment: self.active.segment.id,
            end: self.end,
        }
    }

    /// Takes note of a sync that has succeeded.
    pub(crate) fn synced(&mut self, sync: &Sync) {
        if sync.segment == self.active.segment.id {
            self.durable = self.durable.max(sync.end);
        }
    }

    /// Lets readers see the group that was written.
    pub(crate) fn publish(&mut self) {
        self.reader.set_time(self.time);
        // First, for a scan may hold it while it copies, and reads wait for whoever publishes. A
        // panic elsewhere cannot leave entries half added.
        let mut entries = self.active.entries.write().unwrap_or_else(PoisonError::into_inner);
        let publication = self.group.has_batch().then(|| self.reader.begin_publication());
        self.group.publish(&self.reader, &mut entries, &mut self.usage);
        drop(entries);
        self.active.end.store(self.end, Ordering::Release);
        self.reader.set_version(self.version);
        drop(publication);
        self.tell_figures();
    }

    /// Whether something is durable that no commit says to be.
    pub(crate) fn has_undeclared(&self) -> bool {
        self.durable > self.declared
    }

    /// Writes a commit that stands alone, so that damage to what is durable by now is told from a
    /// torn tail. It need not be durable itself. No group may be open.
    pub(crate) fn declare_durable(&mut self) -> Result<(), WriteError> {
        self.group.clear();
        self.write_committed(self.version, Reserve::Use)
    }
}

/// What is kept for deletes and commits on a full disk.
const RESERVED_BYTES: u64 = 16 * 1024;
/// The first step in which room is reserved; each step doubles the file, up to the last one.
const FIRST_STEP_BYTES: u64 = 64 * 1024;
const LAST_STEP_BYTES: u64 = 8 << 20;
/// The step in which room is filled with zeros: little enough that the sync behind it takes no
/// longer than others do now and then, and enough for many groups.
const LAST_ZEROED_STEP_BYTES: u64 = 128 * 1024;
/// A step of zeros, or what is kept for deletes behind a group that is longer than a step.
static ZEROS: [u8; 128 * 1024] = [0; 128 * 1024];
