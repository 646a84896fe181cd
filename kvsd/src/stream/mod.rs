//! Scans and watches: many records, or every change to come, as a [`Stream`].
//!
//! | stream | yields | on the way |
//! |---|---|---|
//! | [`Scan`], [`ScanKeys`] | the records of a range in the order of their keys, once | pages, the next one fetched ahead |
//! | [`Watch`] | what changes, in the order it did, without end | long polls, resumed where they broke off |
//!
//! Both are made by a [`Client`] and hold a handle on it, so that they live as long as they like.
//! Nothing is asked before the first poll. Refine a stream before it: what is refined later counts
//! for what is still to be asked, or not at all. `next()` is a method of their own, so that no
//! other crate is needed; with `futures` or `tokio-stream` they are any [`Stream`]. Dropping a
//! stream or a future of its `next()` loses no item: [`Scan::token`] and [`Watch::token`] say
//! behind which one to go on, in another process too.
//!
//! ```
//! use kvsd::Event;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = kvsd_server::Embedded::temporary().await?;
//! # let client = server.client().await?;
//! client.set("user/1", "Ada").await?;
//! let mut users = client.scan::<String>("user/");
//! while let Some(user) = users.next().await {
//!     assert_eq!(user?.value, "Ada");
//! }
//!
//! let mut changes = client.watch::<String>("user/");
//! changes.begin().await?;
//! client.set("user/2", "Grace").await?;
//! let Some(Event::Set(user)) = changes.next().await.transpose()? else { panic!() };
//! assert_eq!(user.value, "Grace");
//! # server.close().await?;
//! # Ok(()) }
//! ```
//!
//! The server pushes nothing: a stream asks page by page, at its reader's pace. Reading order:
//! `range`, `token`, `pages`, `scan`, `poll`, `watch`.

pub(crate) mod pages;
pub(crate) mod poll;
mod range;
mod scan;
mod token;
mod watch;

pub use futures_core::Stream;

pub use self::range::KeyRange;
pub use self::scan::{Scan, ScanKeys};
pub use self::token::{ScanToken, TokenError, WatchToken};
pub use self::watch::{Event, Watch};

use std::time::Duration;

use bytes::Bytes;

use crate::client::Client;
use crate::error::Error;
use crate::operation::{Call, Draft};
use crate::types::{UnixMillis, Version};
use crate::value::Value;

/// A record with its key.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use kvsd::Entry;
///
/// let written = client.set("user/7", "Ada").await?;
/// let Entry { key, value, version, expires_at } =
///     client.scan::<String>("user/").next().await.ok_or("no record")??;
/// assert_eq!((&key[..], value.as_str()), (&b"user/7"[..], "Ada"));
/// assert_eq!((version, expires_at), (written, None));
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<T> {
    /// The key.
    pub key: Bytes,
    /// The value; `()` where only keys were asked for.
    pub value: T,
    /// The write that made the record.
    pub version: Version,
    /// When the record ends, if it does.
    pub expires_at: Option<UnixMillis>,
}

/// Whom a stream asks, and of which table.
pub(crate) struct Source {
    client: Client,
    /// The operation's name, for errors.
    name: &'static str,
    /// The table, if it is not that of the client's handle. Its name was checked.
    pub(crate) table: Option<&'static str>,
    /// What one request may take.
    timeout: Duration,
}

impl Source {
    fn new(client: &Client, name: &'static str) -> Self {
        Self { client: client.clone(), name, table: None, timeout: client.timeout() }
    }

    /// A request with this much time beyond the client's.
    fn ask(&self, draft: Draft, more: Duration) -> Call<'static> {
        let call = Call::new(&self.client, self.name, Ok(draft));
        let call = match self.table {
            None => call,
            Some(table) => call.on_table(table),
        };
        let mut call = call.into_owned();
        call.set_timeout(match self.timeout.is_zero() {
            true => Duration::ZERO,
            false => self.timeout.saturating_add(more),
        });
        call
    }

    fn table(&self) -> &str {
        self.table.unwrap_or_else(|| self.client.table_name())
    }

    /// Names the operation in an error that it found itself.
    fn explain(&self, error: Error) -> Error {
        let error = error.during(self.name).on(self.table());
        error.at(self.client.pool().address())
    }

    /// Reads a value; the error tells whose it is.
    fn decode<T: Value>(&self, key: &[u8], value: &[u8]) -> Result<T, Error> {
        T::decode(value).map_err(|cause| self.explain(cause.into()).of_key(key))
    }
}
