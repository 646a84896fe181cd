//! A page of a scan: the live records of a range, in order, as they are at one moment.
//!
//! A page pins one view, so that it shows every group as a whole or not at all, and whatever moves
//! meanwhile. The next page shows a later moment: a key that nobody touches comes once, others as
//! they are then.
//!
//! Next file to read: [`super::history`].

use std::sync::Arc;

use kvsd::{UnixMillis, Version};

use super::disk::read_full;
use super::entry::{KeyRange, Order};
use super::error::StorageError;
use super::merge::{BadSource, Merge};
use super::reader::Reader;
use super::record::{HEADER_BYTES, Header, Kind};
use super::segment::Segment;
use super::view::{View, merged};

/// What is asked of a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageRequest<'a> {
    pub(crate) range: KeyRange<'a>,
    pub(crate) order: Order,
    pub(crate) detail: Detail,
    /// The most records, from 1.
    pub(crate) records: usize,
    /// No more records from so many bytes of keys and values on.
    pub(crate) bytes: usize,
    /// What ends until then has expired.
    pub(crate) now: u64,
}

/// How much of each record a page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// All but the values, which are not read.
    Keys,
    /// All of it.
    Records,
}

/// Records in the order that was asked for.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Keys and values, one after the other.
    pub(crate) bytes: Vec<u8>,
    pub(crate) records: Vec<PageRecord>,
    /// The last key that was looked at, unless that was all of the range.
    pub(crate) last: Option<Vec<u8>>,
}

/// A record of a page; its bytes follow those of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageRecord {
    pub(crate) key_bytes: usize,
    pub(crate) value_bytes: usize,
    pub(crate) version: Version,
    pub(crate) expires_at: Option<UnixMillis>,
}

/// Where a record of a page is.
#[derive(Debug, Clone, Copy)]
struct Place {
    owner: usize,
    offset: u64,
    record_bytes: usize,
    version: u64,
    /// Where its key begins in the page.
    at: usize,
    key_bytes: usize,
}

impl Reader {
    /// Reads a page. Waits for the disk.
    pub(crate) fn page(&self, request: &PageRequest<'_>) -> Result<Page, StorageError> {
        let view = self.view();
        let (chunks, _) = view.active.chunks();
        let (range, order) = (&request.range, request.order);
        let (mut page, places) =
            merged(&view.runs, &chunks, range, order, |merge| collect(merge, request))?;
        if request.detail == Detail::Records {
            read_values(&view, &mut page, places)?;
        }
        Ok(page)
    }
}

/// Finds the records of a page, and leaves room for their values.
fn collect(mut merge: Merge, request: &PageRequest<'_>) -> Result<(Page, Vec<Place>), BadSource> {
    let mut page = Page::default();
    let mut places = Vec::new();
    let mut skipped = 0;
    while merge.next()? {
        let Some((owner, newest)) = merge.newest() else {
            continue;
        };
        if !request.range.reaches(request.order, newest.key) {
            return Ok((page, places));
        }
        let is_live = newest.kind == Kind::Set && newest.expires > request.now;
        let Some(version) = Version::new(newest.version).filter(|_| is_live) else {
            skipped += 1;
            if skipped == MOST_SKIPPED {
                page.last = Some(newest.key.to_vec());
                return Ok((page, places));
            }
            continue;
        };
        let value_bytes = match request.detail {
            Detail::Keys => 0,
            Detail::Records => newest.value_bytes as usize,
        };
        let at = page.bytes.len();
        let end = at + newest.key.len() + value_bytes;
        if let Some(last) = page.records.last()
            && (page.records.len() >= request.records || end > request.bytes)
        {
            let start = at - last.value_bytes - last.key_bytes;
            page.last = page.bytes.get(start..at - last.value_bytes).map(<[u8]>::to_vec);
            return Ok((page, places));
        }
        page.bytes.extend_from_slice(newest.key);
        page.bytes.resize(end, 0);
        page.records.push(PageRecord {
            key_bytes: newest.key.len(),
            value_bytes,
            version,
            expires_at: UnixMillis::new(newest.expires),
        });
        if request.detail == Detail::Records {
            places.push(Place {
                owner,
                offset: newest.offset,
                record_bytes: newest.record_bytes(),
                version: newest.version,
                at,
                key_bytes: newest.key.len(),
            });
        }
    }
    Ok((page, places))
}

/// Reads the values into the room that was left for them. Records side by side are read together.
fn read_values(view: &View, page: &mut Page, mut places: Vec<Place>) -> Result<(), StorageError> {
    places.sort_unstable_by_key(|place| (place.owner, place.offset));
    let mut buffer = Vec::new();
    let mut rest = &*places;
    while let Some(first) = rest.first() {
        let mut end = first.offset + first.record_bytes as u64;
        let is_near = |place: &&Place, end: u64| {
            place.owner == first.owner
                && place.offset <= end + NEAR_BYTES
                && place.offset - first.offset < SPAN_BYTES
        };
        let mut count = 1;
        while let Some(next) = rest.get(count).filter(|next| is_near(next, end)) {
            end = next.offset + next.record_bytes as u64;
            count += 1;
        }
        let (near, others) = rest.split_at(count);
        let segment = view.segment(first.owner);
        let bytes = usize::try_from(end - first.offset).unwrap_or(usize::MAX);
        if buffer.len() < bytes {
            buffer.resize(bytes, 0);
        }
        let span = buffer.get_mut(..bytes).unwrap_or_default();
        let filled = read_full(&*segment.file, span, first.offset)
            .map_err(StorageError::io("read", &segment.path))?;
        let span = buffer.get(..filled).unwrap_or_default();
        for place in near {
            let from = usize::try_from(place.offset - first.offset).unwrap_or(usize::MAX);
            copy_value(segment, place, span.get(from..).unwrap_or_default(), page)?;
        }
        rest = others;
    }
    Ok(())
}

/// Verifies a record, and copies its value to where it belongs.
fn copy_value(
    segment: &Arc<Segment>,
    place: &Place,
    bytes: &[u8],
    page: &mut Page,
) -> Result<(), StorageError> {
    let damaged = |what| StorageError::corrupt(&segment.path, place.offset, what);
    let key_end = place.at + place.key_bytes;
    let header = Header::decode(bytes, segment.seed, place.offset)
        .filter(|header| header.kind == Kind::Set && header.version == place.version)
        .ok_or_else(|| damaged("a record's header does not verify"))?;
    let body = bytes.get(HEADER_BYTES..place.record_bytes).unwrap_or_default();
    let (key, value) = body.split_at_checked(place.key_bytes).unwrap_or_default();
    if !header.fits_body(body) || page.bytes.get(place.at..key_end) != Some(key) {
        return Err(damaged("a record's checksum does not fit"));
    }
    if let Some(room) = page.bytes.get_mut(key_end..key_end + value.len()) {
        room.copy_from_slice(value);
    }
    Ok(())
}

/// A page ends after so many entries that are no live records, so that none takes for ever.
const MOST_SKIPPED: usize = 64 * 1024;
/// Records no further apart are read together, in spans that begin within this length.
const NEAR_BYTES: u64 = 512;
const SPAN_BYTES: u64 = 256 * 1024;
