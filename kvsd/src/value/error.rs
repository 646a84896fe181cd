//! Why a value cannot be written or read.
//!
//! Errors name types, codecs, versions, sizes and places, and never hold what a value holds:
//! serde's own messages quote it, so they stop at `codec`. The one exception is what a type's own
//! `TryFrom` returns, in `upgrade.rs`. Next file to read: `codec/mod.rs`.

use thiserror::Error;

use super::{CodecId, EnvelopeError, Fault, UpgradeError};

/// Why a value cannot be written. The value is at fault, and trying again does not help.
///
/// ```
/// use kvsd::EncodeError;
/// use kvsd::value::encode_to_bytes;
///
/// let error = encode_to_bytes("too long", 5).unwrap_err();
/// assert_eq!(error, EncodeError::TooLarge { limit: 5 });
/// assert_eq!(error.to_string(), "the value has more than the 5 bytes that a value may have");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The value is larger than the server takes.
    #[error("the value has more than the {limit} bytes that a value may have")]
    TooLarge {
        /// The most bytes that were allowed.
        limit: usize,
    },
    /// The codec, or the type's own `Serialize`, refuses.
    #[error("the value cannot be written with codec {codec}")]
    Codec {
        /// The codec.
        codec: CodecId,
        /// What stopped it.
        #[source]
        fault: Fault,
    },
    /// What was written does not read back. Checked in debug builds only.
    #[error("a {type_name} was written but its bytes do not read back")]
    ReadBack {
        /// The type's name.
        type_name: &'static str,
        /// How reading failed.
        #[source]
        cause: Box<DecodeError>,
    },
}

/// Why bytes are not the value that was asked for. The stored bytes or the type asked for are at
/// fault, and trying again does not help.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use std::error::Error;
/// use kvsd::DecodeError;
///
/// #[derive(Debug, serde::Serialize, serde::Deserialize, kvsd::Value)]
/// struct User {
///     id: u64,
/// }
///
/// client.set("user/7", "not a user").await?;
/// let error = client.get::<User>("user/7").await.unwrap_err();
/// let cause = error.source().and_then(|cause| cause.downcast_ref::<DecodeError>());
/// assert_eq!(cause, Some(&DecodeError::NotAnEnvelope { expected: "User" }));
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A derived type was asked for and the bytes are a plain value.
    #[error("the stored bytes are a plain value, not a {expected}")]
    NotAnEnvelope {
        /// The type that was asked for.
        expected: &'static str,
    },
    /// The bytes begin like an envelope and are none that this version reads.
    #[error("the stored bytes are not a {expected}")]
    Envelope {
        /// The type that was asked for.
        expected: &'static str,
        /// What is wrong with the envelope.
        #[source]
        cause: EnvelopeError,
    },
    /// The value is of another type.
    #[error("the stored value is a {found}, not a {expected}")]
    OtherType {
        /// The type that was written.
        found: Box<str>,
        /// The type that was asked for.
        expected: &'static str,
    },
    /// The value was written by a newer version of its type.
    #[error("the stored {type_name} has version {found}, and this program knows up to {known}")]
    NewerVersion {
        /// The type's name.
        type_name: &'static str,
        /// The version that was written.
        found: u16,
        /// The newest version that the type knows.
        known: u16,
    },
    /// The value was written by an older version of its type, one that no type of the chain has.
    #[error(
        "the stored {type_name} has version {found}, which this program does not read; the next \
         version that it does is {next}"
    )]
    UnknownVersion {
        /// The type's name.
        type_name: &'static str,
        /// The version that was written.
        found: u16,
        /// The lowest version above it that the type's chain reads.
        next: u16,
    },
    /// The value is an older version's, and the newer type's own `TryFrom` refuses it.
    #[error("the stored {type_name} of version {from} cannot become one of version {to}")]
    Upgrade {
        /// The type's name.
        type_name: &'static str,
        /// The version that was to be upgraded.
        from: u16,
        /// The version that it was to become.
        to: u16,
        /// What `TryFrom` returned.
        #[source]
        cause: UpgradeError,
    },
    /// The value has the type's name and a version that it knows, and other fields.
    #[error(
        "the stored {type_name} (version {version}) has another layout: \
         its fingerprint is {found:#018x}, this program's is {expected:#018x}"
    )]
    OtherLayout {
        /// The type's name.
        type_name: &'static str,
        /// The version that was written.
        version: u16,
        /// The fingerprint that was written.
        found: u64,
        /// The type's fingerprint.
        expected: u64,
    },
    /// The value was written with a codec that this type or this build of kvsd does not read.
    #[error("the stored {type_name} is written with codec {codec}, which is not read here")]
    UnknownCodec {
        /// The type's name.
        type_name: &'static str,
        /// The codec that wrote it.
        codec: CodecId,
    },
    /// The envelope fits and the codec's bytes do not.
    #[error("the stored {type_name} is corrupt")]
    Corrupt {
        /// The type's name.
        type_name: &'static str,
        /// The codec that was asked to read it.
        codec: CodecId,
        /// What stopped it.
        #[source]
        fault: Fault,
    },
    /// Bytes that bear no type's name do not read as what was asked for.
    #[error("the stored bytes do not read as {codec}")]
    Malformed {
        /// The codec that was asked to read them.
        codec: CodecId,
        /// What stopped it.
        #[source]
        fault: Fault,
    },
    /// A plain value was asked for and the bytes hold a derived type.
    #[error("the stored value is a {type_name}, not {wanted}")]
    Enveloped {
        /// The type that was written.
        type_name: Box<str>,
        /// What was asked for.
        wanted: &'static str,
    },
    /// Text was asked for and the bytes are not UTF-8.
    #[error("the stored bytes are not UTF-8")]
    NotUtf8,
    /// A number was asked for and the bytes are not one in the form that kvsd writes.
    #[error("the stored bytes are not the decimal text of a number ({wanted} was asked for)")]
    NotANumber {
        /// The type that was asked for.
        wanted: &'static str,
    },
    /// The number does not fit the type.
    #[error("the stored number does not fit {wanted}")]
    OutOfRange {
        /// The type that was asked for.
        wanted: &'static str,
    },
    /// A bool was asked for and the bytes are neither `true` nor `false`.
    #[error("the stored bytes are neither `true` nor `false`")]
    NotABool,
    /// An array was asked for and the value has another length.
    #[error("the stored value has {found} bytes, not {expected}")]
    WrongLength {
        /// The array's length.
        expected: usize,
        /// The value's length.
        found: usize,
    },
}
