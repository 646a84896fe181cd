//! What a derived type is made of, and how it goes into its envelope and comes out.
//!
//! The derive writes four small implementations that call this file, so that what they do is read
//! here and compiled once. Next file to read: `layout.rs`.

use serde::{Deserialize, Serialize};

use super::codec::{BincodeCodec, Codec};
use super::{CodecId, DecodeError, EncodeError, Envelope, Layout, ValueWriter};

/// What the derive knows of a type that is stored in an envelope.
pub trait Typed: Layout {
    /// The name in the envelope, 1 to 32 bytes.
    const NAME: &'static str;
    /// The schema version, from 1.
    const VERSION: u16;
    /// The codec that writes it.
    type Codec: Codec;
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

/// Reads a value from its envelope.
pub fn decode<'a, T: Typed + Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    let envelope = Envelope::parse(bytes)
        .map_err(|cause| DecodeError::Envelope { expected: T::NAME, cause })?
        .ok_or(DecodeError::NotAnEnvelope { expected: T::NAME })?;
    let Envelope { codec, version, fingerprint, type_name, payload } = envelope;
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
    // An older version lands here too: the version is part of the fingerprint.
    if fingerprint != T::FINGERPRINT {
        return Err(DecodeError::OtherLayout {
            type_name: T::NAME,
            version,
            found: fingerprint,
            expected: T::FINGERPRINT,
        });
    }
    decode_payload(codec, payload)
}

/// Reads the payload with the codec that wrote it. A positional one only for a type that it can
/// hold, which the derive has checked for exactly those whose own codec is positional.
fn decode_payload<'a, T: Typed + Deserialize<'a>>(
    codec: CodecId,
    payload: &'a [u8],
) -> Result<T, DecodeError> {
    let decoded = match codec {
        CodecId::BINCODE if T::Codec::POSITIONAL => BincodeCodec::decode(payload),
        #[cfg(feature = "json")]
        CodecId::JSON => super::codec::JsonCodec::decode(payload),
        _ => {
            return Err(DecodeError::UnknownCodec { type_name: T::NAME, codec });
        }
    };
    decoded.map_err(|fault| DecodeError::Corrupt { type_name: T::NAME, codec, fault })
}
