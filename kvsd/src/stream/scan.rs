//! Records in the order of their keys. Next file to read: `poll`.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::pages::Pages;
use super::{Entry, ScanToken, Source, Stream};
use crate::connection::answer::PageRecord;
use crate::error::Error;
use crate::protocol::v2::{Detail, Order};
use crate::value::Value;

/// The records of a range of keys: [`Client::scan`](crate::Client::scan).
///
/// **Each page is what stands at one moment**, the pages are read one after the other: a key that
/// does not change meanwhile comes exactly once, one that is written meanwhile comes as it was or
/// as it is, one that is made or removed may come or not. A table that does not exist has no
/// records.
///
/// A value that is no `T` is an error of kind [`ErrorKind::Decode`](crate::ErrorKind::Decode) that
/// tells its [key](Error::key), and **the scan goes on**. Any other error is the last item: what
/// [`Scan::token`] says then is where another scan can go on.
#[must_use = "a stream does nothing until it is polled"]
pub struct Scan<T> {
    pages: Pages,
    value: PhantomData<fn() -> T>,
}

/// The records of a range of keys without their values: [`Scan::keys_only`].
#[must_use = "a stream does nothing until it is polled"]
pub struct ScanKeys {
    pages: Pages,
}

/// What both have: settings, a token, `next`.
macro_rules! scan {
    ($name:ident $(<$value:ident>)?, $item:ty, $entry:expr) => {
        impl$(<$value: Value>)? $name$(<$value>)? {
            /// The highest key first.
            pub fn reverse(mut self) -> Self {
                self.pages.settings.order = Order::Descending;
                self
            }

            /// At most so many records in all.
            pub fn limit(mut self, records: u64) -> Self {
                self.pages.settings.limit = Some(records);
                self
            }

            /// Asks for so many records at a time, at least 1 (0 is an error of kind
            /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) at the first poll) and at most
            /// 1,000, which more counts as, and is the default. The server ends a page at 1 MiB
            /// anyway. At most two pages are in memory.
            pub fn page_size(mut self, records: usize) -> Self {
                self.pages.settings.page_size = Some(records);
                self
            }

            /// Goes on behind the last item of another scan of the same range in the same
            /// direction.
            pub fn after(mut self, token: ScanToken) -> Self {
                self.pages.go_on_behind(token);
                self
            }

            /// Allows each page `timeout`, instead of the client's setting.
            pub fn timeout(mut self, timeout: Duration) -> Self {
                self.pages.source.timeout = timeout;
                self
            }

            /// Behind which item another scan goes on, in this process or in another one.
            #[must_use]
            pub fn token(&self) -> ScanToken {
                self.pages.token().clone()
            }

            /// The next item; `None` at the end.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future loses no item.
            pub async fn next(&mut self) -> Option<Result<Entry<$item>, Error>> {
                poll_fn(|context| self.poll_entry(context)).await
            }

            fn poll_entry(
                &mut self,
                context: &mut Context<'_>,
            ) -> Poll<Option<Result<Entry<$item>, Error>>> {
                let entry: fn(&Source, PageRecord) -> Result<Entry<$item>, Error> = $entry;
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
    let PageRecord { key, version, value, expires_at } = record;
    let value = source.decode(&key, &value.unwrap_or_default())?;
    Ok(Entry { key, value, version, expires_at })
});

scan!(ScanKeys, (), |_, record| {
    let PageRecord { key, version, value: _, expires_at } = record;
    Ok(Entry { key, value: (), version, expires_at })
});

impl<T: Value> Scan<T> {
    pub(crate) fn new(pages: Pages) -> Self {
        Self { pages, value: PhantomData }
    }

    /// Reads all but the values, which are not read from the disk either.
    pub fn keys_only(mut self) -> ScanKeys {
        self.pages.settings.detail = Detail::Keys;
        ScanKeys { pages: self.pages }
    }
}
