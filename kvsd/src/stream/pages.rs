//! The pages of a scan: the one that is read, and the next one, which is fetched meanwhile.
//!
//! Knows records as bytes; what they are is [`super::scan`]'s business, the next file to read. At
//! most two pages are in memory.

use std::ops::Bound;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use std::vec;

use bytes::Bytes;

use super::Source;
use super::range::KeyRange;
use super::token::{Place, ScanToken};
use crate::client::Client;
use crate::connection::answer::{Answer, RecordAt};
use crate::error::{Error, ErrorKind, Outcome};
use crate::operation::argument::invalid;
use crate::operation::{Call, Draft, ScanDraft, refused};
use crate::protocol::v2::{Detail, Freshness, MAX_PAGE, Order};
use crate::types::Version;

/// The records of a scan, page by page.
pub(crate) struct Pages {
    pub(crate) source: Source,
    pub(crate) settings: Settings,
    /// What is left of the page that is read.
    page: vec::IntoIter<RecordAt>,
    /// The moment at which it stands, and so all that follow it; `None` if the server does not say.
    at: Option<Version>,
    next: Next,
    token: ScanToken,
}

/// What is asked for; read at the first poll.
pub(crate) struct Settings {
    pub(crate) range: KeyRange,
    pub(crate) order: Order,
    pub(crate) detail: Detail,
    pub(crate) page_size: Option<usize>,
    /// How many records are still to be asked for; without it, all of them.
    pub(crate) limit: Option<u64>,
    pub(crate) freshness: Freshness,
}

enum Next {
    /// Nothing has been asked yet.
    Begin,
    Asked(Box<Asked>),
    /// The last page is here.
    Whole(How),
}

/// How a scan ends behind its last page.
#[derive(Clone, Copy)]
enum How {
    /// There are no more records.
    AtEnd,
    /// As many as were wanted have come, or a page could not be had.
    Before,
}

/// A page on its way.
struct Asked {
    draft: ScanDraft,
    call: Call<'static>,
    /// Its answer, if it has come before anybody needed it.
    answer: Option<Result<Answer, Error>>,
    since: Since,
}

/// An answer: records, at which moment they stand, and behind which key the next page goes on.
struct Page {
    at: Option<Version>,
    next: Option<Bytes>,
    records: Vec<RecordAt>,
}

/// Since when a page is on its way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Since {
    /// Since before it was needed: for how long depends on who reads, and so does a failure.
    Early,
    Needed,
}

impl Pages {
    pub(crate) fn new(client: &Client, range: KeyRange) -> Self {
        let (order, detail, freshness) = (Order::Ascending, Detail::Records, Freshness::Latest);
        Self {
            source: Source::new(client, "scan"),
            settings: Settings { range, order, detail, page_size: None, limit: None, freshness },
            page: Vec::new().into_iter(),
            at: None,
            next: Next::Begin,
            token: ScanToken::default(),
        }
    }

    pub(crate) fn go_on_behind(&mut self, token: ScanToken) {
        if let Next::Begin = self.next {
            self.token = token;
        }
    }

    pub(crate) fn token(&self) -> &ScanToken {
        &self.token
    }

    /// The next record, with a key that shares no page's memory.
    pub(crate) fn poll_record(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<RecordAt, Error>>> {
        loop {
            if let Some(mut record) = self.page.next() {
                record.key = Bytes::copy_from_slice(&record.key);
                self.token.place = Place::Behind { key: record.key.clone(), at: self.at };
                return Poll::Ready(Some(Ok(record)));
            }
            match &mut self.next {
                Next::Begin => match self.first() {
                    Ok(next) => self.next = next,
                    Err(error) => {
                        self.next = Next::Whole(How::Before);
                        return Poll::Ready(Some(Err(self.source.explain(error))));
                    }
                },
                Next::Whole(How::Before) => return Poll::Ready(None),
                Next::Whole(How::AtEnd) => {
                    self.token.place = Place::End;
                    return Poll::Ready(None);
                }
                Next::Asked(asked) => match ready!(asked.poll(context)) {
                    Ok(page) => {
                        let draft = asked.draft.clone();
                        if let Err(error) = self.turn(draft, page) {
                            self.next = Next::Whole(How::Before);
                            return Poll::Ready(Some(Err(self.source.explain(error))));
                        }
                    }
                    Err(error) if asked.since == Since::Early && error.is_retryable() => {
                        let draft = asked.draft.clone();
                        self.next = self.ask(draft, Since::Needed);
                    }
                    Err(error) => {
                        self.next = Next::Whole(How::Before);
                        return Poll::Ready(Some(Err(error)));
                    }
                },
            }
        }
    }

    /// What comes first: a page, or nothing.
    fn first(&self) -> Result<Next, Error> {
        let Settings { range, order, detail, page_size, limit, freshness } = &self.settings;
        if *page_size == Some(0) {
            return Err(invalid("a page has at least one record"));
        }
        let bounds = match (range.bounds()?, limit, &self.token.place) {
            (Some(bounds), None | Some(1..), Place::Start | Place::Behind { .. }) => bounds,
            (_, Some(0), Place::Start | Place::Behind { .. }) => {
                return Ok(Next::Whole(How::Before));
            }
            _ => return Ok(Next::Whole(How::AtEnd)),
        };
        let (from, to) = bounds;
        let (order, detail, freshness) = (*order, *detail, *freshness);
        let mut draft = ScanDraft { from, to, order, detail, limit: None, freshness, at: None };
        if let Place::Behind { key, at } = &self.token.place {
            go_behind(&mut draft, key);
            draft.at = *at;
        }
        draft.limit = self.page_limit();
        Ok(self.ask(draft, Since::Needed))
    }

    /// How many records the next page may have.
    fn page_limit(&self) -> Option<u64> {
        let size = self.settings.page_size.map(|size| size.min(MAX_PAGE) as u64);
        [size, self.settings.limit].into_iter().flatten().min()
    }

    fn ask(&self, draft: ScanDraft, since: Since) -> Next {
        let call = self.source.ask(Draft::Scan(draft.clone()), Duration::ZERO);
        Next::Asked(Box::new(Asked { draft, call, answer: None, since }))
    }

    /// Begins to read a page, and has the next one fetched.
    fn turn(
        &mut self,
        mut draft: ScanDraft,
        Page { at, next, mut records }: Page,
    ) -> Result<(), Error> {
        if draft.at.is_some() && at != draft.at {
            let detail = "the page does not stand where the scan does";
            return Err(Error::new(ErrorKind::Protocol, Outcome::Refused, detail));
        }
        (self.at, draft.at) = (at, at);
        if let Some(limit) = &mut self.settings.limit {
            records.truncate(usize::try_from(*limit).unwrap_or(usize::MAX));
            *limit -= records.len() as u64;
        }
        self.page = records.into_iter();
        self.next = match (next, self.settings.limit) {
            (None, _) => Next::Whole(How::AtEnd),
            (Some(_), Some(0)) => Next::Whole(How::Before),
            (Some(key), _) => {
                // A server that leads nowhere would be asked for ever.
                if go_behind(&mut draft, &key) == Moved::Not {
                    let detail = "the next page does not begin behind this one";
                    return Err(Error::new(ErrorKind::Protocol, Outcome::Refused, detail));
                }
                draft.limit = self.page_limit();
                let mut next = self.ask(draft, Since::Early);
                if let Next::Asked(asked) = &mut next {
                    asked.begin();
                }
                next
            }
        };
        Ok(())
    }
}

impl Asked {
    /// Sends the request, if there is a connection.
    fn begin(&mut self) {
        let mut nobody = Context::from_waker(Waker::noop());
        if let Poll::Ready(answer) = self.call.poll(&mut nobody) {
            self.answer = Some(answer);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Page, Error>> {
        let answer = match self.answer.take() {
            Some(answer) => answer,
            None => ready!(self.call.poll(context)),
        };
        let page = answer.and_then(|answer| match answer {
            Answer::Page { at, next, records } => Ok(Page { at, next, records }),
            other => Err(refused(other)),
        });
        Poll::Ready(self.call.finish(page))
    }
}

/// Whether a scan begins elsewhere than before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moved {
    On,
    Not,
}

/// Lets a scan begin behind a key, unless it does already.
fn go_behind(draft: &mut ScanDraft, key: &Bytes) -> Moved {
    let (bound, order) = match draft.order {
        Order::Ascending => (&mut draft.from, std::cmp::Ordering::Less),
        Order::Descending => (&mut draft.to, std::cmp::Ordering::Greater),
    };
    match bound {
        Bound::Included(known) | Bound::Excluded(known) if key.cmp(known) == order => Moved::Not,
        Bound::Excluded(known) if known == key => Moved::Not,
        Bound::Included(_) | Bound::Excluded(_) | Bound::Unbounded => {
            *bound = Bound::Excluded(key.clone());
            Moved::On
        }
    }
}
