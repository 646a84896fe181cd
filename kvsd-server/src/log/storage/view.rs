//! A table's keys in order: the sealed segments' entries and those of the active one.
//!
//! A view is what a page of a scan sees. The writer replaces it as a whole when a segment is sealed
//! or compacted, so that a page never misses what moves meanwhile; the segments of an old view stay
//! readable for as long as somebody holds it. Of the entries of one key the highest version counts,
//! deletes and what has expired included.
//!
//! Next file to read: [`super::page`].

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::chunk::{Chunk, ChunkCursor, Entries, in_order};
use super::disk::Disk;
use super::entry::{Counts, KeyRange, Order};
use super::error::StorageError;
use super::hint::{Hint, HintCursor, Of};
use super::history::Memory;
use super::merge::{BadSource, Merge, Source};
use super::segment::{Segment, SegmentIdentity};

/// A sealed segment.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) segment: Arc<Segment>,
    pub(super) identity: SegmentIdentity,
    /// Where its groups end.
    pub(super) length: u64,
    /// The highest version and clock reading in it.
    pub(super) last_version: u64,
    pub(super) time: u64,
    sorted: RwLock<Sorted>,
}

/// A sealed segment's entries.
#[derive(Debug, Clone)]
pub(super) enum Sorted {
    /// In its hint.
    Hint(Arc<Hint>),
    /// In memory: it has no hint, or none that can be read.
    Chunks(Arc<Vec<Arc<Chunk>>>, Counts),
}

impl Run {
    /// A run of a segment whose entries are known.
    pub(super) fn new(
        segment: Arc<Segment>,
        identity: SegmentIdentity,
        (length, last_version, time): (u64, u64, u64),
        sorted: Sorted,
    ) -> Self {
        Self { segment, identity, length, last_version, time, sorted: RwLock::new(sorted) }
    }

    /// Its entries.
    pub(super) fn sorted(&self) -> Sorted {
        self.sorted.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The length of its files.
    pub(super) fn bytes(&self) -> u64 {
        match self.sorted() {
            Sorted::Hint(hint) => self.length + hint.bytes,
            Sorted::Chunks(..) => self.length,
        }
    }

    /// Writes its hint, unless it has one.
    pub(super) fn write_hint(&self, disk: &dyn Disk, folder: &Path) -> Result<(), StorageError> {
        let Sorted::Chunks(chunks, counts) = self.sorted() else {
            return Ok(());
        };
        let of = Of { disk, folder, identity: self.identity, length: self.length };
        let hint = Hint::write(of, counts, in_order(&chunks))?;
        self.set_sorted(Sorted::Hint(Arc::new(hint)));
        Ok(())
    }

    /// Has its entries read from the segment, after the hint has turned out to be bad.
    pub(super) fn read_segment(&self) -> Result<(), StorageError> {
        let entries = Entries::read(&self.segment, self.length)?;
        self.set_sorted(Sorted::Chunks(Arc::new(entries.chunks()), entries.counts));
        Ok(())
    }

    fn set_sorted(&self, sorted: Sorted) {
        *self.sorted.write().unwrap_or_else(PoisonError::into_inner) = sorted;
    }
}

/// The active segment.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) segment: Arc<Segment>,
    pub(super) entries: RwLock<Entries>,
    /// Up to where readers may see it.
    pub(super) end: AtomicU64,
}

impl Active {
    pub(super) fn new(segment: Arc<Segment>, entries: Entries, end: u64) -> Self {
        Self { segment, entries: RwLock::new(entries), end: AtomicU64::new(end) }
    }

    /// Its entries so far.
    pub(super) fn chunks(&self) -> (Vec<Arc<Chunk>>, Counts) {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        (entries.chunks(), entries.counts)
    }

    /// Up to where readers may see it.
    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }
}

/// All segments of a table, pinned.
#[derive(Debug, Clone)]
pub(super) struct View {
    /// In the order of the manifest.
    pub(super) runs: Vec<Arc<Run>>,
    pub(super) active: Arc<Active>,
    pub(super) memory: Memory,
}

impl View {
    /// The segment of an owner, as [`merged`] numbers them.
    pub(super) fn segment(&self, owner: usize) -> &Arc<Segment> {
        self.runs.get(owner).map_or(&self.active.segment, |run| &run.segment)
    }
}

/// What runs, and perhaps chunks, say of the keys of a range. A run's owner number is its place, the
/// chunks' is the one behind the last run. A hint that turns out to be bad is given up, and `read`
/// begins again.
pub(super) fn merged<T>(
    runs: &[Arc<Run>],
    chunks: &[Arc<Chunk>],
    range: &KeyRange<'_>,
    order: Order,
    mut read: impl FnMut(Merge) -> Result<T, BadSource>,
) -> Result<T, StorageError> {
    loop {
        match merge(runs, chunks, range, order).and_then(&mut read) {
            Ok(read) => return Ok(read),
            Err(BadSource(owner)) => {
                if let Some(run) = runs.get(owner) {
                    run.read_segment()?;
                }
            }
        }
    }
}

/// As [`merged`], but who meets a bad hint must begin again.
pub(super) fn merge(
    runs: &[Arc<Run>],
    chunks: &[Arc<Chunk>],
    range: &KeyRange<'_>,
    order: Order,
) -> Result<Merge, BadSource> {
    let in_memory = |owner, chunk: &Arc<Chunk>| {
        (owner, Source::Chunk(ChunkCursor::at_start(Arc::clone(chunk), range, order)))
    };
    let mut sources = Vec::with_capacity(runs.len() + chunks.len());
    for (owner, run) in runs.iter().enumerate() {
        match run.sorted() {
            Sorted::Hint(hint) => {
                let cursor = HintCursor::at_start(hint, range, order);
                let cursor = cursor.map_err(|_| BadSource(owner))?;
                sources.push((owner, Source::Hint(Box::new(cursor))));
            }
            Sorted::Chunks(chunks, _) => {
                sources.extend(chunks.iter().map(|chunk| in_memory(owner, chunk)));
            }
        }
    }
    sources.extend(chunks.iter().map(|chunk| in_memory(runs.len(), chunk)));
    Ok(Merge::new(sources, order))
}
