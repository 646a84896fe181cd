//! Values that are a codec's bytes without an envelope: for data that something other than kvsd
//! reads or writes.

use serde::{Deserialize, Serialize};

#[cfg(feature = "json")]
use super::codec::JsonCodec;
use super::codec::{BincodeCodec, Codec};
use super::layout::check_positional;
#[cfg(feature = "json")]
use super::plain::refuse_envelope;
use super::{Decode, DecodeError, Encode, EncodeError, Layout, ValueWriter};

/// A value stored as bare bincode (version 1.3: little-endian, integers of variable length).
///
/// Nothing in the bytes tells which type they are: read as another one they may give nonsense.
/// Derive [`kvsd::Value`](macro@crate::Value) where you can. The type has a [`Layout`], by which
/// the compiler knows that no stored bytes can overflow the stack or go on for ever.
///
/// ```
/// use kvsd::{Bincode, Decode, value::encode_to_bytes};
///
/// let stored = encode_to_bytes(&Bincode((7_u64, "seven")), 100)?;
/// assert_eq!(&stored[..], b"\x07\x05seven");
/// assert_eq!(Bincode::<(u64, &str)>::decode(&stored)?, Bincode((7, "seven")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bincode<T>(pub T);

impl<T: Serialize + Layout> Encode for Bincode<T> {
    fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        const { check_positional::<T>() }
        BincodeCodec::encode(&self.0, out)
    }
}

impl<'a, T: Deserialize<'a> + Layout> Decode<'a> for Bincode<T> {
    fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        const { check_positional::<T>() }
        let malformed = |fault| DecodeError::Malformed { codec: BincodeCodec::ID, fault };
        BincodeCodec::decode(bytes).map(Self).map_err(malformed)
    }
}

/// A value stored as bare JSON text, for any serde type.
///
/// ```
/// use kvsd::{Decode, Json, value::encode_to_bytes};
///
/// let stored = encode_to_bytes(&Json((7_u64, "seven")), 100)?;
/// assert_eq!(stored, r#"[7,"seven"]"#);
/// assert_eq!(Json::<(u64, String)>::decode(&stored)?, Json((7, "seven".to_owned())));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "json")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Json<T>(pub T);

#[cfg(feature = "json")]
impl<T: Serialize> Encode for Json<T> {
    fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        JsonCodec::encode(&self.0, out)
    }
}

#[cfg(feature = "json")]
impl<'a, T: Deserialize<'a>> Decode<'a> for Json<T> {
    fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        refuse_envelope(bytes, "JSON")?;
        let malformed = |fault| DecodeError::Malformed { codec: JsonCodec::ID, fault };
        JsonCodec::decode(bytes).map(Self).map_err(malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{CodecId, Fault, encode_to_bytes};

    #[test]
    fn bare_bincode_round_trips_and_says_what_is_wrong() {
        type Pair = Bincode<(u64, String)>;
        let pair = Bincode((300, "x".to_owned()));
        let bytes = encode_to_bytes(&pair, 100).unwrap();
        assert_eq!(Pair::decode(&bytes).unwrap(), pair);

        let malformed = |fault| Err(DecodeError::Malformed { codec: CodecId::BINCODE, fault });
        for cut in 0..bytes.len() {
            assert_eq!(Pair::decode(&bytes[..cut]), malformed(Fault::Truncated));
        }
        assert_eq!(Pair::decode(b"\x07\x01x?"), malformed(Fault::Trailing));
        assert_eq!(Pair::decode(b"\x07\x01\xFF"), malformed(Fault::NotUtf8));
        assert_eq!(
            Bincode::<bool>::decode(b"\x02"),
            Err(DecodeError::Malformed { codec: CodecId::BINCODE, fault: Fault::BadTag })
        );
    }

    #[test]
    fn bincode_stops_at_the_limit() {
        let value = Bincode(vec!["0123456789"; 100]);
        assert_eq!(encode_to_bytes(&value, 1000), Err(EncodeError::TooLarge { limit: 1000 }));
        assert_eq!(encode_to_bytes(&value, 1101).unwrap().len(), 1101);
    }

    #[cfg(feature = "json")]
    #[test]
    fn bare_json_round_trips_and_says_where_it_is_wrong() {
        type Numbers = Json<Vec<u8>>;
        let bytes = encode_to_bytes(&Json([1, 2]), 100).unwrap();
        assert_eq!(&bytes[..], b"[1,2]");
        assert_eq!(Numbers::decode(&bytes).unwrap(), Json(vec![1, 2]));

        let malformed = |fault| Err(DecodeError::Malformed { codec: CodecId::JSON, fault });
        assert_eq!(Numbers::decode(b"[1,2"), malformed(Fault::Truncated));
        assert_eq!(Numbers::decode(b"[1,,"), malformed(Fault::Syntax { line: 1, column: 4 }));
        assert_eq!(Numbers::decode(b"[300]"), malformed(Fault::Mismatch { line: 1, column: 4 }));
        assert_eq!(encode_to_bytes(&Json([1, 2]), 4), Err(EncodeError::TooLarge { limit: 4 }));
    }

    #[cfg(feature = "json")]
    #[test]
    fn a_codecs_errors_do_not_quote_the_value() {
        for error in [
            Json::<u64>::decode(br#""canary""#).unwrap_err(),
            Json::<std::net::IpAddr>::decode(br#""canary""#).unwrap_err(),
        ] {
            assert!(!format!("{error:?} {error}").contains("canary"), "{error:?}");
        }
    }
}
