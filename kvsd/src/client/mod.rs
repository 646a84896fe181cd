//! The client: a cheap handle on a pool, whose methods make operations.
//!
//! This file connects, closes and names tables; `records` has the operations on one record,
//! `typed` those on records that know their keys, `several` those on more than one, `streams` those
//! on any number, `tables` those on tables. Next file to read: [`crate::operation`].

mod changes;
mod records;
mod several;
mod streams;
mod tables;
mod typed;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::config::ClientBuilder;
use crate::connection::ServerInfo;
use crate::error::Error;
#[cfg(doc)]
use crate::error::{ErrorKind, Outcome};
use crate::operation::read::Ping;
use crate::operation::{Call, Draft, argument};
use crate::pool::Pool;
use crate::types::TableName;

/// A client of one server, or of several that hold the same data: cheap to clone, shared by any
/// number of tasks, never `&mut`.
///
/// Its operations act on one table, the URL's or `default`; [`Client::table`] gives a handle on
/// another. They are futures: nothing happens before the first poll, and each ends within its
/// deadline. What any of them can fail with is an [`ErrorKind`]; what its failure means for the
/// data is an [`Outcome`]. Dropping one that reads changes nothing; **a write that is dropped after
/// its first poll may still happen**.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// // One connection pool, however many tasks.
/// let tasks: Vec<_> = (0..10)
///     .map(|number| {
///         let client = client.clone();
///         tokio::spawn(async move { client.increment("sum", number).await })
///     })
///     .collect();
/// for task in tasks {
///     task.await??;
/// }
/// assert_eq!(client.get::<i64>("sum").await?, Some(45));
/// # server.close().await?;
/// # Ok(()) }
/// ```
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
    /// A client's connections run on the tokio runtime that opened them: keep it running. Another
    /// runtime may use them meanwhile; if the first one stops, its successors open others.
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
    /// ```
    /// # use kvsd::transport::Transport;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let transport = server.transport();
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// # let url = format!("kvsd://{}", listener.local_addr()?);
    /// # tokio::spawn(async move {
    /// #     while let Ok((mut outside, _)) = listener.accept().await {
    /// #         let Ok(inside) = transport.connect().await else { return };
    /// #         let (reader, writer) = inside.into_split();
    /// #         let mut inside = tokio::io::join(reader, writer);
    /// #         tokio::spawn(async move {
    /// #             tokio::io::copy_bidirectional(&mut outside, &mut inside).await
    /// #         });
    /// #     }
    /// # });
    /// // In a program: let url = "kvsd://localhost";
    /// let client = kvsd::Client::connect(&url).await?;
    /// client.set("greeting", "hello").await?;
    /// assert_eq!(client.get::<String>("greeting").await?.as_deref(), Some("hello"));
    /// # client.close().await;
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::builder().url(url)?.connect().await
    }

    /// Settings beyond what a URL says.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// use std::time::Duration;
    /// use kvsd::Client;
    ///
    /// let client = Client::builder()
    ///     .transport(server.transport()) // or .url("kvsds://db.example")?
    ///     .timeout(Duration::from_secs(2))
    ///     .connect()
    ///     .await?;
    /// assert!(!client.exists("nothing").await?);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
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
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let users = client.table("users")?;
    /// users.set("7", "Ada").await?;
    /// assert_eq!(users.get::<String>("7").await?.as_deref(), Some("Ada"));
    /// assert!(!client.exists("7").await?, "it is another table's");
    /// assert!(client.table("../etc").is_err());
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn table(&self, name: &str) -> Result<Self, Error> {
        let table = TableName::parse(name).map_err(argument::invalid_by)?;
        Ok(Self { inner: Arc::clone(&self.inner), table: Arc::new(table) })
    }

    /// The name of the table that this handle acts on.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// assert_eq!(client.table_name(), "default");
    /// assert_eq!(client.table("users")?.table_name(), "users");
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn table_name(&self) -> &str {
        self.table.as_str()
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
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use std::time::Duration;
    ///
    /// assert!(client.ping().timeout(Duration::from_secs(1)).await.is_ok());
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn ping(&self) -> Ping<'_> {
        Ping { call: Call::new(self, "ping", Ok(Draft::Ping)).on_no_table() }
    }

    /// What the server said of itself when a connection was last opened; of several, the one that it
    /// was opened to. Nothing is asked of it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let info = client.server_info();
    /// assert!(info.server.starts_with("kvsd"));
    /// assert_eq!(info.max_value_bytes, kvsd::types::DEFAULT_MAX_VALUE_BYTES);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn server_info(&self) -> ServerInfo {
        self.inner.pool.server_info()
    }

    /// The largest value that the server takes, in bytes, as it announced when a connection was
    /// last opened.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use kvsd::ErrorKind;
    ///
    /// let report = vec![0; client.max_value_bytes() + 1];
    /// let error = client.set("report", report).await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::ValueTooLarge);
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
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use kvsd::ErrorKind;
    ///
    /// let clone = client.clone();
    /// client.close().await;
    /// assert_eq!(clone.ping().await.unwrap_err().kind(), ErrorKind::Closed);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub async fn close(&self) {
        self.inner.pool.close().await;
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.inner.timeout
    }

    /// Whether both are handles on the same connections.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", self.inner.pool.address())
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}
