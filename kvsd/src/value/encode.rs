//! The writing half of a value: by reference, into a writer with a limit.
//!
//! Next file to read: `writer.rs`.

use bytes::{Bytes, BytesMut};

use super::{EncodeError, ValueWriter};

/// What can be stored.
///
/// Writing takes a reference, so what only borrows can be written as well: `str`, `[u8]`, a derived
/// type with a lifetime. Derive it with [`kvsd::Value`](macro@crate::Value).
///
/// By hand, for bytes that follow rules of their own:
///
/// ```
/// use kvsd::value::{ValueWriter, encode_to_bytes};
/// use kvsd::{Encode, EncodeError};
///
/// /// Stored as the text `52.5,13.4`.
/// struct Place {
///     north: f64,
///     east: f64,
/// }
///
/// impl Encode for Place {
///     fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
///         out.append(format!("{},{}", self.north, self.east).as_bytes())
///     }
/// }
///
/// assert_eq!(encode_to_bytes(&Place { north: 52.5, east: 13.4 }, 100)?, "52.5,13.4");
/// # Ok::<(), EncodeError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "kvsd cannot store `{Self}`",
    label = "this type has no encoding",
    note = "derive one: `#[derive(serde::Serialize, serde::Deserialize, kvsd::Value)]`",
    note = "a type of another crate goes into a derived struct, in a field marked \
            `#[kvsd(opaque)]`, or into `kvsd::Json` (feature `json`)"
)]
pub trait Encode {
    /// Appends the value to `out`.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] says whether the value is too large or cannot be written at all. What was
    /// appended before the error is of no use: throw it away.
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use kvsd::Encode;
    /// use kvsd::value::ValueWriter;
    ///
    /// let mut buffer = BytesMut::new();
    /// true.encode(&mut ValueWriter::new(&mut buffer, 10))?;
    /// assert_eq!(&buffer[..], b"true");
    /// # Ok::<(), kvsd::EncodeError>(())
    /// ```
    fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError>;
}

/// Encodes a value of at most `limit` bytes into a buffer of its own.
///
/// # Errors
///
/// As [`Encode::encode`].
///
/// ```
/// use kvsd::value::{EncodeError, encode_to_bytes};
/// assert_eq!(encode_to_bytes(&7_u64, 20)?, "7");
/// assert_eq!(encode_to_bytes("hello", 4), Err(EncodeError::TooLarge { limit: 4 }));
/// # Ok::<(), EncodeError>(())
/// ```
pub fn encode_to_bytes<T: Encode + ?Sized>(value: &T, limit: usize) -> Result<Bytes, EncodeError> {
    let mut buffer = BytesMut::with_capacity(FIRST_BYTES.min(limit));
    value.encode(&mut ValueWriter::new(&mut buffer, limit))?;
    Ok(buffer.freeze())
}

/// What most values need, so that they are allocated once.
const FIRST_BYTES: usize = 256;
