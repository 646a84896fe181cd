//! Compaction: what is still needed of sealed segments, copied into a new one.
//!
//! It runs beside writes and reads, and only reads what they share. The writer takes the result
//! between two groups ([`super::adopt`]); until then nobody knows of the new segment, and a crash
//! leaves a file that the manifest does not name.
//!
//! The entries of the victims are merged. Of each key only the newest one matters: what is older goes
//! with the victims.
//!
//! - A record is copied if the index names it now. What the index does not name has been replaced
//!   for good; a record that is replaced while it is copied is a copy in vain, no more.
//! - A delete, or a record that has expired, is dropped if no sealed segment but the victims has
//!   the key: an older version there would come back at the next start. The active segment has
//!   only newer ones. A delete goes as well if one of the others has a newer version, which hides
//!   what is older. Only for these keys the others are looked into; if one of them cannot be read,
//!   they stay.
//! - A copy keeps its version and its expiry.
//! - What is copied is verified. A victim that does not verify is damaged, and is left alone.
//!
//! Next file to read: [`super::adopt`].

use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::chunk::Entries;
use super::disk::{Disk, read_full, write_all};
use super::entry::{Entry, KeyRange, Order};
use super::error::StorageError;
use super::hint;
use super::index::{Index, KeyHash, LOOK_AHEAD, Location};
use super::merge::{BadSource, Merge};
use super::reader::Reader;
use super::record::{COMMIT_BYTES, Commit, HEADER_BYTES, Header, Kind};
use super::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentIdentity, file_name};
use super::view::{Run, Sorted, merge, merged};

/// A compaction to be run.
#[derive(Debug)]
pub(crate) struct Compaction {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) folder: PathBuf,
    pub(super) reader: Arc<Reader>,
    /// The segments to be replaced and their slots, in the order of the manifest.
    pub(super) victims: Vec<(Arc<Run>, u32)>,
    pub(super) others: Vec<Arc<Run>>,
    pub(super) purpose: Purpose,
    /// The segment that it makes.
    pub(super) output: SegmentIdentity,
    /// What ends until then has expired.
    pub(super) now: u64,
    pub(super) signals: Arc<Signals>,
}

/// What a compaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Room.
    Free,
    /// Fewer segments.
    Join,
    /// All that may go, because somebody has asked for it.
    Clear,
}

/// What a compaction is told while it runs.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// Nobody waits for it any more.
    pub(super) cancelled: AtomicBool,
    /// Room is short: no rests.
    pub(super) hurry: AtomicBool,
}

/// What a compaction has come to.
#[derive(Debug)]
pub(crate) struct Compacted {
    /// The victims' segments.
    pub(super) victims: Vec<u64>,
    pub(super) output: SegmentIdentity,
    /// What had ended until then has expired.
    pub(super) now: u64,
    pub(super) outcome: Outcome,
}

/// How a compaction ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Everything needed is copied, durably.
    Copied(Copied),
    /// Too little would be freed. Nothing was made.
    Futile,
    /// A victim does not verify. Nothing was made.
    Damaged(StorageError),
    /// It cannot be done now. Nothing was made.
    GivenUp(StorageError),
}

/// The copy, and what the index must learn.
#[derive(Debug)]
pub(super) struct Copied {
    /// The new segment, unless nothing was needed.
    pub(super) run: Option<Run>,
    pub(super) moves: Vec<Move>,
}

/// A record of a victim that the index named.
#[derive(Debug)]
pub(super) struct Move {
    pub(super) hash: KeyHash,
    pub(super) old: Location,
    /// Where its copy begins, the record's length, and when it ends; nothing if it has expired.
    pub(super) copy: Option<(u64, usize, u64)>,
}

/// What is needed of the victims.
#[derive(Debug)]
struct Plan {
    /// In the order of their places.
    kept: Vec<Kept>,
    expired: Vec<Move>,
    bytes: u64,
}

/// A record that is to be copied.
#[derive(Debug, Clone, Copy)]
struct Kept {
    victim: usize,
    offset: u64,
    bytes: usize,
    version: u64,
    kind: Kind,
    hash: KeyHash,
    /// Where it is, if the index names it; a delete is in no index.
    live: Option<Location>,
}

/// What the sealed segments beside the victims say of keys that are asked for in their order.
#[derive(Debug)]
struct Elsewhere<'c> {
    others: &'c [Arc<Run>],
    /// Where the last question has led, if there was one.
    merge: Option<Merge>,
    /// Nobody knows what one of them holds.
    is_unreadable: bool,
    /// How many keys were gone through.
    looked_at: u64,
}

/// What they say of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// None of them has it.
    Nowhere,
    /// The highest version that one of them has.
    At(u64),
    /// One of them cannot be read.
    Perhaps,
}

impl Compacted {
    /// As [`super::chore::Done::copied_bytes`].
    pub(super) fn copied_bytes(&self) -> Result<Option<u64>, ()> {
        match &self.outcome {
            Outcome::Copied(copied) => Ok(Some(copied.run.as_ref().map_or(0, |run| run.length))),
            Outcome::Futile => Ok(None),
            Outcome::Damaged(_) | Outcome::GivenUp(_) => Err(()),
        }
    }
}

impl Compaction {
    /// Copies what is needed. Waits for the disk, and works at most half of the time unless room is
    /// short.
    pub(crate) fn run(self) -> Compacted {
        let outcome = match self.plan() {
            _ if self.is_cancelled() => Outcome::Futile,
            Err(error) => Outcome::Damaged(error),
            Ok(plan) if self.is_futile(&plan) => Outcome::Futile,
            Ok(plan) => match self.copy(plan) {
                Ok(copied) => Outcome::Copied(copied),
                Err(outcome) => {
                    remove_files(&*self.disk, &self.folder, self.output.id);
                    outcome
                }
            },
        };
        let victims = self.victims.iter().map(|(run, _)| run.identity.id).collect();
        Compacted { victims, output: self.output, now: self.now, outcome }
    }

    fn is_cancelled(&self) -> bool {
        self.signals.cancelled.load(Ordering::Relaxed)
    }

    /// As long a rest as the work took, unless room is short: others want the disk and the
    /// processors as well.
    fn rest(&self, started: &mut Instant) {
        if !self.signals.hurry.load(Ordering::Relaxed) {
            std::thread::sleep(started.elapsed());
        }
        *started = Instant::now();
    }

    /// How long the victims are, in bytes.
    pub(super) fn victim_bytes(&self) -> u64 {
        self.victims.iter().map(|(run, _)| run.length).sum()
    }

    fn is_futile(&self, plan: &Plan) -> bool {
        let length = self.victim_bytes();
        match self.purpose {
            Purpose::Free => plan.bytes + length / LEAST_FREED > length,
            Purpose::Join => false,
            // What holds records together is no gain, nor are fewer segments: what was cleared is
            // not copied again for it.
            Purpose::Clear => {
                let segments = (self.victims.len() as u64).saturating_sub(1) * LEAST_BYTES;
                let commits = plan.bytes / GROUP_BYTES as u64 * COMMIT_BYTES as u64;
                plan.bytes + segments + commits >= length
            }
        }
    }

    /// Finds out what is needed, from entries alone.
    fn plan(&self) -> Result<Plan, StorageError> {
        let victims: Vec<Arc<Run>> = self.victims.iter().map(|(run, _)| Arc::clone(run)).collect();
        merged(&victims, &[], &KeyRange::ALL, Order::Ascending, |merge| self.plan_from(merge))
    }

    fn plan_from(&self, mut merge: Merge) -> Result<Plan, BadSource> {
        let index = &self.reader.index;
        let mut plan = Plan { kept: Vec::new(), expired: Vec::new(), bytes: LEAST_BYTES };
        let mut asked = Vec::new();
        let mut elsewhere = Elsewhere::new(&self.others);
        let mut started = Instant::now();
        let mut next_rest = KEYS_AT_ONCE;
        let mut looked_at = 0;
        // What a cancelled compaction has planned so far is of no use to anybody.
        while !self.is_cancelled() && merge.next()? {
            looked_at += 1;
            if looked_at + elsewhere.looked_at >= next_rest {
                self.rest(&mut started);
                next_rest += KEYS_AT_ONCE;
            }
            let Some((victim, newest)) = merge.newest() else {
                continue;
            };
            let Some((_, slot)) = self.victims.get(victim) else {
                continue;
            };
            let hash = index.hash(newest.key);
            let at = Location::new(*slot, newest.offset, newest.record_bytes());
            match (newest.kind, at) {
                (Kind::Set, Some(at)) if newest.expires > self.now => {
                    asked.push(Kept::new(victim, &newest, hash, Some(at)));
                    if asked.len() == ASKED_AT_ONCE {
                        plan.keep_named(index, &mut asked);
                    }
                }
                (Kind::Set, Some(old)) if index.is_named(hash, old) => {
                    match elsewhere.newest(newest.key) {
                        Found::Nowhere => plan.expired.push(Move { hash, old, copy: None }),
                        Found::At(_) | Found::Perhaps => {
                            plan.keep(Kept::new(victim, &newest, hash, at));
                        }
                    }
                }
                (Kind::Delete, _) => match elsewhere.newest(newest.key) {
                    Found::Nowhere => {}
                    // What is older is hidden by that one, wherever it stands.
                    Found::At(version) if version > newest.version => {}
                    Found::At(_) | Found::Perhaps => {
                        plan.keep(Kept::new(victim, &newest, hash, None));
                    }
                },
                (Kind::Set | Kind::Commit, _) => {}
            }
        }
        plan.keep_named(index, &mut asked);
        plan.kept.sort_unstable_by_key(|kept| (kept.victim, kept.offset));
        Ok(plan)
    }

    fn copy(&self, plan: Plan) -> Result<Copied, Outcome> {
        let mut copied = Copied { run: None, moves: plan.expired };
        if plan.kept.is_empty() {
            return Ok(copied);
        }
        let segment = Segment::create(&*self.disk, &self.folder, self.output);
        let segment = segment.map_err(Outcome::GivenUp)?;
        let written = |result: std::io::Result<()>| {
            result
                .map_err(|error| Outcome::GivenUp(StorageError::io("write", &segment.path)(error)))
        };
        let highest = |of: fn(&Run) -> u64| {
            self.victims.iter().map(|(run, _)| of(run)).max().unwrap_or_default()
        };
        let (last_version, time) = (highest(|run| run.last_version), highest(|run| run.time));
        let mut entries = Entries::default();
        let mut end = SEGMENT_HEADER_BYTES;
        let mut group = Vec::new();
        let mut records = 0;
        let mut window = Window::default();
        let mut started = Instant::now();
        let mut left = plan.kept.len();
        for kept in plan.kept {
            left -= 1;
            let offset = end + group.len() as u64;
            let (header, key) = self.append(&kept, &mut window, (&segment, offset), &mut group)?;
            records += 1;
            entries.push(&Entry {
                key: group.get(key).unwrap_or_default(),
                offset,
                version: header.version,
                expires: header.expires,
                value_bytes: header.value_bytes,
                kind: header.kind,
            });
            if let Some(old) = kept.live {
                let copy = Some((offset, kept.bytes, header.expires));
                copied.moves.push(Move { hash: kept.hash, old, copy });
            }
            if group.len() < GROUP_BYTES && left > 0 {
                continue;
            }
            let commit = Commit {
                version: last_version,
                time,
                durable: SEGMENT_HEADER_BYTES,
                start: end,
                records,
            };
            let at = end + group.len() as u64;
            group.extend_from_slice(&commit.encode(segment.seed, at));
            written(write_all(&*segment.file, &group, end))?;
            end += group.len() as u64;
            group.clear();
            records = 0;
            if self.is_cancelled() {
                written(Err(std::io::ErrorKind::Interrupted.into()))?;
            }
            if left > 0 {
                self.rest(&mut started);
            }
        }
        // It takes the victims' place: it must be there after a crash before they are gone.
        let synced = segment.file.sync_data().map_err(StorageError::io("sync", &segment.path));
        synced.map_err(Outcome::GivenUp)?;
        let sorted = Sorted::Chunks(Arc::new(entries.chunks()), entries.counts);
        let bounds = (end, last_version, time);
        let run = Run::new(Arc::new(segment), self.output, bounds, sorted);
        // Without a hint the entries stay in memory, and the next start reads the segment.
        let _ = run.write_hint(&*self.disk, &self.folder);
        copied.run = Some(run);
        // The writer will go through the index in this order.
        copied.moves.sort_unstable_by_key(|moved| moved.hash.get());
        Ok(copied)
    }

    /// Reads a whole record of a victim, verifies it, and adds it to the group for its new place.
    /// The answer says where in the group its key is.
    fn append(
        &self,
        kept: &Kept,
        window: &mut Window,
        (output, offset): (&Segment, u64),
        group: &mut Vec<u8>,
    ) -> Result<(Header, std::ops::Range<usize>), Outcome> {
        let Some((run, _)) = self.victims.get(kept.victim) else {
            return Err(Outcome::Futile);
        };
        let victim = &run.segment;
        let record = window.read(kept.victim, victim, kept.offset, kept.bytes);
        let record = record.map_err(Outcome::Damaged)?;
        let header = Header::decode(record, victim.seed, kept.offset);
        let body = record.get(HEADER_BYTES..).unwrap_or_default();
        let fits = |header: &Header| {
            let key = body.get(..header.key_bytes.into()).unwrap_or_default();
            header.kind == kept.kind
                && header.version == kept.version
                && header.fits_body(body)
                && self.reader.index.hash(key) == kept.hash
        };
        let header = header.filter(fits).ok_or_else(|| {
            let what = "a record that is still needed does not verify";
            Outcome::Damaged(StorageError::corrupt(&victim.path, kept.offset, what))
        })?;
        group.extend_from_slice(&header.encode(output.seed, offset));
        let key = group.len()..group.len() + usize::from(header.key_bytes);
        group.extend_from_slice(body);
        Ok((header, key))
    }
}

impl Plan {
    fn keep(&mut self, kept: Kept) {
        self.bytes += kept.bytes as u64;
        self.kept.push(kept);
    }

    /// Keeps those of the records that the index names. Takes all of them, and asks shard by shard:
    /// what is near in memory is looked at together.
    fn keep_named(&mut self, index: &Index, asked: &mut Vec<Kept>) {
        asked.sort_unstable_by_key(|kept| kept.hash.get());
        for together in asked.chunks(LOOK_AHEAD) {
            together.iter().for_each(|kept| index.fetch(kept.hash));
            let is_named = |kept: &Kept| kept.live.is_some_and(|at| index.is_named(kept.hash, at));
            together.iter().filter(|kept| is_named(kept)).for_each(|kept| self.keep(*kept));
        }
        asked.clear();
    }
}

impl Kept {
    fn new(victim: usize, entry: &Entry<'_>, hash: KeyHash, live: Option<Location>) -> Self {
        Self {
            victim,
            offset: entry.offset,
            bytes: entry.record_bytes(),
            version: entry.version,
            kind: entry.kind,
            hash,
            live,
        }
    }
}

impl<'c> Elsewhere<'c> {
    fn new(others: &'c [Arc<Run>]) -> Self {
        Self { others, merge: None, is_unreadable: false, looked_at: 0 }
    }

    /// What they have of a key that is not before the last one asked for.
    fn newest(&mut self, key: &[u8]) -> Found {
        while !self.is_unreadable {
            match self.look(key) {
                Ok(found) => return found.map_or(Found::Nowhere, Found::At),
                Err(BadSource(owner)) => {
                    self.merge = None;
                    let run = self.others.get(owner);
                    self.is_unreadable = run.is_none_or(|run| run.read_segment().is_err());
                }
            }
        }
        Found::Perhaps
    }

    fn look(&mut self, key: &[u8]) -> Result<Option<u64>, BadSource> {
        // The next key that is asked for is near, or else it is sought anew.
        for _ in 0..STEPS {
            let Some(merge) = &mut self.merge else {
                break;
            };
            match merge.newest() {
                Some((_, entry)) if entry.key == key => return Ok(Some(entry.version)),
                Some((_, entry)) if entry.key > key => return Ok(None),
                Some(_) => {}
                None => return Ok(None),
            }
            self.looked_at += 1;
            merge.next()?;
        }
        let from_here = KeyRange { from: Bound::Included(key), to: Bound::Unbounded };
        let mut merge = merge(self.others, &[], &from_here, Order::Ascending)?;
        merge.next()?;
        self.looked_at += 1;
        let found = merge.newest().filter(|(_, entry)| entry.key == key);
        let version = found.map(|(_, entry)| entry.version);
        self.merge = Some(merge);
        Ok(version)
    }
}

/// A stretch of a victim in memory, so that records side by side are read together.
#[derive(Debug, Default)]
struct Window {
    victim: usize,
    at: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The record of this length at this offset; shorter if the file is.
    fn read(
        &mut self,
        victim: usize,
        segment: &Segment,
        offset: u64,
        bytes: usize,
    ) -> Result<&[u8], StorageError> {
        let reaches = |window: &Self| {
            let end = offset.checked_sub(window.at).map(|from| from + bytes as u64);
            window.victim == victim && end.is_some_and(|end| end <= window.bytes.len() as u64)
        };
        if !reaches(self) {
            self.bytes.resize(bytes.max(WINDOW_BYTES), 0);
            let filled = read_full(&*segment.file, &mut self.bytes, offset)
                .map_err(StorageError::io("read", &segment.path))?;
            self.bytes.truncate(filled);
            (self.victim, self.at) = (victim, offset);
        }
        let from = usize::try_from(offset - self.at).unwrap_or(usize::MAX);
        let rest = self.bytes.get(from..).unwrap_or_default();
        Ok(rest.get(..bytes).unwrap_or(rest))
    }
}

/// Removes a segment that the manifest does not name, and its hint.
pub(super) fn remove_files(disk: &dyn Disk, folder: &std::path::Path, id: u64) {
    // Opening removes them, should this fail.
    let _ = disk.remove(&folder.join(file_name(id)));
    let _ = disk.remove(&folder.join(hint::file_name(id)));
}

/// What a copy has beside its records, further groups apart.
const LEAST_BYTES: u64 = SEGMENT_HEADER_BYTES + COMMIT_BYTES as u64;
/// So many records are looked up in the index together.
const ASKED_AT_ONCE: usize = if cfg!(test) { 7 } else { 64 * 1024 };
/// After so many keys of the plan there is a rest.
const KEYS_AT_ONCE: u64 = 16 * 1024;
/// After so many keys that are not the one looked for it is sought from the fences on.
const STEPS: usize = 64;
/// The copies go into groups of this size, with a rest after each.
const GROUP_BYTES: usize = 1 << 20;
const WINDOW_BYTES: usize = 1 << 20;
/// At least this part of the victims must be freed for them to be copied: an eighth.
const LEAST_FREED: u64 = 8;
