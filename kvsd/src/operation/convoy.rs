//! Requests in a row, one after the other, in as few messages as hold them.
//!
//! A message takes a bounded number of requests and of bytes, and so does its answer: a server
//! stops once the answer is full, and what it did not get to is sent again, in order. Next file to
//! read: [`super::many`].

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::call::refused;
use super::{Call, Draft, Item};
use crate::client::Client;
use crate::connection::answer::Answer;
use crate::connection::verb::{Effect, Verb};
use crate::error::{Error, ErrorKind, Outcome};
use crate::protocol::v2::{ANSWER_BYTES, Expiry, FailCode, MAX_BATCH};

/// Requests on their way, and the answers so far.
pub(crate) struct Convoy<'c> {
    call: Call<'c>,
    items: Arc<[Item]>,
    /// The requests of the message that is on its way; empty before the first.
    current: Range<usize>,
    answers: Vec<Answer>,
    /// What keeps the first message from being sent, told at the first poll.
    fault: Option<Error>,
}

impl<'c> Convoy<'c> {
    pub(crate) fn new(
        client: &'c Client,
        name: &'static str,
        items: Result<Vec<Item>, Error>,
    ) -> Self {
        let (items, fault) = match items {
            Ok(items) => (items, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        // What the call asks is said with each message.
        let call = Call::new(client, name, Ok(Draft::Ping));
        Self { call, items: items.into(), current: 0..0, answers: Vec::new(), fault }
    }

    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        self.call.set_timeout(timeout);
    }

    /// Ends what the requests set at another time, unless a message with them is on its way.
    pub(crate) fn set_expiry(&mut self, expiry: Result<Expiry, Error>) {
        match (expiry, Arc::get_mut(&mut self.items)) {
            (Err(error), _) => self.spoil(error),
            (Ok(expiry), Some(items)) => {
                items.iter_mut().for_each(|item| item.draft.set_expiry(Some(expiry)));
            }
            (Ok(_), None) => {}
        }
    }

    pub(crate) fn into_owned(self) -> Convoy<'static> {
        let Self { call, items, current, answers, fault } = self;
        Convoy { call: call.into_owned(), items, current, answers, fault }
    }

    /// As [`Call::finish`].
    pub(crate) fn finish<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        self.call.finish(result)
    }

    /// What is asked, unless a message is on its way.
    pub(super) fn load(&mut self, items: Vec<Item>) {
        if self.answers.is_empty() && self.current.is_empty() {
            self.items = items.into();
        }
    }

    /// Makes the operation fail with `error` when it is polled, unless it fails already.
    pub(super) fn spoil(&mut self, error: Error) {
        self.fault = self.fault.take().or(Some(error));
    }

    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    pub(super) fn client(&self) -> &Client {
        self.call.client()
    }

    /// Resolves with as many answers as there are requests.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<Answer>, Error>> {
        if let Some(fault) = self.fault.take() {
            return Poll::Ready(Err(fault));
        }
        loop {
            let done = self.answers.len();
            if done == self.items.len() {
                return Poll::Ready(Ok(std::mem::take(&mut self.answers)));
            }
            if self.current.is_empty() {
                self.current = next_message(&self.items, done);
                let (items, range) = (Arc::clone(&self.items), self.current.clone());
                self.call.again(Draft::Pipeline { items, range });
            }
            let answer = ready!(self.call.poll(context));
            let result = match answer {
                Ok(Answer::Pipeline(answers)) => self.take(answers),
                Ok(answer) => Err(refused(answer)),
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                let outcome = overall(&self.answers, error.outcome());
                return Poll::Ready(Err(error.with_outcome(outcome).at_place(done)));
            }
            self.current = 0..0;
        }
    }

    fn take(&mut self, answers: Vec<Answer>) -> Result<(), Error> {
        let asked = self.items.get(self.current.clone()).unwrap_or_default();
        let fit = |(item, answer): (&Item, &Answer)| answer.fits(item.verb());
        if answers.len() > asked.len() || !asked.iter().zip(&answers).all(fit) {
            let writes = asked.iter().any(|item| item.verb().effect() == Effect::Write);
            let outcome = if writes { Outcome::Unknown } else { Outcome::Refused };
            let detail = "the answers of a pipeline are not those to its requests";
            return Err(Error::new(ErrorKind::Protocol, outcome, detail));
        }
        self.answers.extend(answers);
        Ok(())
    }
}

/// As many of the requests from `start` on as one message takes.
fn next_message(items: &[Item], start: usize) -> Range<usize> {
    let mut bytes = 0;
    let rest = items.get(start..).unwrap_or_default();
    let fitting = rest.iter().take(MAX_BATCH).take_while(|item| {
        bytes += item.draft.bytes();
        bytes <= ANSWER_BYTES
    });
    // The first goes alone if it is too large to have company.
    start..start + fitting.count().max(1)
}

/// What can be said of all of the requests, given the answers to some and the outcome of the rest.
fn overall(answers: &[Answer], rest: Outcome) -> Outcome {
    let any = |happened| answers.iter().any(|answer| effect_of(answer) == happened);
    if any(Happened::Yes) {
        Outcome::Partly
    } else if any(Happened::Unknown) {
        Outcome::Unknown
    } else {
        rest
    }
}

/// The results, or the first request that was refused, as an error that speaks for all of them.
pub(super) fn first_refusal<T>(
    answers: Vec<Answer>,
    finish: fn(Answer) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let outcome = overall(&answers, Outcome::Refused);
    let results = answers.into_iter().enumerate().map(|(place, answer)| {
        finish(answer).map_err(|error| error.with_outcome(outcome).at_place(place))
    });
    results.collect()
}

#[derive(PartialEq, Eq)]
enum Happened {
    Yes,
    No,
    Unknown,
}

/// Whether the request with this answer has changed anything.
fn effect_of(answer: &Answer) -> Happened {
    match answer {
        Answer::Written { version: Some(_), .. } | Answer::Counter { .. } => Happened::Yes,
        Answer::Fail { code: FailCode::Unknown, .. } => Happened::Unknown,
        _ => Happened::No,
    }
}

impl Item {
    fn verb(&self) -> Verb {
        Verb::of(&self.request(""))
    }
}

/// Never shows a key or a value.
impl fmt::Debug for Convoy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {} of {} answered", self.call, self.answers.len(), self.items.len())
    }
}
