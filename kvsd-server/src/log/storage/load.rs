//! Opening a table: repair if need be, then every segment read back into the index.
//!
//! Next file to read: [`super::store`].

use std::path::Path;
use std::sync::Arc;

use super::disk::Disk;
use super::error::StorageError;
use super::index::{HashBits, Location};
use super::manifest::{Left, MANIFEST_FILE, Manifest, SegmentEntry, path_in};
use super::reader::Reader;
use super::record::{HEADER_BYTES, Kind};
use super::repair::{CUT_EXTENSION, repair};
use super::rotation::Limits;
use super::scan::{Entry, Groups};
use super::segment::{Segment, file_name};
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

/// Opens the table in a folder.
pub(super) fn open_table(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    (table, incarnation): (u64, u64),
    options: TableOptions,
) -> Result<Writer, StorageError> {
    // A manifest that was just replaced when the process ended may not be durable yet, and what
    // follows removes files that the one before it names.
    disk.sync_folder(folder).map_err(StorageError::io("sync", folder))?;
    let mut manifest = Manifest::read(&**disk, folder)?;
    if (manifest.table, manifest.incarnation) != (table, incarnation) {
        let what = "this is the manifest of another table";
        return Err(StorageError::corrupt(&path_in(folder), 0, what));
    }
    if manifest.left == Left::InUse {
        manifest = repair(&**disk, folder, manifest)?;
    }
    remove_unnamed(&**disk, folder, &manifest)?;
    load(disk, folder, manifest, options)
}

/// Removes what a crash may have left.
fn remove_unnamed(disk: &dyn Disk, folder: &Path, manifest: &Manifest) -> Result<(), StorageError> {
    let named: Vec<String> = manifest.segments.iter().map(|entry| file_name(entry.id)).collect();
    for name in disk.list(folder).map_err(StorageError::io("list", folder))? {
        let kept = name == MANIFEST_FILE || name.ends_with(CUT_EXTENSION) || named.contains(&name);
        if !kept {
            let path = folder.join(name);
            disk.remove(&path).map_err(StorageError::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Reads every segment back; by now each of them ends where the manifest says.
pub(super) fn load(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    manifest: Manifest,
    options: TableOptions,
) -> Result<Writer, StorageError> {
    let reader = Arc::new(Reader::new(options.hash_bits));
    let mut last = None;
    for entry in &manifest.segments {
        let segment = Arc::new(Segment::open(&**disk, folder, manifest.identity(entry))?);
        if segment.file.length().is_ok_and(|length| length > entry.length) {
            let cut = segment.file.truncate(entry.length);
            cut.map_err(StorageError::io("cut", &segment.path))?;
        }
        let slot = reader.add_segment(Arc::clone(&segment));
        let counts = load_segment(&reader, &segment, slot, entry)?;
        last = Some((segment, slot, entry, counts));
    }
    let Some((active, slot, entry, counts)) = last else {
        return Err(StorageError::corrupt(&path_in(folder), 0, "the manifest names no segment"));
    };
    let version = manifest.version_floor.max(entry.last_version);
    let time = manifest.time_floor.max(entry.time);
    let end = entry.length;
    Ok(Writer::new(Opened {
        disk: Arc::clone(disk),
        folder: folder.to_owned(),
        limits: options.limits,
        reader,
        active,
        slot,
        end,
        records: counts.records,
        key_bytes: counts.key_bytes,
        version,
        time,
        manifest,
    }))
}

#[derive(Debug, Default)]
struct Counts {
    records: u64,
    key_bytes: u64,
}

fn load_segment(
    reader: &Reader,
    segment: &Segment,
    slot: u32,
    entry: &SegmentEntry,
) -> Result<Counts, StorageError> {
    let bytes = segment.read_up_to(entry.length)?;
    let mut groups = Groups::new(&bytes, segment.seed);
    let mut entries = Vec::new();
    let mut buffer = Vec::new();
    let mut counts = Counts::default();
    loop {
        match groups.next(&mut entries) {
            Ok(Some(_)) => {}
            Ok(None) if groups.position() == entry.length => return Ok(counts),
            Ok(None) => {
                let what = "the segment is cut";
                return Err(StorageError::corrupt(&segment.path, groups.position(), what));
            }
            Err(damage) => {
                let what = "a durable record does not verify";
                return Err(StorageError::corrupt(&segment.path, damage.at, what));
            }
        }
        for entry in &entries {
            load_entry(reader, (segment, slot, &groups), entry, &mut buffer)?;
            counts.records += 1;
            counts.key_bytes += entry.key.len() as u64;
        }
    }
}

fn load_entry(
    reader: &Reader,
    (segment, slot, groups): (&Segment, u32, &Groups<'_>),
    entry: &Entry<'_>,
    buffer: &mut Vec<u8>,
) -> Result<(), StorageError> {
    let index = &reader.index;
    let hash = index.hash(entry.key);
    let mut old = None;
    for candidate in index.candidates(hash).iter() {
        // Most candidates are in the segment at hand; only the others take a call to the system.
        let is_key = match candidate.slot() == slot as usize {
            true => groups.key_at(candidate.offset()) == Some(entry.key),
            false => reader.is_key_at(candidate, entry.key, buffer)?,
        };
        if is_key {
            old = Some(candidate);
            break;
        }
    }
    let record_bytes = HEADER_BYTES + entry.header.body_bytes();
    let new = Location::new(slot, entry.offset, record_bytes);
    match (entry.header.kind, old, new) {
        (Kind::Set, None, Some(new)) => index.insert(hash, new),
        (Kind::Set, Some(old), Some(new)) => index.replace(hash, old, new),
        (Kind::Delete, Some(old), _) => index.remove(hash, old),
        (Kind::Delete | Kind::Commit, _, _) => {}
        (Kind::Set, _, None) => {
            let what = "the segment is longer than any that is written";
            return Err(StorageError::corrupt(&segment.path, entry.offset, what));
        }
    }
    Ok(())
}
