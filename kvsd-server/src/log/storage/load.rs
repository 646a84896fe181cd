//! Opening a table: repair if need be, then the index filled from the segments' hints.
//!
//! Next file to read: [`super::store`].

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::adopt::{Rest, Sealed};
use super::disk::Disk;
use super::error::StorageError;
use super::hint::{self, Counts, Digest, HintReader};
use super::index::{HashBits, Index, Location};
use super::manifest::{Left, MANIFEST_FILE, Manifest, SegmentEntry, path_in};
use super::merge::{BadSource, Merge, Source};
use super::names;
use super::reader::Reader;
use super::record::Kind;
use super::repair::{Recovery, repair};
use super::rotation::Limits;
use super::segment::{Segment, file_name};
use super::usage::Usage;
use super::writer::{Opened, Writer};

/// How a table is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableOptions {
    pub(crate) limits: Limits,
    pub(crate) hash_bits: HashBits,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self { limits: Limits::default(), hash_bits: HashBits::Full }
    }
}

/// Opens the table in a folder; the answer tells of a repair, if there was one.
pub(super) fn open_table(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    (table, incarnation): (u64, u64),
    options: TableOptions,
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
    options: TableOptions,
) -> Result<Writer, StorageError> {
    let mut reader = Reader::new(options.hash_bits);
    let mut segments = Vec::with_capacity(manifest.segments.len());
    for entry in &manifest.segments {
        let segment = Arc::new(open_segment(&**disk, folder, &manifest, entry)?);
        let slot = reader.add_segment(Arc::clone(&segment));
        segments.push(Loaded { segment, slot });
    }
    let mut bad_hints = HashSet::new();
    let (counts, usage) = loop {
        let (sources, counts) = sources(&**disk, folder, &manifest, &segments, &bad_hints)?;
        match fill(&reader, &segments, sources)? {
            Filled::Whole(usage) => break (counts, usage),
            // Its first blocks were good: begin again without it.
            Filled::BadHint(place) => {
                bad_hints.insert(place);
                reader.index = Index::new(options.hash_bits);
            }
        }
    };
    let (Some(active), Some(entry)) = (segments.pop(), manifest.segments.last()) else {
        return Err(StorageError::corrupt(&path_in(folder), 0, "the manifest names no segment"));
    };
    let version = manifest.version_floor.max(entry.last_version);
    let time = manifest.time_floor.max(entry.time);
    let end = entry.length;
    Ok(Writer::new(Opened {
        disk: Arc::clone(disk),
        folder: folder.to_owned(),
        limits: options.limits,
        reader: Arc::new(reader),
        active: active.segment,
        slot: active.slot,
        sealed: segments.into_iter().map(Loaded::into_sealed).collect(),
        usage,
        end,
        records: counts.records,
        key_bytes: counts.key_bytes,
        version,
        time,
        manifest,
    }))
}

/// A segment that is open.
#[derive(Debug)]
struct Loaded {
    segment: Arc<Segment>,
    slot: u32,
}

impl Loaded {
    fn into_sealed(self) -> Sealed {
        Sealed { segment: self.segment, slot: self.slot, rest: Rest::Ready }
    }
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

/// What each segment says of its keys, from its hint if that is good; and the counts of the last.
fn sources(
    disk: &dyn Disk,
    folder: &Path,
    manifest: &Manifest,
    segments: &[Loaded],
    bad_hints: &HashSet<usize>,
) -> Result<(Vec<Source>, Counts), StorageError> {
    let mut sources = Vec::with_capacity(segments.len());
    let mut counts = Counts::default();
    for (place, (entry, loaded)) in manifest.segments.iter().zip(segments).enumerate() {
        let identity = manifest.identity(entry);
        let hint = || HintReader::open(disk, folder, identity, entry.length).ok();
        if !bad_hints.contains(&place)
            && let Some(hint) = hint()
        {
            counts = hint.counts;
            sources.push(Source::Hint(Box::new(hint)));
            continue;
        }
        let digest = Digest::of(&loaded.segment, entry.length)?;
        counts = digest.counts;
        // The last segment goes on growing. Without room for a hint, the next start reads again.
        let is_sealed = place + 1 < segments.len();
        let hint = match is_sealed && digest.write(disk, folder, identity, entry.length).is_ok() {
            true => hint(),
            false => None,
        };
        sources.push(match hint {
            Some(hint) if !bad_hints.contains(&place) => Source::Hint(Box::new(hint)),
            _ => Source::Digest(digest.entries.into_iter()),
        });
    }
    Ok((sources, counts))
}

/// How filling the index ended.
enum Filled {
    Whole(Usage),
    /// The hint of the segment at this place is damaged.
    BadHint(usize),
}

fn fill(
    reader: &Reader,
    segments: &[Loaded],
    sources: Vec<Source>,
) -> Result<Filled, StorageError> {
    let mut merge = match Merge::new(sources) {
        Ok(merge) => merge,
        Err(BadSource(place)) => return Ok(Filled::BadHint(place)),
    };
    let mut usage = Usage::default();
    let mut entries = Vec::new();
    loop {
        if let Err(BadSource(place)) = merge.next(&mut entries) {
            return Ok(Filled::BadHint(place));
        }
        let Some((place, newest)) = entries.first() else {
            return Ok(Filled::Whole(usage));
        };
        if newest.kind != Kind::Set {
            continue;
        }
        let Some(loaded) = segments.get(*place) else {
            continue;
        };
        let Some(location) = Location::new(loaded.slot, newest.offset, newest.record_bytes())
        else {
            let what = "the segment is longer than any that is written";
            return Err(StorageError::corrupt(&loaded.segment.path, newest.offset, what));
        };
        usage.moved(None, Some(location));
        reader.index.insert(reader.index.hash(&newest.key), location);
    }
}
