//! The client: a cheap handle on a pool, whose methods make operations.
//!
//! Next file to read: [`crate::operation`].

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::config::ClientBuilder;
use crate::error::{Error, ErrorKind, Outcome};
use crate::operation::read::{Exists, Get, Ping};
use crate::operation::write::{Delete, Set, Take};
use crate::operation::{Call, Draft};
use crate::pool::Pool;
use crate::protocol::v2::{Condition, Previous};
use crate::types::{TableName, check_key};
use crate::value::{Encode, EncodeError, Value, encode_to_bytes};

/// A client of one server: cheap to clone, shared by any number of tasks, never `&mut`.
///
/// Its operations act on one table, the URL's or `default`; [`Client::table`] gives a handle on
/// another. They are futures: nothing happens before the first poll, and each ends within its
/// deadline. What any of them can fail with is an [`ErrorKind`]; what its failure means for the data
/// is an [`Outcome`]. Dropping one that reads changes nothing; **a write that is dropped after its
/// first poll may still happen**.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    table: Arc<TableName>,
}

struct Inner {
    pool: Pool,
    timeout: Duration,
}

impl Client {
    /// Connects to the server at `url`, such as `kvsds://app:secret@db.example/users`; the
    /// [builder](ClientBuilder::url) tells what a URL can say.
    ///
    /// # Errors
    ///
    /// What keeps the client from working, as soon as it is known: a malformed URL, an unknown
    /// host, a closed port, an untrusted certificate, a wrong password.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was opened.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), kvsd::Error> {
    /// let client = kvsd::Client::connect("kvsd://localhost").await?;
    /// client.set("greeting", "hello").await?;
    /// assert_eq!(client.get::<String>("greeting").await?.as_deref(), Some("hello"));
    /// # Ok(()) }
    /// ```
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::builder().url(url)?.connect().await
    }

    /// Settings beyond what a URL says.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    pub(crate) fn new(pool: Pool, table: TableName, timeout: Duration) -> Self {
        Self { inner: Arc::new(Inner { pool, timeout }), table: Arc::new(table) }
    }

    /// A handle on the same connections whose operations act on the table `name`. A table comes
    /// into being with its first write.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] if `name` is no table name. Nothing is asked of the server.
    pub fn table(&self, name: &str) -> Result<Self, Error> {
        let table = TableName::parse(name).map_err(invalid)?;
        Ok(Self { inner: Arc::clone(&self.inner), table: Arc::new(table) })
    }

    /// Reads the value at `key` as a `T`: `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] if the value is no `T`; [`ErrorKind::InvalidArgument`] for a key that
    /// is empty or longer than 1,024 bytes; and what any operation can fail with.
    ///
    /// # Cancel safety
    ///
    /// Dropping the operation changes nothing.
    pub fn get<T: Value>(&self, key: impl AsRef<[u8]>) -> Get<'_, T> {
        Get { call: self.call("get", key.as_ref(), |key| Draft::Get { key }), value: PhantomData }
    }

    /// Stores `value` at `key`; resolves with the write's version.
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
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl Encode) -> Set<'_> {
        let draft = checked(key.as_ref()).and_then(|key| {
            let limit = self.inner.pool.max_value_bytes();
            let value = encode_to_bytes(&value, limit).map_err(not_encoded)?;
            let (condition, previous) = (Condition::Any, Previous::Omit);
            Ok(Draft::Set { key, value, condition, expiry: None, previous })
        });
        Set { call: Call::new(self, "set", draft) }
    }

    /// Removes the record at `key`; resolves with whether there was one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if its condition does not hold; [`ErrorKind::InvalidArgument`] for a
    /// key that is none; and what any operation can fail with.
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll the operation may still happen, even after a later write.
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Delete<'_> {
        let draft = |key| delete(key, Previous::Omit);
        Delete { call: self.call("delete", key.as_ref(), draft) }
    }

    /// Removes the record at `key` and resolves with its value: `None` if there was none.
    ///
    /// Of any number of callers at once, one gets the value.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] with [`Outcome::Done`] for a value that is no `T`: it is removed all
    /// the same; [`ErrorKind::InvalidArgument`] for a key that is none; and what any operation can
    /// fail with.
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll the operation may still happen: then the value is gone, and
    /// nobody has it.
    pub fn take<T: Value>(&self, key: impl AsRef<[u8]>) -> Take<'_, T> {
        let draft = |key| delete(key, Previous::Return);
        Take { call: self.call("take", key.as_ref(), draft), value: PhantomData }
    }

    /// Whether there is a record at `key`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a key that is none; and what any operation can fail with.
    ///
    /// # Cancel safety
    ///
    /// Dropping the operation changes nothing.
    pub fn exists(&self, key: impl AsRef<[u8]>) -> Exists<'_> {
        Exists { call: self.call("exists", key.as_ref(), |key| Draft::Exists { key }) }
    }

    /// Asks the server for a sign of life.
    ///
    /// # Errors
    ///
    /// What any operation can fail with.
    ///
    /// # Cancel safety
    ///
    /// Dropping the operation changes nothing.
    pub fn ping(&self) -> Ping<'_> {
        Ping { call: Call::new(self, "ping", Ok(Draft::Ping)) }
    }

    /// The largest value that the server takes, in bytes, as it announced when a connection was
    /// last opened.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// assert_eq!(client.max_value_bytes(), kvsd::types::DEFAULT_MAX_VALUE_BYTES);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn max_value_bytes(&self) -> usize {
        self.inner.pool.max_value_bytes()
    }

    /// Closes the connections of this client and all its clones: takes no new operations, and
    /// returns when those in flight are answered or out of time and the server has closed its side.
    /// For that, and for writes whose futures were dropped, it has 5 s more.
    ///
    /// # Cancel safety
    ///
    /// The client is closed all the same; only the wait ends.
    pub async fn close(&self) {
        self.inner.pool.close().await;
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    pub(crate) fn table_name(&self) -> &str {
        self.table.as_str()
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.inner.timeout
    }

    fn call(&self, name: &'static str, key: &[u8], draft: impl Fn(Bytes) -> Draft) -> Call<'_> {
        Call::new(self, name, checked(key).map(draft))
    }
}

fn checked(key: &[u8]) -> Result<Bytes, Error> {
    check_key(key).map_err(invalid)?;
    Ok(Bytes::copy_from_slice(key))
}

fn delete(key: Bytes, previous: Previous) -> Draft {
    Draft::Delete { key, condition: Condition::Any, previous }
}

fn invalid(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::InvalidArgument, Outcome::NotSent, cause.to_string()).with_source(cause)
}

fn not_encoded(cause: EncodeError) -> Error {
    let (kind, detail) = match cause {
        EncodeError::TooLarge { limit } => {
            (ErrorKind::ValueTooLarge, format!("the server takes at most {limit} bytes"))
        }
        _ => (ErrorKind::Encode, cause.to_string()),
    };
    Error::new(kind, Outcome::NotSent, detail).with_source(cause)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", self.inner.pool.address())
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}
