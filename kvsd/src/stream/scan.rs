//! Records in the order of their keys. Next file to read: `poll`.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::pages::Pages;
use super::{Entry, ScanToken, Source, Stream};
use crate::connection::answer::RecordAt;
use crate::error::Error;
use crate::protocol::v2::{Detail, Freshness, Order};
use crate::value::Value;

/// The records of a range of keys: [`Client::scan`](crate::Client::scan).
///
/// **Each page is what stands at one moment.** On a server that can read at a moment again (its
/// engine is a cluster of etcd), so is the whole scan, from its first page to its last. Elsewhere
/// the pages are read one after the other, each as of its own: a key that does not change meanwhile
/// comes exactly once, one that is written meanwhile comes as it was or as it is, one that is made
/// or removed may come or not. A table that does not exist has no records.
///
/// What stood at a moment is not kept for ever, for an hour if nothing else is set. A scan that
/// takes longer ends with an error of kind
/// [`ErrorKind::ScanExpired`](crate::ErrorKind::ScanExpired): begin it again, or go on behind
/// [`ScanToken::unpinned`] at a later moment.
///
/// A value that is no `T` is an error of kind [`ErrorKind::Decode`](crate::ErrorKind::Decode) that
/// tells its [key](Error::key), and **the scan goes on**. Any other error is the last item: what
/// [`Scan::token`] says then is where another scan can go on.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// client.set_many([("user/1", "Ada"), ("user/2", "Bob"), ("users", "2")]).await?;
/// let mut names = Vec::new();
/// let mut users = client.scan::<String>("user/");
/// while let Some(user) = users.next().await {
///     names.push(user?.value);
/// }
/// assert_eq!(names, ["Ada", "Bob"]);
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "a stream does nothing until it is polled"]
pub struct Scan<T> {
    pages: Pages,
    value: PhantomData<fn() -> T>,
}

/// The records of a range of keys without their values: [`Scan::keys_only`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// client.set("user/1", "a long text").await?;
/// let mut keys = client.scan::<String>("user/").keys_only();
/// let entry = keys.next().await.ok_or("no record")??;
/// assert_eq!((&entry.key[..], entry.value), (&b"user/1"[..], ()));
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "a stream does nothing until it is polled"]
pub struct ScanKeys {
    pages: Pages,
}

/// What both have: settings, a token, `next`.
macro_rules! scan {
    ($name:ident $(<$value:ident>)?, $item:ty, $entry:expr) => {
        impl$(<$value: Value>)? $name$(<$value>)? {
            /// The highest key first.
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let server = kvsd_server::Embedded::temporary().await?;
            /// # let client = server.client().await?;
            /// client.set_many([("log/1", "old"), ("log/2", "new")]).await?;
            /// let newest = client.scan::<String>("log/").reverse().next().await.ok_or("no log")??;
            /// assert_eq!(newest.value, "new");
            /// # server.close().await?;
            /// # Ok(()) }
            /// ```
            pub fn reverse(mut self) -> Self {
                self.pages.settings.order = Order::Descending;
                self
            }

            /// At most so many records in all.
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let server = kvsd_server::Embedded::temporary().await?;
            /// # let client = server.client().await?;
            /// client.set_many([("a", 1), ("b", 2), ("c", 3)]).await?;
            /// let mut first = client.scan::<u8>(..).limit(2);
            /// assert!(first.next().await.is_some() && first.next().await.is_some());
            /// assert!(first.next().await.is_none());
            /// # server.close().await?;
            /// # Ok(()) }
            /// ```
            pub fn limit(mut self, records: u64) -> Self {
                self.pages.settings.limit = Some(records);
                self
            }

            /// Asks for so many records at a time, at least 1 (0 is an error of kind
            /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) at the first poll) and at
            /// most 1,000, which more counts as, and is the default. The server ends a page at 1
            /// MiB anyway. At most two pages are in memory.
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let server = kvsd_server::Embedded::temporary().await?;
            /// # let client = server.client().await?;
            /// client.set_many([("a", 1), ("b", 2), ("c", 3)]).await?;
            /// // Less in memory, more round trips, the same records.
            /// let (mut records, mut sum) = (client.scan::<u8>(..).page_size(1), 0);
            /// while let Some(record) = records.next().await {
            ///     sum += record?.value;
            /// }
            /// assert_eq!(sum, 6);
            /// # server.close().await?;
            /// # Ok(()) }
            /// ```
            pub fn page_size(mut self, records: usize) -> Self {
                self.pages.settings.page_size = Some(records);
                self
            }

            /// What stood some time ago will do: the scan need not see the latest writes. It
            /// stands at one moment all the same, where others do.
            ///
            /// As [`Get::stale`](crate::operation::read::Get::stale): how old it is, is not
            /// bounded, and a server that keeps its data itself shows the latest.
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let server = kvsd_server::Embedded::temporary().await?;
            /// # let client = server.client().await?;
            /// client.set("a", 1).await?;
            /// let mut records = client.scan::<u8>(..).stale();
            /// assert_eq!(records.next().await.ok_or("no record")??.value, 1);
            /// # server.close().await?;
            /// # Ok(()) }
            /// ```
            pub fn stale(mut self) -> Self {
                self.pages.settings.freshness = Freshness::Stale;
                self
            }

            /// Goes on behind the last item of another scan of the same range in the same
            /// direction, at the moment at which that one stands, if it stands at one.
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let server = kvsd_server::Embedded::temporary().await?;
            /// # let client = server.client().await?;
            /// client.set_many([("a", 1), ("b", 2), ("c", 3)]).await?;
            /// let mut page = client.scan::<u8>(..).limit(2);
            /// while page.next().await.is_some() {}
            /// let mut next = client.scan::<u8>(..).limit(2).after(page.token());
            /// assert_eq!(next.next().await.ok_or("no third")??.value, 3);
            /// # server.close().await?;
            /// # Ok(()) }
            /// ```
            pub fn after(mut self, token: ScanToken) -> Self {
                self.pages.go_on_behind(token);
                self
            }

            /// Allows each page `timeout`, instead of the client's setting.
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let server = kvsd_server::Embedded::temporary().await?;
            /// # let client = server.client().await?;
            /// use std::time::Duration;
            ///
            /// client.set("a", 1).await?;
            /// let mut records = client.scan::<u8>(..).timeout(Duration::from_secs(2));
            /// assert_eq!(records.next().await.ok_or("no record")??.value, 1);
            /// # server.close().await?;
            /// # Ok(()) }
            /// ```
            pub fn timeout(mut self, timeout: Duration) -> Self {
                self.pages.source.timeout = timeout;
                self
            }

            /// Behind which item another scan goes on, in this process or in another one.
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let server = kvsd_server::Embedded::temporary().await?;
            /// # let client = server.client().await?;
            /// client.set_many([("a", 1), ("b", 2)]).await?;
            /// let mut records = client.scan::<u8>(..);
            /// records.next().await.ok_or("no record")??;
            /// let link: String = records.token().to_string(); // to a page behind this one
            /// let mut rest = client.scan::<u8>(..).after(link.parse()?);
            /// assert_eq!(rest.next().await.ok_or("no record")??.value, 2);
            /// # server.close().await?;
            /// # Ok(()) }
            /// ```
            #[must_use]
            pub fn token(&self) -> ScanToken {
                self.pages.token().clone()
            }

            /// The next item; `None` at the end.
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
            /// client.set("a", 1).await?;
            /// let mut records = client.scan::<u8>(..);
            /// assert_eq!(records.next().await.transpose()?.map(|entry| entry.value), Some(1));
            /// assert_eq!(records.next().await.transpose()?, None);
            /// # server.close().await?;
            /// # Ok(()) }
            /// ```
            pub async fn next(&mut self) -> Option<Result<Entry<$item>, Error>> {
                poll_fn(|context| self.poll_entry(context)).await
            }

            fn poll_entry(
                &mut self,
                context: &mut Context<'_>,
            ) -> Poll<Option<Result<Entry<$item>, Error>>> {
                let entry: fn(&Source, RecordAt) -> Result<Entry<$item>, Error> = $entry;
                let record = ready!(self.pages.poll_record(context));
                Poll::Ready(record.map(|record| entry(&self.pages.source, record?)))
            }
        }

        impl$(<$value: Value>)? Stream for $name$(<$value>)? {
            type Item = Result<Entry<$item>, Error>;

            fn poll_next(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<Option<Self::Item>> {
                self.get_mut().poll_entry(context)
            }
        }

        /// Never shows a key.
        impl$(<$value>)? fmt::Debug for $name$(<$value>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let (table, token) = (self.pages.source.table(), self.pages.token());
                write!(f, "{}({table:?}, {token:?})", stringify!($name))
            }
        }
    };
}

scan!(Scan<T>, T, |source, record| {
    let RecordAt { key, version, value, expires_at } = record;
    let value = source.decode(&key, &value.unwrap_or_default())?;
    Ok(Entry { key, value, version, expires_at })
});

scan!(ScanKeys, (), |_, record| {
    let RecordAt { key, version, value: _, expires_at } = record;
    Ok(Entry { key, value: (), version, expires_at })
});

impl<T: Value> Scan<T> {
    pub(crate) fn new(pages: Pages) -> Self {
        Self { pages, value: PhantomData }
    }

    /// Reads all but the values, which are not read from the disk either.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// client.set_many([("a", "large"), ("b", "larger")]).await?;
    /// let (mut keys, mut count) = (client.scan::<String>(..).keys_only(), 0);
    /// while let Some(entry) = keys.next().await {
    ///     count += entry?.key.len();
    /// }
    /// assert_eq!(count, 2);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn keys_only(mut self) -> ScanKeys {
        self.pages.settings.detail = Detail::Keys;
        ScanKeys { pages: self.pages }
    }
}
