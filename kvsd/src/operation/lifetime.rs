//! The operations on a record's end. They keep its value.
//!
//! As of any write, **a change whose future is dropped may still be carried out**.

use std::marker::PhantomData;
use std::time::Duration;

use super::call::refused;
use super::read::value;
use super::write::was_there;
use super::{Call, in_pipeline, operation, stale};
use crate::connection::answer::Answer;
use crate::error::{Error, ErrorKind, Outcome};
use crate::protocol::v2::{self, Condition};
use crate::types::Version;
use crate::value::Value;

/// Lets a record end at another time, or never: [`Client::expire`](crate::Client::expire),
/// [`Client::expire_at`](crate::Client::expire_at), [`Client::persist`](crate::Client::persist).
///
/// Resolves with whether there was a record. The record gets a new version.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use std::time::Duration;
///
/// let first = client.set("session", "ada").await?;
/// client.expire("session", Duration::from_secs(900)).await?;
/// let now = client.get::<String>("session").versioned().await?.ok_or("no session")?;
/// assert!(now.version > first && now.expires_at.is_some());
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "an operation does nothing until it is awaited"]
pub struct Expire<'c> {
    pub(crate) call: Call<'c>,
}

operation!(Expire, bool, was_there);
in_pipeline!(Expire, bool);

impl Expire<'_> {
    /// Only if the record is the one that the write with this version made; otherwise an error of
    /// kind [`ErrorKind::Conflict`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use std::time::Duration;
    ///
    /// let mine = client.set("lock", "me").await?;
    /// client.set("lock", "somebody else").await?;
    /// let longer = client.expire("lock", Duration::from_secs(60)).if_version(mine);
    /// assert!(longer.await.unwrap_err().is_conflict());
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn if_version(mut self, version: Version) -> Self {
        self.call.set_condition(Condition::Version(version));
        self
    }
}

/// Reads a record and lets it live on: [`Client::renew`](crate::Client::renew).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use kvsd::Keyed;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, kvsd::Value)]
/// #[kvsd(key = "session/{id}", ttl = "30m")]
/// struct Session {
///     id: u32,
/// }
///
/// assert!(client.renew(Session::key_of(9)).await?.is_none(), "there is none to be renewed");
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "an operation does nothing until it is awaited"]
pub struct Renew<'c, T> {
    pub(crate) call: Call<'c>,
    pub(crate) value: PhantomData<fn() -> T>,
}

operation!(Renew<T: Value>, Option<T>, |answer| match answer {
    Answer::Pipeline(answers) => renewed(answers),
    answer => Err(refused(answer)),
});

/// Asks how long a record still has: [`Client::ttl`](crate::Client::ttl).
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
#[must_use = "an operation does nothing until it is awaited"]
pub struct GetTtl<'c> {
    pub(crate) call: Call<'c>,
}

operation!(GetTtl, Ttl, |answer| match answer {
    Answer::Lifetime(v2::Lifetime::Absent) => Ok(Ttl::NoRecord),
    Answer::Lifetime(v2::Lifetime::Endless) => Ok(Ttl::Endless),
    Answer::Lifetime(v2::Lifetime::Left { millis }) => {
        Ok(Ttl::Left(Duration::from_millis(millis)))
    }
    answer => Err(refused(answer)),
});
in_pipeline!(GetTtl, Ttl);
stale!(GetTtl);

/// How long a record still has, by the server's clock.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use kvsd::Ttl;
///
/// client.set("for ever", "stone").await?;
/// for key in ["for ever", "nothing"] {
///     let told = match client.ttl(key).await? {
///         Ttl::NoRecord => "gone, or never there".to_owned(),
///         Ttl::Endless => "stays".to_owned(),
///         Ttl::Left(left) => format!("ends in {left:?}"),
///     };
///     assert_eq!(told, if key == "nothing" { "gone, or never there" } else { "stays" });
/// }
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// There is no record.
    NoRecord,
    /// The record does not end.
    Endless,
    /// The record ends after this time, at least 1 ms.
    Left(Duration),
}

/// What stood there when the end was set, or came later.
fn renewed<T: Value>(answers: Vec<Answer>) -> Result<Option<T>, Error> {
    let mut answers = answers.into_iter();
    let (Some(end), Some(record)) = (answers.next(), answers.next()) else {
        let detail = "an end and a record were asked for, and not both answered";
        return Err(Error::new(ErrorKind::Protocol, Outcome::Unknown, detail));
    };
    let outcome = if was_there(end)? { Outcome::Done } else { Outcome::Refused };
    value(record).map_err(|error| error.with_outcome(outcome))
}
