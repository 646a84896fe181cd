//! Many keys at once: one round trip for up to 1,024 of them and some 1 MiB, in order.
//!
//! **Each key is a read or a write of its own**: others may come between, and of the writes some
//! may happen and others not. What must happen together goes into a [batch](super::batch).

use std::marker::PhantomData;
use std::time::{Duration, SystemTime};

use super::convoy::first_refusal;
use super::read::{Versioned, value, versioned};
use super::write::{set_version, was_there};
use super::{Convoy, argument, operation, stale};
use crate::connection::answer::Answer;
use crate::error::Error;
use crate::protocol::v2::Expiry;
use crate::types::Version;
use crate::value::Value;

/// Reads many values: [`Client::get_many`](crate::Client::get_many).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// client.set_many([("a", 1), ("c", 3)]).await?;
/// let values = client.get_many::<u8>(["c", "b", "a"]).await?;
/// assert_eq!(values, [Some(3), None, Some(1)]);
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "an operation does nothing until it is awaited"]
pub struct GetMany<'c, T> {
    pub(crate) call: Convoy<'c>,
    pub(crate) value: PhantomData<fn() -> T>,
}

operation!(GetMany<T: Value>, Vec<Answer> => Vec<Option<T>>, |answers| {
    first_refusal(answers, value)
});
stale!(GetMany<T: Value>);

impl<'c, T: Value> GetMany<'c, T> {
    /// Resolves with each record's version and end as well.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// client.set_many([("ada", 50), ("bob", 0)]).await?;
    /// let read = client.get_many::<i64>(["ada", "bob"]).versioned().await?;
    /// let [Some(ada), Some(bob)] = &read[..] else { return Err("no account".into()) };
    /// // Only if neither has changed since.
    /// let transfer = client.batch();
    /// let transfer = transfer.set("ada", ada.value - 20).if_version(ada.version);
    /// transfer.set("bob", bob.value + 20).if_version(bob.version).await?;
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn versioned(self) -> GetManyVersioned<'c, T> {
        GetManyVersioned { call: self.call, value: PhantomData }
    }
}

/// Reads several values, with their versions: [`GetMany::versioned`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// let versions = client.set_many([("a", 1), ("c", 3)]).await?;
/// let read = client.get_many::<i32>(["a", "b", "c"]).versioned().await?;
/// let seen: Vec<_> = read.iter().flatten().map(|record| record.version).collect();
/// assert_eq!(seen, versions);
/// assert!(read[1].is_none());
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "an operation does nothing until it is awaited"]
pub struct GetManyVersioned<'c, T> {
    pub(crate) call: Convoy<'c>,
    pub(crate) value: PhantomData<fn() -> T>,
}

operation!(GetManyVersioned<T: Value>, Vec<Answer> => Vec<Option<Versioned<T>>>, |answers| {
    first_refusal(answers, versioned)
});
stale!(GetManyVersioned<T: Value>);

/// Stores many values: [`Client::set_many`](crate::Client::set_many).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// let versions = client.set_many([("a", "x"), ("b", "y")]).await?;
/// assert!(versions[0] < versions[1], "each is a write of its own");
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "an operation does nothing until it is awaited"]
pub struct SetMany<'c> {
    pub(crate) call: Convoy<'c>,
}

operation!(SetMany, Vec<Answer> => Vec<Version>, |answers| first_refusal(answers, set_version));

impl SetMany<'_> {
    /// Ends each record after `ttl`, as [`Set::ttl`](super::write::Set::ttl) does.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use std::time::Duration;
    ///
    /// client.set_many([("a", 1), ("b", 2)]).ttl(Duration::from_secs(60)).await?;
    /// assert!(matches!(client.ttl("b").await?, kvsd::Ttl::Left(_)));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn ttl(self, ttl: Duration) -> Self {
        self.ending(argument::ttl(ttl))
    }

    /// Ends each record at `time`, as [`Set::expire_at`](super::write::Set::expire_at) does.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use std::time::{Duration, SystemTime};
    ///
    /// let midnight = SystemTime::now() + Duration::from_secs(3600);
    /// client.set_many([("a", 1), ("b", 2)]).expire_at(midnight).await?;
    /// assert!(matches!(client.ttl("a").await?, kvsd::Ttl::Left(_)));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn expire_at(self, time: SystemTime) -> Self {
        self.ending(argument::expire_at(time))
    }

    fn ending(mut self, expiry: Result<Expiry, Error>) -> Self {
        self.call.set_expiry(expiry);
        self
    }
}

/// Removes many records: [`Client::delete_many`](crate::Client::delete_many).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// client.set("a", 1).await?;
/// assert_eq!(client.delete_many(["a", "b"]).await?, [true, false]);
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "an operation does nothing until it is awaited"]
pub struct DeleteMany<'c> {
    pub(crate) call: Convoy<'c>,
}

operation!(DeleteMany, Vec<Answer> => Vec<bool>, |answers| first_refusal(answers, was_there));
