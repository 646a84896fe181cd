//! The reading half of a value: from a slice, borrowing from it where the type can.
//!
//! Next file to read: `plain.rs`.

use super::{DecodeError, Encode};

/// What can be read back from a record's bytes, borrowing from them for `'a`.
///
/// Derive it with [`kvsd::Value`](macro@crate::Value).
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
    fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError>;
}

/// What can be stored and read back as a value that owns itself.
///
/// Never implemented by hand: it is every type that is [`Encode`] and, for any lifetime,
/// [`Decode`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a kvsd value",
    note = "derive it: `#[derive(serde::Serialize, serde::Deserialize, kvsd::Value)]`",
    note = "a value owns itself; a type with a lifetime is read with `Decode::decode`"
)]
pub trait Value: Encode + for<'a> Decode<'a> {}

impl<T: Encode + for<'a> Decode<'a>> Value for T {}
