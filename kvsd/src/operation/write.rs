//! The operations that change a record's value.
//!
//! **A write whose future is dropped may still be carried out**, even after a later write of the
//! same caller: once it was polled, its request may be with the server. An error's
//! [`outcome`](crate::Error::outcome) says what is known.

use std::marker::PhantomData;
use std::time::{Duration, SystemTime};

use super::call::refused;
use super::read::decode;
use super::{Call, Draft, argument, in_pipeline, operation};
use crate::connection::answer::{Answer, Previously};
use crate::error::{Error, ErrorKind, Outcome};
use crate::protocol::v2::{Condition, Expiry};
use crate::types::Version;
use crate::value::Value;

/// Stores a value: [`Client::set`](crate::Client::set).
///
/// Resolves with the version that the write got. A condition that does not hold is an error of kind
/// [`ErrorKind::Conflict`], and nothing is written; of several conditions the last one counts, and
/// so of several ends. Without one a record does not end, and a set takes away the end that the
/// record before it had.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use std::time::Duration;
///
/// let session = client.set("session/9", "ada").if_absent().ttl(Duration::from_secs(900));
/// let version = session.await?;
/// assert!(client.set("session/9", "eve").if_absent().await.unwrap_err().is_conflict());
/// assert!(client.set("session/9", "ada, again").await? > version);
/// assert_eq!(client.ttl("session/9").await?, kvsd::Ttl::Endless);
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "an operation does nothing until it is awaited"]
pub struct Set<'c> {
    pub(crate) call: Call<'c>,
}

operation!(Set, Version, set_version);
in_pipeline!(Set, Version);

/// Stores a value and gives back the one before: [`Client::swap`](crate::Client::swap).
///
/// Refined as a [`Set`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// assert_eq!(client.swap::<String>("leader", "a").if_absent().await?, None);
/// assert_eq!(client.swap::<String>("leader", "b").await?.as_deref(), Some("a"));
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "an operation does nothing until it is awaited"]
pub struct Swap<'c, T> {
    pub(crate) call: Call<'c>,
    pub(crate) value: PhantomData<fn() -> T>,
}

operation!(Swap<T: Value>, Option<T>, previous);
in_pipeline!(Swap<T: Value>, Option<T>);

/// The conditions and the end of what is set.
macro_rules! set {
    ($name:ident $(<$value:ident: $bound:path>)?) => {
        impl$(<$value: $bound>)? $name<'_ $(, $value)?> {
            /// Only if there is no record.
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let server = kvsd_server::Embedded::temporary().await?;
            /// # let client = server.client().await?;
            /// client.set("user/7", "Ada").if_absent().await?;
            /// let error = client.set("user/7", "Eve").if_absent().await.unwrap_err();
            /// assert!(error.is_conflict());
            /// # server.close().await?;
            /// # Ok(()) }
            /// ```
            pub fn if_absent(mut self) -> Self {
                self.call.set_condition(Condition::Absent);
                self
            }

            /// Only if there is a record.
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let server = kvsd_server::Embedded::temporary().await?;
            /// # let client = server.client().await?;
            /// let error = client.set("user/7", "Ada").if_present().await.unwrap_err();
            /// assert!(error.is_conflict());
            /// assert!(!client.exists("user/7").await?);
            /// # server.close().await?;
            /// # Ok(()) }
            /// ```
            pub fn if_present(mut self) -> Self {
                self.call.set_condition(Condition::Present);
                self
            }

            /// Only if the record is the one that the write with this version made.
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let server = kvsd_server::Embedded::temporary().await?;
            /// # let client = server.client().await?;
            /// use kvsd::ErrorKind;
            ///
            /// let seen = client.set("page", "draft").await?;
            /// let newer = client.set("page", "somebody else's").await?;
            /// let error = client.set("page", "mine").if_version(seen).await.unwrap_err();
            /// assert_eq!(error.kind(), ErrorKind::Conflict { current: Some(newer) });
            /// # server.close().await?;
            /// # Ok(()) }
            /// ```
            pub fn if_version(mut self, version: Version) -> Self {
                self.call.set_condition(Condition::Version(version));
                self
            }

            /// Ends the record so long after the server has taken the write up: at least 1 ms; what
            /// is over a whole millisecond is rounded up. Zero fails with
            /// [`ErrorKind::InvalidArgument`].
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let server = kvsd_server::Embedded::temporary().await?;
            /// # let client = server.client().await?;
            /// use std::time::Duration;
            /// use kvsd::Ttl;
            ///
            /// client.set("code", "1234").ttl(Duration::from_secs(60)).await?;
            /// let Ttl::Left(left) = client.ttl("code").await? else { panic!("it has an end") };
            /// assert!(left <= Duration::from_secs(60));
            /// # server.close().await?;
            /// # Ok(()) }
            /// ```
            pub fn ttl(mut self, ttl: Duration) -> Self {
                self.call.set_expiry(argument::ttl(ttl).map(Some));
                self
            }

            /// Ends the record at `time`, by the server's clock. A time that is past fails with
            /// [`ErrorKind::InvalidArgument`] or, if only the server's clock says so, with
            /// [`ErrorKind::Server`].
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let server = kvsd_server::Embedded::temporary().await?;
            /// # let client = server.client().await?;
            /// use std::time::{Duration, SystemTime};
            /// use kvsd::ErrorKind;
            ///
            /// let now = SystemTime::now();
            /// client.set("offer", "tea").expire_at(now + Duration::from_secs(60)).await?;
            /// let past = client.set("offer", "tea").expire_at(now - Duration::from_secs(60));
            /// assert_eq!(past.await.unwrap_err().kind(), ErrorKind::InvalidArgument);
            /// # server.close().await?;
            /// # Ok(()) }
            /// ```
            pub fn expire_at(mut self, time: SystemTime) -> Self {
                self.call.set_expiry(argument::expire_at(time).map(Some));
                self
            }

            /// Does not end the record, though its type has a time to live.
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let server = kvsd_server::Embedded::temporary().await?;
            /// # let client = server.client().await?;
            /// use kvsd::{Keyed, Ttl, Value};
            ///
            /// #[derive(serde::Serialize, serde::Deserialize, Value)]
            /// #[kvsd(key = "session/{id}", ttl = "15m")]
            /// struct Session {
            ///     id: u32,
            /// }
            ///
            /// client.put(&Session { id: 9 }).endless().await?;
            /// assert_eq!(client.ttl(Session::key_of(9)).await?, Ttl::Endless);
            /// # server.close().await?;
            /// # Ok(()) }
            /// ```
            pub fn endless(mut self) -> Self {
                self.call.set_expiry(Ok(None));
                self
            }
        }
    };
}

set!(Set);
set!(Swap<T: Value>);

/// Removes a record: [`Client::delete`](crate::Client::delete).
///
/// Resolves with whether there was one.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// client.set("k", "v").await?;
/// assert!(client.delete("k").await?);
/// assert!(!client.delete("k").await?, "there was none any more");
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "an operation does nothing until it is awaited"]
pub struct Delete<'c> {
    pub(crate) call: Call<'c>,
}

operation!(Delete, bool, was_there);
in_pipeline!(Delete, bool);

impl Delete<'_> {
    /// Only if the record is the one that the write with this version made; otherwise an error of
    /// kind [`ErrorKind::Conflict`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let seen = client.set("k", "v").await?;
    /// client.set("k", "w").await?;
    /// assert!(client.delete("k").if_version(seen).await.unwrap_err().is_conflict());
    /// assert!(client.exists("k").await?);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn if_version(mut self, version: Version) -> Self {
        self.call.set_condition(Condition::Version(version));
        self
    }
}

/// Removes a record and gives it back: [`Client::take`](crate::Client::take).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// client.set("job/1", "paint the fence").await?;
/// // Of any number of workers one gets it.
/// assert_eq!(client.take::<String>("job/1").await?.as_deref(), Some("paint the fence"));
/// assert_eq!(client.take::<String>("job/1").await?, None);
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "an operation does nothing until it is awaited"]
pub struct Take<'c, T> {
    pub(crate) call: Call<'c>,
    pub(crate) value: PhantomData<fn() -> T>,
}

operation!(Take<T: Value>, Option<T>, previous);
in_pipeline!(Take<T: Value>, Option<T>);

impl<T: Value> Take<'_, T> {
    /// Only if the record is the one that the write with this version made; otherwise an error of
    /// kind [`ErrorKind::Conflict`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let seen = client.set("job", "old").await?;
    /// client.set("job", "new").await?;
    /// assert!(client.take::<String>("job").if_version(seen).await.unwrap_err().is_conflict());
    /// assert!(client.exists("job").await?);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn if_version(mut self, version: Version) -> Self {
        self.call.set_condition(Condition::Version(version));
        self
    }
}

/// Adds to an integer: [`Client::increment`](crate::Client::increment).
///
/// Resolves with what the integer is now. A condition that does not hold is an error of kind
/// [`ErrorKind::Conflict`]; of several the last one counts.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use kvsd::ErrorKind;
///
/// assert_eq!(client.increment("stock", 3).await?, 3);
/// assert_eq!(client.increment("stock", -1).await?, 2);
/// let error = client.increment("stock", i64::MAX).await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Overflow);
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "an operation does nothing until it is awaited"]
pub struct Increment<'c> {
    pub(crate) call: Call<'c>,
}

operation!(Increment, i64, |answer| match answer {
    Answer::Counter { value } => Ok(value),
    answer => Err(refused(answer)),
});
in_pipeline!(Increment, i64);

impl Increment<'_> {
    /// Only if there is no record: a counter that begins.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// assert_eq!(client.increment("next-id", 1000).if_absent().await?, 1000);
    /// assert!(client.increment("next-id", 1000).if_absent().await.unwrap_err().is_conflict());
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn if_absent(mut self) -> Self {
        self.call.set_condition(Condition::Absent);
        self
    }

    /// Only if there is a record.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// // Counts only what somebody has set up to be counted.
    /// let error = client.increment("visits/typo", 1).if_present().await.unwrap_err();
    /// assert!(error.is_conflict());
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn if_present(mut self) -> Self {
        self.call.set_condition(Condition::Present);
        self
    }

    /// Only if the record is the one that the write with this version made.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let seen = client.set("score", 10).await?;
    /// assert_eq!(client.increment("score", 5).if_version(seen).await?, 15);
    /// assert!(client.increment("score", 5).if_version(seen).await.unwrap_err().is_conflict());
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn if_version(mut self, version: Version) -> Self {
        self.call.set_condition(Condition::Version(version));
        self
    }
}

impl Call<'_> {
    fn set_expiry(&mut self, expiry: Result<Option<Expiry>, Error>) {
        match expiry {
            Ok(expiry) => {
                if let Some(draft) = self.draft_mut() {
                    draft.set_expiry(expiry);
                }
            }
            Err(error) => self.spoil(error),
        }
    }

    pub(super) fn set_condition(&mut self, to: Condition) {
        if let Some(condition) = self.draft_mut().and_then(Draft::condition_mut) {
            *condition = to;
        }
    }
}

pub(super) fn set_version(answer: Answer) -> Result<Version, Error> {
    match answer {
        Answer::Written { version: Some(version), .. } => Ok(version),
        Answer::Written { version: None, .. } => {
            let detail = "a set was answered without version";
            Err(Error::new(ErrorKind::Protocol, Outcome::Unknown, detail))
        }
        answer => Err(refused(answer)),
    }
}

/// Whether there was a record.
pub(super) fn was_there(answer: Answer) -> Result<bool, Error> {
    match answer {
        Answer::Written { before, .. } => Ok(!matches!(before, Previously::Absent)),
        answer => Err(refused(answer)),
    }
}

fn previous<T: Value>(answer: Answer) -> Result<Option<T>, Error> {
    match answer {
        Answer::Written { before: Previously::Absent, .. } => Ok(None),
        Answer::Written { before: Previously::Record(stored), .. } => {
            // The record is replaced; what cannot be decoded is at least said to be so.
            decode(&stored, Outcome::Done).map(Some)
        }
        Answer::Written { before: Previously::Present, .. } => {
            let detail = "the answer lacks the record that stood there";
            Err(Error::new(ErrorKind::Protocol, Outcome::Done, detail))
        }
        answer => Err(refused(answer)),
    }
}
