//! Opening a table: repair if need be, then the index filled from the segments' hints.
//!
//! Next file to read: [`super::store`].

use std::collections::HashSet;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use super::adopt::Sealed;
use super::cache::Cache;
use super::chunk::Entries;
use super::disk::Disk;
use super::entry::{KeyRange, Order};
use super::error::StorageError;
use super::hint::{self, Hint, Of};
use super::index::{HashBits, Index, Location};
use super::manifest::{Left, MANIFEST_FILE, Manifest, SegmentEntry, path_in};
use super::merge::{BadSource, Merge};
use super::names;
use super::reader::Reader;
use super::record::Kind;
use super::repair::{Recovery, repair};
use super::rotation::{Limits, Retention};
use super::segment::{Segment, file_name};
use super::usage::Usage;
use super::view::{Active, Run, Sorted, View, merge};
use super::writer::{Opened, Room, Writer};

/// How a table is opened.
#[derive(Debug, Clone)]
pub(crate) struct TableOptions {
    pub(crate) limits: Limits,
    pub(crate) retention: Retention,
    pub(crate) room: Room,
    pub(crate) hash_bits: HashBits,
    pub(crate) cache: Arc<Cache>,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            retention: Retention::default(),
            room: Room::default(),
            hash_bits: HashBits::Full,
            cache: Arc::new(Cache::new(0)),
        }
    }
}

/// Opens the table in a folder; the answer tells of a repair, if there was one.
pub(super) fn open_table(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    (table, incarnation): (u64, u64),
    options: &TableOptions,
) -> Result<(Writer, Option<Recovery>), StorageError> {
    // A manifest that was just replaced when the process ended may not be durable yet, and what
    // follows removes files that the one before it names.
    disk.sync_folder(folder).map_err(StorageError::io("sync", folder))?;
    let mut manifest = Manifest::read(&**disk, folder)?;
    if (manifest.table, manifest.incarnation) != (table, incarnation) {
        let what = "this is the manifest of another table";
        return Err(StorageError::corrupt(&path_in(folder), 0, what));
    }
    let mut recovery = None;
    if manifest.left == Left::InUse {
        let (repaired, done) = repair(&**disk, folder, manifest)?;
        manifest = repaired;
        recovery = Some(done);
    }
    remove_unnamed(&**disk, folder, &manifest)?;
    Ok((load(disk, folder, manifest, options)?, recovery))
}

/// Removes what a crash may have left; what is none of ours stays.
fn remove_unnamed(disk: &dyn Disk, folder: &Path, manifest: &Manifest) -> Result<(), StorageError> {
    let names = |entry: &SegmentEntry| [file_name(entry.id), hint::file_name(entry.id)];
    let named: HashSet<String> = manifest.segments.iter().flat_map(names).collect();
    for name in disk.list(folder).map_err(StorageError::io("list", folder))? {
        let kept = name == MANIFEST_FILE || names::is_cut(&name) || named.contains(&name);
        let path = folder.join(&name);
        if !kept && names::is_table_file(&name) && names::is_file(disk, &path)? {
            disk.remove(&path).map_err(StorageError::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Fills the index from what the segments say of their keys, the highest version of each key. By
/// now each segment ends where the manifest says. Values of sealed segments are not read.
pub(super) fn load(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    manifest: Manifest,
    options: &TableOptions,
) -> Result<Writer, StorageError> {
    let Some((last, sealed)) = manifest.segments.split_last() else {
        return Err(StorageError::corrupt(&path_in(folder), 0, "the manifest names no segment"));
    };
    let mut runs = Vec::with_capacity(sealed.len());
    for entry in sealed {
        runs.push(Arc::new(open_run(&**disk, folder, &manifest, entry)?));
    }
    let segment = Arc::new(open_segment(&**disk, folder, &manifest, last)?);
    let entries = entries_of_last(&**disk, folder, &manifest, last, &segment)?;
    let counts = entries.counts;

    let version = manifest.version_floor.max(last.last_version);
    let time = manifest.time_floor.max(last.time);
    let end = last.length;
    let active = Arc::new(Active::new(segment, entries, end));
    let view = View { runs, active, memory: manifest.memory() };
    let reader = Reader::new(
        options.hash_bits,
        manifest.incarnation,
        view.clone(),
        Arc::clone(&options.cache),
    );
    let segments = view.runs.iter().map(|run| &run.segment).chain([&view.active.segment]);
    let slots: Vec<u32> = segments.map(|segment| reader.add_segment(Arc::clone(segment))).collect();
    let (reader, usage) = fill(reader, &view, &slots, options.hash_bits)?;
    Ok(Writer::new(Opened {
        disk: Arc::clone(disk),
        folder: folder.to_owned(),
        limits: options.limits,
        retention: options.retention,
        room: options.room,
        reader: Arc::new(reader),
        slot: slots.last().copied().unwrap_or_default(),
        sealed: view.runs.iter().zip(&slots).map(|(run, slot)| Sealed::new(run, *slot)).collect(),
        active: view.active,
        usage,
        end,
        counts,
        version,
        time,
        manifest,
    }))
}

fn open_segment(
    disk: &dyn Disk,
    folder: &Path,
    manifest: &Manifest,
    entry: &SegmentEntry,
) -> Result<Segment, StorageError> {
    let segment = Segment::open(disk, folder, manifest.identity(entry))?;
    let length = segment.file.length().map_err(StorageError::io("read", &segment.path))?;
    if length < entry.length {
        return Err(StorageError::corrupt(&segment.path, length, "the segment is cut"));
    }
    if length > entry.length {
        let cut = segment.file.truncate(entry.length);
        cut.map_err(StorageError::io("cut", &segment.path))?;
    }
    Ok(segment)
}

/// Opens a sealed segment with its hint, which is made if it is missing.
fn open_run(
    disk: &dyn Disk,
    folder: &Path,
    manifest: &Manifest,
    entry: &SegmentEntry,
) -> Result<Run, StorageError> {
    let segment = Arc::new(open_segment(disk, folder, manifest, entry)?);
    let identity = manifest.identity(entry);
    let bounds = (entry.length, entry.last_version, entry.time);
    if let Ok(hint) = Hint::open(Of { disk, folder, identity, length: entry.length }) {
        return Ok(Run::new(segment, identity, bounds, Sorted::Hint(Arc::new(hint))));
    }
    let entries = Entries::read(&segment, entry.length)?;
    let sorted = Sorted::Chunks(Arc::new(entries.chunks()), entries.counts);
    let run = Run::new(segment, identity, bounds, sorted);
    // Without room for it the entries stay in memory.
    let _ = run.write_hint(disk, folder);
    Ok(run)
}

/// The entries of the last segment, which goes on growing: from the hint of a clean close, or from
/// the segment.
fn entries_of_last(
    disk: &dyn Disk,
    folder: &Path,
    manifest: &Manifest,
    last: &SegmentEntry,
    segment: &Arc<Segment>,
) -> Result<Entries, StorageError> {
    let identity = manifest.identity(last);
    if let Ok(hint) = Hint::open(Of { disk, folder, identity, length: last.length }) {
        let hint = Arc::new(hint);
        let bounds = (last.length, last.last_version, last.time);
        let sorted = Sorted::Hint(Arc::clone(&hint));
        let run = [Arc::new(Run::new(Arc::clone(segment), identity, bounds, sorted))];
        let mut entries = Entries::default();
        let read = merge(&run, &[], &KeyRange::ALL, Order::Ascending).and_then(|mut merge| {
            while merge.next()? {
                if let Some((_, entry)) = merge.newest() {
                    entries.push(&entry);
                }
            }
            Ok(())
        });
        if read.is_ok() {
            entries.counts = hint.counts;
            return Ok(entries);
        }
    }
    Entries::read(segment, last.length)
}

/// Fills the index and finds out what is live.
fn fill(
    mut reader: Reader,
    view: &View,
    slots: &[u32],
    bits: HashBits,
) -> Result<(Reader, Usage), StorageError> {
    let (chunks, _) = view.active.chunks();
    let cuts = cuts(&view.runs);
    loop {
        let froms =
            [Bound::Unbounded].into_iter().chain(cuts.iter().map(|cut| Bound::Included(&**cut)));
        let tos = cuts.iter().map(|cut| Bound::Excluded(&**cut)).chain([Bound::Unbounded]);
        let part = |range: KeyRange<'_>| {
            let merge = merge(&view.runs, &chunks, &range, Order::Ascending);
            merge
                .map_err(Unfilled::from)
                .and_then(|merge| fill_part(&reader, view, slots, merge, &range))
        };
        let mut ranges = froms.zip(tos).map(|(from, to)| KeyRange { from, to });
        let first = ranges.next();
        let parts: Vec<Result<Usage, Unfilled>> = thread::scope(|scope| {
            let part = &part;
            let threads: Vec<_> = ranges.map(|range| scope.spawn(move || part(range))).collect();
            let first = first.map(part);
            // A thread that panicked has nothing to say; so does this one then.
            let others = threads.into_iter().map(|part| part.join().expect("no part panics"));
            first.into_iter().chain(others).collect()
        });
        match parts.into_iter().collect::<Result<Vec<Usage>, Unfilled>>() {
            Ok(parts) => {
                let mut usage = Usage::default();
                parts.into_iter().for_each(|part| usage.add(part));
                return Ok((reader, usage));
            }
            // Its first blocks were good: begin again without it.
            Err(Unfilled::BadHint(owner)) => {
                if let Some(run) = view.runs.get(owner) {
                    run.read_segment()?;
                }
                reader.index = Index::new(bits);
            }
            Err(Unfilled::Storage(error)) => return Err(error),
        }
    }
}

/// Keys that cut the table into parts of about equal size, for as many threads.
fn cuts(runs: &[Arc<Run>]) -> Vec<Box<[u8]>> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let mut samples: Vec<Box<[u8]>> = Vec::new();
    for run in runs {
        if let Sorted::Hint(hint) = run.sorted() {
            samples.extend(hint.samples().map(Box::from));
        }
    }
    samples.sort_unstable();
    let parts = threads.min(samples.len() / LEAST_SAMPLES).max(1);
    let mut cuts: Vec<Box<[u8]>> =
        (1..parts).filter_map(|part| samples.get(part * samples.len() / parts).cloned()).collect();
    cuts.dedup();
    cuts
}

/// Why a part of the index is not filled.
enum Unfilled {
    /// The hint of the run at this place is damaged.
    BadHint(usize),
    Storage(StorageError),
}

impl From<BadSource> for Unfilled {
    fn from(BadSource(owner): BadSource) -> Self {
        Self::BadHint(owner)
    }
}

fn fill_part(
    reader: &Reader,
    view: &View,
    slots: &[u32],
    mut merge: Merge,
    range: &KeyRange<'_>,
) -> Result<Usage, Unfilled> {
    let mut usage = Usage::default();
    let mut found = Vec::with_capacity(FOUND_TOGETHER);
    while merge.next()? {
        let Some((owner, newest)) = merge.newest() else {
            continue;
        };
        if !range.reaches(Order::Ascending, newest.key) {
            break;
        }
        if newest.kind != Kind::Set {
            continue;
        }
        let slot = slots.get(owner).copied().unwrap_or(u32::MAX);
        let Some(location) = Location::new(slot, newest.offset, newest.record_bytes()) else {
            let what = "the segment is longer than any that is written";
            let path = &view.segment(owner).path;
            return Err(Unfilled::Storage(StorageError::corrupt(path, newest.offset, what)));
        };
        usage.moved(None, Some(location));
        usage.will_end(location, newest.expires);
        found.push((reader.index.hash(newest.key), location));
        if found.len() == FOUND_TOGETHER {
            reader.index.insert_all(&mut found);
        }
    }
    reader.index.insert_all(&mut found);
    Ok(usage)
}

/// So many keys go into the index together: 4 MiB of them.
const FOUND_TOGETHER: usize = 256 * 1024;
/// A start-up with many threads waits for the memory, not for them.
const MOST_THREADS: usize = 8;
/// A part of fewer samples, 64 KiB of entries each, is not worth a thread.
const LEAST_SAMPLES: usize = 16;
