//! The client's operations on any number of records: scans and watches.
//!
//! Next file to read: `tables`.

use super::Client;
use super::typed::table_of;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::key::{Keyed, Prefix};
use crate::operation::Selection;
use crate::operation::argument::{self, invalid};
use crate::stream::pages::Pages;
use crate::stream::poll::Changes;
use crate::stream::{KeyRange, Scan, Watch};
use crate::types::MAX_KEY_BYTES;
use crate::value::Value;

/// # Streams
///
/// Nothing is asked before the first poll. A stream has a handle on the client, borrows nothing,
/// and can be dropped at any time.
impl Client {
    /// Reads the records of a range of keys in their order: `"user/"` for the keys that begin so,
    /// `"a".."f"` for those between bounds, `..` for the whole table.
    ///
    /// # Errors
    ///
    /// Items of the stream: [`ErrorKind::Decode`] for a value that is no `T`, after which it goes
    /// on; [`ErrorKind::InvalidArgument`] for a bound that is longer than a key; and what any
    /// operation can fail with.
    ///
    /// # Cancel safety
    ///
    /// Dropping the stream, or a future of its `next()`, changes nothing and loses nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// for (key, name) in [("user/1", "Ada"), ("user/2", "Grace"), ("visit/1", "today")] {
    ///     client.set(key, name).await?;
    /// }
    /// let mut users = client.scan::<String>("user/").reverse();
    /// while let Some(user) = users.next().await {
    ///     let user = user?;
    ///     println!("{:?} is {}", user.key, user.value);
    /// #   if user.key == "user/2" { assert_eq!(user.value, "Grace"); break }
    /// }
    /// // Where to go on, for another process.
    /// let token: kvsd::ScanToken = users.token().to_string().parse()?;
    /// let mut rest = client.scan::<String>("user/").reverse().after(token);
    /// assert_eq!(rest.next().await.transpose()?.map(|user| user.value).as_deref(), Some("Ada"));
    /// assert!(rest.next().await.is_none());
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn scan<T: Value>(&self, keys: impl Into<KeyRange>) -> Scan<T> {
        Scan::new(Pages::new(self, keys.into()))
    }

    /// Reads the records of a type that knows its keys, of its own table: all of them
    /// (`User::prefix()`) or those whose keys begin with some parts (`Order::prefix_of(7)`).
    ///
    /// # Errors
    ///
    /// As [`Client::scan`].
    ///
    /// # Cancel safety
    ///
    /// As [`Client::scan`].
    ///
    /// ```
    /// use kvsd::Keyed;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    /// #[kvsd(table = "orders", key = "order/{customer}/{id}")]
    /// struct Order {
    ///     customer: u32,
    ///     id: u32,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// for order in [Order { customer: 7, id: 1 }, Order { customer: 8, id: 1 }] {
    ///     client.table("orders")?.set(order.key(), &order).await?;
    /// }
    /// let mut orders = client.scan_all(Order::prefix_of(7));
    /// while let Some(order) = orders.next().await {
    ///     assert_eq!(order?.value, Order { customer: 7, id: 1 });
    /// }
    /// assert_eq!(client.scan_all(Order::prefix()).next().await.unwrap()?.value.customer, 7);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn scan_all<T: Value + Keyed>(&self, keys: Prefix<T>) -> Scan<T> {
        let mut pages = Pages::new(self, keys.into());
        pages.source.table = table_of::<T>();
        Scan::new(pages)
    }

    /// Tells what happens from now on to the keys that begin with `prefix`; all keys, if it is
    /// empty.
    ///
    /// # Errors
    ///
    /// Items of the stream, which [`Watch`] explains: most of them pass, and the stream goes on.
    /// [`ErrorKind::InvalidArgument`] for a prefix that is longer than a key.
    ///
    /// # Cancel safety
    ///
    /// Dropping the stream, or a future of its `next()`, changes nothing and loses nothing.
    ///
    /// ```
    /// use kvsd::Event;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let version = client.set("user/7", "Ada").await?;
    /// let mut events = client.watch::<String>("user/").from(version);
    /// client.set("user/7", "Ada Lovelace").await?;
    /// client.delete("user/7").await?;
    /// let Some(Event::Set(entry)) = events.next().await.transpose()? else { panic!() };
    /// assert_eq!(entry.value, "Ada Lovelace");
    /// let Some(Event::Deleted { key, .. }) = events.next().await.transpose()? else { panic!() };
    /// assert_eq!(key, "user/7");
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn watch<T: Value>(&self, prefix: impl AsRef<[u8]>) -> Watch<T> {
        Watch::new(Changes::new(self, beginning(prefix.as_ref())))
    }

    /// Tells what happens from now on to one key.
    ///
    /// # Errors
    ///
    /// As [`Client::watch`]; [`ErrorKind::InvalidArgument`] for a key that is none.
    ///
    /// # Cancel safety
    ///
    /// As [`Client::watch`].
    ///
    /// ```
    /// use kvsd::Event;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let mut settings = client.watch_key::<String>("settings");
    /// settings.begin().await?;
    /// client.set("settings-of-others", "red").await?;
    /// client.set("settings", "green").await?;
    /// let Some(Event::Set(entry)) = settings.next().await.transpose()? else { panic!() };
    /// assert_eq!(entry.value, "green");
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn watch_key<T: Value>(&self, key: impl AsRef<[u8]>) -> Watch<T> {
        let key = argument::key(key.as_ref());
        Watch::new(Changes::new(self, key.map(Selection::Key)))
    }

    /// Tells what happens from now on to the records of a type that knows its keys, in its own
    /// table: as [`Client::scan_all`] reads them.
    ///
    /// # Errors
    ///
    /// As [`Client::watch`].
    ///
    /// # Cancel safety
    ///
    /// As [`Client::watch`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use kvsd::{Event, Keyed, Value};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize, Value)]
    /// #[kvsd(table = "orders", key = "order/{customer}/{id}")]
    /// struct Order {
    ///     customer: u32,
    ///     id: u32,
    /// }
    ///
    /// let mut orders = client.watch_all(Order::prefix_of(7));
    /// orders.begin().await?;
    /// client.put(&Order { customer: 8, id: 1 }).await?;
    /// client.put(&Order { customer: 7, id: 2 }).await?;
    /// let Some(Event::Set(entry)) = orders.next().await.transpose()? else { panic!() };
    /// assert_eq!((entry.value.customer, entry.value.id), (7, 2));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn watch_all<T: Value + Keyed>(&self, keys: Prefix<T>) -> Watch<T> {
        let mut changes = Changes::new(self, beginning(keys.as_ref()));
        changes.source.table = table_of::<T>();
        Watch::new(changes)
    }
}

fn beginning(prefix: &[u8]) -> Result<Selection, Error> {
    match prefix.len() {
        0 => Ok(Selection::All),
        1..=MAX_KEY_BYTES => Ok(Selection::Prefix(prefix.to_vec().into())),
        _ => {
            Err(invalid(format!("a key, and so its beginning, has at most {MAX_KEY_BYTES} bytes")))
        }
    }
}
