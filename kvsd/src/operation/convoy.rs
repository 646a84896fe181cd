//! Requests in a row, one after the other, in as few messages as hold them.
//!
//! A message takes a bounded number of requests and of bytes, and so does its answer: a server
//! stops once the answer is full, and what it did not get to is sent again, in order. Next file to
//! read: [`super::many`].

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use super::call::refused;
use super::{Call, Draft, Item};
use crate::client::Client;
use crate::connection::answer::Answer;
use crate::connection::verb::{Effect, Verb};
use crate::error::{Error, ErrorKind, Outcome};
use crate::pool::budget::Retries;
use crate::protocol::v2::{ANSWER_BYTES, Expiry, FailCode, MAX_BATCH};

/// Requests on their way, and the answers so far.
pub(crate) struct Convoy<'c> {
    call: Call<'c>,
    items: Arc<Vec<Item>>,
    answers: Vec<Answer>,
    stage: Stage,
    retries: Retries,
}

enum Stage {
    /// Not polled yet; what is wrong with the requests is said at the first poll.
    New(Result<(), Error>),
    /// A message with these requests is on its way.
    Asked(Range<usize>),
    /// Before those are asked again that the server could not carry out now.
    Pausing(Pin<Box<Sleep>>),
    Done,
}

/// How far a convoy came.
pub(super) struct Arrived {
    /// The answers to the first requests; to all of them, unless it failed.
    pub(super) answers: Vec<Answer>,
    pub(super) failure: Option<Failure>,
}

/// What ended a convoy early.
pub(super) struct Failure {
    error: Error,
    /// The requests of the message that failed; those behind them were never sent.
    message: Range<usize>,
}

impl<'c> Convoy<'c> {
    pub(crate) fn new(
        client: &'c Client,
        name: &'static str,
        items: Result<Vec<Item>, Error>,
    ) -> Self {
        let (items, sound) = match items {
            Ok(items) => (items, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        // What the call asks is said with each message.
        let call = Call::new(client, name, Ok(Draft::Ping));
        let (answers, stage, retries) = (Vec::new(), Stage::New(sound), Retries::default());
        Self { call, items: Arc::new(items), answers, stage, retries }
    }

    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        self.call.set_timeout(timeout);
    }

    /// What stood some time ago will do for the reads, unless a message with them is on its way.
    pub(crate) fn set_stale(&mut self) {
        if let Some(items) = Arc::get_mut(&mut self.items) {
            items.iter_mut().for_each(|item| item.draft.set_stale());
        }
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
        let Self { call, items, answers, stage, retries } = self;
        Convoy { call: call.into_owned(), items, answers, stage, retries }
    }

    /// As [`Call::finish`].
    pub(crate) fn finish<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        self.call.finish(result)
    }

    /// What is asked, unless a message is on its way.
    pub(super) fn load(&mut self, items: Vec<Item>) {
        if let Stage::New(_) = self.stage {
            self.items = Arc::new(items);
        }
    }

    /// Makes the operation fail with `error` when it is polled, unless it fails already.
    pub(super) fn spoil(&mut self, error: Error) {
        if let Stage::New(sound @ Ok(())) = &mut self.stage {
            *sound = Err(error);
        }
    }

    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    pub(super) fn client(&self) -> &Client {
        self.call.client()
    }

    /// As [`Call::address`].
    pub(super) fn address(&self) -> &Arc<str> {
        self.call.address()
    }

    /// Resolves with as many answers as there are requests.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<Answer>, Error>> {
        let Arrived { answers, failure } = ready!(self.poll_arrived(context))?;
        Poll::Ready(match failure {
            None => Ok(answers),
            Some(failure) => Err(failure.of_all(&answers)),
        })
    }

    /// Resolves with the answers that have come; fails if nothing could be asked.
    pub(super) fn poll_arrived(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Arrived, Error>> {
        loop {
            match &mut self.stage {
                Stage::New(sound) => {
                    let sound = std::mem::replace(sound, Ok(()));
                    self.stage = Stage::Done;
                    sound?;
                }
                Stage::Asked(message) => {
                    let answer = ready!(self.call.poll(context));
                    let message = std::mem::take(message);
                    self.stage = Stage::Done;
                    let taken = match answer {
                        Ok(Answer::Pipeline(answers)) => self.take(&message, answers),
                        Ok(answer) => Err(refused(answer)),
                        Err(error) => Err(error),
                    };
                    match taken {
                        Err(error) => {
                            return Poll::Ready(Ok(self.arrive(Some(Failure { error, message }))));
                        }
                        Ok(Some(pause)) => {
                            self.stage = Stage::Pausing(Box::pin(sleep(pause)));
                            continue;
                        }
                        Ok(None) => {}
                    }
                }
                Stage::Pausing(pause) => {
                    ready!(pause.as_mut().poll(context));
                    self.stage = Stage::Done;
                }
                Stage::Done => panic!("an operation was polled after it was ready"),
            }
            let done = self.answers.len();
            if done == self.items.len() {
                return Poll::Ready(Ok(self.arrive(None)));
            }
            let message = next_message(&self.items, done);
            let (items, range) = (Arc::clone(&self.items), message.clone());
            self.call.again(Draft::Pipeline { items, range });
            self.stage = Stage::Asked(message);
        }
    }

    fn arrive(&mut self, failure: Option<Failure>) -> Arrived {
        Arrived { answers: std::mem::take(&mut self.answers), failure }
    }

    /// Takes answers; the first of them, if the others are to be asked for again after a pause.
    fn take(
        &mut self,
        message: &Range<usize>,
        mut answers: Vec<Answer>,
    ) -> Result<Option<Duration>, Error> {
        let asked = self.items.get(message.clone()).unwrap_or_default();
        let fit = |(item, answer): (&Item, &Answer)| answer.fits(item.verb());
        if answers.len() > asked.len() || !asked.iter().zip(&answers).all(fit) {
            let writes = asked.iter().any(|item| item.verb().effect() == Effect::Write);
            let outcome = if writes { Outcome::Unknown } else { Outcome::Refused };
            let detail = "the answers of a pipeline are not those to its requests";
            return Err(Error::new(ErrorKind::Protocol, outcome, detail));
        }
        let undone = undone_from(asked, &answers);
        let pause = undone.and_then(|_| self.call.pause(&mut self.retries));
        match (undone, pause) {
            (Some(first), Some(_)) => answers.truncate(first),
            (Some(_), None) => {}
            (None, _) => self.retries = Retries::default(),
        }
        match self.answers.is_empty() {
            true => self.answers = answers,
            false => self.answers.extend(answers),
        }
        Ok(pause)
    }
}

impl Failure {
    /// As the error of the convoy, of which these answers have come.
    pub(super) fn of_all(&self, answers: &[Answer]) -> Error {
        let outcome = overall(answers, self.error.outcome());
        self.error.clone().with_outcome(outcome).at_place(self.message.start)
    }

    /// As the error of one request that has no answer.
    pub(super) fn of_one(&self, place: usize, item: &Item) -> Error {
        let outcome = match (self.error.outcome(), item.verb().effect()) {
            _ if !self.message.contains(&place) => Outcome::NotSent,
            // What others of its message may have done is theirs to tell.
            (Outcome::Unknown, Effect::Read) => Outcome::Refused,
            (outcome, Effect::Read | Effect::Write) => outcome,
        };
        self.error.clone().with_outcome(outcome)
    }
}

/// From which answer on the server could not carry the requests out now, and nothing has happened
/// since that asking again would do twice, or in another order.
fn undone_from(asked: &[Item], answers: &[Answer]) -> Option<usize> {
    let is_undone =
        |answer: &Answer| matches!(answer, Answer::Fail { code: FailCode::Unavailable, .. });
    let first = answers.iter().position(is_undone)?;
    let mut rest = asked.iter().zip(answers).skip(first);
    rest.all(|(item, answer)| is_undone(answer) || item.verb().effect() == Effect::Read)
        .then_some(first)
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
    // To collect results is to begin with room for none.
    let mut results = Vec::with_capacity(answers.len());
    for (place, answer) in answers.into_iter().enumerate() {
        let result = finish(answer);
        results.push(result.map_err(|error| error.with_outcome(outcome).at_place(place))?);
    }
    Ok(results)
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
