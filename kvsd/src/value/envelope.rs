//! The envelope in which a derived value is stored: what wrote it, and then the codec's bytes.
//!
//! ```text
//!  0      1        2       3         5             13       14              14+n
//! +------+--------+-------+---------+-------------+--------+---------------+-----------------+
//! | 0xFF | format | codec | version | fingerprint | n      | name          | the codec's     |
//! | 1    | 1      | 1     | 2       | 8           | 1      | n bytes       | bytes, the rest |
//! +------+--------+-------+---------+-------------+--------+---------------+-----------------+
//! ```
//!
//! Numbers are little-endian. `0xFF` never begins UTF-8, so a text is never taken for an envelope.
//! `format` is 1. `codec` is 1 for bincode, 2 for postcard, 3 for JSON, for ever. `version` is the
//! type's schema version, from 1. `name` is the type's: 1 to 32 bytes of UTF-8, letters, digits and
//! ASCII punctuation, so it can be printed as it is.
//!
//! An envelope knows no type: whether it is the right one is decided in `typed.rs`, the next file
//! to read.

use thiserror::Error;

use super::{CodecId, EncodeError, ValueWriter};

/// The longest name of a derived type, in bytes.
///
/// ```
/// use kvsd::value::{Envelope, MAX_TYPE_NAME_BYTES, encode_to_bytes};
///
/// /// The name is too long to be stored, so it says a shorter one.
/// #[derive(serde::Serialize, serde::Deserialize, kvsd::Value)]
/// #[kvsd(name = "Reading")]
/// struct TemperatureReadingOfOneOutdoorSensor(i16);
///
/// let stored = encode_to_bytes(&TemperatureReadingOfOneOutdoorSensor(7), 100)?;
/// let name = Envelope::parse(&stored)?.ok_or("a plain value")?.type_name;
/// assert!(name == "Reading" && name.len() <= MAX_TYPE_NAME_BYTES);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub const MAX_TYPE_NAME_BYTES: usize = 32;

/// What a stored derived value tells of itself.
///
/// ```
/// use kvsd::value::Envelope;
///
/// #[derive(serde::Serialize, serde::Deserialize, kvsd::Value)]
/// struct User {
///     id: u64,
/// }
///
/// let stored = kvsd::value::encode_to_bytes(&User { id: 7 }, 100)?;
/// let envelope = Envelope::parse(&stored)?.ok_or("a plain value")?;
/// assert_eq!((envelope.type_name, envelope.version), ("User", 1));
/// assert_eq!((envelope.codec.to_string().as_str(), envelope.payload), ("bincode", &[7][..]));
///
/// assert_eq!(Envelope::parse(b"hello")?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Envelope<'a> {
    /// The codec that wrote the payload.
    pub codec: CodecId,
    /// The type's schema version, from 1.
    pub version: u16,
    /// The type's [`Layout::FINGERPRINT`](super::Layout::FINGERPRINT).
    pub fingerprint: u64,
    /// The type's name.
    pub type_name: &'a str,
    /// The codec's bytes.
    pub payload: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Takes a stored value apart; `None` if it is a plain one.
    ///
    /// A plain value of raw bytes may begin with `0xFF` too: then an error means that it is no
    /// envelope, not that it is damaged.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`] if the bytes begin like an envelope and do not go on like one.
    ///
    /// ```
    /// use kvsd::value::{Envelope, EnvelopeError};
    ///
    /// assert_eq!(Envelope::parse(b"a plain text"), Ok(None));
    /// let envelope = Envelope::parse(b"\xFF\x01\x01\x02\x00\0\0\0\0\0\0\0\0\x04User\x07");
    /// assert_eq!(envelope.map(|found| found.map(|envelope| envelope.version)), Ok(Some(2)));
    /// assert_eq!(Envelope::parse(b"\xFF\x01\x01"), Err(EnvelopeError::Damaged));
    /// ```
    pub fn parse(bytes: &'a [u8]) -> Result<Option<Self>, EnvelopeError> {
        let Some((&MARK, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let (&[format], rest) = split(rest)?;
        if format != FORMAT {
            return Err(EnvelopeError::UnknownFormat { format });
        }
        let (&[codec], rest) = split(rest)?;
        let (&version, rest) = split(rest)?;
        let (&fingerprint, rest) = split(rest)?;
        let (&[name_len], rest) = split(rest)?;
        let (name, payload) =
            rest.split_at_checked(usize::from(name_len)).ok_or(EnvelopeError::Damaged)?;
        let type_name = std::str::from_utf8(name).map_err(|_| EnvelopeError::Damaged)?;
        let version = u16::from_le_bytes(version);
        if version == 0 || !is_type_name(type_name) {
            return Err(EnvelopeError::Damaged);
        }
        Ok(Some(Self {
            codec: CodecId::new(codec),
            version,
            fingerprint: u64::from_le_bytes(fingerprint),
            type_name,
            payload,
        }))
    }

    /// Writes all but the payload.
    pub(super) fn write_header(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        let name = self.type_name.as_bytes();
        let name_len = u8::try_from(name.len()).expect("the derive allows 32 bytes at most");
        out.append(&[MARK, FORMAT, self.codec.get()])?;
        out.append(&self.version.to_le_bytes())?;
        out.append(&self.fingerprint.to_le_bytes())?;
        out.append(&[name_len])?;
        out.append(name)
    }
}

/// Shows the payload's size: values do not go into logs.
impl std::fmt::Debug for Envelope<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Envelope")
            .field("codec", &self.codec)
            .field("version", &self.version)
            .field("fingerprint", &format_args!("{:#018x}", self.fingerprint))
            .field("type_name", &self.type_name)
            .field("payload_bytes", &self.payload.len())
            .finish()
    }
}

/// Why bytes that begin with `0xFF` are no envelope.
///
/// ```
/// use kvsd::value::{Envelope, EnvelopeError};
///
/// let error = Envelope::parse(b"\xFF\x09").unwrap_err();
/// assert_eq!(error, EnvelopeError::UnknownFormat { format: 9 });
/// assert_eq!(
///     error.to_string(),
///     "the envelope's format is 9, and this version of kvsd knows format 1"
/// );
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The format is none that this version of kvsd knows: a newer one wrote it, or it is no
    /// envelope.
    #[error("the envelope's format is {format}, and this version of kvsd knows format {FORMAT}")]
    UnknownFormat {
        /// The format's number.
        format: u8,
    },
    /// The header is cut, its version is 0 or its name is none.
    #[error("the envelope is damaged, or the bytes are none")]
    Damaged,
}

const MARK: u8 = 0xFF;
const FORMAT: u8 = 1;

fn split<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), EnvelopeError> {
    bytes.split_first_chunk().ok_or(EnvelopeError::Damaged)
}

/// The rule that the derive checks too, at compile time.
fn is_type_name(name: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || c.is_ascii_punctuation();
    (1..=MAX_TYPE_NAME_BYTES).contains(&name.len()) && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    fn sample() -> Vec<u8> {
        let envelope = Envelope {
            codec: CodecId::BINCODE,
            version: 0x0201,
            fingerprint: 0x0807_0605_0403_0201,
            type_name: "User",
            payload: &[],
        };
        let mut buffer = BytesMut::new();
        envelope.write_header(&mut ValueWriter::new(&mut buffer, 100)).unwrap();
        buffer.extend_from_slice(b"rest");
        buffer.to_vec()
    }

    #[test]
    fn bytes_are_pinned() {
        assert_eq!(sample(), b"\xFF\x01\x01\x01\x02\x01\x02\x03\x04\x05\x06\x07\x08\x04Userrest");
    }

    #[test]
    fn parses_what_it_wrote() {
        let bytes = sample();
        let envelope = Envelope::parse(&bytes).unwrap().unwrap();
        assert_eq!(envelope.codec, CodecId::BINCODE);
        assert_eq!(envelope.version, 0x0201);
        assert_eq!(envelope.fingerprint, 0x0807_0605_0403_0201);
        assert_eq!(envelope.type_name, "User");
        assert_eq!(envelope.payload, b"rest");
    }

    #[test]
    fn plain_values_are_none() {
        for plain in [&b""[..], b"hello", b"{}", b"\x00", b"\xFE\x01"] {
            assert_eq!(Envelope::parse(plain), Ok(None));
        }
    }

    #[test]
    fn a_header_cut_at_any_byte_is_damaged() {
        let bytes = sample();
        for cut in 1..bytes.len() - b"rest".len() {
            assert_eq!(Envelope::parse(&bytes[..cut]), Err(EnvelopeError::Damaged), "{cut}");
        }
    }

    #[test]
    fn a_newer_format_is_named() {
        let mut bytes = sample();
        bytes[1] = 2;
        let unknown = EnvelopeError::UnknownFormat { format: 2 };
        assert_eq!(Envelope::parse(&bytes), Err(unknown));
        assert!(unknown.to_string().contains("format is 2"));
    }

    #[test]
    fn version_zero_and_names_that_cannot_be_printed_are_damage() {
        let mut no_version = sample();
        no_version[3..5].fill(0);
        let mut no_name = sample();
        no_name[13] = 0;
        let mut escape = sample();
        escape[14] = 0x1B;
        let mut not_text = sample();
        not_text[14] = 0xFF;
        let mut long = sample();
        long[13] = 33;
        long.extend_from_slice(&[b'x'; 40]);
        for bytes in [no_version, no_name, escape, not_text, long] {
            assert_eq!(Envelope::parse(&bytes), Err(EnvelopeError::Damaged));
        }
    }

    #[test]
    fn its_debug_text_shows_no_value() {
        let mut bytes = sample();
        bytes.extend_from_slice(b"canary");
        let shown = format!("{:?}", Envelope::parse(&bytes).unwrap());
        assert!(shown.contains("payload_bytes: 10"), "{shown}");
        assert!(!shown.contains("canary") && !shown.contains("99, 97"), "{shown}");
    }
}
