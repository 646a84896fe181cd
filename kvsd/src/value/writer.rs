//! Where a value's bytes go: a buffer that refuses to grow past the server's limit.
//!
//! It knows bytes and a limit, never a type. Next file to read: `decode.rs`.

use std::{fmt, io};

use bytes::BytesMut;

use super::EncodeError;

/// Appends one value to a buffer and refuses what goes beyond its limit.
///
/// It is also an [`io::Write`], for serializers that want one; there a refusal is an
/// [`io::Error`] that carries the [`EncodeError`].
///
/// ```
/// use bytes::BytesMut;
/// use kvsd::EncodeError;
/// use kvsd::value::ValueWriter;
///
/// let mut buffer = BytesMut::new();
/// let mut out = ValueWriter::new(&mut buffer, 8);
/// out.append(b"seven ")?;
/// assert_eq!(out.append(b"eight"), Err(EncodeError::TooLarge { limit: 8 }));
/// assert_eq!(&buffer[..], b"seven ");
/// # Ok::<(), EncodeError>(())
/// ```
pub struct ValueWriter<'b> {
    buffer: &'b mut BytesMut,
    start: usize,
    limit: usize,
}

impl<'b> ValueWriter<'b> {
    /// A writer that appends at most `limit` bytes to `buffer`.
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use kvsd::Encode;
    /// use kvsd::value::ValueWriter;
    ///
    /// // Behind what is there already, which does not count.
    /// let mut buffer = BytesMut::from("value: ");
    /// 7_u8.encode(&mut ValueWriter::new(&mut buffer, 1))?;
    /// assert_eq!(&buffer[..], b"value: 7");
    /// # Ok::<(), kvsd::EncodeError>(())
    /// ```
    #[must_use]
    pub fn new(buffer: &'b mut BytesMut, limit: usize) -> Self {
        let start = buffer.len();
        Self { buffer, start, limit }
    }

    /// Appends all of `bytes`, or nothing.
    ///
    /// # Errors
    ///
    /// [`EncodeError::TooLarge`] if the value would pass the limit.
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use kvsd::value::ValueWriter;
    ///
    /// let mut buffer = BytesMut::new();
    /// let mut out = ValueWriter::new(&mut buffer, 4);
    /// assert!(out.append(b"12345").is_err());
    /// assert!(out.append(b"1234").is_ok());
    /// ```
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if bytes.len() > self.limit - self.written().len() {
            return Err(EncodeError::TooLarge { limit: self.limit });
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends a text as it is formatted.
    pub(super) fn append_fmt(&mut self, text: fmt::Arguments<'_>) -> Result<(), EncodeError> {
        struct Text<'w, 'b>(&'w mut ValueWriter<'b>);
        impl fmt::Write for Text<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0.append(text.as_bytes()).map_err(|_| fmt::Error)
            }
        }
        let limit = self.limit;
        fmt::write(&mut Text(self), text).map_err(|_| EncodeError::TooLarge { limit })
    }

    /// The most bytes that the value may have.
    #[cfg(feature = "postcard")]
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// What was written so far.
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use kvsd::value::ValueWriter;
    ///
    /// let mut buffer = BytesMut::from("before");
    /// let mut out = ValueWriter::new(&mut buffer, 100);
    /// out.append(b"value")?;
    /// assert_eq!(out.written(), b"value");
    /// # Ok::<(), kvsd::EncodeError>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn written(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}

impl io::Write for ValueWriter<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Shows sizes: what is written is a value, and values do not go into logs.
impl fmt::Debug for ValueWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValueWriter")
            .field("written", &self.written().len())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn takes_exactly_the_limit_and_not_one_byte_more() {
        let mut buffer = BytesMut::from(&b"before"[..]);
        let mut out = ValueWriter::new(&mut buffer, 3);
        out.append(b"ab").unwrap();
        assert_eq!(out.append(b"cd"), Err(EncodeError::TooLarge { limit: 3 }));
        out.append(b"c").unwrap();
        out.append(b"").unwrap();
        assert_eq!(out.written(), b"abc");
        assert_eq!(&buffer[..], b"beforeabc");
    }

    #[test]
    fn a_refusal_travels_through_an_io_error() {
        let mut buffer = BytesMut::new();
        let refused = ValueWriter::new(&mut buffer, 1).write_all(b"ab").unwrap_err();
        assert_eq!(refused.downcast::<EncodeError>().unwrap(), EncodeError::TooLarge { limit: 1 });
    }

    #[test]
    fn its_debug_text_shows_no_value() {
        let mut buffer = BytesMut::new();
        let mut out = ValueWriter::new(&mut buffer, 100);
        out.append(b"canary").unwrap();
        assert_eq!(format!("{out:?}"), "ValueWriter { written: 6, limit: 100, .. }");
    }
}
