//! What a key can be made of. Next file to read: `writer.rs`.

use super::KeyWriter;

/// A part of a key: what a field that a key template names must be.
///
/// Integers, `bool`, `[u8; N]`, texts, byte strings and, with the feature `uuid`, `uuid::Uuid` are
/// parts, and so are dates and times in UTC with `chrono`, `jiff` or `time`; the [module](super)
/// says how each is written. Floating-point numbers are none (NaN has no
/// place in an order), nor are `usize` and `isize`, whose width depends on the machine.
///
/// # Your own parts
///
/// A type that wraps a part hands it on:
///
/// ```
/// use kvsd::key::{KeyPart, KeyWriter};
///
/// struct Customer(String);
///
/// impl KeyPart for Customer {
///     type Arg<'p> = &'p str;
///
///     fn append_to(&self, key: &mut KeyWriter) {
///         self.0.append_to(key);
///     }
///
///     // Without this it would be closed at the end of a key too: larger, and as sound.
///     fn append_last_to(&self, key: &mut KeyWriter) {
///         self.0.append_last_to(key);
///     }
/// }
/// ```
///
/// Any other type chooses its bytes, and keeps them for ever. They must be such that
///
/// 1. of two different values' bytes neither is the beginning of the other: of one length, or with
///    an end that occurs nowhere inside;
/// 2. they order as the values do, if scans are to run in that order.
///
/// ```
/// use kvsd::Keyed;
/// use kvsd::key::{KeyPart, KeyWriter};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Copy, Serialize, Deserialize, kvsd::Layout)]
/// enum Region {
///     Africa,
///     Asia,
///     Europe,
/// }
///
/// impl KeyPart for Region {
///     type Arg<'p> = Self;
///
///     fn append_to(&self, key: &mut KeyWriter) {
///         key.write(match self {
///             Region::Africa => "af",
///             Region::Asia => "as",
///             Region::Europe => "eu",
///         });
///     }
/// }
///
/// #[derive(Serialize, Deserialize, kvsd::Value)]
/// #[kvsd(key = "visits/{region}/{page}")]
/// struct Visits {
///     region: Region,
///     page: String,
///     count: u64,
/// }
///
/// assert_eq!(Visits::key_of((Region::Asia, "home")).as_ref(), b"visits/as/home");
/// assert_eq!(Visits::prefix_of(Region::Asia).as_ref(), b"visits/as/");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a key",
    label = "kvsd does not know how to write this type into a key",
    note = "integers of a fixed width, `bool`, `[u8; N]`, text, byte strings, (feature `uuid`) \
            `uuid::Uuid` and (features `chrono`, `jiff`, `time`) dates and times in UTC are parts",
    note = "if the type is yours, implement `kvsd::KeyPart` for it; if not, wrap it in a type of \
            your own"
)]
pub trait KeyPart {
    /// What [`Keyed::key_of`](super::Keyed::key_of) and
    /// [`Keyed::prefix_of`](super::Keyed::prefix_of) take for a field of this type: `Self` for what
    /// is cheap to copy, `&'p Self` or a slice for the rest, `T::Arg<'p>` for what wraps any part
    /// `T`. It is written as the same bytes.
    type Arg<'p>: KeyPart;

    /// Appends the part in a place where anything may follow.
    ///
    /// ```
    /// use kvsd::Key;
    /// use kvsd::key::{KeyPart, KeyWriter};
    ///
    /// let mut key = KeyWriter::new();
    /// "ada".append_to(&mut key); // closed: something follows
    /// 7_u8.append_to(&mut key);
    /// let key: Key<String> = key.into_key();
    /// assert_eq!(key.as_ref(), b"ada\x00\x01007");
    /// ```
    fn append_to(&self, key: &mut KeyWriter);

    /// Appends the part as the end of the key, after which nothing follows. Here one value may be
    /// the beginning of another one.
    ///
    /// As [`append_to`](Self::append_to), unless it is implemented.
    ///
    /// ```
    /// use kvsd::Key;
    /// use kvsd::key::{KeyPart, KeyWriter};
    ///
    /// let mut key = KeyWriter::new();
    /// "ada".append_last_to(&mut key);
    /// let key: Key<String> = key.into_key();
    /// assert_eq!(key.as_ref(), b"ada");
    /// ```
    fn append_last_to(&self, key: &mut KeyWriter) {
        self.append_to(key);
    }
}
