//! The long polls of a watch: asks, waits for the answer, goes on where it ended, and pauses after
//! a failure.
//!
//! Knows changes as bytes; what they are is [`super::watch`]'s business, the next file to read. At
//! most one page is in memory.

use std::future::Future;
use std::iter::Peekable;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::vec;

use bytes::Bytes;
use tokio::time::Sleep;

use super::Source;
use super::token::{Begun, WatchToken};
use crate::client::Client;
use crate::connection::answer::{Answer, RecordAt};
use crate::error::Error;
use crate::operation::{Call, Draft, Selection, WatchDraft, refused};
use crate::pool::backoff::{doubled, jitter};
use crate::protocol::v2::{MAX_WAIT_MILLIS, Position};
use crate::types::Version;

/// The changes of a watch, or that some are not known.
pub(crate) struct Changes {
    pub(crate) source: Source,
    select: Result<Selection, Error>,
    /// Where the next request begins; `None` where the table is when it is answered.
    since: Option<Position>,
    /// How far the changes have been handed out.
    told: Option<WatchToken>,
    /// What was told before the watch began, of the first batch that it meets.
    known: Option<Begun>,
    page: Peekable<vec::IntoIter<RecordAt>>,
    state: State,
    /// Requests that failed since the last one that did not.
    failures: u32,
}

enum State {
    New,
    /// Between two requests.
    Idle,
    Asked(Box<Call<'static>>),
    /// After a failure.
    Pausing(Pin<Box<Sleep>>),
    Ended,
}

/// What a watch comes upon.
pub(crate) enum Found {
    Change(RecordAt),
    /// What lies before the token is not known any more.
    Gap(WatchToken),
}

/// The longest pause after the first failure; it doubles with each one that follows. A random part
/// of its second half is left out.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl Changes {
    pub(crate) fn new(client: &Client, select: Result<Selection, Error>) -> Self {
        Self {
            source: Source::new(client, "watch"),
            select,
            since: None,
            told: None,
            known: None,
            page: Vec::new().into_iter().peekable(),
            state: State::New,
            failures: 0,
        }
    }

    /// Begins behind this, unless the watch has begun.
    pub(crate) fn begin_behind(&mut self, token: WatchToken) {
        if let State::New = self.state {
            self.since = Some(token.position);
            self.known = token.begun;
            self.told = Some(token);
        }
    }

    pub(crate) fn told(&self) -> Option<&WatchToken> {
        self.told.as_ref()
    }

    /// Finds out where the watch begins.
    pub(crate) fn poll_begin(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<WatchToken>, Error>> {
        while self.told.is_none() {
            match ready!(self.poll_request(context)) {
                // The answer has the token.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => break,
            }
        }
        Poll::Ready(Ok(self.told.clone()))
    }

    /// What comes next; `None` once the watch has ended.
    pub(crate) fn poll_found(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Found, Error>>> {
        loop {
            while let Some(mut change) = self.page.next() {
                if self.tell(change.version) == Told::Now {
                    // Not to keep the whole page for a key.
                    change.key = Bytes::copy_from_slice(&change.key);
                    return Poll::Ready(Some(Ok(Found::Change(change))));
                }
            }
            match ready!(self.poll_request(context)) {
                Some(Ok(None)) => {}
                Some(Ok(Some(gap))) => return Poll::Ready(Some(Ok(Found::Gap(gap)))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    /// Takes a change of the page as told, unless it was told before the watch began.
    fn tell(&mut self, version: Version) -> Told {
        let when = match &mut self.known {
            Some(known) if known.version == version && known.changes > 0 => {
                known.changes -= 1;
                Told::Before
            }
            Some(_) | None => Told::Now,
        };
        let (Some(until), Some(token)) = (self.since, &mut self.told) else {
            return when;
        };
        match self.page.peek() {
            // A page never ends inside a batch.
            None => *token = WatchToken { position: until, begun: None },
            Some(next) if next.version != version => {
                let position = Position { version: version.get(), ..until };
                *token = WatchToken { position, begun: None };
            }
            Some(_) if when == Told::Before => {}
            Some(_) => {
                let begun = token.begun.filter(|begun| begun.version == version);
                let changes = begun.map_or(0, |begun| begun.changes) + 1;
                token.begun = Some(Begun { version, changes });
            }
        }
        when
    }

    /// Has one request answered: with a page, or with a gap. `None` once the watch has ended.
    fn poll_request(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Option<WatchToken>, Error>>> {
        loop {
            match &mut self.state {
                State::Ended => return Poll::Ready(None),
                State::Pausing(pause) => {
                    ready!(pause.as_mut().poll(context));
                    self.state = State::Idle;
                }
                State::New | State::Idle => match &self.select {
                    Ok(select) => self.state = State::Asked(Box::new(self.ask(select.clone()))),
                    Err(error) => {
                        let error = self.source.explain(error.clone());
                        self.state = State::Ended;
                        return Poll::Ready(Some(Err(error)));
                    }
                },
                State::Asked(call) => {
                    let answer = ready!(call.poll(context));
                    let answer = answer.and_then(|answer| match answer {
                        Answer::News { until, changes } => Ok((until, Some(changes))),
                        Answer::Gap { now } => Ok((now, None)),
                        other => Err(refused(other)),
                    });
                    return Poll::Ready(Some(match call.finish(answer) {
                        Ok((until, changes)) => Ok(self.take(until, changes)),
                        Err(error) => {
                            self.fail(&error);
                            Err(error)
                        }
                    }));
                }
            }
        }
    }

    fn ask(&self, select: Selection) -> Call<'static> {
        let wait_millis = if self.since.is_some() { MAX_WAIT_MILLIS } else { 0 };
        let draft = WatchDraft { since: self.since, wait_millis, select };
        self.source.ask(Draft::Watch(draft), Duration::from_millis(wait_millis))
    }

    /// Takes a page, or a gap, which is the answer.
    fn take(&mut self, until: Position, changes: Option<Vec<RecordAt>>) -> Option<WatchToken> {
        let here = WatchToken { position: until, begun: None };
        (self.state, self.failures) = (State::Idle, 0);
        let is_gap = changes.is_none();
        if is_gap {
            // Its versions may come again, of a table that has nothing of the one before.
            self.known = None;
        }
        self.page = changes.unwrap_or_default().into_iter().peekable();
        self.since = Some(until);
        match &mut self.told {
            // From now on it is about the table that was asked.
            Some(told) if self.page.peek().is_some() => {
                told.position.incarnation = until.incarnation;
            }
            Some(_) | None => self.told = Some(here.clone()),
        }
        is_gap.then_some(here)
    }

    /// Pauses, or ends if trying again does not help.
    fn fail(&mut self, error: &Error) {
        self.state = match error.is_retryable() {
            true => {
                let pause = jitter(doubled(FIRST_PAUSE, self.failures, LONGEST_PAUSE));
                State::Pausing(Box::pin(tokio::time::sleep(pause)))
            }
            false => State::Ended,
        };
        self.failures = self.failures.saturating_add(1);
    }
}

/// When a change was handed out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Before,
    Now,
}
