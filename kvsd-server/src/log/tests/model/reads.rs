//! Reads of keys, pages of scans, and the changes since a version, each compared with the model at
//! its moment.

use std::ops::Bound;

use bytes::Bytes;
use kvsd::UnixMillis;

use super::run::{KEYS, Run, key_of};
use crate::log::storage::entry::{KeyRange, Order};
use crate::log::storage::error::StorageError;
use crate::log::storage::history::{History, HistoryRequest};
use crate::log::storage::page::{Detail, Page, PageRequest};
use crate::log::storage::reader::{Access, ReadError, Reader};
use crate::log::storage::record::NEVER;
use crate::log::tests::history::{Checked, Found, ModelChange, ModelRecord, Snapshot, Told};

/// What is asked of a scan.
#[derive(Debug, Clone)]
struct Scan {
    range: (Bound<Bytes>, Bound<Bytes>),
    order: Order,
    detail: Detail,
    records: usize,
    bytes: usize,
}

impl Scan {
    fn all(order: Order, detail: Detail) -> Self {
        let range = (Bound::Unbounded, Bound::Unbounded);
        Self { range, order, detail, records: usize::MAX, bytes: usize::MAX }
    }

    fn request(&self, now: u64) -> PageRequest<'_> {
        fn bound(bound: &Bound<Bytes>) -> Bound<&[u8]> {
            bound.as_ref().map(|key| &key[..])
        }
        let range = KeyRange { from: bound(&self.range.0), to: bound(&self.range.1) };
        let Self { order, detail, records, bytes, .. } = *self;
        PageRequest { range, order, detail, records, bytes, now }
    }

    fn contains(&self, key: &Bytes) -> bool {
        let is_behind = match &self.range.0 {
            Bound::Unbounded => true,
            Bound::Included(from) => key >= from,
            Bound::Excluded(from) => key > from,
        };
        is_behind
            && match &self.range.1 {
                Bound::Unbounded => true,
                Bound::Included(to) => key <= to,
                Bound::Excluded(to) => key < to,
            }
    }
}

/// A key, its version, and the rest of its record, if that was asked for.
type Row = (Bytes, u64, Option<u64>, Option<Bytes>);

/// All records of a table, expired or not, read key by key.
pub(super) fn records_of(reader: &Reader) -> Result<Snapshot, ReadError> {
    let mut found = Snapshot::new();
    let mut buffer = Vec::new();
    for key in (0..KEYS).map(key_of) {
        let Some(hit) = reader.find(&key, &mut buffer, Access::Wait)? else {
            continue;
        };
        let record = ModelRecord {
            version: hit.version,
            expires: (hit.expires != NEVER).then_some(hit.expires),
            value: Bytes::copy_from_slice(&buffer[hit.value]),
        };
        found.insert(key, record);
    }
    Ok(found)
}

impl Run {
    /// All records, expired or not; `None` if the disk is down.
    pub(super) fn everything(&self) -> Checked<Option<Snapshot>> {
        let Some((_, _, reader)) = &self.table else {
            return Ok(None);
        };
        match records_of(reader) {
            Ok(found) => Ok(Some(found)),
            Err(_) if self.is_failing() => Ok(None),
            Err(error) => Err(format!("cannot read: {error:?}")),
        }
    }

    /// What was read after opening must be allowed, and so must be what scans and watches are told.
    pub(super) fn check_opened(&mut self, records: Snapshot) -> Checked<bool> {
        let Some((_, _, reader)) = &self.table else {
            return Ok(false);
        };
        let (version, time) = (reader.version(), reader.time().max(self.compacted_at));
        let found = Found { records, incarnation: reader.incarnation(), version, time };
        let tell = |since| match told(reader, since, 3, usize::MAX) {
            Ok((changes, _)) => Ok(changes),
            Err(error) => Err(format!("cannot read the changes: {error:?}")),
        };
        match self.history.reopened(found, tell) {
            Err(_) if self.is_failing() => return Ok(false),
            result => result?,
        }
        self.scan_everything()
    }

    /// Reads all records and compares them with what they must be.
    pub(crate) fn read_everything(&self) -> Checked<()> {
        match self.everything()? {
            Some(found) if self.history.is_shown(&found) => {}
            found => return Err(format!("read {found:?}, not {:?}", self.history.shown)),
        }
        self.scan_everything()?;
        self.tell_changes(0, 5, usize::MAX).map(|_| ())
    }

    fn scan_everything(&self) -> Checked<bool> {
        for detail in [Detail::Keys, Detail::Records] {
            for order in [Order::Ascending, Order::Descending] {
                if self.page(&Scan::all(order, detail))?.is_none() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    pub(super) fn read(&mut self) -> Checked<bool> {
        let key = key_of(self.random.below(KEYS));
        let Some((_, _, reader)) = &self.table else {
            return Ok(false);
        };
        let mut buffer = Vec::new();
        let hit = match reader.find(&key, &mut buffer, Access::Cached) {
            Err(ReadError::NotCached) => reader.find(&key, &mut buffer, Access::Wait),
            answer => answer,
        };
        let expected = self.history.shown.get(&key);
        match (hit, expected) {
            (Ok(None), None) => Ok(true),
            // What has expired counts as absent, whether compaction has dropped it yet or not.
            (Ok(None), Some(record)) if self.history.has_expired(record.expires) => Ok(true),
            (Ok(Some(hit)), None) if self.history.has_expired(Some(hit.expires)) => Ok(true),
            (Ok(Some(hit)), Some(record))
                if hit.version == record.version && buffer[hit.value.clone()] == record.value =>
            {
                Ok(true)
            }
            // An injected fault, or the end.
            (Err(ReadError::Storage(error)), _) if !is_corrupt(&error) => {
                Ok(!self.disk.has_crashed())
            }
            (hit, expected) => Err(format!("read {hit:?}, expected {expected:?}")),
        }
    }

    /// Scans a random range in pages; between two of them other things happen.
    pub(crate) fn scan(&mut self) -> Checked<bool> {
        let mut bound = || {
            let key = key_of(self.random.below(KEYS));
            match self.random.below(4) {
                0 => Bound::Included(key),
                1 => Bound::Excluded(key),
                _ => Bound::Unbounded,
            }
        };
        let range = (bound(), bound());
        let mut scan = Scan {
            range,
            order: if self.random.percent(50) { Order::Ascending } else { Order::Descending },
            detail: if self.random.percent(50) { Detail::Keys } else { Detail::Records },
            records: 1 + self.random.below(6),
            bytes: [1, 80, usize::MAX][self.random.below(3)],
        };
        loop {
            let Some(page) = self.page(&scan)? else {
                return Ok(!self.disk.has_crashed());
            };
            let Some(last) = page.last.map(Bytes::from) else {
                return Ok(true);
            };
            match scan.order {
                Order::Ascending => scan.range.0 = Bound::Excluded(last),
                Order::Descending => scan.range.1 = Bound::Excluded(last),
            }
            let goes_on = match self.random.below(6) {
                0 => self.rotate()?,
                1 | 2 => self.tidy_beside_writes()?,
                3 => {
                    let batch = self.batch();
                    self.write(&batch)?
                }
                _ => true,
            };
            if !goes_on || self.disk.has_crashed() {
                return Ok(false);
            }
        }
    }

    /// A page, which must be what the model has now; `None` if it cannot be read for now.
    fn page(&self, scan: &Scan) -> Checked<Option<Page>> {
        let Some((_, _, reader)) = &self.table else {
            return Ok(None);
        };
        let now = reader.time().max(self.now);
        let page = match reader.page(&scan.request(now)) {
            Ok(page) => page,
            Err(error) if !is_corrupt(&error) && self.is_failing() => return Ok(None),
            Err(error) => return Err(format!("cannot read a page: {error:?}")),
        };
        let found = rows(&page, scan.detail);
        let mut expected: Vec<Row> = Vec::new();
        for (key, record) in &self.history.shown {
            if scan.contains(key) && record.expires.is_none_or(|end| end > now) {
                let value = (scan.detail == Detail::Records).then(|| record.value.clone());
                expected.push((key.clone(), record.version, record.expires, value));
            }
        }
        if scan.order == Order::Descending {
            expected.reverse();
        }
        let (here, rest) = expected.split_at_checked(found.len()).unwrap_or((&expected, &[]));
        let bytes = |rows: &[Row]| {
            let row = |(key, _, _, value): &Row| key.len() + value.as_ref().map_or(0, Bytes::len);
            rows.iter().map(row).sum::<usize>()
        };
        let is_full = rest.first().is_none_or(|next| {
            found.len() >= scan.records
                || bytes(here) + bytes(std::slice::from_ref(next)) > scan.bytes
        });
        let is_small = found.len() <= 1 || bytes(here) <= scan.bytes;
        let ends = match (&page.last, found.last()) {
            (None, _) => rest.is_empty(),
            (Some(last), Some((key, ..))) => last == key && !rest.is_empty(),
            (Some(_), None) => false,
        };
        match found == here && found.len() <= scan.records && is_full && is_small && ends {
            true => Ok(Some(page)),
            false => Err(format!("{scan:?} gave {page:?}, expected {expected:?}")),
        }
    }

    /// Reads what has changed since a version that somebody may know.
    pub(crate) fn changes(&mut self) -> Checked<bool> {
        let places = self.history.places();
        let place = places[self.random.below(places.len())];
        let since = match self.random.below(8) {
            0 => place + 1,
            1 => place.saturating_sub(1),
            _ => place,
        };
        let bytes = [1, 100, usize::MAX][self.random.below(3)];
        let count = 1 + self.random.below(9);
        self.tell_changes(since, count, bytes)
    }

    fn tell_changes(&self, since: u64, count: usize, bytes: usize) -> Checked<bool> {
        let Some((_, _, reader)) = &self.table else {
            return Ok(false);
        };
        let (told, until) = match told(reader, since, count, bytes) {
            Ok(told) => told,
            Err(error) if !is_corrupt(&error) && self.is_failing() => {
                return Ok(!self.disk.has_crashed());
            }
            Err(error) => return Err(format!("cannot read the changes: {error:?}")),
        };
        let expected = self.history.since(since, reader.version());
        let fits = match (&told, &expected) {
            (None, Told::Gap | Told::ChangesOrGap(_)) => true,
            (Some(told), Told::Changes(expected) | Told::ChangesOrGap(expected)) => {
                told == expected && until == reader.version()
            }
            (None, Told::Changes(_)) | (Some(_), Told::Gap) => false,
        };
        match fits {
            true => Ok(true),
            false => Err(format!("since {since}: {told:?} up to {until}, not {expected:?}")),
        }
    }
}

fn rows(page: &Page, detail: Detail) -> Vec<Row> {
    let mut rest = &page.bytes[..];
    let mut rows = Vec::new();
    for record in &page.records {
        let (key, behind) = rest.split_at(record.key_bytes);
        let (value, behind) = behind.split_at(record.value_bytes);
        rest = behind;
        let value = (detail == Detail::Records).then(|| Bytes::copy_from_slice(value));
        let expires = record.expires_at.map(UnixMillis::get);
        rows.push((Bytes::copy_from_slice(key), record.version.get(), expires, value));
    }
    rows
}

/// Every change since a version, and up to where that is all; `None` if there is a gap.
pub(crate) fn told(
    reader: &Reader,
    since: u64,
    count: usize,
    bytes: usize,
) -> Result<(Option<Vec<ModelChange>>, u64), StorageError> {
    let mut told: Vec<ModelChange> = Vec::new();
    let mut since = since;
    loop {
        let request = HistoryRequest { since, changes: count, bytes, most_write_bytes: usize::MAX };
        let History::Changes(page) = reader.history(&request)? else {
            return Ok((None, since));
        };
        if page.changes.is_empty() {
            return Ok((Some(told), page.until));
        }
        let mut rest = &page.bytes[..];
        for change in &page.changes {
            let (key, behind) = rest.split_at(change.key_bytes);
            let (value, behind) = behind.split_at(change.value_bytes.unwrap_or_default());
            rest = behind;
            let record = change
                .value_bytes
                .map(|_| (Bytes::copy_from_slice(value), change.expires_at.map(UnixMillis::get)));
            let key = Bytes::copy_from_slice(key);
            let version = change.version.get();
            // No write in two pages, and none of them twice.
            assert!(since < version && version <= page.until, "{version} after {since}");
            told.push(ModelChange { version, key, record });
        }
        since = page.until;
    }
}

fn is_corrupt(error: &StorageError) -> bool {
    matches!(error, StorageError::Corrupt { .. })
}
