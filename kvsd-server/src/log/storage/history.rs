//! What has changed in a table since a version, read from the log.
//!
//! The segments that compaction has not touched hold every record that was written, in the order of
//! their versions. Above the history's floor ([`super::manifest`]) they are complete.
//!
//! To find where to begin in a segment, marks are left in memory, some 64 KiB apart, by those who
//! have read it before.
//!
//! Next file to read: [`super::chore`].

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
    /// A write with more bytes of keys and values is not told of: it is a gap.
    pub(crate) most_write_bytes: usize,
}

/// What a table tells of its past.
#[derive(Debug)]
pub(crate) enum History {
    /// The changes, or the first of them.
    Changes(ChangePage),
    /// They are not all there any more, or the first is too large to be told of, or the version is
    /// none that the table has reached.
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
            match read(&segment, (end, version), request, &mut page)? {
                Read::Whole => {}
                Read::PageFull => return Ok(History::Changes(page)),
                Read::TooLarge => return Ok(History::Gap),
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
    /// The write behind the version that is known is too large to be told of.
    TooLarge,
}

/// Reads a segment up to its end and to the last version that may be seen.
fn read(
    segment: &Segment,
    (end, last): (u64, u64),
    request: &HistoryRequest,
    page: &mut ChangePage,
) -> Result<Read, StorageError> {
    let mut at = segment.marks.start(request.since);
    let mut window = Window::new(end);
    // How much of the page is whole writes. None spans segments.
    let mut whole = page.place();
    while at < end {
        let header = window.header(segment, at)?;
        let next = at + (HEADER_BYTES + header.body_bytes()) as u64;
        match header.kind {
            Kind::Commit => segment.marks.add(header.version, next),
            Kind::Set | Kind::Delete if header.version <= request.since => {}
            // It may be seen in a moment. Whoever were told of it now would know a version that the
            // table has not reached.
            Kind::Set | Kind::Delete if header.version > last => break,
            Kind::Set | Kind::Delete => {
                if header.version != page.until {
                    let is_full = page.changes.len() >= request.changes.max(1)
                        || page.bytes.len() >= request.bytes.max(1);
                    if is_full {
                        return Ok(Read::PageFull);
                    }
                    whole = page.place();
                }
                let write_bytes = page.bytes.len() - whole.bytes + header.body_bytes();
                if write_bytes > request.most_write_bytes {
                    page.cut(&whole);
                    return Ok(match page.changes.is_empty() {
                        true => Read::TooLarge,
                        false => Read::PageFull,
                    });
                }
                let body = window.body(segment, at, &header)?;
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

/// A place in a page, between two writes.
#[derive(Debug, Clone, Copy)]
struct Place {
    bytes: usize,
    changes: usize,
    until: u64,
}

impl ChangePage {
    fn place(&self) -> Place {
        Place { bytes: self.bytes.len(), changes: self.changes.len(), until: self.until }
    }

    /// Forgets what stands behind a place.
    fn cut(&mut self, place: &Place) {
        self.bytes.truncate(place.bytes);
        self.changes.truncate(place.changes);
        self.until = place.until;
    }

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
#[derive(Debug)]
struct Window {
    at: u64,
    bytes: Vec<u8>,
    /// Where the segment ends for who reads it. The file may go on with room for writes to come.
    end: u64,
}

impl Window {
    fn new(end: u64) -> Self {
        Self { at: 0, bytes: Vec::new(), end }
    }

    /// The header of the record at an offset, verified.
    fn header(&mut self, segment: &Segment, at: u64) -> Result<Header, StorageError> {
        if self.behind(at).len() < HEADER_BYTES {
            self.load(segment, at, WINDOW_BYTES)?;
        }
        Header::decode(self.behind(at), segment.seed, at).ok_or_else(|| {
            StorageError::corrupt(&segment.path, at, "a record's header does not verify")
        })
    }

    /// Key and value of the record at an offset, not verified.
    fn body(&mut self, segment: &Segment, at: u64, header: &Header) -> Result<&[u8], StorageError> {
        let record_bytes = HEADER_BYTES + header.body_bytes();
        if self.behind(at).len() < record_bytes {
            self.load(segment, at, record_bytes.max(WINDOW_BYTES))?;
        }
        self.behind(at)
            .get(HEADER_BYTES..record_bytes)
            .ok_or_else(|| StorageError::corrupt(&segment.path, at, "a record is cut"))
    }

    /// What is in memory from an offset on.
    fn behind(&self, at: u64) -> &[u8] {
        let start = at.checked_sub(self.at).and_then(|start| usize::try_from(start).ok());
        start.and_then(|start| self.bytes.get(start..)).unwrap_or_default()
    }

    fn load(&mut self, segment: &Segment, at: u64, bytes: usize) -> Result<(), StorageError> {
        let left = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
        self.bytes.resize(bytes.min(left), 0);
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use kvsd::TableName;

    use super::super::group::Content;
    use super::super::load::TableOptions;
    use super::super::record::NEVER;
    use super::super::rotation::Demand;
    use super::super::sim::SimDisk;
    use super::super::store::Store;
    use super::super::writer::{Reserve, Writer};
    use super::*;

    fn write(writer: &mut Writer, version: u64) {
        writer.begin();
        let hashed = (writer.hash(b"key"), &b"key"[..]);
        let content = Content::Set { value: b"value", expires: NEVER };
        writer.append(hashed, content, version, None).unwrap();
        writer.write(version, Reserve::Keep).unwrap();
        writer.publish();
    }

    #[test]
    fn a_page_ends_with_the_version_that_the_table_has_reached() {
        let (disk, folder) = (Arc::new(SimDisk::new(1)), Path::new("/data"));
        let mut store = Store::open(disk, folder, TableOptions::default()).unwrap();
        let mut writer = store.create_table(&TableName::default()).unwrap();
        writer.prepare(&Demand::default()).unwrap();
        write(&mut writer, 1);
        write(&mut writer, 2);
        let reader = Arc::clone(writer.reader());
        let until = |since| {
            let most = usize::MAX;
            let request = HistoryRequest { since, changes: 9, bytes: most, most_write_bytes: most };
            match reader.history(&request).unwrap() {
                History::Changes(page) => (page.until, page.changes.len()),
                History::Gap => panic!("a gap behind {since}"),
            }
        };
        // As it is for a moment while the second write is published.
        reader.set_version(1);
        assert_eq!((until(0), until(1)), ((1, 1), (1, 0)));
        reader.set_version(2);
        assert_eq!((until(0), until(1), until(2)), ((2, 2), (2, 1), (2, 0)));
    }
}
