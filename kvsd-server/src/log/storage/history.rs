//! What has changed in a table since a version, read from the log.
//!
//! The segments that compaction has not touched hold every record that was written, in the order of
//! their versions. Above the history's floor ([`super::manifest`]) they are complete.
//!
//! To find where to begin in a segment, marks are left in memory, some 64 KiB apart, by those who
//! have read it before.
//!
//! Next file to read: [`super::chore`].

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use kvsd::{UnixMillis, Version};

use super::disk::read_full;
use super::error::StorageError;
use super::manifest::Lost;
use super::reader::Reader;
use super::record::{HEADER_BYTES, Header, Kind};
use super::segment::{SEGMENT_HEADER_BYTES, Segment};
use super::view::View;

/// Which part of a table's past its segments tell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// All changes with greater versions are there.
    pub(super) floor: u64,
    /// Versions that may have been shown and are not there.
    pub(super) lost: Lost,
}

/// What is asked of a history.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HistoryRequest {
    /// The last version that is known.
    pub(crate) since: u64,
    /// No more writes from so many changes on.
    pub(crate) changes: usize,
    /// No more writes from so many bytes of keys and values on.
    pub(crate) bytes: usize,
}

/// What a table tells of its past.
#[derive(Debug)]
pub(crate) enum History {
    /// The changes, or the first of them.
    Changes(ChangePage),
    /// They are not all there any more, or the version is none that the table has reached.
    Gap,
}

/// Changes in the order of their versions, none of a write or all of them.
#[derive(Debug, Default)]
pub(crate) struct ChangePage {
    /// Keys and values, one after the other.
    pub(crate) bytes: Vec<u8>,
    pub(crate) changes: Vec<PageChange>,
    /// The page tells everything up to this version.
    pub(crate) until: u64,
}

/// A change of a page; its bytes follow those of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageChange {
    pub(crate) key_bytes: usize,
    /// Nothing if the record was deleted.
    pub(crate) value_bytes: Option<usize>,
    pub(crate) version: Version,
    pub(crate) expires_at: Option<UnixMillis>,
}

/// Places in a segment by version, for who reads it again.
#[derive(Debug, Default)]
pub(super) struct Marks(Mutex<Vec<Mark>>);

#[derive(Debug, Clone, Copy)]
struct Mark {
    /// The highest version before the place.
    version: u64,
    offset: u64,
}

impl Marks {
    /// The last place known that has only versions up to this one before it.
    fn start(&self, version: u64) -> u64 {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = marks.partition_point(|mark| mark.version <= version);
        let mark = before.checked_sub(1).and_then(|place| marks.get(place));
        mark.map_or(SEGMENT_HEADER_BYTES, |mark| mark.offset)
    }

    fn add(&self, version: u64, offset: u64) {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = marks.last().map_or(SEGMENT_HEADER_BYTES, |mark| mark.offset);
        if offset >= last + MARK_BYTES {
            marks.push(Mark { version, offset });
        }
    }
}

impl Reader {
    /// What has changed since a version. Waits for the disk.
    pub(crate) fn history(&self, request: &HistoryRequest) -> Result<History, StorageError> {
        // Before the view: whatever has this version is in it.
        let version = self.version();
        let view = self.view();
        let Memory { floor, lost } = view.memory;
        let since = request.since;
        let is_lost = since > lost.after && since < lost.before;
        if since < floor || since > version || is_lost {
            return Ok(History::Gap);
        }
        let mut page = ChangePage { until: since, ..ChangePage::default() };
        for (segment, end) in segments_behind(&view, since) {
            if read(&segment, end, request, &mut page)? == Read::PageFull {
                return Ok(History::Changes(page));
            }
        }
        page.until = page.until.max(version);
        Ok(History::Changes(page))
    }
}

/// The segments with greater versions, and up to where they may be read.
fn segments_behind(view: &View, since: u64) -> impl Iterator<Item = (Arc<Segment>, u64)> {
    let runs = view.runs.iter().filter(move |run| run.last_version > since);
    let runs = runs.map(|run| (Arc::clone(&run.segment), run.length));
    runs.chain([(Arc::clone(&view.active.segment), view.active.end())])
}

/// How reading a segment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    Whole,
    PageFull,
}

fn read(
    segment: &Segment,
    end: u64,
    request: &HistoryRequest,
    page: &mut ChangePage,
) -> Result<Read, StorageError> {
    let mut at = segment.marks.start(request.since);
    let mut window = Window::default();
    while at < end {
        let (header, body) = window.record(segment, at)?;
        let next = at + (HEADER_BYTES + header.body_bytes()) as u64;
        match header.kind {
            Kind::Commit => segment.marks.add(header.version, next),
            Kind::Set | Kind::Delete if header.version <= request.since => {}
            Kind::Set | Kind::Delete => {
                let is_full = page.changes.len() >= request.changes.max(1)
                    || page.bytes.len() >= request.bytes.max(1);
                if is_full && header.version != page.until {
                    return Ok(Read::PageFull);
                }
                let body = window.bytes.get(body).unwrap_or_default();
                if !header.fits_body(body) {
                    let what = "a record's checksum does not fit";
                    return Err(StorageError::corrupt(&segment.path, at, what));
                }
                page.add(&header, body);
            }
        }
        at = next;
    }
    Ok(Read::Whole)
}

impl ChangePage {
    fn add(&mut self, header: &Header, body: &[u8]) {
        // Every record that is written has such a version.
        let Some(version) = Version::new(header.version) else {
            return;
        };
        self.until = header.version;
        self.bytes.extend_from_slice(body);
        self.changes.push(PageChange {
            key_bytes: header.key_bytes.into(),
            value_bytes: (header.kind == Kind::Set).then_some(header.value_bytes as usize),
            version,
            expires_at: UnixMillis::new(header.expires),
        });
    }
}

/// A stretch of a segment in memory.
#[derive(Debug, Default)]
struct Window {
    at: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The record at an offset: its header, which is verified, and where its body is.
    fn record(
        &mut self,
        segment: &Segment,
        at: u64,
    ) -> Result<(Header, Range<usize>), StorageError> {
        let damaged = |what| StorageError::corrupt(&segment.path, at, what);
        let decode = |bytes: &[u8]| {
            let header = Header::decode(bytes, segment.seed, at);
            header.ok_or_else(|| damaged("a record's header does not verify"))
        };
        if self.behind(at).len() < HEADER_BYTES {
            self.load(segment, at, WINDOW_BYTES)?;
        }
        let header = decode(self.behind(at))?;
        let record_bytes = HEADER_BYTES + header.body_bytes();
        if self.behind(at).len() < record_bytes {
            self.load(segment, at, record_bytes.max(WINDOW_BYTES))?;
        }
        if self.behind(at).len() < record_bytes {
            return Err(damaged("a record is cut"));
        }
        let start = usize::try_from(at - self.at).unwrap_or(usize::MAX);
        Ok((header, start + HEADER_BYTES..start + record_bytes))
    }

    /// What is in memory from an offset on.
    fn behind(&self, at: u64) -> &[u8] {
        let start = at.checked_sub(self.at).and_then(|start| usize::try_from(start).ok());
        start.and_then(|start| self.bytes.get(start..)).unwrap_or_default()
    }

    fn load(&mut self, segment: &Segment, at: u64, bytes: usize) -> Result<(), StorageError> {
        self.bytes.resize(bytes, 0);
        let filled = read_full(&*segment.file, &mut self.bytes, at)
            .map_err(StorageError::io("read", &segment.path))?;
        self.bytes.truncate(filled);
        self.at = at;
        Ok(())
    }
}

/// How far apart marks are, at least.
const MARK_BYTES: u64 = 64 * 1024;
const WINDOW_BYTES: usize = 256 * 1024;
