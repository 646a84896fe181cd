//! Changes to come, in the order in which they happen.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;

use super::poll::{Changes, Found};
use super::{Entry, Stream, WatchToken};
use crate::connection::answer::RecordAt;
use crate::error::{Error, ErrorKind, Outcome};
use crate::protocol::v2::Position;
use crate::types::Version;
use crate::value::Value;

/// What happens to the keys that begin alike, or to one: [`Client::watch`](crate::Client::watch),
/// [`Client::watch_key`](crate::Client::watch_key).
///
/// Every change comes **once and in the order of the versions**, whatever happens to connections
/// and to the server: the stream goes on where it broke off. The changes of a batch share their
/// version and follow each other. That a record expires is no change: the [`Entry`] tells its end.
///
/// # Where it begins
///
/// With what happens after the first poll, or rather the server's answer to it; [`Watch::begin`]
/// waits for that. With [`Watch::from`] behind a version that is known, such as that of a record
/// that was read; with [`Watch::after`] where another watch left off; with [`Watch::with_history`]
/// at the table's first change.
///
/// # When changes are lost
///
/// A server keeps a table's history for a time only, the newest 64 MiB for up to ten minutes, and
/// none of a table that was dropped. A watch that is behind that says so by an [`Event::Gap`], and
/// goes on with what happens after it. Who keeps a copy of the records reads them anew then, and
/// takes no older version for a newer one:
///
/// ```
/// use std::collections::HashMap;
///
/// use bytes::Bytes;
/// use kvsd::{Entry, Event};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// # client.set("user/7", "Ada").await?;
/// let mut view: HashMap<Bytes, Entry<String>> = HashMap::new();
/// let mut events = client.watch::<String>("user/");
/// // First the place, then the records: nothing can happen unseen in between.
/// events.begin().await?;
/// let mut records = client.scan::<String>("user/");
/// while let Some(entry) = records.next().await {
///     let entry = entry?;
///     view.insert(entry.key.clone(), entry);
/// }
/// # client.set("user/8", "Grace").await?;
/// while let Some(event) = events.next().await {
///     let seen = |key| view.get(key).map(|entry| entry.version);
///     match event? {
///         // The scan has told this, or what came later.
///         Event::Set(entry) if seen(&entry.key) >= Some(entry.version) => {}
///         Event::Deleted { key, version } if seen(&key) >= Some(version) => {}
///         Event::Set(entry) => {
///             view.insert(entry.key.clone(), entry);
///         }
///         Event::Deleted { key, .. } => {
///             view.remove(&key);
///         }
///         Event::Gap { .. } => {
///             view.clear();
///             // Scan again, as above.
///         }
///     }
/// #   break;
/// }
/// # assert_eq!(view.len(), 2);
/// # server.close().await?;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// **A watch never falls silent and never ends without a word.** Each item may be an error:
///
/// - a value that is no `T`: kind [`ErrorKind::Decode`], with its [key](Error::key); the watch goes
///   on with the next change;
/// - one that [may pass](Error::is_retryable), such as a server that cannot be reached: polled
///   again, the watch tries again, after a pause of up to 50 ms, which doubles up to 2 s. Give up,
///   or go on: nothing is lost meanwhile;
/// - any other (a bad argument, a wrong password, a closed client) is the last item.
///
/// A connection that is lost is no error if another can be had. The server is asked again every
/// 30 s while nothing happens; each request may take the client's timeout longer than that.
///
/// # Memory
///
/// At most one page of changes, 1 MiB and the last change, however slowly they are read: a slow
/// reader holds up nobody, but can fall behind the history.
#[must_use = "a stream does nothing until it is polled"]
pub struct Watch<T> {
    changes: Changes,
    value: PhantomData<fn() -> T>,
}

/// What a watch tells.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use kvsd::Event;
///
/// let mut events = client.watch::<String>("").with_history();
/// client.set("k", "v").await?;
/// client.delete("k").await?;
/// let mut told = Vec::new();
/// while told.len() < 2 {
///     told.push(match events.next().await.ok_or("the watch has ended")?? {
///         Event::Set(entry) => format!("{:?} is {}", entry.key, entry.value),
///         Event::Deleted { key, .. } => format!("{key:?} is gone"),
///         Event::Gap { .. } => "read everything anew".to_owned(),
///     });
/// }
/// assert_eq!(told, [r#"b"k" is v"#, r#"b"k" is gone"#]);
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<T> {
    /// A record was made or replaced, or its end was changed.
    Set(Entry<T>),
    /// A record was removed.
    Deleted {
        /// The key.
        key: Bytes,
        /// The write that removed it.
        version: Version,
    },
    /// Changes are missing here: the server does not have them any more, or the table was dropped.
    Gap {
        /// Behind which the watch goes on. What a scan finds from now on is not older.
        now: WatchToken,
    },
}

impl<T: Value> Watch<T> {
    pub(crate) fn new(changes: Changes) -> Self {
        Self { changes, value: PhantomData }
    }

    /// Begins behind the write with this version, which must be one of the table that has the name
    /// when the server is asked. With a version of a table that was dropped meanwhile, the watch
    /// tells what its successor holds and no [gap](Event::Gap): [`Watch::after`] a token knows the
    /// table.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use kvsd::Event;
    ///
    /// // What happens after the state that was read, and nothing before it.
    /// client.set("k", 1).await?;
    /// let read = client.get::<u8>("k").versioned().await?.ok_or("no record")?;
    /// client.set("k", 2).await?;
    /// let mut events = client.watch_key::<u8>("k").from(read.version);
    /// let Some(Event::Set(entry)) = events.next().await.transpose()? else { panic!() };
    /// assert_eq!((read.value, entry.value), (1, 2));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn from(self, version: Version) -> Self {
        self.behind(version.get())
    }

    /// Begins at the table's first change: with a gap, if not all are known any more.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use kvsd::Event;
    ///
    /// client.set("k", 1).await?;
    /// client.set("k", 2).await?;
    /// let mut events = client.watch_key::<u8>("k").with_history();
    /// let Some(Event::Set(entry)) = events.next().await.transpose()? else { panic!() };
    /// assert_eq!(entry.value, 1);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn with_history(self) -> Self {
        self.behind(0)
    }

    /// Begins behind the last item of another watch of the same keys.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use kvsd::Event;
    ///
    /// let mut first = client.watch::<u8>("").with_history();
    /// client.batch().set("a", 1).set("b", 2).await?;
    /// first.next().await.ok_or("no event")??;
    /// // One change of the batch was told; the other one is still to come.
    /// let mut second = client.watch::<u8>("").after(first.token().ok_or("not begun")?);
    /// let Some(Event::Set(entry)) = second.next().await.transpose()? else { panic!() };
    /// assert_eq!(entry.value, 2);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn after(mut self, token: WatchToken) -> Self {
        self.changes.begin_behind(token);
        self
    }

    /// Allows each request `timeout` beyond the wait for a change, instead of the client's setting.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use std::time::Duration;
    ///
    /// let mut events = client.watch::<u8>("").timeout(Duration::from_secs(2));
    /// events.begin().await?;
    /// client.set("k", 1).await?;
    /// assert!(events.next().await.ok_or("it has ended")?.is_ok());
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.changes.source.timeout = timeout;
        self
    }

    /// Finds out where the watch begins, unless it has begun: once this returns, nothing that
    /// happens is missed. Needed only where that matters before the first item.
    ///
    /// # Errors
    ///
    /// What any operation can fail with; after one that may pass it can be called again.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use kvsd::Event;
    ///
    /// let mut events = client.watch::<u8>("");
    /// events.begin().await?;
    /// client.set("k", 1).await?; // surely told
    /// let Some(Event::Set(entry)) = events.next().await.transpose()? else { panic!() };
    /// assert_eq!(entry.value, 1);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub async fn begin(&mut self) -> Result<WatchToken, Error> {
        let begun = poll_fn(|context| self.changes.poll_begin(context)).await?;
        begun.ok_or_else(|| {
            let error = Error::new(ErrorKind::Closed, Outcome::NotSent, "the watch has ended");
            self.changes.source.explain(error)
        })
    }

    /// Behind which item another watch goes on, in this process or in another one; `None` before it
    /// is known where this one begins.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let mut events = client.watch::<u8>("");
    /// assert_eq!(events.token(), None);
    /// let begun = events.begin().await?;
    /// assert_eq!(events.token(), Some(begun));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn token(&self) -> Option<WatchToken> {
        self.changes.told().cloned()
    }

    /// The next item, as soon as there is one; `None` once the watch has ended, which an error has
    /// said before.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no item.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use std::time::Duration;
    ///
    /// let mut events = client.watch::<u8>("");
    /// events.begin().await?;
    /// // Nothing is lost by not waiting on.
    /// let brief = tokio::time::timeout(Duration::from_millis(1), events.next());
    /// assert!(brief.await.is_err());
    /// client.set("k", 1).await?;
    /// assert!(events.next().await.ok_or("it has ended")?.is_ok());
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub async fn next(&mut self) -> Option<Result<Event<T>, Error>> {
        poll_fn(|context| self.poll_event(context)).await
    }

    fn behind(self, version: u64) -> Self {
        let position = Position { incarnation: None, version };
        self.after(WatchToken { position, begun: None })
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Event<T>, Error>>> {
        let found = ready!(self.changes.poll_found(context));
        Poll::Ready(found.map(|found| self.event(found?)))
    }

    fn event(&self, found: Found) -> Result<Event<T>, Error> {
        match found {
            Found::Gap(now) => Ok(Event::Gap { now }),
            Found::Change(RecordAt { key, version, value: None, .. }) => {
                Ok(Event::Deleted { key, version })
            }
            Found::Change(RecordAt { key, version, value: Some(value), expires_at }) => {
                let value = self.changes.source.decode(&key, &value)?;
                Ok(Event::Set(Entry { key, value, version, expires_at }))
            }
        }
    }
}

impl<T: Value> Stream for Watch<T> {
    type Item = Result<Event<T>, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_event(context)
    }
}

/// Never shows a key.
impl<T> fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watch({:?}, behind {:?})", self.changes.source.table(), self.changes.told())
    }
}
