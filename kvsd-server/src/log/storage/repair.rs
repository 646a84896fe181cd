//! What an unclean end has left of a table, put in order before it is read back.
//!
//! Repair leaves the folder as a clean close would, with one exchange of the manifest in its
//! middle, so that a crash at any point of it is repaired by doing it again:
//!
//! 1. Read the last segment's groups up to the first that does not verify; rot is refused
//!    ([`super::groups`]).
//! 2. Keep the bytes of a torn tail aside, in a file named after the segment and the offset that
//!    ends in `.cut`; zeros are not kept.
//! 3. Write the whole groups that are not proven durable into a new segment, and sync it. They are
//!    not left where they are: after a failed sync the page cache shows bytes that the disk does
//!    not have.
//! 4. Replace the manifest: the old segment ends where it was proven durable, the new one is the
//!    last, and versions go on 2^32 above the highest that is known, so that a version that was
//!    shown and then lost never returns with other content, and no history goes on from one.
//! 5. Cut the old segment; remove what the manifest does not name.
//!
//! Next file to read: [`super::load`].

use std::path::Path;

use super::disk::{Disk, write_all};
use super::envelope::{ReplaceError, write_new};
use super::error::StorageError;
use super::groups::{Damage, Groups, Record, content_end};
use super::manifest::{Manifest, SegmentEntry};
use super::record::{COMMIT_BYTES, Commit};
use super::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentIdentity, file_name};

/// How far versions jump after an end that was not clean.
pub(super) const VERSION_JUMP: u64 = 1 << 32;
/// The end of the names of files that keep what was cut off.
pub(super) const CUT_EXTENSION: &str = ".cut";

/// What an unclean end has left of the last segment.
#[derive(Debug)]
struct Remains {
    /// Up to where the segment is proven durable.
    durable: u64,
    /// Up to where its groups are whole.
    whole: u64,
    /// The highest of the durable groups, and of all whole ones.
    durable_last: Last,
    whole_last: Last,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    version: u64,
    time: u64,
}

/// Repairs a table that was left in use; the answer is its manifest.
pub(super) fn repair(
    disk: &dyn Disk,
    folder: &Path,
    manifest: Manifest,
) -> Result<Manifest, StorageError> {
    let Some(last) = manifest.segments.last().copied() else {
        return Ok(manifest);
    };
    let segment = Segment::open(disk, folder, manifest.identity(&last))?;
    let bytes = segment.read_up_to(u64::MAX)?;
    let remains = survey(&segment, &bytes, &manifest, &last)?;
    keep_torn_tail(disk, folder, &segment, &bytes, remains.whole)?;

    let id = manifest.next_segment;
    let salt = super::random_u64()?;
    let identity = SegmentIdentity { incarnation: manifest.incarnation, id, salt };
    let length = rewrite_tail(disk, folder, (&segment, &bytes), identity, &remains)?;

    let mut repaired = manifest;
    repaired.segments.pop();
    if remains.durable > SEGMENT_HEADER_BYTES {
        let Last { version, time } = remains.durable_last;
        repaired.segments.push(SegmentEntry {
            length: remains.durable,
            last_version: version,
            time,
            ..last
        });
    }
    let Last { version, time } = remains.whole_last;
    repaired.segments.push(SegmentEntry { id, salt, length, last_version: version, time });
    repaired.next_segment = id + 1;
    repaired.version_floor = version.saturating_add(VERSION_JUMP);
    repaired.lose(version);
    repaired.time_floor = time;
    repaired.write(disk, folder).map_err(ReplaceError::into_inner)?;
    Ok(repaired)
}

/// Finds out what is whole and what is proven durable, and refuses rot.
fn survey(
    segment: &Segment,
    bytes: &[u8],
    manifest: &Manifest,
    last: &SegmentEntry,
) -> Result<Remains, StorageError> {
    let refused = |at| StorageError::corrupt(&segment.path, at, "a durable record does not verify");
    let floor = manifest.segments.iter().fold(
        Last { version: manifest.version_floor, time: manifest.time_floor },
        |floor, entry| Last {
            version: floor.version.max(entry.last_version),
            time: floor.time.max(entry.time),
        },
    );
    let mut groups = Groups::new(bytes, segment.seed);
    let mut entries = Vec::new();
    let mut durable = last.length;
    let mut ends = Vec::new();
    loop {
        match groups.next(&mut entries) {
            Ok(Some(commit)) => {
                durable = durable.max(commit.durable);
                ends.push((groups.position(), commit));
            }
            Ok(None) if groups.position() < durable => return Err(refused(groups.position())),
            Ok(None) => break,
            Err(Damage { group, at }) if group < durable => {
                debug_assert!(group <= at);
                return Err(refused(at));
            }
            Err(damage) if groups.is_rot(damage) => return Err(refused(damage.at)),
            Err(_) => break,
        }
    }
    let highest = |until: u64| {
        ends.iter().take_while(|(end, _)| *end <= until).fold(floor, |highest, (_, commit)| Last {
            version: highest.version.max(commit.version),
            time: highest.time.max(commit.time),
        })
    };
    let whole = groups.position();
    Ok(Remains { durable, whole, durable_last: highest(durable), whole_last: highest(whole) })
}

fn keep_torn_tail(
    disk: &dyn Disk,
    folder: &Path,
    segment: &Segment,
    bytes: &[u8],
    whole: u64,
) -> Result<(), StorageError> {
    let start = usize::try_from(whole).unwrap_or(usize::MAX);
    let torn = bytes.get(start..).unwrap_or_default();
    let length = content_end(torn);
    // The room that was reserved ahead comes first: on a full disk the repair may need it.
    let kept_end = whole + length as u64;
    segment.file.truncate(kept_end).map_err(StorageError::io("cut", &segment.path))?;
    match torn.get(..length) {
        Some(torn) if !torn.is_empty() => {
            let name = format!("{}-{whole:012}{CUT_EXTENSION}", file_name(segment.id));
            write_new(disk, &folder.join(name), torn)
        }
        _ => Ok(()),
    }
}

/// Makes a segment that holds, as one group, the whole groups that are not proven durable. The
/// answer is its length.
fn rewrite_tail(
    disk: &dyn Disk,
    folder: &Path,
    (old, bytes): (&Segment, &[u8]),
    identity: SegmentIdentity,
    remains: &Remains,
) -> Result<u64, StorageError> {
    let segment = Segment::create(disk, folder, identity)?;
    let whole = usize::try_from(remains.whole).unwrap_or(usize::MAX);
    let mut groups = Groups::new(bytes.get(..whole).unwrap_or_default(), old.seed);
    let mut entries = Vec::new();
    let mut group = Vec::new();
    let mut records = 0;
    loop {
        let start = groups.position();
        // These bytes have just been read without an error.
        let Ok(Some(_)) = groups.next(&mut entries) else {
            break;
        };
        if start < remains.durable {
            continue;
        }
        for Record { header, key, value, .. } in &entries {
            let offset = SEGMENT_HEADER_BYTES + group.len() as u64;
            group.extend_from_slice(&header.encode(segment.seed, offset));
            group.extend_from_slice(key);
            group.extend_from_slice(value);
            records += 1;
        }
    }
    if records == 0 {
        return Ok(SEGMENT_HEADER_BYTES);
    }
    let commit = Commit {
        version: remains.whole_last.version,
        time: remains.whole_last.time,
        durable: SEGMENT_HEADER_BYTES,
        start: SEGMENT_HEADER_BYTES,
        records,
    };
    let offset = SEGMENT_HEADER_BYTES + group.len() as u64;
    group.extend_from_slice(&commit.encode(segment.seed, offset));
    write_all(&*segment.file, &group, SEGMENT_HEADER_BYTES)
        .map_err(StorageError::io("write", &segment.path))?;
    segment.file.sync_data().map_err(StorageError::io("sync", &segment.path))?;
    Ok(offset + COMMIT_BYTES as u64)
}
