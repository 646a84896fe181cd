//! What a derived type is made of, and how it goes into its envelope and comes out.
//!
//! The derive writes small implementations that call this file, so that what they do is read here
//! and compiled once. A value is read by the type of the version that wrote it: `decode` begins at
//! the newest, and each passes on to the one that it is made from what it did not write itself.
//! Next file to read: `upgrade.rs`.

use std::error::Error;

use serde::{Deserialize, Serialize};

use super::codec::{BincodeCodec, Codec};
use super::{CodecId, DecodeError, EncodeError, Envelope, Layout, UpgradeError, ValueWriter};

/// What the derive knows of a type that is stored in an envelope.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not stored in an envelope, so it has no name and no version",
    label = "this type is not derived",
    note = "derive it: `#[derive(serde::Deserialize, kvsd::Value)]`, with \
            `#[kvsd(name = \"..\", version = ..)]`"
)]
pub trait Typed: Layout {
    /// The name in the envelope, 1 to 32 bytes.
    const NAME: &'static str;
    /// The schema version, from 1.
    const VERSION: u16;
    /// The codec that writes it.
    type Codec: Codec;
    /// The fingerprints of earlier layouts of this version whose bytes are read as its own.
    const ACCEPTED: &'static [u64];
}

/// One version of a type: reads what it wrote itself, and what older ones did.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no older version of a stored type",
    label = "this type has no decoding",
    note = "derive it: `#[derive(serde::Deserialize, kvsd::Value)]`, with \
            `#[kvsd(name = \"..\", version = ..)]`"
)]
pub trait Generation<'a>: Typed + Sized {
    /// Reads an envelope that bears this type's name and no higher version.
    fn read(envelope: &Envelope<'a>) -> Result<Self, DecodeError>;
}

/// Writes the envelope and the codec's bytes.
pub fn encode<T: Typed + Serialize>(
    value: &T,
    out: &mut ValueWriter<'_>,
) -> Result<(), EncodeError> {
    let header = Envelope {
        codec: T::Codec::ID,
        version: T::VERSION,
        fingerprint: T::FINGERPRINT,
        type_name: T::NAME,
        payload: &[],
    };
    header.write_header(out)?;
    T::Codec::encode(value, out)
}

/// As [`encode`]; in debug builds it also decodes what it wrote, so that a type whose `Serialize`
/// and `Deserialize` do not agree fails on its first write and not years later on a read.
pub fn encode_and_read_back<T: Typed + Serialize>(
    value: &T,
    out: &mut ValueWriter<'_>,
    read_back: fn(&[u8]) -> Result<(), DecodeError>,
) -> Result<(), EncodeError> {
    let start = out.written().len();
    encode(value, out)?;
    if cfg!(debug_assertions) {
        read_back(&out.written()[start..])
            .map_err(|cause| EncodeError::ReadBack { type_name: T::NAME, cause: cause.into() })?;
    }
    Ok(())
}

/// Reads a value from its envelope, whichever version of its type wrote it.
pub fn decode<'a, T: Generation<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    let envelope = Envelope::parse(bytes)
        .map_err(|cause| DecodeError::Envelope { expected: T::NAME, cause })?
        .ok_or(DecodeError::NotAnEnvelope { expected: T::NAME })?;
    let Envelope { version, type_name, .. } = envelope;
    if type_name != T::NAME {
        return Err(DecodeError::OtherType { found: type_name.into(), expected: T::NAME });
    }
    if version > T::VERSION {
        return Err(DecodeError::NewerVersion {
            type_name: T::NAME,
            found: version,
            known: T::VERSION,
        });
    }
    T::read(&envelope)
}

/// [`Generation::read`] of a type without an older one.
pub fn read_oldest<'a, T>(envelope: &Envelope<'a>) -> Result<T, DecodeError>
where
    T: Typed + Deserialize<'a>,
{
    if envelope.version == T::VERSION { read_own(envelope) } else { Err(unknown::<T>(envelope)) }
}

/// [`Generation::read`] of a type that is made from its older one, `P`.
pub fn read_or_from<'a, T, P>(envelope: &Envelope<'a>) -> Result<T, DecodeError>
where
    T: Typed + Deserialize<'a> + From<P>,
    P: Generation<'a>,
{
    if envelope.version == T::VERSION {
        return read_own(envelope);
    }
    read_older::<T, P>(envelope).map(T::from)
}

/// [`Generation::read`] of a type that may refuse what its older one, `P`, holds.
pub fn read_or_try_from<'a, T, P>(envelope: &Envelope<'a>) -> Result<T, DecodeError>
where
    T: Typed + Deserialize<'a> + TryFrom<P>,
    T::Error: Into<BoxError>,
    P: Generation<'a>,
{
    if envelope.version == T::VERSION {
        return read_own(envelope);
    }
    T::try_from(read_older::<T, P>(envelope)?).map_err(|cause| DecodeError::Upgrade {
        type_name: T::NAME,
        from: P::VERSION,
        to: T::VERSION,
        cause: UpgradeError::new(cause),
    })
}

/// What a `TryFrom` may fail with: an error, or a text.
pub type BoxError = Box<dyn Error + Send + Sync>;

fn read_older<'a, T: Typed, P: Generation<'a>>(envelope: &Envelope<'a>) -> Result<P, DecodeError> {
    if envelope.version > P::VERSION { Err(unknown::<T>(envelope)) } else { P::read(envelope) }
}

/// No type has the version that was written, and `T` has the next one.
fn unknown<T: Typed>(envelope: &Envelope<'_>) -> DecodeError {
    DecodeError::UnknownVersion { type_name: T::NAME, found: envelope.version, next: T::VERSION }
}

/// Reads what this very version wrote.
fn read_own<'a, T: Typed + Deserialize<'a>>(envelope: &Envelope<'a>) -> Result<T, DecodeError> {
    let Envelope { codec, version, fingerprint, payload, .. } = *envelope;
    if fingerprint != T::FINGERPRINT && !T::ACCEPTED.contains(&fingerprint) {
        return Err(DecodeError::OtherLayout {
            type_name: T::NAME,
            version,
            found: fingerprint,
            expected: T::FINGERPRINT,
        });
    }
    let decoded = match codec {
        // Whatever the type is written with today: a change of codec leaves nothing behind.
        CodecId::BINCODE if T::MIN_BYTES.is_ok() => BincodeCodec::decode(payload),
        #[cfg(feature = "postcard")]
        CodecId::POSTCARD if T::MIN_BYTES.is_ok() => super::codec::PostcardCodec::decode(payload),
        #[cfg(feature = "json")]
        CodecId::JSON => super::codec::JsonCodec::decode(payload),
        _ => {
            return Err(DecodeError::UnknownCodec { type_name: T::NAME, codec });
        }
    };
    decoded.map_err(|fault| DecodeError::Corrupt { type_name: T::NAME, codec, fault })
}
