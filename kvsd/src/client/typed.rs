//! The client's operations on records that know their keys.
//!
//! Next file to read: `several`.

use std::marker::PhantomData;
use std::sync::Arc;

use super::Client;
use crate::error::Error;
use crate::key::{Key, Keyed};
use crate::operation::lifetime::Renew;
use crate::operation::read::Get;
use crate::operation::write::{Delete, Set};
use crate::operation::{Call, Draft, Item, argument};
use crate::protocol::v2::{Condition, Previous};
use crate::types::check_table_name;
use crate::value::{Encode, Value};

/// # Records that know their keys
///
/// A type with a key template is stored in the table that it names, whatever the handle's is, and
/// in the handle's if it names none. What it names is a table name: else these operations do not
/// compile for it.
impl Client {
    /// A handle on the table of a type: for the operations that take the table from their handle,
    /// such as [`ttl`](Client::ttl), [`update`](Client::update) or [`batch`](Client::batch). A type
    /// that names no table leaves the handle on its own.
    ///
    /// It is a handle as [`Client::table`] gives: made in passing, or kept where an operation is
    /// refined over several statements. A type whose [`Keyed::TABLE`] is no table name, which the
    /// derive refuses and who writes the trait by hand may overlook, does not compile.
    ///
    /// ```
    /// use kvsd::{Change, Keyed, Ttl};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize, kvsd::Value)]
    /// #[kvsd(table = "carts", key = "cart/{user}", ttl = "1h")]
    /// struct Cart {
    ///     user: u64,
    ///     items: Vec<String>,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let carts = client.of::<Cart>();
    /// client.put(&Cart { user: 7, items: vec![] }).await?;
    /// carts
    ///     .update(Cart::key_of(7), |cart: Option<Cart>| match cart {
    ///         Some(mut cart) => {
    ///             cart.items.push("tea".into());
    ///             Change::Set(cart)
    ///         }
    ///         None => Change::Keep,
    ///     })
    ///     .await?;
    /// assert!(matches!(carts.ttl(Cart::key_of(7)).await?, Ttl::Left(_)));
    /// let [cart, none] = &carts.get_many::<Cart>([7, 8].map(Cart::key_of)).await?[..] else {
    ///     panic!("one answer for each key");
    /// };
    /// assert!(cart.is_some() && none.is_none());
    /// assert!(!client.exists(Cart::key_of(7)).await?, "it is in the type's table");
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// ```compile_fail,E0080
    /// # use kvsd::key::{Key, Keyed, Prefix};
    /// struct Lost;
    ///
    /// impl Keyed for Lost {
    ///     const TABLE: Option<&'static str> = Some("../etc");
    /// #   type Parts<'p> = ();
    /// #   fn key(&self) -> Key<Self> { Key::new("lost") }
    /// #   fn key_of((): ()) -> Key<Self> { Key::new("lost") }
    /// #   fn prefix() -> Prefix<Self> { Prefix::new("lost") }
    ///     // ..
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// assert!(!client.of::<Lost>().exists("lost").await?);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn of<T: Keyed>(&self) -> Self {
        match table_of::<T>() {
            None => self.clone(),
            Some(table) => self
                .table(table)
                .unwrap_or_else(|_| unreachable!("the compiler has checked the name")),
        }
    }

    /// Stores `record` at its own key, in its type's table and for its type's time to live;
    /// resolves with the write's version. [`Set`] has its conditions and other ends.
    ///
    /// # Errors
    ///
    /// As [`Client::set`].
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll the operation may still happen, even after a later write.
    ///
    /// ```
    /// use kvsd::Keyed;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize, kvsd::Value)]
    /// #[kvsd(table = "users", key = "user/{id}")]
    /// struct User {
    ///     id: u64,
    ///     name: String,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let ada = User { id: 7, name: "Ada".into() };
    /// client.put(&ada).await?;
    /// // Once more only if there is none yet.
    /// assert!(client.put(&ada).if_absent().await.unwrap_err().is_conflict());
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn put<T: Keyed + Encode>(&self, record: &T) -> Set<'_> {
        let key = argument::owned_key(record.key().into_bytes());
        let draft = self.set_draft(key, record, Previous::Omit).and_then(|mut draft| {
            if let Some(ttl) = T::TTL {
                draft.set_expiry(Some(argument::ttl(ttl)?));
            }
            Ok(draft)
        });
        Set { call: self.call_in::<T>("put", draft) }
    }

    /// Reads the record with this key: `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the operation changes nothing.
    ///
    /// ```
    /// use kvsd::Keyed;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize, kvsd::Value)]
    /// #[kvsd(table = "users", key = "user/{id}")]
    /// struct User {
    ///     id: u64,
    ///     name: String,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// client.put(&User { id: 7, name: "Ada".into() }).await?;
    /// let user = client.fetch(User::key_of(7)).await?.ok_or("no such user")?;
    /// assert_eq!(user.name, "Ada");
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn fetch<T: Keyed + Value>(&self, key: Key<T>) -> Get<'_, T> {
        let draft = argument::owned_key(key.into_bytes()).map(Draft::get);
        Get { call: self.call_in::<T>("fetch", draft), value: PhantomData }
    }

    /// Removes the record with this key; resolves with whether there was one.
    ///
    /// # Errors
    ///
    /// As [`Client::delete`].
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll the operation may still happen, even after a later write.
    ///
    /// ```
    /// use kvsd::Keyed;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize, kvsd::Value)]
    /// #[kvsd(table = "users", key = "user/{id}")]
    /// struct User {
    ///     id: u64,
    ///     name: String,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// client.put(&User { id: 7, name: "Ada".into() }).await?;
    /// assert!(client.remove(User::key_of(7)).await?);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn remove<T: Keyed>(&self, key: Key<T>) -> Delete<'_> {
        let draft = argument::owned_key(key.into_bytes()).map(super::records::delete);
        Delete { call: self.call_in::<T>("remove", draft) }
    }

    /// Reads the record with this key and lets it live for its type's time to live from now on:
    /// `None` if there is none.
    ///
    /// Both in one message, but each for itself: the new end first, then the record as it is then.
    /// The record gets a new version, which a watch tells. A type without a time to live does not
    /// compile here.
    ///
    /// # Errors
    ///
    /// As [`Client::expire`] and [`Client::get`].
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll the record may still live longer.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use kvsd::{Keyed, Ttl};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize, kvsd::Value)]
    /// #[kvsd(table = "sessions", key = "session/{id}", ttl = "30m")]
    /// struct Session {
    ///     id: u32,
    ///     user: String,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let minute = Duration::from_secs(60);
    /// client.put(&Session { id: 9, user: "ada".into() }).ttl(minute).await?;
    /// let session = client.renew(Session::key_of(9)).await?.ok_or("log in first")?;
    /// assert_eq!(session.user, "ada");
    /// let sessions = client.of::<Session>();
    /// let Ttl::Left(left) = sessions.ttl(Session::key_of(9)).await? else { panic!() };
    /// assert!(left > minute);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// ```compile_fail,E0080
    /// # use kvsd::Keyed;
    /// #[derive(serde::Serialize, serde::Deserialize, kvsd::Value)]
    /// #[kvsd(key = "user/{id}")] // and no ttl
    /// struct User {
    ///     id: u32,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// assert!(client.renew(User::key_of(7)).await?.is_none());
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn renew<T: Keyed + Value>(&self, key: Key<T>) -> Renew<'_, T> {
        const { assert!(T::TTL.is_some(), "the type has no time to live: give it a `ttl`") };
        Renew { call: self.call_in::<T>("renew", renewal(key)), value: PhantomData }
    }

    fn call_in<T: Keyed>(&self, name: &'static str, draft: Result<Draft, Error>) -> Call<'_> {
        let call = Call::new(self, name, draft);
        match table_of::<T>() {
            None => call,
            Some(table) => call.on_table(table),
        }
    }
}

/// The table that a type names, if it names one. It is a table name, or this does not compile.
///
/// ```compile_fail,E0080
/// # use kvsd::key::{Key, Keyed, Prefix};
/// # #[derive(serde::Serialize, serde::Deserialize, kvsd::Value)]
/// # struct Lost;
/// # impl Keyed for Lost {
/// #   const TABLE: Option<&'static str> = Some("../etc");
/// #   type Parts<'p> = ();
/// #   fn key(&self) -> Key<Self> { Key::new("lost") }
/// #   fn key_of((): ()) -> Key<Self> { Key::new("lost") }
/// #   fn prefix() -> Prefix<Self> { Prefix::new("lost") }
/// # }
/// fn f(client: kvsd::Client) -> impl Sized { client.put(&Lost).owned() }
/// # fn main() { let _: fn(_) -> _ = f; }
/// ```
///
/// ```compile_fail,E0080
/// # use kvsd::key::{Key, Keyed, Prefix};
/// # #[derive(serde::Serialize, serde::Deserialize, kvsd::Value)]
/// # struct Lost;
/// # impl Keyed for Lost {
/// #   const TABLE: Option<&'static str> = Some("../etc");
/// #   type Parts<'p> = ();
/// #   fn key(&self) -> Key<Self> { Key::new("lost") }
/// #   fn key_of((): ()) -> Key<Self> { Key::new("lost") }
/// #   fn prefix() -> Prefix<Self> { Prefix::new("lost") }
/// # }
/// fn f(client: kvsd::Client) -> impl Sized { client.scan_all(Lost::prefix()) }
/// # fn main() { let _: fn(_) -> _ = f; }
/// ```
///
/// ```compile_fail,E0080
/// # use kvsd::key::{Key, Keyed, Prefix};
/// # #[derive(serde::Serialize, serde::Deserialize, kvsd::Value)]
/// # struct Lost;
/// # impl Keyed for Lost {
/// #   const TABLE: Option<&'static str> = Some("../etc");
/// #   type Parts<'p> = ();
/// #   fn key(&self) -> Key<Self> { Key::new("lost") }
/// #   fn key_of((): ()) -> Key<Self> { Key::new("lost") }
/// #   fn prefix() -> Prefix<Self> { Prefix::new("lost") }
/// # }
/// fn f(client: kvsd::Client) -> impl Sized { client.watch_all(Lost::prefix()) }
/// # fn main() { let _: fn(_) -> _ = f; }
/// ```
pub(super) fn table_of<T: Keyed>() -> Option<&'static str> {
    const {
        let is_sound = match T::TABLE {
            None => true,
            Some(table) => check_table_name(table).is_ok(),
        };
        assert!(is_sound, "the type's `Keyed::TABLE` is no table name");
    }
    T::TABLE
}

/// The new end, and then the record: what is read was there when its end was set, or came later.
fn renewal<T: Keyed>(key: Key<T>) -> Result<Draft, Error> {
    let key = argument::owned_key(key.into_bytes())?;
    let expiry = T::TTL.map(argument::ttl).transpose()?;
    let end = Draft::Expire { key: key.clone(), expiry, condition: Condition::Any };
    let drafts = [("expire", end), ("get", Draft::get(key))];
    let items = drafts.map(|(name, draft)| Item { name, table: None, draft });
    Ok(Draft::Pipeline { range: 0..items.len(), items: Arc::new(items.into()) })
}
