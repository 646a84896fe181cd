//! The reading half of a value: from a slice, borrowing from it where the type can.
//!
//! Next file to read: `plain.rs`.

use super::{DecodeError, Encode};

/// What can be read back from a record's bytes, borrowing from them for `'a`.
///
/// Derive it with [`kvsd::Value`](macro@crate::Value).
///
/// By hand, for bytes that follow rules of their own:
///
/// ```
/// use kvsd::{Decode, DecodeError};
///
/// /// The first line of a text, borrowed from it.
/// struct FirstLine<'a>(&'a str);
///
/// impl<'a> Decode<'a> for FirstLine<'a> {
///     fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
///         let text = <&str>::decode(bytes)?;
///         Ok(Self(text.lines().next().unwrap_or("")))
///     }
/// }
///
/// assert_eq!(FirstLine::decode(b"title\ntext")?.0, "title");
/// # Ok::<(), DecodeError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "kvsd cannot read `{Self}` back",
    label = "this type has no decoding",
    note = "derive one: `#[derive(serde::Serialize, serde::Deserialize, kvsd::Value)]`",
    note = "a type of another crate goes into a derived struct, in a field marked \
            `#[kvsd(opaque)]`, or into `kvsd::Json` (feature `json`)"
)]
pub trait Decode<'a>: Sized {
    /// Reads a value from all of `bytes`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] says what the bytes are instead of a `Self`.
    ///
    /// ```
    /// use kvsd::{Decode, DecodeError};
    ///
    /// assert_eq!(u8::decode(b"200"), Ok(200));
    /// assert_eq!(u8::decode(b"300"), Err(DecodeError::OutOfRange { wanted: "u8" }));
    /// assert_eq!(<&str>::decode(b"borrowed"), Ok("borrowed"));
    /// ```
    fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError>;
}

/// What can be stored and read back as a value that owns itself.
///
/// Never implemented by hand: it is every type that is [`Encode`] and, for any lifetime,
/// [`Decode`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use kvsd::{Client, Error, Value};
///
/// /// Reads a value, or stores this one where there is none.
/// async fn get_or_set<T: Value>(client: &Client, key: &str, default: T) -> Result<T, Error> {
///     match client.set(key, &default).if_absent().await {
///         Ok(_) => Ok(default),
///         Err(error) if error.is_conflict() => Ok(client.get(key).await?.unwrap_or(default)),
///         Err(error) => Err(error),
///     }
/// }
///
/// assert_eq!(get_or_set(&client, "limit", 10).await?, 10);
/// assert_eq!(get_or_set(&client, "limit", 20).await?, 10);
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a kvsd value",
    note = "derive it: `#[derive(serde::Serialize, serde::Deserialize, kvsd::Value)]`",
    note = "a value owns itself; a type with a lifetime is read with `Decode::decode`"
)]
pub trait Value: Encode + for<'a> Decode<'a> {}

impl<T: Encode + for<'a> Decode<'a>> Value for T {}
