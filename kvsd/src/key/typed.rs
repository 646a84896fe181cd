//! Bytes that know the type of the record that they lead to. Next file to read: `part.rs`.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use bytes::Bytes;

/// The key of a `T`.
///
/// Made by [`Keyed`](super::Keyed); cheap to clone. It is taken wherever a key is: `AsRef<[u8]>`.
/// That it is neither empty nor too long is checked by the operation that takes it.
///
/// ```
/// use kvsd::{Key, Keyed};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, kvsd::Value)]
/// #[kvsd(key = "user/{id}")]
/// struct User {
///     id: u32,
/// }
///
/// let key: Key<User> = User::key_of(7);
/// assert_eq!(key.as_ref(), b"user/0000000007");
/// // Keys may be secrets, and are not shown.
/// assert_eq!(format!("{key:?}"), "Key(15 bytes)");
/// ```
pub struct Key<T> {
    bytes: Bytes,
    record: PhantomData<fn() -> T>,
}

/// The beginning of the keys of several `T`s: what a scan of them takes.
///
/// Made by [`Keyed`](super::Keyed); cheap to clone. An empty one is the beginning of every key.
///
/// ```
/// use kvsd::{Keyed, Prefix};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, kvsd::Value)]
/// #[kvsd(key = "{year}/{title}")]
/// struct Film {
///     year: u16,
///     title: String,
/// }
///
/// let of_a_year: Prefix<Film> = Film::prefix_of(1927);
/// assert_eq!(of_a_year.as_ref(), b"01927/");
/// assert_eq!(Film::prefix().as_ref(), b"");
/// ```
pub struct Prefix<T> {
    bytes: Bytes,
    record: PhantomData<fn() -> T>,
}

/// What both are beside their meaning. Nothing depends on `T`, so nothing asks anything of it.
macro_rules! typed_bytes {
    ($name:ident, $noun:literal) => {
        impl<T> $name<T> {
            #[doc = concat!("These bytes as ", $noun, ": for a [`Keyed`](super::Keyed) that is")]
            /// implemented by hand.
            ///
            /// ```
            /// use kvsd::{Key, Prefix};
            ///
            /// // Bytes that came from elsewhere, such as from a scan.
            /// let key: Key<String> = Key::new("user/7");
            /// let users: Prefix<String> = Prefix::new("user/");
            /// assert!(key.as_ref().starts_with(users.as_ref()));
            /// ```
            pub fn new(bytes: impl Into<Bytes>) -> Self {
                Self { bytes: bytes.into(), record: PhantomData }
            }

            /// The bytes alone.
            ///
            /// ```
            /// use kvsd::{Key, Prefix};
            ///
            /// assert_eq!(Key::<String>::new("user/7").into_bytes(), "user/7");
            /// assert_eq!(Prefix::<String>::new("user/").into_bytes(), "user/");
            /// ```
            #[must_use]
            pub fn into_bytes(self) -> Bytes {
                self.bytes
            }
        }

        impl<T> AsRef<[u8]> for $name<T> {
            fn as_ref(&self) -> &[u8] {
                &self.bytes
            }
        }

        /// Never shows the bytes.
        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({} bytes)"), self.bytes.len())
            }
        }

        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                Self { bytes: self.bytes.clone(), record: PhantomData }
            }
        }

        impl<T> PartialEq for $name<T> {
            fn eq(&self, other: &Self) -> bool {
                self.bytes == other.bytes
            }
        }

        impl<T> Eq for $name<T> {}

        impl<T> PartialOrd for $name<T> {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl<T> Ord for $name<T> {
            fn cmp(&self, other: &Self) -> Ordering {
                self.bytes.cmp(&other.bytes)
            }
        }

        impl<T> Hash for $name<T> {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.bytes.hash(state);
            }
        }
    };
}

typed_bytes!(Key, "the key of a `T`");
typed_bytes!(Prefix, "the beginning of keys");
