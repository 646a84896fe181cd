//! The client's operations that change a record by what it holds, or when it ends.
//!
//! Next file to read: `typed`.

use std::time::{Duration, SystemTime};

use super::Client;
use crate::error::Error;
#[cfg(doc)]
use crate::error::{ErrorKind, Outcome};
use crate::operation::lifetime::Expire;
use crate::operation::update::{Change, TryUpdate, Update};
use crate::operation::write::Increment;
use crate::operation::{Call, Draft, argument};
use crate::protocol::v2::{Condition, Expiry};
use crate::value::Value;

/// # One record, by what it holds
impl Client {
    /// Adds `by`, perhaps below 0, to the integer at `key`, or to 0 if there is no record; resolves
    /// with what it is now. Of any number of callers at once, each one's addition counts.
    ///
    /// The integer is what any of Rust's integers is stored as, decimal text; the record keeps its
    /// end. [`Increment`] has its conditions.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Overflow`] if it would leave the range of an `i64`, [`ErrorKind::NotAnInteger`]
    /// for another value, [`ErrorKind::Conflict`] if a condition does not hold: nothing is written.
    /// And what any operation can fail with; one with [`Outcome::Unknown`] is not tried again,
    /// since it might count twice.
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll the operation may still happen, even after a later write.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// assert_eq!(client.increment("visits", 1).await?, 1);
    /// assert_eq!(client.increment("visits", 10).await?, 11);
    /// assert_eq!(client.get::<i64>("visits").await?, Some(11));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn increment(&self, key: impl AsRef<[u8]>, by: i64) -> Increment<'_> {
        let draft = |key| Draft::Increment { key, by, condition: Condition::Any };
        Increment { call: self.call("increment", key.as_ref(), draft) }
    }

    /// Lets the record at `key` end after `ttl`, which the server counts from when it takes the
    /// request up: at least 1 ms, rounded up to whole ones. Resolves with whether there is a
    /// record.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a `ttl` of zero; [`ErrorKind::Conflict`] if its condition
    /// does not hold; and what any operation can fail with.
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll the operation may still happen, even after a later write.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use std::time::Duration;
    ///
    /// client.set("session/9", "ada").await?;
    /// assert!(client.expire("session/9", Duration::from_secs(900)).await?);
    /// assert!(!client.expire("nobody", Duration::from_secs(900)).await?);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn expire(&self, key: impl AsRef<[u8]>, ttl: Duration) -> Expire<'_> {
        self.expire_by("expire", key.as_ref(), argument::ttl(ttl).map(Some))
    }

    /// Lets the record at `key` end at `time`, by the server's clock. Resolves with whether there
    /// is a record.
    ///
    /// # Errors
    ///
    /// As [`Client::expire`], with [`ErrorKind::InvalidArgument`] for a time that is past; if only
    /// the server's clock says so, it is [`ErrorKind::Server`].
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll the operation may still happen, even after a later write.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use std::time::{Duration, SystemTime};
    ///
    /// client.set("offer", "two for one").await?;
    /// let midnight = SystemTime::now() + Duration::from_secs(3600);
    /// assert!(client.expire_at("offer", midnight).await?);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn expire_at(&self, key: impl AsRef<[u8]>, time: SystemTime) -> Expire<'_> {
        self.expire_by("expire", key.as_ref(), argument::expire_at(time).map(Some))
    }

    /// Lets the record at `key` never end. Resolves with whether there is a record.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if its condition does not hold; and what any operation can fail
    /// with.
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll the operation may still happen, even after a later write.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use std::time::Duration;
    /// use kvsd::Ttl;
    ///
    /// client.set("draft", "...").ttl(Duration::from_secs(60)).await?;
    /// assert!(client.persist("draft").await?);
    /// assert_eq!(client.ttl("draft").await?, Ttl::Endless);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn persist(&self, key: impl AsRef<[u8]>) -> Expire<'_> {
        self.expire_by("persist", key.as_ref(), Ok(None))
    }

    /// Changes the record at `key` by what it holds: reads it, has `change` make something of it,
    /// and writes that only if nobody else has written in between; otherwise it begins anew, with a
    /// short and random pause from the third attempt on. Resolves with the value that stands there
    /// now.
    ///
    /// `change` may be called many times and sees `None` where there is no record. What it sets
    /// keeps the record's end. If it panics, so does the operation's poll, and the client is as
    /// usable as before.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] after [too many
    /// attempts](crate::operation::update::DEFAULT_ATTEMPTS); [`ErrorKind::Decode`] if the value is
    /// no `T`; as [`Client::set`] for what `change` made; and what any operation can fail with.
    /// After [`Outcome::Unknown`] nothing is tried again.
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll the operation may still happen, even after a later write.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use kvsd::Change;
    ///
    /// client.set("stock", 3_u32).await?;
    /// let sell = |stock: Option<u32>| match stock {
    ///     Some(stock @ 1..) => Change::Set(stock - 1),
    ///     Some(0) | None => Change::Keep,
    /// };
    /// assert_eq!(client.update("stock", sell).await?, Some(2));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn update<T, F>(&self, key: impl AsRef<[u8]>, change: F) -> Update<'_, T, F>
    where
        T: Value,
        F: FnMut(Option<T>) -> Change<T>,
    {
        Update::new(self, "update", key.as_ref(), change)
    }

    /// As [`Client::update`], with a `change` that may refuse; then nothing is written, and the
    /// operation resolves with what it refused with, as the inner `Err`.
    ///
    /// # Errors
    ///
    /// As [`Client::update`].
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll the operation may still happen, even after a later write.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use kvsd::Change;
    ///
    /// client.set("balance", 30_i64).await?;
    /// let withdraw = |balance: Option<i64>| match balance.unwrap_or(0) - 50 {
    ///     left @ 0.. => Ok(Change::Set(left)),
    ///     missing => Err(format!("{} are missing", -missing)),
    /// };
    /// assert_eq!(client.try_update("balance", withdraw).await?, Err("20 are missing".to_owned()));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn try_update<T, E, F>(&self, key: impl AsRef<[u8]>, change: F) -> TryUpdate<'_, T, F>
    where
        T: Value,
        F: FnMut(Option<T>) -> Result<Change<T>, E>,
    {
        TryUpdate::new(self, "update", key.as_ref(), change)
    }

    fn expire_by(
        &self,
        name: &'static str,
        key: &[u8],
        expiry: Result<Option<Expiry>, Error>,
    ) -> Expire<'_> {
        let draft = argument::key(key)
            .and_then(|key| Ok(Draft::Expire { key, expiry: expiry?, condition: Condition::Any }));
        Expire { call: Call::new(self, name, draft) }
    }
}
