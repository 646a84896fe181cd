//! A type whose records know their keys. Next file to read: `typed.rs`.

use std::time::Duration;

use super::{Key, Prefix};

/// A type whose records know their keys.
///
/// Derived by [`kvsd::Value`](macro@crate::Value) with `#[kvsd(key = "..")]`. Bring the trait into
/// scope to call its functions.
///
/// ```
/// use std::time::Duration;
///
/// use kvsd::Keyed;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, kvsd::Value)]
/// #[kvsd(table = "sessions", key = "session/{user}/{device}/{id}", ttl = "12h")]
/// struct Session {
///     user: u64,
///     device: String,
///     id: [u8; 4],
/// }
///
/// let key = Session::key_of((7, "phone", [0xC0, 0xFF, 0xEE, 0]));
/// assert_eq!(key.as_ref(), b"session/00000000000000000007/phone\x00\x01/c0ffee00");
/// assert!(key.as_ref().starts_with(Session::prefix_of((7, "phone")).as_ref()));
/// assert!(key.as_ref().starts_with(Session::prefix_of(7).as_ref()));
/// assert_eq!(Session::prefix().as_ref(), b"session/");
/// assert_eq!(Session::TABLE, Some("sessions"));
/// assert_eq!(Session::TTL, Some(Duration::from_secs(12 * 3600)));
/// ```
///
/// # By hand
///
/// What no template can say, such as the key of an enum:
///
/// ```
/// use kvsd::key::{Key, KeyPart, KeyWriter, Keyed, Prefix};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, kvsd::Value)]
/// enum Door {
///     Open { number: u16 },
///     Locked { number: u16, by: String },
/// }
///
/// impl Keyed for Door {
///     const TABLE: Option<&'static str> = Some("doors");
///     type Parts<'p> = u16;
///
///     fn key(&self) -> Key<Self> {
///         let (Door::Open { number } | Door::Locked { number, .. }) = self;
///         Self::key_of(*number)
///     }
///
///     fn key_of(number: u16) -> Key<Self> {
///         let mut key = KeyWriter::new();
///         key.write("door/");
///         number.append_last_to(&mut key);
///         key.into_key()
///     }
///
///     fn prefix() -> Prefix<Self> {
///         Prefix::new("door/")
///     }
/// }
///
/// assert_eq!(Door::Open { number: 7 }.key().as_ref(), b"door/00007");
/// ```
#[diagnostic::on_unimplemented(
    message = "kvsd does not know the key of `{Self}`",
    label = "this type has no key template",
    note = "give it one beside its `#[derive(kvsd::Value)]`: `#[kvsd(key = \"user/{{id}}\")]`",
    note = "or name the key yourself: `set`, `get` and `delete` take any"
)]
pub trait Keyed: Sized {
    /// The table of the records, a sound [`TableName`](crate::TableName), or what takes the type
    /// does not compile. `None`, the default, is the table of the client that they are written and
    /// read with.
    const TABLE: Option<&'static str> = None;

    /// How long a record lives after it was put, unless the operation says otherwise. `None`, the
    /// default, is until it is removed.
    const TTL: Option<Duration> = None;

    /// What identifies a record: the parts of its key, in the order of the template. One part
    /// stands alone, several are a tuple.
    type Parts<'p>;

    /// The key of this record.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use kvsd::Keyed;
    ///
    /// #[derive(serde::Serialize, serde::Deserialize, kvsd::Value)]
    /// #[kvsd(key = "user/{id}")]
    /// struct User {
    ///     id: u8,
    ///     name: String,
    /// }
    ///
    /// let ada = User { id: 7, name: "Ada".into() };
    /// client.put(&ada).await?; // the same as:
    /// client.set(ada.key(), &ada).await?;
    /// assert!(client.exists("user/007").await?);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    fn key(&self) -> Key<Self>;

    /// The key of the record with these parts: `User::key_of(7)`, `Order::key_of(("ada", 12))`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use kvsd::Keyed;
    ///
    /// #[derive(serde::Serialize, serde::Deserialize, kvsd::Value)]
    /// #[kvsd(key = "order/{customer}/{number}")]
    /// struct Order {
    ///     customer: String,
    ///     number: u8,
    /// }
    ///
    /// client.put(&Order { customer: "ada".into(), number: 1 }).await?;
    /// assert!(client.fetch(Order::key_of(("ada", 1))).await?.is_some());
    /// assert!(client.fetch(Order::key_of(("bob", 1))).await?.is_none());
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    fn key_of(parts: Self::Parts<'_>) -> Key<Self>;

    /// The beginning of the keys of all records: the template's text before its first field.
    ///
    /// ```
    /// use kvsd::Keyed;
    ///
    /// #[derive(serde::Serialize, serde::Deserialize, kvsd::Value)]
    /// #[kvsd(key = "user/{id}")]
    /// struct User {
    ///     id: u8,
    /// }
    ///
    /// assert_eq!(User::prefix().as_ref(), b"user/");
    /// ```
    fn prefix() -> Prefix<Self>;

    /// The beginning of the keys of the records with these leading parts, at least one and not all:
    /// one part stands alone, several are a tuple. The text up to the next part belongs to it.
    ///
    /// ```
    /// use kvsd::Keyed;
    ///
    /// #[derive(serde::Serialize, serde::Deserialize, kvsd::Value)]
    /// #[kvsd(key = "{year}/{month}/{day}")]
    /// struct Day {
    ///     year: u16,
    ///     month: u8,
    ///     day: u8,
    /// }
    ///
    /// assert_eq!(Day::prefix_of(2026).as_ref(), b"02026/");
    /// assert_eq!(Day::prefix_of((2026, 11)).as_ref(), b"02026/011/");
    /// ```
    fn prefix_of<P, const N: usize>(leading: P) -> Prefix<Self>
    where
        Self: PrefixOf<P, N>,
    {
        Self::leading(leading)
    }
}

/// That a `P` is the first `N` parts of a type's key: what [`Keyed::prefix_of`] takes.
///
/// Derived together with [`Keyed`], once for each `N` from one to all parts but the last. Beside a
/// `Keyed` that is implemented by hand:
///
/// ```
/// use kvsd::key::{Key, KeyPart, KeyWriter, Keyed, Prefix, PrefixOf};
///
/// struct Move {
///     game: u32,
///     number: u8,
/// }
///
/// impl Keyed for Move {
///     type Parts<'p> = (u32, u8);
///
///     fn key(&self) -> Key<Self> {
///         Self::key_of((self.game, self.number))
///     }
///
///     fn key_of((game, number): (u32, u8)) -> Key<Self> {
///         let mut key = KeyWriter::new();
///         game.append_to(&mut key);
///         number.append_last_to(&mut key);
///         key.into_key()
///     }
///
///     fn prefix() -> Prefix<Self> {
///         Prefix::new("")
///     }
/// }
///
/// impl PrefixOf<u32, 1> for Move {
///     fn leading(game: u32) -> Prefix<Self> {
///         let mut key = KeyWriter::new();
///         game.append_to(&mut key);
///         key.into_prefix()
///     }
/// }
///
/// let key = Move { game: 7, number: 1 }.key();
/// assert!(key.as_ref().starts_with(Move::prefix_of(7).as_ref()));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{P}` is not how the key of `{Self}` begins",
    label = "not the leading parts of the key of `{Self}`",
    note = "one leading part is given as it is, several as a tuple, and never all of them; text as \
            `&str`, a byte string as `&[u8]`"
)]
pub trait PrefixOf<P, const N: usize>: Keyed {
    /// The beginning of the keys with these leading parts.
    fn leading(parts: P) -> Prefix<Self>;
}
