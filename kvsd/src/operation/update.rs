//! An update: read, change, and write only if nobody else has written in between; else again.
//!
//! As of any write, **an update whose future is dropped may still be carried out**, if it had come
//! to the write.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use super::call::refused;
use super::read::decode;
use super::{Call, Draft, argument};
use crate::client::Client;
use crate::connection::answer::{Answer, Stored};
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Error, Outcome};
use crate::pool::backoff;
use crate::protocol::v2::{Condition, Expiry, FailCode, Previous};
use crate::value::Value;

/// How often an update tries before it fails with [`ErrorKind::Conflict`], unless it is told
/// otherwise: 1,000 times. Were 64 tasks to meet at one key in step, one attempt in 64 would
/// succeed, and one update in some millions fail; the pauses keep them out of step.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use kvsd::{Change, operation::update::DEFAULT_ATTEMPTS};
///
/// let add = |sum: Option<u64>| Change::Set(sum.unwrap_or(0) + 1);
/// let patient = client.update("sum", add).attempts(10 * DEFAULT_ATTEMPTS);
/// assert_eq!(patient.await?, Some(1));
/// # server.close().await?;
/// # Ok(()) }
/// ```
pub const DEFAULT_ATTEMPTS: u32 = 1000;

/// The longest pause before the third attempt; it doubles with each that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(32);

/// What an update makes of a record.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use kvsd::Change;
///
/// client.set("stock", 1_u32).await?;
/// let sell = |stock: Option<u32>| match stock {
///     None => Change::Keep,
///     Some(0 | 1) => Change::Delete,
///     Some(more) => Change::Set(more - 1),
/// };
/// assert_eq!(client.update("stock", sell).await?, None);
/// assert!(!client.exists("stock").await?);
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<T> {
    /// Stores this value; the record keeps its end.
    Set(T),
    /// Removes the record.
    Delete,
    /// Leaves the record as it is: nothing is written.
    Keep,
}

/// Changes a record by what it holds: [`Client::update`](crate::Client::update).
///
/// Resolves with the value that stands there now.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use kvsd::Change;
///
/// // Nobody's change is lost, however many there are at once.
/// let add = |list: Option<String>| Change::Set(list.unwrap_or_default() + "x");
/// let (a, b) = tokio::join!(client.update("list", add), client.update("list", add));
/// a?;
/// b?;
/// assert_eq!(client.get::<String>("list").await?.as_deref(), Some("xx"));
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "an operation does nothing until it is awaited"]
pub struct Update<'c, T, F> {
    rounds: Rounds<'c, T>,
    change: F,
}

/// As an [`Update`], with a function that may refuse:
/// [`Client::try_update`](crate::Client::try_update).
///
/// Resolves with what the function refused with, or the value that stands there now.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use kvsd::Change;
///
/// #[derive(Debug, PartialEq)]
/// struct SoldOut;
///
/// let sell = |stock: Option<u32>| match stock {
///     Some(stock @ 1..) => Ok(Change::Set(stock - 1)),
///     Some(0) | None => Err(SoldOut),
/// };
/// client.set("stock", 1_u32).await?;
/// assert_eq!(client.try_update("stock", sell).await?, Ok(Some(0)));
/// assert_eq!(client.try_update("stock", sell).await?, Err(SoldOut));
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "an operation does nothing until it is awaited"]
pub struct TryUpdate<'c, T, F> {
    rounds: Rounds<'c, T>,
    change: F,
}

/// The reads and the writes of an update, under one deadline.
struct Rounds<'c, T> {
    call: Call<'c>,
    key: Bytes,
    attempts: u32,
    /// Attempts that another writer spoiled.
    spoiled: u32,
    step: Step<T>,
}

enum Step<T> {
    Reading,
    Writing {
        /// The value that will stand there; `None` if the record is to be removed.
        value: Option<T>,
        /// The end that the record keeps.
        expiry: Option<Expiry>,
    },
    Pausing(Pin<Box<Sleep>>),
}

impl<'c, T: Value> Rounds<'c, T> {
    fn new(client: &'c Client, name: &'static str, key: &[u8]) -> Self {
        let key = argument::key(key);
        let kept = key.clone().unwrap_or_default();
        let call = Call::new(client, name, key.map(Draft::get));
        Self { call, key: kept, attempts: DEFAULT_ATTEMPTS, spoiled: 0, step: Step::Reading }
    }

    fn into_owned(self) -> Rounds<'static, T> {
        let Self { call, key, attempts, spoiled, step } = self;
        Rounds { call: call.into_owned(), key, attempts, spoiled, step }
    }

    fn set_attempts(&mut self, attempts: u32) {
        self.attempts = attempts;
        if attempts == 0 {
            self.call.spoil(argument::invalid("an update has at least one attempt"));
        }
    }

    fn poll<E>(
        &mut self,
        context: &mut Context<'_>,
        mut change: impl FnMut(Option<T>) -> Result<Change<T>, E>,
    ) -> Poll<Result<Result<Option<T>, E>, Error>> {
        loop {
            match &mut self.step {
                Step::Reading => {
                    let stored = match ready!(self.call.poll(context))? {
                        Answer::Value(stored) => stored,
                        answer => return Poll::Ready(Err(refused(answer))),
                    };
                    match change(read(stored.as_ref())?) {
                        Ok(Change::Set(value)) => self.write(stored.as_ref(), Some(value))?,
                        Ok(Change::Delete) if stored.is_some() => {
                            self.write(stored.as_ref(), None)?;
                        }
                        Ok(Change::Delete) => return Poll::Ready(Ok(Ok(None))),
                        Ok(Change::Keep) => return Poll::Ready(read(stored.as_ref()).map(Ok)),
                        Err(refusal) => return Poll::Ready(Ok(Err(refusal))),
                    }
                }
                Step::Writing { value, expiry } => {
                    let answer = ready!(self.call.poll(context))?;
                    let is_spoiled = match &answer {
                        Answer::Written { .. } => return Poll::Ready(Ok(Ok(value.take()))),
                        Answer::Conflict { .. } => true,
                        // The end that the record was to keep has come.
                        Answer::Fail { code: FailCode::Invalid, .. } => expiry.is_some(),
                        _ => false,
                    };
                    self.spoiled += u32::from(is_spoiled);
                    if !is_spoiled || self.spoiled >= self.attempts {
                        return Poll::Ready(Err(refused(answer)));
                    }
                    match self.pause() {
                        Some(sleep) => self.step = Step::Pausing(sleep),
                        None => self.read_again(),
                    }
                }
                Step::Pausing(sleep) => {
                    ready!(sleep.as_mut().poll(context));
                    self.read_again();
                }
            }
        }
    }

    /// Writes over the record that was read, and no other.
    fn write(&mut self, stored: Option<&Stored>, value: Option<T>) -> Result<(), Error> {
        let key = self.key.clone();
        let condition =
            stored.map_or(Condition::Absent, |stored| Condition::Version(stored.version));
        let expiry = stored.and_then(|stored| stored.expires_at).map(Expiry::At);
        let previous = Previous::Omit;
        let draft = match &value {
            Some(value) => {
                let limit = self.call.client().max_value_bytes();
                let value = argument::value(value, limit)?;
                Draft::Set { key, value, condition, expiry, previous }
            }
            None => Draft::Delete { key, condition, previous },
        };
        self.call.again(draft);
        self.step = Step::Writing { value, expiry };
        Ok(())
    }

    fn read_again(&mut self) {
        self.call.again(Draft::get(self.key.clone()));
        self.step = Step::Reading;
    }

    /// Some time, so that writers do not meet in step for ever; none before the second attempt.
    fn pause(&self) -> Option<Pin<Box<Sleep>>> {
        let doublings = self.spoiled.checked_sub(2)?;
        let longest = backoff::doubled(FIRST_PAUSE, doublings, LONGEST_PAUSE);
        let end = Instant::now() + longest.mul_f64(backoff::random_fraction());
        let deadline = self.call.deadline().unwrap_or(end);
        Some(Box::pin(sleep_until(end.min(deadline))))
    }
}

fn read<T: Value>(stored: Option<&Stored>) -> Result<Option<T>, Error> {
    stored.map(|stored| decode(stored, Outcome::Refused)).transpose()
}

/// What both updates have.
macro_rules! update {
    ($name:ident) => {
        impl<'c, T: Value, F> $name<'c, T, F> {
            /// Tries so often instead of [`DEFAULT_ATTEMPTS`] times. 0 is an error of kind
            /// [`ErrorKind::InvalidArgument`].
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let server = kvsd_server::Embedded::temporary().await?;
            /// # let client = server.client().await?;
            /// use kvsd::{Change, ErrorKind};
            ///
            /// let add = |sum: Option<u64>| Change::Set(sum.unwrap_or(0) + 1);
            /// // Either nobody else writes in between, or the caller hears of it at once.
            /// assert_eq!(client.update("sum", add).attempts(1).await?, Some(1));
            /// let never = client.update("sum", add).attempts(0).await.unwrap_err();
            /// assert_eq!(never.kind(), ErrorKind::InvalidArgument);
            /// # server.close().await?;
            /// # Ok(()) }
            /// ```
            pub fn attempts(mut self, attempts: u32) -> Self {
                self.rounds.set_attempts(attempts);
                self
            }

            /// Allows the update `timeout` in all its attempts, at most a year, instead of the
            /// client's setting. It begins with the first poll; if it is zero, nothing is sent.
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let server = kvsd_server::Embedded::temporary().await?;
            /// # let client = server.client().await?;
            /// use std::time::Duration;
            /// use kvsd::Change;
            ///
            /// let add = |sum: Option<u64>| Change::Set(sum.unwrap_or(0) + 1);
            /// let update = client.update("sum", add).timeout(Duration::from_secs(2));
            /// assert_eq!(update.await?, Some(1));
            /// # server.close().await?;
            /// # Ok(()) }
            /// ```
            pub fn timeout(mut self, timeout: Duration) -> Self {
                self.rounds.call.set_timeout(timeout);
                self
            }

            /// The same update without the borrow of the client, to be spawned or kept.
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let server = kvsd_server::Embedded::temporary().await?;
            /// # let client = server.client().await?;
            /// use kvsd::Change;
            ///
            /// let add = |sum: Option<u64>| Change::Set(sum.unwrap_or(0) + 1);
            /// let update = tokio::spawn(client.update("sum", add).owned());
            /// assert_eq!(update.await??, Some(1));
            /// # server.close().await?;
            /// # Ok(()) }
            /// ```
            pub fn owned(self) -> $name<'static, T, F> {
                $name { rounds: self.rounds.into_owned(), change: self.change }
            }

            pub(crate) fn new(
                client: &'c Client,
                name: &'static str,
                key: &[u8],
                change: F,
            ) -> Self {
                Self { rounds: Rounds::new(client, name, key), change }
            }
        }

        // Nothing in it is ever pinned in place.
        impl<T, F> Unpin for $name<'_, T, F> {}

        impl<T, F> fmt::Debug for $name<'_, T, F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let spoiled = self.rounds.spoiled;
                write!(f, "{:?}, {spoiled} attempts spoiled", self.rounds.call)
            }
        }
    };
}

update!(Update);
update!(TryUpdate);

impl<T: Value, F: FnMut(Option<T>) -> Change<T>> Future for Update<'_, T, F> {
    type Output = Result<Option<T>, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { rounds, change } = self.get_mut();
        let result = ready!(rounds.poll(context, |value| Ok::<_, Infallible>(change(value))));
        Poll::Ready(rounds.call.finish(result).map(|value| match value {
            Ok(value) => value,
            Err(never) => match never {},
        }))
    }
}

impl<T: Value, E, F> Future for TryUpdate<'_, T, F>
where
    F: FnMut(Option<T>) -> Result<Change<T>, E>,
{
    type Output = Result<Result<Option<T>, E>, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { rounds, change } = self.get_mut();
        let result = ready!(rounds.poll(context, change));
        Poll::Ready(rounds.call.finish(result))
    }
}
