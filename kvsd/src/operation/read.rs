//! The operations that change nothing. Dropping one at any point changes nothing either.

use std::marker::PhantomData;

use bytes::Bytes;

use super::call::refused;
use super::{Call, in_pipeline, operation, stale};
use crate::connection::answer::{self, Answer};
use crate::error::{Error, Outcome};
use crate::types::{UnixMillis, Version};
use crate::value::{Decode, DecodeError, Value};

/// Reads a value: [`Client::get`](crate::Client::get).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// client.set("visits", 7).await?;
/// let read = client.get::<u64>("visits"); // nothing has happened yet
/// assert_eq!(read.await?, Some(7));
/// assert_eq!(client.get::<u64>("visit").await?, None);
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "an operation does nothing until it is awaited"]
pub struct Get<'c, T> {
    pub(crate) call: Call<'c>,
    pub(crate) value: PhantomData<fn() -> T>,
}

operation!(Get<T: Value>, Option<T>, value);
in_pipeline!(Get<T: Value>, Option<T>);
stale!(Get<T: Value>);

impl<'c, T: Value> Get<'c, T> {
    /// Answers with the record's version and expiry as well.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let version = client.set("page", "draft").await?;
    /// let page = client.get::<String>("page").versioned().await?.ok_or("no page")?;
    /// assert_eq!((page.value.as_str(), page.version), ("draft", version));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn versioned(self) -> GetVersioned<'c, T> {
        GetVersioned { call: self.call, value: PhantomData }
    }
}

/// Reads a value with its version: [`Get::versioned`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// client.set("page", "draft").await?;
/// let page = client.get::<String>("page").versioned().await?.ok_or("no page")?;
/// // Only if nobody has written in between.
/// client.set("page", page.value + ", better").if_version(page.version).await?;
/// assert_eq!(client.get::<String>("page").await?.as_deref(), Some("draft, better"));
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "an operation does nothing until it is awaited"]
pub struct GetVersioned<'c, T> {
    pub(crate) call: Call<'c>,
    pub(crate) value: PhantomData<fn() -> T>,
}

operation!(GetVersioned<T: Value>, Option<Versioned<T>>, versioned);
in_pipeline!(GetVersioned<T: Value>, Option<Versioned<T>>);
stale!(GetVersioned<T: Value>);

/// A value and the write that made it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use kvsd::Versioned;
///
/// let written = client.set("k", 7).await?;
/// let Some(Versioned { value, version, expires_at }) = client.get::<u8>("k").versioned().await?
/// else {
///     panic!("it was written just now")
/// };
/// assert_eq!((value, version, expires_at), (7, written, None));
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The write that made it; what [`Set::if_version`](crate::operation::write::Set::if_version)
    /// takes.
    pub version: Version,
    /// When the record ends, if it does.
    pub expires_at: Option<UnixMillis>,
    /// The value.
    pub value: T,
}

/// Reads a record as it is stored: [`Client::get_bytes`](crate::Client::get_bytes).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// client.set("k", 7_u64).await?;
/// let stored = client.get_bytes("k").await?.ok_or("no record")?;
/// assert_eq!(&stored.bytes()[..], b"7", "numbers are text");
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "an operation does nothing until it is awaited"]
pub struct GetBytes<'c> {
    pub(crate) call: Call<'c>,
}

operation!(GetBytes, Option<Stored>, |answer| match answer {
    Answer::Value(record) => Ok(record.map(|record| Stored { record: record.apart() })),
    answer => Err(refused(answer)),
});
in_pipeline!(GetBytes, Option<Stored>);
stale!(GetBytes);

/// A record as it is stored, from which a value can be read that borrows from it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use kvsd::value::Envelope;
///
/// #[derive(serde::Serialize, serde::Deserialize, kvsd::Value)]
/// struct User {
///     id: u64,
/// }
///
/// client.set("user", &User { id: 7 }).await?;
/// let stored = client.get_bytes("user").await?.ok_or("no record")?;
/// // What is it, before it is read as anything?
/// let envelope = Envelope::parse(stored.bytes())?.ok_or("a plain value")?;
/// assert_eq!(envelope.type_name, "User");
/// assert_eq!(stored.decode::<User>()?.id, 7);
/// # server.close().await?;
/// # Ok(()) }
/// ```
pub struct Stored {
    record: answer::Stored,
}

impl Stored {
    /// Reads the value as a `T`, which may borrow from this record.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] says what the bytes are instead of a `T`.
    ///
    /// ```
    /// use kvsd::Value;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize, Value)]
    /// struct Page {
    ///     title: String,
    ///     text: String,
    /// }
    ///
    /// /// The same, without a copy of the text.
    /// #[derive(Serialize, Deserialize, Value)]
    /// #[kvsd(name = "Page")]
    /// struct PageView<'a> {
    ///     title: &'a str,
    ///     text: &'a str,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let page = Page { title: "Moby-Dick".into(), text: "Call me Ishmael.".into() };
    /// let version = client.set("page/1", &page).await?;
    ///
    /// let stored = client.get_bytes("page/1").await?.ok_or("no such page")?;
    /// assert_eq!(stored.decode::<PageView<'_>>()?.title, "Moby-Dick");
    /// assert_eq!(stored.version(), version);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn decode<'a, T: Decode<'a>>(&'a self) -> Result<T, DecodeError> {
        T::decode(&self.record.value)
    }

    /// The value's bytes, a derived value's envelope included.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// client.set("greeting", "hello").await?;
    /// let stored = client.get_bytes("greeting").await?.ok_or("no record")?;
    /// let kept = stored.bytes().slice(..4); // shares the memory, copies nothing
    /// assert_eq!(kept, "hell");
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.record.value
    }

    /// The write that made the record.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let version = client.set("greeting", "hello").await?;
    /// let stored = client.get_bytes("greeting").await?.ok_or("no record")?;
    /// assert_eq!(stored.version(), version);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn version(&self) -> Version {
        self.record.version
    }

    /// When the record ends, if it does.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use std::time::Duration;
    ///
    /// client.set("code", "1234").ttl(Duration::from_secs(60)).await?;
    /// let stored = client.get_bytes("code").await?.ok_or("no record")?;
    /// assert!(stored.expires_at().is_some());
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn expires_at(&self) -> Option<UnixMillis> {
        self.record.expires_at
    }
}

/// Shows how large the value is, never the value.
impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored")
            .field("version", &self.version())
            .field("expires_at", &self.expires_at())
            .field("bytes", &self.bytes().len())
            .finish()
    }
}

/// Asks whether there is a record: [`Client::exists`](crate::Client::exists).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// assert!(!client.exists("user/7").await?);
/// client.set("user/7", "Ada").await?;
/// assert!(client.exists("user/7").await?);
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "an operation does nothing until it is awaited"]
pub struct Exists<'c> {
    pub(crate) call: Call<'c>,
}

operation!(Exists, bool, flag);
in_pipeline!(Exists, bool);
stale!(Exists);

/// Asks whether the server is there: [`Client::ping`](crate::Client::ping).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use std::time::Duration;
///
/// let is_there = client.ping().timeout(Duration::from_secs(1)).await.is_ok();
/// assert!(is_there);
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "an operation does nothing until it is awaited"]
pub struct Ping<'c> {
    pub(crate) call: Call<'c>,
}

operation!(Ping, (), |answer| match answer {
    Answer::Pong => Ok(()),
    answer => Err(refused(answer)),
});

pub(super) fn flag(answer: Answer) -> Result<bool, Error> {
    match answer {
        Answer::Flag(flag) => Ok(flag),
        answer => Err(refused(answer)),
    }
}

pub(super) fn value<T: Value>(answer: Answer) -> Result<Option<T>, Error> {
    match answer {
        Answer::Value(None) => Ok(None),
        Answer::Value(Some(stored)) => decode(&stored, Outcome::Refused).map(Some),
        answer => Err(refused(answer)),
    }
}

pub(super) fn versioned<T: Value>(answer: Answer) -> Result<Option<Versioned<T>>, Error> {
    match answer {
        Answer::Value(None) => Ok(None),
        Answer::Value(Some(stored)) => {
            let value = decode(&stored, Outcome::Refused)?;
            let answer::Stored { version, expires_at, value: _ } = stored;
            Ok(Some(Versioned { version, expires_at, value }))
        }
        answer => Err(refused(answer)),
    }
}

pub(super) fn decode<T: Value>(stored: &answer::Stored, outcome: Outcome) -> Result<T, Error> {
    T::decode(&stored.value).map_err(|cause| Error::from(cause).with_outcome(outcome))
}
