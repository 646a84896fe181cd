//! The small checked types that every layer shares: table names, keys, versions, times.
//!
//! A value of one of these types is the proof that the check was made; nothing below checks again.
//! Next file to read: [`crate::protocol`].

use std::fmt;
use std::num::NonZeroU64;

use thiserror::Error;

/// The table that is used when nobody names one.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// client.set("k", "v").await?;
/// assert_eq!(client.tables().await?[0].as_str(), kvsd::types::DEFAULT_TABLE);
/// # server.close().await?;
/// # Ok(()) }
/// ```
pub const DEFAULT_TABLE: &str = "default";
/// The longest table name, in bytes.
///
/// ```
/// use kvsd::types::{MAX_TABLE_NAME_BYTES, check_table_name};
///
/// assert!(check_table_name(&"t".repeat(MAX_TABLE_NAME_BYTES)).is_ok());
/// assert!(check_table_name(&"t".repeat(MAX_TABLE_NAME_BYTES + 1)).is_err());
/// ```
pub const MAX_TABLE_NAME_BYTES: usize = 64;
/// The longest key, in bytes. The shortest is one byte.
///
/// ```
/// use kvsd::types::{MAX_KEY_BYTES, check_key};
///
/// assert!(check_key(&[0; MAX_KEY_BYTES]).is_ok());
/// assert!(check_key(&[0; MAX_KEY_BYTES + 1]).is_err());
/// ```
pub const MAX_KEY_BYTES: usize = 1024;
/// The largest value, in bytes, unless the server announces another limit: 10 MiB.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// assert_eq!(client.max_value_bytes(), kvsd::types::DEFAULT_MAX_VALUE_BYTES);
/// # server.close().await?;
/// # Ok(()) }
/// ```
pub const DEFAULT_MAX_VALUE_BYTES: usize = 10 * 1024 * 1024;
/// The largest limit on values that a server may announce: 64 MiB. A client that believed any
/// number would hold as much as the server likes to send.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// assert!(client.max_value_bytes() <= kvsd::types::LARGEST_MAX_VALUE_BYTES);
/// # server.close().await?;
/// # Ok(()) }
/// ```
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
    ///
    /// ```
    /// use kvsd::{NameError, TableName};
    ///
    /// assert!(TableName::parse("orders-2026.eu").is_ok());
    /// assert_eq!(TableName::parse(""), Err(NameError::Empty));
    /// assert_eq!(TableName::parse("a/b"), Err(NameError::BadByte));
    /// ```
    pub fn parse(name: &str) -> Result<Self, NameError> {
        check_table_name(name)?;
        Ok(Self(name.into()))
    }

    /// The name as text.
    ///
    /// ```
    /// use kvsd::TableName;
    ///
    /// assert_eq!(TableName::default().as_str(), "default");
    /// ```
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
///
/// ```
/// use kvsd::NameError;
/// use kvsd::types::check_table_name;
///
/// assert_eq!(check_table_name("users"), Ok(()));
/// assert_eq!(check_table_name(".users"), Err(NameError::BadStart));
/// ```
pub const fn check_table_name(name: &str) -> Result<(), NameError> {
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
    // Neither closures nor iterators: the compiler runs this as well.
    let mut rest = bytes;
    while let Some((byte, behind)) = rest.split_first() {
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')) {
            return Err(NameError::BadByte);
        }
        rest = behind;
    }
    Ok(())
}

/// Checks a key: 1 to [`MAX_KEY_BYTES`] bytes of any content.
///
/// # Errors
///
/// [`KeyError`] says which bound the key breaks.
///
/// ```
/// use kvsd::KeyError;
/// use kvsd::types::check_key;
///
/// assert_eq!(check_key(b"any\0bytes\xFF"), Ok(()));
/// assert_eq!(check_key(b""), Err(KeyError::Empty));
/// ```
pub fn check_key(key: &[u8]) -> Result<(), KeyError> {
    match key.len() {
        0 => Err(KeyError::Empty),
        1..=MAX_KEY_BYTES => Ok(()),
        bytes => Err(KeyError::TooLong { bytes }),
    }
}

/// Why a text is no table name.
///
/// ```
/// use kvsd::{NameError, TableName};
///
/// let long = TableName::parse(&"t".repeat(65)).unwrap_err();
/// assert_eq!(long, NameError::TooLong { bytes: 65 });
/// assert_eq!(long.to_string(), "a table name has at most 64 bytes, this one has 65");
/// ```
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
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use std::error::Error;
/// use kvsd::KeyError;
///
/// let error = client.set("", "v").await.unwrap_err();
/// let cause = error.source().and_then(|cause| cause.downcast_ref::<KeyError>());
/// assert_eq!(cause, Some(&KeyError::Empty));
/// # server.close().await?;
/// # Ok(()) }
/// ```
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
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// let first = client.set("k", "v").await?;
/// let second = client.set("other", "w").await?;
/// assert!(first < second);
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(NonZeroU64);

impl Version {
    /// The largest version.
    ///
    /// ```
    /// use kvsd::Version;
    ///
    /// assert!(Version::new(Version::MAX).is_some());
    /// assert!(Version::new(Version::MAX + 1).is_none());
    /// ```
    pub const MAX: u64 = i64::MAX as u64;

    /// The version with this number; `None` for zero and for numbers from 2^63 on.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use kvsd::Version;
    ///
    /// // Kept elsewhere as a number, such as in a header of HTTP.
    /// let kept: u64 = client.set("page", "text").await?.get();
    /// let version = Version::new(kept).ok_or("no version")?;
    /// client.set("page", "new text").if_version(version).await?;
    /// assert_eq!(Version::new(0), None);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        if number > Self::MAX {
            return None;
        }
        NonZeroU64::new(number).map(Self)
    }

    /// The number.
    ///
    /// ```
    /// assert_eq!(kvsd::Version::new(7).map(|version| version.get()), Some(7));
    /// ```
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
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use std::time::{Duration, SystemTime, UNIX_EPOCH};
///
/// let end = SystemTime::now() + Duration::from_secs(3600);
/// client.set("offer", "two for one").expire_at(end).await?;
/// let offer = client.get::<String>("offer").versioned().await?.ok_or("no offer")?;
/// let ends = offer.expires_at.ok_or("it has an end")?.get();
/// assert_eq!(u128::from(ends), end.duration_since(UNIX_EPOCH)?.as_millis());
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnixMillis(u64);

impl UnixMillis {
    /// The time with this number; `None` from 2^63 on.
    ///
    /// ```
    /// use kvsd::UnixMillis;
    ///
    /// assert!(UnixMillis::new(0) < UnixMillis::new(1_000));
    /// assert_eq!(UnixMillis::new(1 << 63), None);
    /// ```
    #[must_use]
    pub fn new(millis: u64) -> Option<Self> {
        (i64::try_from(millis).is_ok()).then_some(Self(millis))
    }

    /// The number of milliseconds.
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use kvsd::UnixMillis;
    ///
    /// let time = UnixMillis::new(86_400_000).ok_or("too large")?;
    /// let time = UNIX_EPOCH + Duration::from_millis(time.get());
    /// assert_eq!(time, UNIX_EPOCH + Duration::from_secs(24 * 3600));
    /// # Ok::<(), &str>(())
    /// ```
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    pub(crate) fn to_wire(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}
