//! Compaction: what is still needed of a sealed segment, copied into a new one.
//!
//! It runs beside writes and reads, and only reads what they share. The writer takes the result
//! between two groups ([`super::adopt`]); until then nobody knows of the new segment, and a crash
//! leaves a file that the manifest does not name.
//!
//! - A record is copied if the index names it now. What the index does not name has been replaced
//!   for good; a record that is replaced while it is copied is a copy in vain, no more.
//! - A delete, or a record that has expired, is dropped if no other sealed segment has an older
//!   version of its key, as their hints tell: that one would come back at the next start. The
//!   active segment has only newer ones. If another segment cannot be read, all of them stay.
//! - A copy keeps its version and its expiry.
//! - What is copied is verified. A victim that does not verify is damaged, and is left alone.
//!
//! Next file to read: [`super::adopt`].

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::disk::{Disk, read_full, write_all};
use super::error::StorageError;
use super::hint::{self, Counts, Digest, HintEntry, HintReader};
use super::index::{KeyHash, Location};
use super::merge::{BadSource, Merge, Source};
use super::reader::Reader;
use super::record::{COMMIT_BYTES, Commit, HEADER_BYTES, Header, Kind};
use super::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentIdentity, file_name};

/// A sealed segment, as compaction needs it.
#[derive(Debug, Clone)]
pub(super) struct Input {
    pub(super) segment: Arc<Segment>,
    pub(super) slot: u32,
    pub(super) identity: SegmentIdentity,
    pub(super) length: u64,
    pub(super) last_version: u64,
    pub(super) time: u64,
}

/// A compaction to be run.
#[derive(Debug)]
pub(crate) struct Compaction {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) folder: PathBuf,
    pub(super) reader: Arc<Reader>,
    pub(super) victim: Input,
    pub(super) others: Vec<Input>,
    /// The segment that it makes.
    pub(super) output: SegmentIdentity,
    /// Set when nobody waits for it any more.
    pub(super) cancelled: Arc<AtomicBool>,
}

/// What a compaction has come to.
#[derive(Debug)]
pub(crate) struct Compacted {
    pub(super) victim: u64,
    pub(super) output: SegmentIdentity,
    pub(super) outcome: Outcome,
}

/// How a compaction ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Everything needed is copied, durably.
    Copied(Copied),
    /// Too little would be freed. Nothing was made.
    Futile,
    /// The victim does not verify. Nothing was made.
    Damaged(StorageError),
    /// It cannot be done now. Nothing was made.
    GivenUp(StorageError),
}

/// The copy, and what the index must learn.
#[derive(Debug)]
pub(super) struct Copied {
    /// The new segment and its length, unless nothing was needed.
    pub(super) segment: Option<(Arc<Segment>, u64)>,
    pub(super) moves: Vec<Move>,
}

/// A record of the victim that the index named.
#[derive(Debug)]
pub(super) struct Move {
    pub(super) hash: KeyHash,
    pub(super) old: Location,
    /// Where its copy begins, and the record's length; nothing if it had expired.
    pub(super) copy: Option<(u64, usize)>,
}

/// What is needed of the victim.
#[derive(Debug, Default)]
struct Plan {
    /// In the order of their places in the victim.
    kept: Vec<Kept>,
    expired: Vec<Move>,
    bytes: u64,
}

#[derive(Debug)]
struct Kept {
    entry: HintEntry,
    /// Its key's hash and where it is, if the index names it; a delete is in no index.
    live: Option<(KeyHash, Location)>,
}

impl Compaction {
    /// Copies what is needed. Waits for the disk, and works at most half of the time.
    pub(crate) fn run(self) -> Compacted {
        let outcome = match self.plan() {
            Err(error) => Outcome::Damaged(error),
            Ok(plan) if plan.bytes + self.victim.length / LEAST_FREED > self.victim.length => {
                Outcome::Futile
            }
            Ok(plan) => match self.copy(plan) {
                Ok(copied) => Outcome::Copied(copied),
                Err(outcome) => {
                    remove_files(&*self.disk, &self.folder, self.output.id);
                    outcome
                }
            },
        };
        Compacted { victim: self.victim.identity.id, output: self.output, outcome }
    }

    /// Finds out what is needed, from hints alone if they are good.
    fn plan(&self) -> Result<Plan, StorageError> {
        let mut bad_hints = HashSet::new();
        let mut others: &[Input] = &self.others;
        loop {
            let mut sources = vec![self.source(&self.victim, bad_hints.contains(&0))?];
            for (place, other) in (1..).zip(others) {
                match self.source(other, bad_hints.contains(&place)) {
                    Ok(source) => sources.push(source),
                    Err(_) => break,
                }
            }
            if sources.len() <= others.len() {
                // Nobody knows what that one holds.
                others = &[];
                sources.truncate(1);
            }
            let proof = match others.len() == self.others.len() {
                true => Proof::Complete,
                false => Proof::Missing,
            };
            match self.plan_from(sources, proof) {
                Ok(plan) => return Ok(plan),
                Err(BadSource(place)) => bad_hints.insert(place),
            };
        }
    }

    fn source(&self, input: &Input, is_bad: bool) -> Result<Source, StorageError> {
        let hint = || HintReader::open(&*self.disk, &self.folder, input.identity, input.length);
        if !is_bad && let Ok(hint) = hint() {
            return Ok(Source::Hint(Box::new(hint)));
        }
        let digest = Digest::of(&input.segment, input.length)?;
        Ok(Source::Digest(digest.entries.into_iter()))
    }

    fn plan_from(&self, sources: Vec<Source>, proof: Proof) -> Result<Plan, BadSource> {
        let now = self.reader.time();
        let index = &self.reader.index;
        let mut plan = Plan { bytes: LEAST_BYTES, ..Plan::default() };
        let mut merge = Merge::new(sources)?;
        let mut entries = Vec::new();
        loop {
            merge.next(&mut entries)?;
            if entries.is_empty() {
                break;
            }
            let Some(place) = entries.iter().position(|(source, _)| *source == 0) else {
                continue;
            };
            // Versions descend: what follows is older.
            let is_last = proof == Proof::Complete && place + 1 == entries.len();
            let (_, entry) = entries.swap_remove(place);
            let hash = index.hash(&entry.key);
            let at = Location::new(self.victim.slot, entry.offset, entry.record_bytes());
            let named = at.filter(|at| index.candidates(hash).iter().any(|named| named == *at));
            match (entry.kind, named) {
                (Kind::Set, Some(old)) if is_last && entry.expires <= now => {
                    plan.expired.push(Move { hash, old, copy: None });
                }
                (Kind::Set, Some(old)) => plan.keep(entry, Some((hash, old))),
                (Kind::Delete, _) if !is_last => plan.keep(entry, None),
                (Kind::Set | Kind::Delete | Kind::Commit, _) => {}
            }
        }
        plan.kept.sort_unstable_by_key(|kept| kept.entry.offset);
        Ok(plan)
    }

    fn copy(&self, plan: Plan) -> Result<Copied, Outcome> {
        let mut copied = Copied { segment: None, moves: plan.expired };
        if plan.kept.is_empty() {
            return Ok(copied);
        }
        let segment = Segment::create(&*self.disk, &self.folder, self.output);
        let segment = Arc::new(segment.map_err(Outcome::GivenUp)?);
        let mut digest = Digest::default();
        let mut end = SEGMENT_HEADER_BYTES;
        let mut group = Vec::new();
        let mut record = Vec::new();
        let mut records = 0;
        let mut started = Instant::now();
        let mut kept = plan.kept.into_iter().peekable();
        while let Some(Kept { mut entry, live }) = kept.next() {
            let header = self.read(&entry, &mut record).map_err(Outcome::Damaged)?;
            let offset = end + group.len() as u64;
            group.extend_from_slice(&header.encode(segment.seed, offset));
            group.extend_from_slice(record.get(HEADER_BYTES..).unwrap_or_default());
            records += 1;
            if let Some((hash, old)) = live {
                let copy = Some((offset, entry.record_bytes()));
                copied.moves.push(Move { hash, old, copy });
            }
            entry.offset = offset;
            digest.counts = Counts {
                records: digest.counts.records + 1,
                key_bytes: digest.counts.key_bytes + entry.key.len() as u64,
            };
            digest.entries.push(entry);
            if group.len() < GROUP_BYTES && kept.peek().is_some() {
                continue;
            }
            let commit = Commit {
                version: self.victim.last_version,
                time: self.victim.time,
                durable: SEGMENT_HEADER_BYTES,
                start: end,
                records,
            };
            let at = end + group.len() as u64;
            group.extend_from_slice(&commit.encode(segment.seed, at));
            let written = write_all(&*segment.file, &group, end);
            written.map_err(StorageError::io("write", &segment.path)).map_err(Outcome::GivenUp)?;
            end += group.len() as u64;
            group.clear();
            records = 0;
            if self.cancelled.load(Ordering::Relaxed) {
                let error = std::io::ErrorKind::Interrupted.into();
                return Err(Outcome::GivenUp(StorageError::io("write", &segment.path)(error)));
            }
            if kept.peek().is_some() {
                // As long a rest as the work took: others want the disk as well.
                std::thread::sleep(started.elapsed());
                started = Instant::now();
            }
        }
        // It takes the victim's place: it must be there after a crash before the victim is gone.
        let synced = segment.file.sync_data().map_err(StorageError::io("sync", &segment.path));
        synced.map_err(Outcome::GivenUp)?;
        digest.entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        // Without a hint the next start reads the segment.
        let _ = digest.write(&*self.disk, &self.folder, self.output, end);
        copied.segment = Some((segment, end));
        Ok(copied)
    }

    /// Reads a whole record of the victim and verifies it.
    fn read(&self, entry: &HintEntry, record: &mut Vec<u8>) -> Result<Header, StorageError> {
        let segment = &self.victim.segment;
        record.clear();
        record.resize(entry.record_bytes(), 0);
        let filled = read_full(&*segment.file, record, entry.offset)
            .map_err(StorageError::io("read", &segment.path))?;
        let header = Header::decode(record, segment.seed, entry.offset);
        let body = record.get(HEADER_BYTES..).unwrap_or_default();
        let fits = |header: &Header| {
            filled == record.len()
                && header.kind == entry.kind
                && header.version == entry.version
                && header.fits_body(body)
                && body.starts_with(&entry.key)
        };
        header.filter(fits).ok_or_else(|| {
            let what = "a record that is still needed does not verify";
            StorageError::corrupt(&segment.path, entry.offset, what)
        })
    }
}

impl Plan {
    fn keep(&mut self, entry: HintEntry, live: Option<(KeyHash, Location)>) {
        self.bytes += entry.record_bytes() as u64;
        self.kept.push(Kept { entry, live });
    }
}

/// Whether all other sealed segments have told what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Complete,
    Missing,
}

/// Removes a segment that the manifest does not name, and its hint.
pub(super) fn remove_files(disk: &dyn Disk, folder: &std::path::Path, id: u64) {
    // Opening removes them, should this fail.
    let _ = disk.remove(&folder.join(file_name(id)));
    let _ = disk.remove(&folder.join(hint::file_name(id)));
}

/// What a copy has beside its records, further groups apart.
const LEAST_BYTES: u64 = SEGMENT_HEADER_BYTES + COMMIT_BYTES as u64;
/// The copies go into groups of this size, with a rest after each.
const GROUP_BYTES: usize = 1 << 20;
/// At least this part of a victim must be freed for it to be copied: an eighth.
const LEAST_FREED: u64 = 8;
