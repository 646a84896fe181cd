//! A key in the making. Next file to read: `standard.rs`.

use std::fmt;

use super::{Key, Prefix};

/// Collects the bytes of a key: literals and [parts](super::KeyPart), one after the other.
///
/// ```
/// use kvsd::key::{Key, KeyPart, KeyWriter};
///
/// let mut key = KeyWriter::new();
/// key.write("user/");
/// 7_u32.append_last_to(&mut key);
/// let key: Key<String> = key.into_key();
/// assert_eq!(key.as_ref(), b"user/0000000007");
/// ```
#[derive(Default)]
pub struct KeyWriter(Vec<u8>);

impl KeyWriter {
    /// A writer that holds nothing.
    ///
    /// ```
    /// use kvsd::Key;
    /// use kvsd::key::KeyWriter;
    ///
    /// let key: Key<String> = KeyWriter::new().into_key();
    /// assert!(key.as_ref().is_empty(), "no operation takes this one");
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self(Vec::with_capacity(USUAL_BYTES))
    }

    /// Appends bytes as they are.
    ///
    /// ```
    /// use kvsd::Key;
    /// use kvsd::key::KeyWriter;
    ///
    /// let mut key = KeyWriter::new();
    /// key.write("user/");
    /// key.write([7]);
    /// let key: Key<String> = key.into_key();
    /// assert_eq!(key.as_ref(), b"user/\x07");
    /// ```
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.extend_from_slice(bytes.as_ref());
    }

    /// What was written, as a key of a `T`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use kvsd::Key;
    /// use kvsd::key::{KeyPart, KeyWriter};
    ///
    /// let mut key = KeyWriter::new();
    /// key.write("age/");
    /// "ada".append_last_to(&mut key);
    /// let key: Key<u8> = key.into_key();
    /// client.set(&key, 36_u8).await?;
    /// assert_eq!(client.get::<u8>("age/ada").await?, Some(36));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn into_key<T>(self) -> Key<T> {
        // With room left at its end it would be given an allocation more, to count its owners.
        Key::new(self.0.into_boxed_slice())
    }

    /// What was written, as the beginning of keys of `T`s.
    ///
    /// ```
    /// use kvsd::Prefix;
    /// use kvsd::key::{KeyPart, KeyWriter};
    ///
    /// let mut beginning = KeyWriter::new();
    /// beginning.write("order/");
    /// 7_u8.append_to(&mut beginning);
    /// let beginning: Prefix<String> = beginning.into_prefix();
    /// assert_eq!(beginning.as_ref(), b"order/007");
    /// ```
    #[must_use]
    pub fn into_prefix<T>(self) -> Prefix<T> {
        Prefix::new(self.0)
    }
}

/// Never shows what was written.
impl fmt::Debug for KeyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyWriter({} bytes)", self.0.len())
    }
}

/// Room for a literal and two numbers, so that most keys are allocated once.
const USUAL_BYTES: usize = 64;
