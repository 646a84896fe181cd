//! What a table's files hold: every record that verifies, and every place that does not.
//!
//! Keeps the keys in memory, and where the newest record of each stands; never the values.
//!
//! Next file to read: [`super::hints`].

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::ops::Range;
use std::path::PathBuf;

use super::hints::{self, WrongHint};
use super::plan::Extent;
use super::readable::read_readable;
use super::walk::{Step, Walk};
use super::{Damage, DataFolder, TableFolder};
use crate::log::storage::chunk::Entries;
use crate::log::storage::disk::read_full;
use crate::log::storage::error::StorageError;
use crate::log::storage::groups::{Record, content_end};
use crate::log::storage::hint::Of;
use crate::log::storage::record::{Commit, HEADER_BYTES, Header, Kind};
use crate::log::storage::segment::Segment;

/// What a table's files hold.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// How many records verify, overwritten ones and deletes included.
    pub(crate) records: u64,
    /// How many bytes the segments have, reserved room left out.
    pub(crate) bytes: u64,
    pub(crate) damages: Vec<Damage>,
    /// Hints that are of no use, if they were looked at: no damage.
    pub(crate) wrong_hints: Vec<WrongHint>,
    /// What a crash has left unfinished: no damage.
    pub(crate) torn: Option<Torn>,
    pub(super) newest: BTreeMap<Box<[u8]>, Newest>,
    /// The highest version and clock reading that the table has shown or recorded.
    pub(super) version: u64,
    pub(super) time: u64,
    segments: Vec<Segment>,
}

/// The end of a log that was written and never synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Torn {
    pub(crate) file: PathBuf,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// Where a key's newest record stands.
#[derive(Debug)]
pub(super) struct Newest {
    pub(super) version: u64,
    pub(super) kind: Kind,
    expires: u64,
    segment: usize,
    offset: u64,
    /// The record's length.
    pub(super) bytes: usize,
}

/// A record with its value.
#[derive(Debug)]
pub(crate) struct Live<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) version: u64,
    /// Milliseconds since 1970, or [`super::NEVER`].
    pub(crate) expires: u64,
}

/// Whether hints are compared with their segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hints {
    /// They are, which takes some memory for the keys of one segment.
    Checked,
    /// They are not looked at.
    LeftAlone,
}

/// Which records count as there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expired {
    /// Those whose time is not up at this time.
    LeftOut {
        /// Milliseconds since 1970.
        now: u64,
    },
    /// All of them.
    Included,
}

impl DataFolder {
    /// Reads a table; `progress` hears how many bytes came.
    ///
    /// # Errors
    ///
    /// A later kvsd has written it. Everything else that is wrong is in the answer.
    pub(crate) fn survey(
        &self,
        table: &TableFolder,
        hints: Hints,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Survey, StorageError> {
        let mut survey = Survey::default();
        for planned in self.plan(table, &mut survey)? {
            let opened = Segment::open(&*self.disk, &table.path, planned.identity);
            let opened = match opened {
                Err(error @ StorageError::Corrupt { .. }) => {
                    survey.damages.push(Damage::from_error(error)?);
                    // Its records verify by the identity that the manifest knows.
                    Segment::open_unchecked(&*self.disk, &table.path, planned.identity)
                }
                opened => opened,
            };
            match opened {
                Ok(segment) => {
                    // The hint of a segment that grows is an old one.
                    let of = match (hints, planned.extent) {
                        (Hints::Checked, Extent::Fixed { length, .. }) => Some(Of {
                            disk: &*self.disk,
                            folder: &table.path,
                            identity: planned.identity,
                            length,
                        }),
                        (Hints::Checked, Extent::Open { .. }) | (Hints::LeftAlone, _) => None,
                    };
                    survey.read_segment(segment, planned.extent, of, progress)?;
                }
                Err(error) => survey.damages.push(Damage::from_error(error)?),
            }
        }
        Ok(survey)
    }
}

impl Survey {
    /// How many keys have a value.
    pub(crate) fn live_keys(&self, expired: Expired) -> usize {
        self.newest.values().filter(|newest| self.is_live(newest, expired)).count()
    }

    /// Reads the records that have a value, in the order of their keys, until `each` fails.
    pub(crate) fn each_live<E: From<StorageError>>(
        &self,
        expired: Expired,
        mut each: impl FnMut(Live<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut buffer = Vec::new();
        for (key, newest) in &self.newest {
            if self.is_live(newest, expired) {
                each(self.read(key, newest, &mut buffer)?)?;
            }
        }
        Ok(())
    }

    fn is_live(&self, newest: &Newest, expired: Expired) -> bool {
        newest.kind == Kind::Set
            && match expired {
                Expired::LeftOut { now } => newest.expires > now.max(self.time),
                Expired::Included => true,
            }
    }

    /// Reads a key's newest record.
    pub(super) fn read<'s>(
        &self,
        key: &'s [u8],
        newest: &Newest,
        buffer: &'s mut Vec<u8>,
    ) -> Result<Live<'s>, StorageError> {
        let Some(segment) = self.segments.get(newest.segment) else {
            return Err(StorageError::corrupt(&PathBuf::new(), 0, "a record has no segment"));
        };
        buffer.resize(newest.bytes, 0);
        read_full(&*segment.file, buffer, newest.offset)
            .map_err(StorageError::io("read", &segment.path))?;
        let header = Header::decode(buffer, segment.seed, newest.offset);
        let body = buffer.get(HEADER_BYTES..).unwrap_or_default();
        match header.filter(|header| header.fits_body(body)).zip(body.strip_prefix(key)) {
            Some((Header { version, expires, .. }, value)) => {
                Ok(Live { key, value, version, expires })
            }
            None => {
                let what = "a record does not verify any more";
                Err(StorageError::corrupt(&segment.path, newest.offset, what))
            }
        }
    }

    fn read_segment(
        &mut self,
        segment: Segment,
        extent: Extent,
        hint: Option<Of<'_>>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), StorageError> {
        let (limit, durable) = match extent {
            Extent::Fixed { length, .. } => (length, length),
            Extent::Open { durable } => (u64::MAX, durable),
        };
        let read = match read_readable(&segment, limit, progress) {
            Ok(read) => read,
            Err(error) => {
                self.damages.push(Damage::from_error(error)?);
                return Ok(());
            }
        };
        // A crash tears what was not synced, but makes nothing unreadable.
        let durable = read.gaps.last().map_or(durable, |gap| durable.max(gap.end));
        let place = self.segments.len();
        let damages_before = self.damages.len();
        let mut walk = Walk::new(&read.bytes, segment.seed, durable);
        let mut entries = Vec::new();
        let mut hinted = Entries::default();
        let mut last = 0;
        let end = loop {
            let step = walk.next(&mut entries);
            for entry in &entries {
                self.add(place, entry);
                if hint.is_some() {
                    hinted.push(&entry.entry());
                }
            }
            match step {
                Step::Group(commit) => {
                    self.check_versions(&segment, &entries, &commit, last);
                    last = commit.version;
                    self.version = self.version.max(commit.version);
                    self.time = self.time.max(commit.time);
                }
                Step::Damage(place) => {
                    let what = match read.is_unreadable(&place) {
                        true => "the disk does not read it",
                        false => "a durable record does not verify",
                    };
                    self.damage(&segment, place, what);
                }
                Step::Torn(from) => {
                    let to = content_end(&read.bytes) as u64;
                    // Zeros are room that was reserved.
                    if to > from {
                        self.torn = Some(Torn { file: segment.path.clone(), from, to });
                    }
                    break from;
                }
                Step::End(at) => {
                    // What was found damaged before may be why the end is not where it should be.
                    if at < walk.durable() && self.damages.len() == damages_before {
                        self.damage(&segment, at..walk.durable(), "the segment is cut");
                    }
                    break at;
                }
            }
        };
        if let Extent::Fixed { last_version, .. } = extent
            && last > last_version
        {
            self.damage(&segment, end..end, "its versions are above the manifest's last one");
        }
        // Beside damage nobody knows what the hint should say.
        if let Some(of) = hint
            && self.damages.len() == damages_before
        {
            self.wrong_hints.extend(hints::check(of, &hinted));
        }
        self.bytes += end;
        self.segments.push(segment);
        Ok(())
    }

    fn add(&mut self, segment: usize, entry: &Record<'_>) {
        self.records += 1;
        self.version = self.version.max(entry.header.version);
        let new = Newest {
            version: entry.header.version,
            kind: entry.header.kind,
            expires: entry.header.expires,
            segment,
            offset: entry.offset,
            bytes: HEADER_BYTES + entry.header.body_bytes(),
        };
        match self.newest.entry(entry.key.into()) {
            Slot::Vacant(slot) => {
                slot.insert(new);
            }
            Slot::Occupied(mut slot) if slot.get().version <= new.version => {
                slot.insert(new);
            }
            Slot::Occupied(_) => {}
        }
    }

    fn check_versions(
        &mut self,
        segment: &Segment,
        entries: &[Record<'_>],
        commit: &Commit,
        before: u64,
    ) {
        if commit.version < before {
            self.damage(segment, commit.start..commit.start, "a group's version goes back");
        }
        let misfit = |entry: &&Record<'_>| !(1..=commit.version).contains(&entry.header.version);
        if let Some(entry) = entries.iter().find(misfit) {
            let what = "a record's version is not one of its group's";
            self.damage(segment, entry.offset..entry.offset, what);
        }
    }

    fn damage(&mut self, segment: &Segment, place: Range<u64>, what: &str) {
        self.damages.push(Damage {
            file: segment.path.clone(),
            from: place.start,
            to: place.end,
            what: what.to_owned(),
        });
    }
}
