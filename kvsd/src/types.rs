//! The small checked types that every layer shares: table names, keys, versions, times.
//!
//! A value of one of these types is the proof that the check was made; nothing below checks again.
//! Next file to read: [`crate::protocol`].

use std::fmt;
use std::num::NonZeroU64;

use thiserror::Error;

/// The table that is used when nobody names one.
pub const DEFAULT_TABLE: &str = "default";
/// The longest table name, in bytes.
pub const MAX_TABLE_NAME_BYTES: usize = 64;
/// The longest key, in bytes. The shortest is one byte.
pub const MAX_KEY_BYTES: usize = 1024;
/// The largest value, in bytes, unless the server announces another limit: 10 MiB.
pub const DEFAULT_MAX_VALUE_BYTES: usize = 10 * 1024 * 1024;
/// The largest limit on values that a server may announce: 64 MiB. A client that believed any
/// number would hold as much as the server likes to send.
pub const LARGEST_MAX_VALUE_BYTES: usize = 64 * 1024 * 1024;

/// A table's name: 1 to 64 bytes of ASCII letters, digits, `_`, `-` and `.`, the first a letter or
/// a digit.
///
/// ```
/// use kvsd::TableName;
/// assert_eq!(TableName::parse("users")?.as_str(), "users");
/// assert!(TableName::parse("../etc").is_err());
/// # Ok::<(), kvsd::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName(Box<str>);

impl TableName {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`NameError`] says which rule the name breaks.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        check_table_name(name)?;
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TableName {
    fn default() -> Self {
        Self(DEFAULT_TABLE.into())
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TableName({})", self.0)
    }
}

/// So that a map keyed by names can be asked with the text that stands in a message.
impl std::borrow::Borrow<str> for TableName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Checks a table name without keeping it.
///
/// # Errors
///
/// As [`TableName::parse`].
pub fn check_table_name(name: &str) -> Result<(), NameError> {
    let bytes = name.as_bytes();
    let Some(first) = bytes.first() else {
        return Err(NameError::Empty);
    };
    if bytes.len() > MAX_TABLE_NAME_BYTES {
        return Err(NameError::TooLong { bytes: bytes.len() });
    }
    if !first.is_ascii_alphanumeric() {
        return Err(NameError::BadStart);
    }
    let fits = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if !bytes.iter().all(fits) {
        return Err(NameError::BadByte);
    }
    Ok(())
}

/// Checks a key: 1 to [`MAX_KEY_BYTES`] bytes of any content.
///
/// # Errors
///
/// [`KeyError`] says which bound the key breaks.
pub fn check_key(key: &[u8]) -> Result<(), KeyError> {
    match key.len() {
        0 => Err(KeyError::Empty),
        1..=MAX_KEY_BYTES => Ok(()),
        bytes => Err(KeyError::TooLong { bytes }),
    }
}

/// Why a text is no table name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// The name is empty.
    #[error("a table name must not be empty")]
    Empty,
    /// The name is longer than [`MAX_TABLE_NAME_BYTES`].
    #[error("a table name has at most {MAX_TABLE_NAME_BYTES} bytes, this one has {bytes}")]
    TooLong {
        /// The name's length.
        bytes: usize,
    },
    /// The first byte is no letter and no digit.
    #[error("a table name starts with an ASCII letter or a digit")]
    BadStart,
    /// A byte that names may not hold.
    #[error("a table name holds ASCII letters, digits, '_', '-' and '.' only")]
    BadByte,
}

/// Why bytes are no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The key is empty.
    #[error("a key must not be empty")]
    Empty,
    /// The key is longer than [`MAX_KEY_BYTES`].
    #[error("a key has at most {MAX_KEY_BYTES} bytes, this one has {bytes}")]
    TooLong {
        /// The key's length.
        bytes: usize,
    },
}

/// The number that a write got: positive, below 2^63, growing with each write of a table.
///
/// Only the order means something. Versions of different tables do not compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(NonZeroU64);

impl Version {
    /// The largest version.
    pub const MAX: u64 = i64::MAX as u64;

    /// The version with this number; `None` for zero and for numbers from 2^63 on.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        if number > Self::MAX {
            return None;
        }
        NonZeroU64::new(number).map(Self)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }

    pub(crate) fn to_wire(self) -> i64 {
        i64::try_from(self.0.get()).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A point in time: whole milliseconds since 1970-01-01T00:00:00Z, from 0 to 2^63 - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnixMillis(u64);

impl UnixMillis {
    /// The time with this number; `None` from 2^63 on.
    #[must_use]
    pub fn new(millis: u64) -> Option<Self> {
        (i64::try_from(millis).is_ok()).then_some(Self(millis))
    }

    /// The number of milliseconds.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    pub(crate) fn to_wire(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}
