//! The seam between serde types and bytes. A derived value carries the id of the codec that wrote
//! it, so that a codec can be replaced without losing what it wrote.
//!
//! A codec knows serde types and bytes, never envelopes. It decodes from slices only: the slice's
//! length bounds whatever the bytes claim. It never lets serde's messages out: they quote values.
//! Next file to read: `bincode.rs`.

mod bincode;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "postcard")]
mod postcard;

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{EncodeError, ValueWriter};

/// One way to write a serde type as bytes.
#[diagnostic::on_unimplemented(
    message = "this build of kvsd does not have the codec `{Self}`",
    note = "switch on kvsd's feature of the codec's name (`json`, `postcard`)"
)]
pub trait Codec {
    /// What an envelope calls it.
    const ID: CodecId;

    /// Appends `value` to `out`.
    fn encode<T: Serialize>(value: &T, out: &mut ValueWriter<'_>) -> Result<(), EncodeError>;

    /// Reads a value from all of `bytes`.
    fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Fault>;
}

/// The codec `bincode`: compact and positional. The default.
#[derive(Debug)]
pub struct BincodeCodec;

/// The codec `postcard`: positional, and smaller still. As [`JsonCodec`], a codec with its feature
/// only.
#[derive(Debug)]
pub struct PostcardCodec;

/// The codec `json`: text that names its fields. A codec with the feature `json` only; without it
/// the name remains, so that the compiler's error can name the feature.
#[derive(Debug)]
pub struct JsonCodec;

/// The number by which an envelope names its codec.
///
/// ```
/// use kvsd::value::{CodecId, Envelope, encode_to_bytes};
///
/// #[derive(serde::Serialize, serde::Deserialize, kvsd::Value)]
/// struct User {
///     id: u64,
/// }
///
/// let stored = encode_to_bytes(&User { id: 7 }, 100)?;
/// let codec = Envelope::parse(&stored)?.ok_or("a plain value")?.codec;
/// assert_eq!((codec, codec.get()), (CodecId::BINCODE, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodecId(u8);

impl CodecId {
    /// bincode 1.3: little-endian, integers of variable length.
    ///
    /// ```
    /// assert_eq!(kvsd::value::CodecId::BINCODE.to_string(), "bincode");
    /// ```
    pub const BINCODE: Self = Self(1);
    /// postcard, wire format 1.
    ///
    /// ```
    /// assert_eq!(kvsd::value::CodecId::POSTCARD.to_string(), "postcard");
    /// ```
    pub const POSTCARD: Self = Self(2);
    /// JSON.
    ///
    /// ```
    /// assert_eq!(kvsd::value::CodecId::JSON.to_string(), "json");
    /// ```
    pub const JSON: Self = Self(3);

    /// The codec with this number, known or not.
    ///
    /// ```
    /// use kvsd::value::CodecId;
    ///
    /// assert_eq!(CodecId::new(1), CodecId::BINCODE);
    /// assert_eq!(CodecId::new(99).to_string(), "99", "a later version's, perhaps");
    /// ```
    #[must_use]
    pub const fn new(number: u8) -> Self {
        Self(number)
    }

    /// The number.
    ///
    /// ```
    /// assert_eq!(kvsd::value::CodecId::JSON.get(), 3);
    /// ```
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// The codec's name, or its number if it has none.
impl fmt::Display for CodecId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BINCODE => f.pad("bincode"),
            Self::POSTCARD => f.pad("postcard"),
            Self::JSON => f.pad("json"),
            Self(number) => write!(f, "{number}"),
        }
    }
}

impl fmt::Debug for CodecId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CodecId({self})")
    }
}

/// What stopped a codec, without anything of what it wrote or read.
///
/// ```
/// use kvsd::value::{CodecId, Fault, encode_to_bytes};
/// use kvsd::{Decode, DecodeError};
///
/// #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize, kvsd::Value)]
/// struct User {
///     name: String,
/// }
///
/// let stored = encode_to_bytes(&User { name: "Ada".into() }, 100)?;
/// let cut = User::decode(&stored[..stored.len() - 1]);
/// let (type_name, codec, fault) = ("User", CodecId::BINCODE, Fault::Truncated);
/// assert_eq!(cut, Err(DecodeError::Corrupt { type_name, codec, fault }));
/// # Ok::<(), kvsd::EncodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// The bytes end inside the value.
    #[error("the bytes end too early")]
    Truncated,
    /// The value ends before the bytes do.
    #[error("bytes follow the end of the value")]
    Trailing,
    /// A text inside the value is not UTF-8.
    #[error("a text is not UTF-8")]
    NotUtf8,
    /// A bool, a char, an option or an enum has a tag that none has.
    #[error("a bool, char, option or enum has an impossible tag")]
    BadTag,
    /// A number has more digits than its type.
    #[error("a number is longer than its type")]
    BadNumber,
    /// The type asks the bytes what they are, and a positional codec's bytes do not say.
    #[error("the type reads only what describes itself; store it with codec = \"json\"")]
    NotSelfDescribing,
    /// A sequence or map does not know its length before its end, and the codec writes it first.
    #[error("a sequence or map does not tell its length ahead")]
    UnknownLength,
    /// The text is not JSON.
    #[error("syntax error at line {line}, column {column}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// The JSON is not the type's.
    #[error("what stands at line {line}, column {column} is not what the type expects")]
    Mismatch {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// The type's own serde implementation refuses the value.
    #[error("the type's serde implementation refuses it")]
    Refused,
}
