//! Reading records: one probe, and a copy from the cache; or one read, checksum, key compare.
//!
//! Readers share this with the table's one writer, and never wait for it.
//!
//! Next file to read: [`super::group`].

use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use smallvec::SmallVec;

use super::cache::{Cache, Name, Owner, Spot};
use super::disk::{CachedRead, read_full};
use super::error::StorageError;
use super::figures::Figures;
use super::index::{Candidate, HashBits, Index, KeyHash, LOOK_AHEAD, Location};
use super::record::{HEADER_BYTES, Header, Kind};
use super::segment::Segment;
use super::slots::Slots;
use super::view::View;

/// What readers of a table share.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(super) index: Index,
    segments: RwLock<Slots>,
    cache: Arc<Cache>,
    /// Whose records they are in the cache.
    owner: Owner,
    /// How many segments have been released: a read across that may have met the wrong one.
    released: AtomicU64,
    /// Odd while a group with a batch is being published: some of its records may be seen, and
    /// others not yet.
    publications: AtomicU64,
    /// The highest clock reading that the table has recorded: expired stays expired.
    time: AtomicU64,
    /// The version of the last write that may be seen.
    version: AtomicU64,
    incarnation: u64,
    /// The keys in order.
    view: RwLock<Arc<View>>,
    figures: Mutex<Figures>,
}

/// Whether a read may wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Only what is at hand and not large.
    Cached,
    /// Whatever it takes.
    Wait,
}

/// How much of a record is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Header and key; the value stays unread and unchecked.
    Key,
    /// All of it if it is no longer than so many bytes; else as [`Extent::Key`].
    UpTo(usize),
    /// All of it.
    Whole,
}

/// A key's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) version: u64,
    /// When it ends, or [`super::record::NEVER`].
    pub(crate) expires: u64,
    pub(crate) location: Location,
    /// How long the value is, read or not.
    pub(crate) value_bytes: usize,
    /// Where the value stands in the buffer; empty if it was not read.
    pub(crate) value: Range<usize>,
}

/// A group is being published.
pub(super) struct Publication<'r>(&'r AtomicU64);

impl Drop for Publication<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// It is not at hand: ask again with [`Access::Wait`].
    NotCached,
    /// It is damaged, or cannot be read.
    Storage(StorageError),
}

impl Reader {
    pub(super) fn new(bits: HashBits, incarnation: u64, view: View, cache: Arc<Cache>) -> Self {
        Self {
            index: Index::new(bits),
            segments: RwLock::default(),
            owner: cache.owner(),
            cache,
            released: AtomicU64::new(0),
            publications: AtomicU64::new(0),
            time: AtomicU64::new(0),
            version: AtomicU64::new(0),
            incarnation,
            view: RwLock::new(Arc::new(view)),
            figures: Mutex::default(),
        }
    }

    /// Adds a segment; the answer is its slot.
    pub(super) fn add_segment(&self, segment: Arc<Segment>) -> u32 {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        segments.add(segment)
    }

    /// Gives back a segment's slot, which no location in the index names any more. Reads that have
    /// found such a location before notice and look again.
    pub(super) fn release_segment(&self, slot: u32) {
        self.released.fetch_add(1, Ordering::SeqCst);
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        segments.release(slot);
    }

    /// Points a key's slot to a record that was just written, and keeps that at hand in the place
    /// of the one before it. Says whether there is such a slot.
    pub(super) fn replace(
        &self,
        hash: KeyHash,
        (old, new): (Location, Location),
        record: &[u8],
    ) -> bool {
        let name = Name::new(hash, self.owner);
        self.index.replace(hash, old, new, |spot| self.cache.replace(name, spot, record))
    }

    /// Removes a key's slot, and the copy of its record. Says whether there is such a slot.
    pub(super) fn remove(&self, hash: KeyHash, old: Location) -> bool {
        let name = Name::new(hash, self.owner);
        self.index.remove(hash, old, |spot| self.cache.forget(name, spot))
    }

    /// The highest clock reading that the table has recorded.
    pub(crate) fn time(&self) -> u64 {
        self.time.load(Ordering::Relaxed)
    }

    pub(super) fn set_time(&self, time: u64) {
        self.time.store(time, Ordering::Relaxed);
    }

    /// The version of the last write that may be seen.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Until the answer is dropped, nobody is told what the index says: whoever has seen one write of
    /// a batch must not be told later that another one has not happened.
    pub(super) fn begin_publication(&self) -> Publication<'_> {
        self.publications.fetch_add(1, Ordering::SeqCst);
        Publication(&self.publications)
    }

    /// Waits for the end of a publication that is under way: less than a microsecond for each
    /// record of the group, which has thousands at most, unless its thread has to wait for a
    /// processor.
    fn await_publication(&self) {
        let seen = self.publications.load(Ordering::SeqCst);
        while seen % 2 == 1 && self.publications.load(Ordering::SeqCst) == seen {
            std::thread::yield_now();
        }
    }

    pub(super) fn set_version(&self, version: u64) {
        self.version.store(version, Ordering::Release);
    }

    /// What tells the table from others that have had its name.
    pub(crate) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// All segments as they are now, for as long as the answer is held.
    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_view(&self, view: View) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }

    /// How many keys have a record, expired or not.
    pub(crate) fn keys(&self) -> u64 {
        self.index.len() as u64
    }

    /// How much memory says where its records are, in bytes.
    pub(crate) fn index_bytes(&self) -> u64 {
        self.index.bytes() as u64
    }

    /// How much the table has.
    pub(crate) fn figures(&self) -> Figures {
        *self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_figures(&self, figures: Figures) {
        *self.figures.lock().unwrap_or_else(PoisonError::into_inner) = figures;
    }

    /// Has the processor fetch from memory what finding these keys will look at. It waits for all
    /// of that at once, where it would wait for one after the other; finds that follow each other
    /// need not know of this.
    pub(crate) fn look_ahead<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) {
        let mut hashes = SmallVec::<[KeyHash; LOOK_AHEAD]>::new();
        for key in keys {
            let hash = self.index.hash(key);
            if hashes.is_empty() && !self.index.is_far(hash) {
                return;
            }
            self.index.fetch(hash);
            hashes.push(hash);
        }
        for hash in hashes {
            for Candidate { location, spot } in self.index.candidates(hash).iter() {
                self.cache.fetch(Name::new(hash, self.owner), spot, location.read_bytes());
            }
        }
    }

    /// Finds a key's record, expired or not.
    pub(crate) fn find(
        &self,
        key: &[u8],
        buffer: &mut Vec<u8>,
        access: Access,
    ) -> Result<Option<Hit>, ReadError> {
        self.find_hashed(self.index.hash(key), key, buffer, access, Extent::Whole)
    }

    /// As [`Reader::find`], without the value.
    pub(crate) fn find_key(
        &self,
        key: &[u8],
        buffer: &mut Vec<u8>,
        access: Access,
    ) -> Result<Option<Hit>, ReadError> {
        self.find_hashed(self.index.hash(key), key, buffer, access, Extent::Key)
    }

    /// As [`Reader::find`], with the hash at hand and perhaps without the value.
    pub(super) fn find_hashed(
        &self,
        hash: KeyHash,
        key: &[u8],
        buffer: &mut Vec<u8>,
        access: Access,
        extent: Extent,
    ) -> Result<Option<Hit>, ReadError> {
        loop {
            let released = self.released.load(Ordering::SeqCst);
            let found = self.find_once(hash, key, buffer, access, extent);
            // A slot that was given back meanwhile may have another segment by now: whatever was
            // found there, or not found, counts for nothing.
            if self.released.load(Ordering::SeqCst) == released {
                self.await_publication();
                return found;
            }
        }
    }

    fn find_once(
        &self,
        hash: KeyHash,
        key: &[u8],
        buffer: &mut Vec<u8>,
        access: Access,
        extent: Extent,
    ) -> Result<Option<Hit>, ReadError> {
        let name = Name::new(hash, self.owner);
        let candidates = self.index.candidates(hash);
        for Candidate { location, spot } in candidates.iter() {
            // One of two keys with one hash may be found at the other's spot, which is out of date.
            let spot = if candidates.is_one() { spot } else { Spot::NONE };
            let bytes = self.cache.get(name, spot, location.read_bytes(), buffer);
            let record = bytes.and_then(|bytes| buffer.get(..bytes));
            if let Some(hit) = record.and_then(|record| at_hand(record, location, key)) {
                return Ok(Some(hit));
            }
            let hit = match extent {
                Extent::UpTo(most) if location.read_bytes() <= most => {
                    self.record_at(hash, location, key, buffer, access)?
                }
                Extent::Key | Extent::UpTo(_) => {
                    self.key_at(hash, location, key, buffer, access)?
                }
                Extent::Whole => self.record_at(hash, location, key, buffer, access)?,
            };
            if hit.is_some() {
                return Ok(hit);
            }
        }
        Ok(None)
    }

    /// The record at a location, without its value, if it is this key's.
    fn key_at(
        &self,
        hash: KeyHash,
        location: Location,
        key: &[u8],
        buffer: &mut Vec<u8>,
        access: Access,
    ) -> Result<Option<Hit>, ReadError> {
        let segment = self.segment(location)?;
        let bytes = read(&segment, location, HEADER_BYTES + key.len(), buffer, access)?;
        let header = header(&segment, location, bytes, access)?;
        if usize::from(header.key_bytes) != key.len() {
            return Ok(None);
        }
        match bytes.get(HEADER_BYTES..HEADER_BYTES + key.len()) {
            None => Err(cut(&segment, location, access)),
            Some(found) if found == key => Ok(Some(Hit {
                version: header.version,
                expires: header.expires,
                location,
                value_bytes: header.value_bytes as usize,
                value: 0..0,
            })),
            // Another key with the same hash, or a damaged one: the checksum tells.
            Some(_) => self.record_at(hash, location, key, buffer, access),
        }
    }

    /// The record at a location, if it is this key's.
    fn record_at(
        &self,
        hash: KeyHash,
        location: Location,
        key: &[u8],
        buffer: &mut Vec<u8>,
        access: Access,
    ) -> Result<Option<Hit>, ReadError> {
        if access == Access::Cached && location.read_bytes() > MAX_CACHED_BYTES {
            // Copying and checking it would hold up whoever asks from a runtime's thread.
            return Err(ReadError::NotCached);
        }
        let segment = self.segment(location)?;
        let bytes = read(&segment, location, location.read_bytes(), buffer, access)?;
        let header = header(&segment, location, bytes, access)?;
        let end = HEADER_BYTES + header.body_bytes();
        let Some(body) = bytes.get(HEADER_BYTES..end) else {
            return Err(cut(&segment, location, access));
        };
        if !header.fits_body(body) {
            return Err(damaged(&segment, location, "a record's checksum does not fit"));
        }
        let record = bytes.get(..end).unwrap_or_default();
        if self.cache.takes(record.len()) {
            let name = Name::new(hash, self.owner);
            // Unless the key's slot names another record by now.
            self.index.replace(hash, location, location, |spot| self.cache.put(name, spot, record));
        }
        Ok(hit(&header, record, location, key))
    }

    fn segment(&self, location: Location) -> Result<Arc<Segment>, ReadError> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments.get(location).ok_or_else(|| {
            let error = StorageError::corrupt(
                &PathBuf::from("index"),
                location.offset(),
                "a slot names no segment",
            );
            ReadError::Storage(error)
        })
    }
}

/// A longer record counts as not at hand: some 10 us of copying and checking.
const MAX_CACHED_BYTES: usize = 64 * 1024;

/// Reads up to `want` bytes of a record into the buffer, which only ever grows.
fn read<'b>(
    segment: &Segment,
    location: Location,
    want: usize,
    buffer: &'b mut Vec<u8>,
    access: Access,
) -> Result<&'b [u8], ReadError> {
    if buffer.len() < want {
        buffer.resize(want, 0);
    }
    let target = buffer.get_mut(..want).unwrap_or_default();
    let offset = location.offset();
    let read = match access {
        Access::Wait => read_full(&*segment.file, target, offset),
        Access::Cached => match segment.file.read_at_cached(target, offset) {
            Ok(CachedRead::Read(read)) => Ok(read),
            Ok(CachedRead::NotCached) => return Err(ReadError::NotCached),
            Err(error) => Err(error),
        },
    };
    let read =
        read.map_err(|error| ReadError::Storage(StorageError::io("read", &segment.path)(error)))?;
    Ok(buffer.get(..read).unwrap_or_default())
}

/// What a whole record says, if it is this key's.
fn hit(header: &Header, record: &[u8], location: Location, key: &[u8]) -> Option<Hit> {
    let value = HEADER_BYTES + usize::from(header.key_bytes)..record.len();
    (record.get(HEADER_BYTES..value.start) == Some(key)).then_some(Hit {
        version: header.version,
        expires: header.expires,
        location,
        value_bytes: value.len(),
        value,
    })
}

/// What a record from the cache says, if it is this key's. Its checksums held when it came there.
fn at_hand(record: &[u8], location: Location, key: &[u8]) -> Option<Hit> {
    hit(&Header::fields(record)?, record, location, key)
}

fn header(
    segment: &Segment,
    location: Location,
    bytes: &[u8],
    access: Access,
) -> Result<Header, ReadError> {
    if bytes.len() < HEADER_BYTES {
        return Err(cut(segment, location, access));
    }
    match Header::decode(bytes, segment.seed, location.offset()) {
        Some(header) if header.kind == Kind::Set => Ok(header),
        _ => Err(damaged(segment, location, "a record's header does not verify")),
    }
}

/// A record that ends early: what was at hand did not reach, or the file is cut.
fn cut(segment: &Segment, location: Location, access: Access) -> ReadError {
    match access {
        Access::Cached => ReadError::NotCached,
        Access::Wait => damaged(segment, location, "a record is cut"),
    }
}

fn damaged(segment: &Segment, location: Location, what: &'static str) -> ReadError {
    ReadError::Storage(StorageError::corrupt(&segment.path, location.offset(), what))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use kvsd::TableName;

    use super::*;
    use crate::log::storage::group::Content;
    use crate::log::storage::load::TableOptions;
    use crate::log::storage::record::NEVER;
    use crate::log::storage::rotation::Demand;
    use crate::log::storage::sim::SimDisk;
    use crate::log::storage::store::Store;
    use crate::log::storage::writer::Reserve;

    #[test]
    fn a_scan_that_copies_holds_up_a_publication_and_no_read() {
        let disk = Arc::new(SimDisk::new(1));
        let mut store = Store::open(disk, Path::new("/data"), TableOptions::default()).unwrap();
        let mut writer = store.create_table(&TableName::parse("t").unwrap()).unwrap();
        writer.prepare(&Demand::default()).unwrap();
        writer.begin();
        for key in [b"a", b"b"] {
            let hashed = (writer.hash(key), &key[..]);
            let content = Content::Set { value: b"v", expires: NEVER };
            writer.append(hashed, content, 1, None).unwrap();
        }
        writer.write(1, Reserve::Keep).unwrap();
        let (reader, active) = (Arc::clone(writer.reader()), Arc::clone(&writer.active));
        let find = |key| reader.find(key, &mut Vec::new(), Access::Wait).unwrap();

        let scan = active.entries.read().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| writer.publish());
            // Nobody gets a lock that a writer waits for.
            while active.entries.try_read().is_ok() {
                std::thread::yield_now();
            }
            let publications = reader.publications.load(Ordering::SeqCst);
            drop(scan);
            assert_eq!(publications % 2, 0, "reads wait for a writer that waits for a scan");
        });
        assert!(find(b"a").is_some() && find(b"b").is_some());
        assert_eq!(reader.publications.load(Ordering::SeqCst), 2, "a batch is shown as one");
    }
}
