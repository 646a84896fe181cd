//! The client's operations on one record.
//!
//! Next file to read: `changes`.

use std::marker::PhantomData;

use bytes::Bytes;

use super::Client;
use crate::error::Error;
#[cfg(doc)]
use crate::error::{ErrorKind, Outcome};
use crate::operation::lifetime::GetTtl;
use crate::operation::read::{Exists, Get, GetBytes};
use crate::operation::write::{Delete, Set, Swap, Take};
use crate::operation::{Call, Draft, argument};
use crate::protocol::v2::{Condition, Previous};
use crate::value::{Encode, Value};

/// # One record
///
/// A key has 1 to 1,024 bytes; one that is none fails with [`ErrorKind::InvalidArgument`] at the
/// operation's first poll, before anything is sent.
impl Client {
    /// Reads the value at `key` as a `T`: `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] if the value is no `T`; and what any operation can fail with.
    ///
    /// # Cancel safety
    ///
    /// Dropping the operation changes nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// client.set("visits", 7_u64).await?;
    /// assert_eq!(client.get::<u64>("visits").await?, Some(7));
    /// assert_eq!(client.get::<u64>("nobody").await?, None);
    /// // With the version, for a write that must not run over another.
    /// let visits = client.get::<u64>("visits").versioned().await?.ok_or("gone")?;
    /// client.set("visits", visits.value + 1).if_version(visits.version).await?;
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn get<T: Value>(&self, key: impl AsRef<[u8]>) -> Get<'_, T> {
        Get { call: self.call("get", key.as_ref(), Draft::get), value: PhantomData }
    }

    /// Reads the record at `key` as it is stored: `None` if there is none. Types that borrow are
    /// [decoded](crate::operation::read::Stored::decode) from it without copying.
    ///
    /// # Errors
    ///
    /// What any operation can fail with.
    ///
    /// # Cancel safety
    ///
    /// Dropping the operation changes nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// client.set("greeting", "hello").await?;
    /// let stored = client.get_bytes("greeting").await?.ok_or("gone")?;
    /// assert_eq!(stored.bytes(), "hello");
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn get_bytes(&self, key: impl AsRef<[u8]>) -> GetBytes<'_> {
        GetBytes { call: self.call("get", key.as_ref(), Draft::get) }
    }

    /// Whether there is a record at `key`.
    ///
    /// # Errors
    ///
    /// What any operation can fail with.
    ///
    /// # Cancel safety
    ///
    /// Dropping the operation changes nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// client.set("greeting", "hello").await?;
    /// assert!(client.exists("greeting").await?);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn exists(&self, key: impl AsRef<[u8]>) -> Exists<'_> {
        Exists { call: self.call("exists", key.as_ref(), Draft::exists) }
    }

    /// How long the record at `key` still has, by the server's clock.
    ///
    /// # Errors
    ///
    /// What any operation can fail with.
    ///
    /// # Cancel safety
    ///
    /// Dropping the operation changes nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use std::time::Duration;
    /// use kvsd::Ttl;
    ///
    /// client.set("session/9", "ada").ttl(Duration::from_secs(900)).await?;
    /// let Ttl::Left(left) = client.ttl("session/9").await? else { panic!() };
    /// assert!(left <= Duration::from_secs(900));
    /// assert_eq!(client.ttl("nobody").await?, Ttl::NoRecord);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn ttl(&self, key: impl AsRef<[u8]>) -> GetTtl<'_> {
        GetTtl { call: self.call("ttl", key.as_ref(), Draft::lifetime) }
    }

    /// Stores `value` at `key`; resolves with the write's version. [`Set`] has its conditions and
    /// its ends.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if a condition does not hold; [`ErrorKind::ValueTooLarge`],
    /// [`ErrorKind::Encode`] and [`ErrorKind::InvalidArgument`] for what cannot be stored, told at
    /// the first poll, without asking the server; and what any operation can fail with.
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
    /// client.set("greeting", "hello").await?;
    /// let lock = client.set("lock", "ada").if_absent().ttl(Duration::from_secs(30));
    /// assert!(lock.await.is_ok());
    /// let again = client.set("lock", "bob").if_absent().await.unwrap_err();
    /// assert!(again.is_conflict());
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl Encode) -> Set<'_> {
        Set {
            call: Call::new(
                self,
                "set",
                self.set_draft(argument::key(key.as_ref()), &value, Previous::Omit),
            ),
        }
    }

    /// Stores `value` at `key` and resolves with the value before: `None` if there was none.
    /// [`Swap`] has its conditions and its ends.
    ///
    /// # Errors
    ///
    /// As [`Client::set`]; and [`ErrorKind::Decode`] with [`Outcome::Done`] for a value before that
    /// is no `T`: it is replaced all the same.
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
    /// assert_eq!(client.swap::<String>("leader", "ada").await?, None);
    /// assert_eq!(client.swap::<String>("leader", "bob").await?.as_deref(), Some("ada"));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn swap<T: Value>(&self, key: impl AsRef<[u8]>, value: impl Encode) -> Swap<'_, T> {
        let draft = self.set_draft(argument::key(key.as_ref()), &value, Previous::Return);
        Swap { call: Call::new(self, "swap", draft), value: PhantomData }
    }

    /// Removes the record at `key`; resolves with whether there was one.
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
    /// client.set("greeting", "hello").await?;
    /// assert!(client.delete("greeting").await?);
    /// assert!(!client.delete("greeting").await?);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Delete<'_> {
        Delete { call: self.call("delete", key.as_ref(), delete) }
    }

    /// Removes the record at `key` and resolves with its value: `None` if there was none.
    ///
    /// Of any number of callers at once, one gets the value.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] with [`Outcome::Done`] for a value that is no `T`: it is removed all
    /// the same; [`ErrorKind::Conflict`] if its condition does not hold; and what any operation can
    /// fail with.
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll the operation may still happen: then the value is gone, and
    /// nobody has it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// client.set("job", "sweep").await?;
    /// assert_eq!(client.take::<String>("job").await?.as_deref(), Some("sweep"));
    /// assert_eq!(client.take::<String>("job").await?, None);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn take<T: Value>(&self, key: impl AsRef<[u8]>) -> Take<'_, T> {
        let call = self.call("take", key.as_ref(), take);
        Take { call, value: PhantomData }
    }

    pub(super) fn call(
        &self,
        name: &'static str,
        key: &[u8],
        draft: impl FnOnce(Bytes) -> Draft,
    ) -> Call<'_> {
        Call::new(self, name, argument::key(key).map(draft))
    }

    pub(super) fn set_draft(
        &self,
        key: Result<Bytes, Error>,
        value: &impl Encode,
        previous: Previous,
    ) -> Result<Draft, Error> {
        let key = key?;
        let value = argument::value(value, self.max_value_bytes())?;
        Ok(Draft::Set { key, value, condition: Condition::Any, expiry: None, previous })
    }
}

pub(super) fn delete(key: Bytes) -> Draft {
    Draft::Delete { key, condition: Condition::Any, previous: Previous::Omit }
}

fn take(key: Bytes) -> Draft {
    Draft::Delete { key, condition: Condition::Any, previous: Previous::Return }
}
