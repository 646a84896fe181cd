//! A batch: changes of one table that happen together or not at all.
//!
//! As of any write, **a batch whose future is dropped may still be carried out**, then as a whole.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::call::refused;
use super::draft::{ActionDraft, ChangeDraft};
use super::{Call, Draft, argument};
use crate::client::Client;
use crate::connection::answer::Answer;
use crate::error::{Error, ErrorKind, Outcome};
use crate::protocol::v2::{Changed, Condition, Expiry, MAX_BATCH};
use crate::types::Version;
use crate::value::Encode;

/// Changes to be made together: [`Client::batch`](crate::Client::batch).
///
/// What refines a change acts on the one that was added last. Nothing but the number of changes
/// and their size is bounded: 1,024, and values that together take no more than one value may.
///
/// What cannot be asked fails at the first poll, and nothing is sent: a batch that is empty, too
/// many changes, a key that is none or stands in it twice, a check without a condition, an end for
/// what is not set. [`Error::place`] says which change it was.
#[must_use = "a batch does nothing until it is awaited"]
pub struct Batch<'c> {
    call: Call<'c>,
    max_value_bytes: usize,
    changes: Vec<ChangeDraft>,
    keys: HashSet<Bytes>,
    value_bytes: usize,
    fault: Option<Error>,
    /// How many changes were sent.
    sent: usize,
}

/// What came of a batch that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batched {
    /// The version that all of its writes got; `None` if nothing had to be written.
    pub version: Option<Version>,
    /// What came of each change, in their order.
    pub changes: Vec<Changed>,
}

impl<'c> Batch<'c> {
    pub(crate) fn new(client: &'c Client) -> Self {
        Self {
            // What the call asks is said at the first poll.
            call: Call::new(client, "batch", Ok(Draft::Batch(Vec::new()))),
            max_value_bytes: client.max_value_bytes(),
            changes: Vec::new(),
            keys: HashSet::new(),
            value_bytes: 0,
            fault: None,
            sent: 0,
        }
    }

    /// Stores `value` at `key`.
    pub fn set(mut self, key: impl AsRef<[u8]>, value: impl Encode) -> Self {
        let left = self.max_value_bytes - self.value_bytes;
        match argument::value(&value, left) {
            Ok(value) => {
                self.value_bytes += value.len();
                self.push(key.as_ref(), ActionDraft::Set { value, expiry: None });
            }
            Err(error) if error.kind() == ErrorKind::ValueTooLarge => {
                let most = self.max_value_bytes;
                let detail = format!("the values of a batch have at most {most} bytes in all");
                let error = Error::new(ErrorKind::ValueTooLarge, Outcome::NotSent, detail);
                self.spoil(error.at_place(self.changes.len()));
            }
            Err(error) => self.spoil(error.at_place(self.changes.len())),
        }
        self
    }

    /// Removes the record at `key`; one that is not there is none to be removed.
    pub fn delete(mut self, key: impl AsRef<[u8]>) -> Self {
        self.push(key.as_ref(), ActionDraft::Delete);
        self
    }

    /// Adds `by` to the integer at `key`; without a record, to 0.
    pub fn increment(mut self, key: impl AsRef<[u8]>, by: i64) -> Self {
        self.push(key.as_ref(), ActionDraft::Increment { by });
        self
    }

    /// Lets the record at `key` end so long after the server has taken the batch up.
    pub fn expire(self, key: impl AsRef<[u8]>, ttl: Duration) -> Self {
        self.expire_by(key.as_ref(), argument::ttl(ttl).map(Some))
    }

    /// Lets the record at `key` end at `time`.
    pub fn expire_at(self, key: impl AsRef<[u8]>, time: SystemTime) -> Self {
        self.expire_by(key.as_ref(), argument::expire_at(time).map(Some))
    }

    /// Lets the record at `key` never end.
    pub fn persist(self, key: impl AsRef<[u8]>) -> Self {
        self.expire_by(key.as_ref(), Ok(None))
    }

    /// Changes nothing at `key`: only the condition counts that follows.
    pub fn check(mut self, key: impl AsRef<[u8]>) -> Self {
        self.push(key.as_ref(), ActionDraft::Check);
        self
    }

    /// Only if there is no record at the last change's key; otherwise nothing of the batch happens.
    pub fn if_absent(self) -> Self {
        self.on(Condition::Absent)
    }

    /// Only if there is a record at the last change's key; otherwise nothing of the batch happens.
    pub fn if_present(self) -> Self {
        self.on(Condition::Present)
    }

    /// Only if the record at the last change's key is the one that the write with this version
    /// made; otherwise nothing of the batch happens.
    pub fn if_version(self, version: Version) -> Self {
        self.on(Condition::Version(version))
    }

    /// Ends the record that the last change sets so long after the server has taken the batch up.
    pub fn ttl(self, ttl: Duration) -> Self {
        self.ending(argument::ttl(ttl))
    }

    /// Ends the record that the last change sets at `time`.
    pub fn until(self, time: SystemTime) -> Self {
        self.ending(argument::expire_at(time))
    }

    /// How many changes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there are none yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Allows the batch `timeout` in all, at most a year, instead of the client's setting. It
    /// begins with the first poll; if it is zero, nothing is sent.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.call.set_timeout(timeout);
        self
    }

    /// The same batch without the borrow of the client, to be spawned or kept.
    pub fn owned(self) -> Batch<'static> {
        let Self { call, max_value_bytes, changes, keys, value_bytes, fault, sent } = self;
        let call = call.into_owned();
        Batch { call, max_value_bytes, changes, keys, value_bytes, fault, sent }
    }

    fn push(&mut self, key: &[u8], action: ActionDraft) {
        let place = self.changes.len();
        let key = match argument::key(key) {
            Ok(key) => key,
            Err(error) => return self.spoil(error.at_place(place)),
        };
        if place == MAX_BATCH {
            let detail = format!("a batch has at most {MAX_BATCH} changes");
            return self.spoil(argument::invalid(detail).at_place(place));
        }
        if !self.keys.insert(key.clone()) {
            let detail = "a batch names a key at most once";
            return self.spoil(argument::invalid(detail).at_place(place));
        }
        self.changes.push(ChangeDraft { key, condition: Condition::Any, action });
    }

    fn expire_by(mut self, key: &[u8], expiry: Result<Option<Expiry>, Error>) -> Self {
        match expiry {
            Ok(expiry) => self.push(key, ActionDraft::Expire { expiry }),
            Err(error) => self.spoil(error.at_place(self.changes.len())),
        }
        self
    }

    fn on(mut self, condition: Condition) -> Self {
        match self.changes.last_mut() {
            Some(change) => change.condition = condition,
            None => self.spoil(argument::invalid("a condition stands behind a change")),
        }
        self
    }

    fn ending(mut self, end: Result<Expiry, Error>) -> Self {
        let last = self.changes.last_mut().map(|change| &mut change.action);
        match (last, end) {
            (Some(ActionDraft::Set { expiry, .. }), Ok(end)) => *expiry = Some(end),
            (_, Err(error)) => self.spoil(error),
            (_, Ok(_)) => self.spoil(argument::invalid("an end stands behind what is set")),
        }
        self
    }

    /// The first fault counts: what follows may only be its consequence.
    fn spoil(&mut self, error: Error) {
        self.fault = self.fault.take().or(Some(error));
    }

    fn draft(&mut self) -> Result<Draft, Error> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        if self.changes.is_empty() {
            return Err(argument::invalid("a batch has at least one change"));
        }
        let is_idle = |change: &ChangeDraft| {
            matches!(change.action, ActionDraft::Check) && change.condition == Condition::Any
        };
        if let Some(place) = self.changes.iter().position(is_idle) {
            return Err(argument::invalid("a check has a condition").at_place(place));
        }
        self.sent = self.changes.len();
        Ok(Draft::Batch(std::mem::take(&mut self.changes)))
    }
}

impl Future for Batch<'_> {
    type Output = Result<Batched, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.call.is_new() {
            match self.draft() {
                Ok(draft) => self.call.again(draft),
                Err(error) => self.call.spoil(error),
            }
        }
        let answer = ready!(self.call.poll(context));
        let sent = self.sent;
        Poll::Ready(self.call.finish(answer.and_then(|answer| finish(answer, sent))))
    }
}

fn finish(answer: Answer, sent: usize) -> Result<Batched, Error> {
    match answer {
        Answer::Batch { version, changed } if changed.len() == sent => {
            Ok(Batched { version, changes: changed })
        }
        Answer::Batch { .. } => {
            let detail = "a batch was answered with another number of changes";
            Err(Error::new(ErrorKind::Protocol, Outcome::Done, detail))
        }
        Answer::Conflict { current, change } => {
            let place = usize::try_from(change).unwrap_or(usize::MAX);
            Err(Error::new(ErrorKind::Conflict { current }, Outcome::Refused, "").at_place(place))
        }
        answer => Err(refused(answer)),
    }
}

/// Counts the changes; never shows a key or a value.
impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} changes, {:?})", self.changes.len(), self.call)
    }
}
