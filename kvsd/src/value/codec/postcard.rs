//! postcard 1 behind the seam: its wire format 1, trailing bytes rejected.
//!
//! Its own `from_bytes` drops trailing bytes without a word; so it is asked for the rest, which
//! must be empty. As with bincode the slice's length bounds every string, and serde's collections
//! reserve little before they have read what a length promises.

use ::postcard::ser_flavors::Flavor;
use ::postcard::{Error, serialize_with_flavor, take_from_bytes};
use serde::{Deserialize, Serialize};

use super::{Codec, CodecId, Fault, PostcardCodec};
use crate::value::{EncodeError, ValueWriter};

impl Codec for PostcardCodec {
    const ID: CodecId = CodecId::POSTCARD;

    fn encode<T: Serialize>(value: &T, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        let limit = out.limit();
        let mut refusal = None;
        let to = Bounded { out, refusal: &mut refusal };
        serialize_with_flavor(value, to).map_err(|error| match refusal {
            Some(TooLarge) => EncodeError::TooLarge { limit },
            None => EncodeError::Codec { codec: Self::ID, fault: fault(&error) },
        })
    }

    fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Fault> {
        match take_from_bytes(bytes) {
            Ok((value, [])) => Ok(value),
            Ok(_) => Err(Fault::Trailing),
            Err(error) => Err(fault(&error)),
        }
    }
}

/// The writer as postcard wants one. Not every error of its own passes through postcard; so the
/// refusal is kept beside it.
struct Bounded<'w, 'b> {
    out: &'w mut ValueWriter<'b>,
    refusal: &'w mut Option<TooLarge>,
}

struct TooLarge;

impl Flavor for Bounded<'_, '_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> Result<(), Error> {
        self.try_extend(&[byte])
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out.append(bytes).map_err(|_| {
            *self.refusal = Some(TooLarge);
            Error::SerializeBufferFull
        })
    }

    fn finalize(self) -> Result<(), Error> {
        Ok(())
    }
}

fn fault(error: &Error) -> Fault {
    match error {
        Error::DeserializeUnexpectedEnd => Fault::Truncated,
        Error::DeserializeBadUtf8 => Fault::NotUtf8,
        Error::DeserializeBadBool
        | Error::DeserializeBadChar
        | Error::DeserializeBadOption
        | Error::DeserializeBadEnum => Fault::BadTag,
        Error::DeserializeBadVarint => Fault::BadNumber,
        Error::WontImplement => Fault::NotSelfDescribing,
        Error::SerializeSeqLengthUnknown => Fault::UnknownLength,
        // The type's own refusals, and what its versions may add.
        _ => Fault::Refused,
    }
}

/// The bytes that stored values have had since the first release: what fails here would make every
/// value that this codec wrote unreadable.
#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Debug;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use bytes::BytesMut;
    use serde::de::DeserializeOwned;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Sample {
        Unit,
        Newtype(u16),
        Tuple(u8, bool),
        Struct { text: String },
    }

    fn written<T: Serialize + ?Sized>(value: &T) -> BytesMut {
        let mut buffer = BytesMut::new();
        PostcardCodec::encode(&value, &mut ValueWriter::new(&mut buffer, 1000)).unwrap();
        buffer
    }

    #[track_caller]
    fn pinned<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, bytes: &[u8]) {
        assert_eq!(&written(&value)[..], bytes, "{value:?} writes");
        assert_eq!(PostcardCodec::decode::<T>(bytes), Ok(value), "reads");
        for cut in 0..bytes.len() {
            assert!(PostcardCodec::decode::<T>(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let longer = [bytes, b"\x00"].concat();
        assert_eq!(PostcardCodec::decode::<T>(&longer), Err(Fault::Trailing));
    }

    #[test]
    fn numbers() {
        pinned(0_u8, &[0]);
        pinned(u8::MAX, &[255]);
        pinned(127_u16, &[127]);
        pinned(128_u16, &[128, 1]);
        pinned(u32::MAX, &[255, 255, 255, 255, 15]);
        pinned(u64::MAX, &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
        pinned(300_usize, &[172, 2]);
        pinned(u128::MAX, &[&[255; 18][..], &[3]].concat());
        pinned(-1_i8, &[255]);
        pinned(-1_i16, &[1]);
        pinned(1_i64, &[2]);
        pinned(i64::MIN, &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
        pinned(-300_isize, &[215, 4]);
        pinned(1.5_f32, &[0, 0, 192, 63]);
        pinned(-0.0_f64, &[0, 0, 0, 0, 0, 0, 0, 128]);
    }

    #[test]
    fn bools_chars_options_and_enums() {
        pinned(true, &[1]);
        pinned('a', b"\x01a");
        pinned('\u{10FFFF}', &[4, 0xF4, 0x8F, 0xBF, 0xBF]);
        pinned(None::<u16>, &[0]);
        pinned(Some(300_u16), &[1, 172, 2]);
        pinned(Sample::Unit, &[0]);
        pinned(Sample::Newtype(300), &[1, 172, 2]);
        pinned(Sample::Tuple(9, true), &[2, 9, 1]);
        pinned(Sample::Struct { text: "x".to_owned() }, &[3, 1, b'x']);
        pinned(Ok::<u8, String>(7), &[0, 7]);
    }

    #[test]
    fn texts_sequences_maps_and_what_the_standard_library_has() {
        pinned("h\u{e9}".to_owned(), &[3, b'h', 0xC3, 0xA9]);
        pinned(vec![1_u8, 255], &[2, 1, 255]);
        pinned(vec![1_u32, 300], &[2, 1, 172, 2]);
        pinned([300_u16; 2], &[172, 2, 172, 2]);
        pinned((1_u8, "a".to_owned()), &[1, 1, b'a']);
        let map = BTreeMap::from([("a".to_owned(), 1_u64), ("b".to_owned(), 300)]);
        pinned(map, &[2, 1, b'a', 1, 1, b'b', 172, 2]);
        pinned(Duration::new(300, 5), &[172, 2, 5]);
        pinned(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1)), &[0, 127, 0, 0, 1]);
        pinned(IpAddr::V6(Ipv6Addr::LOCALHOST), &[&[1][..], &[0; 15], &[1]].concat());
        assert_eq!(PostcardCodec::decode::<&str>(b"\x08borrowed"), Ok("borrowed"));
        assert_eq!(PostcardCodec::decode::<&[u8]>(b"\x02\x00\xFF"), Ok(&[0, 255][..]));
    }

    #[test]
    fn each_kind_of_damage_has_its_name() {
        assert_eq!(PostcardCodec::decode::<u64>(b""), Err(Fault::Truncated));
        assert_eq!(PostcardCodec::decode::<bool>(b"\x02"), Err(Fault::BadTag));
        assert_eq!(PostcardCodec::decode::<Option<u8>>(b"\x02\x00"), Err(Fault::BadTag));
        assert_eq!(PostcardCodec::decode::<char>(b"\x01\xFF"), Err(Fault::BadTag));
        assert_eq!(PostcardCodec::decode::<String>(b"\x01\xFF"), Err(Fault::NotUtf8));
        assert_eq!(PostcardCodec::decode::<Sample>(b"\x09"), Err(Fault::Refused));
        assert_eq!(PostcardCodec::decode::<u16>(b"\xFF\xFF\x7F"), Err(Fault::BadNumber));
        let any = PostcardCodec::decode::<serde::de::IgnoredAny>(b"\x01");
        assert_eq!(any.map(drop), Err(Fault::NotSelfDescribing));
    }

    #[test]
    fn it_stops_at_the_limit_wherever_that_falls() {
        let write = |limit| {
            let mut buffer = BytesMut::new();
            let text = format_args!("{}", "0123456789").to_string();
            PostcardCodec::encode(&(7_u8, text), &mut ValueWriter::new(&mut buffer, limit))
        };
        for limit in 0..12 {
            assert_eq!(write(limit), Err(EncodeError::TooLarge { limit }));
        }
        assert_eq!(write(12), Ok(()));
        // Formatted as it is written, which loses the error that our writer gave.
        struct Formatted;
        impl Serialize for Formatted {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str("0123456789")
            }
        }
        let mut buffer = BytesMut::new();
        let refused = PostcardCodec::encode(&Formatted, &mut ValueWriter::new(&mut buffer, 10));
        assert_eq!(refused, Err(EncodeError::TooLarge { limit: 10 }));
    }

    #[test]
    fn a_forged_length_neither_aborts_nor_allocates_what_it_promises() {
        let length = [255, 255, 255, 255, 255, 255, 255, 255, 127];
        let forged = [&length[..], b"few"].concat();
        assert_eq!(PostcardCodec::decode::<String>(&forged), Err(Fault::Truncated));
        assert_eq!(PostcardCodec::decode::<&[u8]>(&forged), Err(Fault::Truncated));
        assert_eq!(PostcardCodec::decode::<Vec<u8>>(&forged), Err(Fault::Truncated));
        assert_eq!(PostcardCodec::decode::<Vec<[u64; 32]>>(&forged), Err(Fault::Truncated));
        assert!(PostcardCodec::decode::<BTreeMap<u8, u8>>(&forged).is_err());
        assert!(PostcardCodec::decode::<std::collections::HashMap<u8, u8>>(&forged).is_err());
    }
}
