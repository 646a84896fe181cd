//! bincode 1.3.3 behind the seam.
//!
//! Little-endian, integers of variable length, trailing bytes rejected. Its size limit is not used:
//! on a slice it is ignored (there the slice's length bounds every string and every byte sequence,
//! and serde's collections reserve at most 1 MiB before they have read what a length promises), and
//! on writing it walks the value twice (our writer refuses by itself).

use std::io;

use ::bincode::{DefaultOptions, ErrorKind, Options};
use serde::{Deserialize, Serialize};

use super::{BincodeCodec, Codec, CodecId, Fault};
use crate::value::{EncodeError, ValueWriter};

impl Codec for BincodeCodec {
    const ID: CodecId = CodecId::BINCODE;

    fn encode<T: Serialize>(value: &T, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        DefaultOptions::new().serialize_into(out, value).map_err(|error| match *error {
            ErrorKind::Io(refusal) => refusal
                .downcast::<EncodeError>()
                .unwrap_or(EncodeError::Codec { codec: Self::ID, fault: Fault::Refused }),
            kind => EncodeError::Codec { codec: Self::ID, fault: fault(&kind) },
        })
    }

    fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Fault> {
        DefaultOptions::new().deserialize(bytes).map_err(|error| match fault(&error) {
            // bincode has no kind of its own for trailing bytes; asking again tells them apart.
            Fault::Refused if reads_with_trailing_bytes::<T>(bytes) => Fault::Trailing,
            fault => fault,
        })
    }
}

fn reads_with_trailing_bytes<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> bool {
    DefaultOptions::new().allow_trailing_bytes().deserialize::<T>(bytes).is_ok()
}

fn fault(kind: &ErrorKind) -> Fault {
    match kind {
        ErrorKind::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => Fault::Truncated,
        ErrorKind::InvalidUtf8Encoding(_) => Fault::NotUtf8,
        ErrorKind::InvalidBoolEncoding(_)
        | ErrorKind::InvalidCharEncoding
        | ErrorKind::InvalidTagEncoding(_) => Fault::BadTag,
        ErrorKind::DeserializeAnyNotSupported => Fault::NotSelfDescribing,
        ErrorKind::SequenceMustHaveLength => Fault::UnknownLength,
        ErrorKind::Io(_) | ErrorKind::SizeLimit | ErrorKind::Custom(_) => Fault::Refused,
    }
}

/// The bytes that stored values have had since the first release: what fails here would make every
/// stored value unreadable.
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
        BincodeCodec::encode(&value, &mut ValueWriter::new(&mut buffer, 1000)).unwrap();
        buffer
    }

    #[track_caller]
    fn pinned<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, bytes: &[u8]) {
        assert_eq!(&written(&value)[..], bytes, "{value:?} writes");
        assert_eq!(BincodeCodec::decode::<T>(bytes), Ok(value), "reads");
        for cut in 0..bytes.len() {
            assert!(BincodeCodec::decode::<T>(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let longer = [bytes, b"\x00"].concat();
        assert_eq!(BincodeCodec::decode::<T>(&longer), Err(Fault::Trailing));
    }

    #[test]
    fn unsigned_integers() {
        pinned(0_u8, &[0]);
        pinned(u8::MAX, &[255]);
        pinned(250_u16, &[250]);
        pinned(251_u16, &[251, 251, 0]);
        pinned(u16::MAX, &[251, 255, 255]);
        pinned(250_u32, &[250]);
        pinned(251_u32, &[251, 251, 0]);
        pinned(65_535_u32, &[251, 255, 255]);
        pinned(65_536_u32, &[252, 0, 0, 1, 0]);
        pinned(u32::MAX, &[252, 255, 255, 255, 255]);
        pinned(4_294_967_295_u64, &[252, 255, 255, 255, 255]);
        pinned(4_294_967_296_u64, &[253, 0, 0, 0, 0, 1, 0, 0, 0]);
        pinned(u64::MAX, &[253, 255, 255, 255, 255, 255, 255, 255, 255]);
        pinned(300_usize, &[251, 44, 1]);
        pinned(7_u128, &[7]);
        pinned(u128::from(u64::MAX), &[253, 255, 255, 255, 255, 255, 255, 255, 255]);
        pinned(u128::MAX, &[&[254][..], &[255; 16]].concat());
    }

    #[test]
    fn signed_integers_zigzag() {
        pinned(0_i8, &[0]);
        pinned(-1_i8, &[255]);
        pinned(i8::MIN, &[128]);
        pinned(-1_i16, &[1]);
        pinned(1_i16, &[2]);
        pinned(125_i16, &[250]);
        pinned(-126_i16, &[251, 251, 0]);
        pinned(i16::MIN, &[251, 255, 255]);
        pinned(-126_i32, &[251, 251, 0]);
        pinned(i32::MIN, &[252, 255, 255, 255, 255]);
        pinned(i32::MAX, &[252, 254, 255, 255, 255]);
        pinned(-2_i64, &[3]);
        pinned(i64::MIN, &[253, 255, 255, 255, 255, 255, 255, 255, 255]);
        pinned(-300_isize, &[251, 87, 2]);
        pinned(-1_i128, &[1]);
        pinned(i128::MIN, &[&[254][..], &[255; 16]].concat());
    }

    #[test]
    fn floats_bools_and_chars() {
        pinned(1.5_f32, &[0, 0, 192, 63]);
        pinned(-0.0_f64, &[0, 0, 0, 0, 0, 0, 0, 128]);
        pinned(f64::INFINITY, &[0, 0, 0, 0, 0, 0, 240, 127]);
        pinned(true, &[1]);
        pinned(false, &[0]);
        pinned('a', b"a");
        pinned('\u{e9}', &[0xC3, 0xA9]);
        pinned('\u{10FFFF}', &[0xF4, 0x8F, 0xBF, 0xBF]);
    }

    #[test]
    fn options_and_enums() {
        pinned(None::<u16>, &[0]);
        pinned(Some(300_u16), &[1, 251, 44, 1]);
        pinned(Sample::Unit, &[0]);
        pinned(Sample::Newtype(300), &[1, 251, 44, 1]);
        pinned(Sample::Tuple(9, true), &[2, 9, 1]);
        pinned(Sample::Struct { text: "x".to_owned() }, &[3, 1, b'x']);
        pinned(Ok::<u8, String>(7), &[0, 7]);
    }

    #[test]
    fn texts_bytes_and_sequences() {
        pinned(String::new(), &[0]);
        pinned("h\u{e9}".to_owned(), &[3, b'h', 0xC3, 0xA9]);
        pinned(vec![1_u8, 255], &[2, 1, 255]);
        pinned(vec![1_u32, 300], &[2, 1, 251, 44, 1]);
        pinned([1_u8, 255], &[1, 255]);
        pinned([300_u16; 2], &[251, 44, 1, 251, 44, 1]);
        pinned((1_u8, "a".to_owned()), &[1, 1, b'a']);
        assert_eq!(&written(&vec!["x"; 251])[..3], &[251, 251, 0]);
        assert_eq!(&written("borrowed")[..], b"\x08borrowed");
        assert_eq!(BincodeCodec::decode::<&str>(b"\x08borrowed"), Ok("borrowed"));
        assert_eq!(BincodeCodec::decode::<&[u8]>(b"\x02\x00\xFF"), Ok(&[0, 255][..]));
    }

    #[test]
    fn maps_durations_and_addresses() {
        let map = BTreeMap::from([("a".to_owned(), 1_u64), ("b".to_owned(), 300)]);
        pinned(map, &[2, 1, b'a', 1, 1, b'b', 251, 44, 1]);
        pinned(Duration::new(300, 999_999_999), &[251, 44, 1, 252, 255, 201, 154, 59]);
        pinned(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1)), &[0, 127, 0, 0, 1]);
        pinned(IpAddr::V6(Ipv6Addr::LOCALHOST), &[&[1][..], &[0; 15], &[1]].concat());
    }

    #[test]
    fn each_kind_of_damage_has_its_name() {
        assert_eq!(BincodeCodec::decode::<u64>(b""), Err(Fault::Truncated));
        assert_eq!(BincodeCodec::decode::<bool>(b"\x02"), Err(Fault::BadTag));
        assert_eq!(BincodeCodec::decode::<Option<u8>>(b"\x02\x00"), Err(Fault::BadTag));
        assert_eq!(BincodeCodec::decode::<char>(b"\xFF"), Err(Fault::BadTag));
        assert_eq!(BincodeCodec::decode::<String>(b"\x01\xFF"), Err(Fault::NotUtf8));
        assert_eq!(BincodeCodec::decode::<Sample>(b"\x09"), Err(Fault::Refused));
        assert_eq!(BincodeCodec::decode::<u8>(b"\x00\x00"), Err(Fault::Trailing));
        assert_eq!(BincodeCodec::decode::<u16>(b"\xFF\x00\x00"), Err(Fault::Refused));
    }

    #[test]
    fn a_forged_length_neither_aborts_nor_allocates_what_it_promises() {
        for length in [u64::MAX, i64::MAX as u64, 1 << 48, 1 << 34] {
            let forged = [&[253][..], &length.to_le_bytes(), b"few"].concat();
            assert_eq!(BincodeCodec::decode::<String>(&forged), Err(Fault::Truncated));
            assert_eq!(BincodeCodec::decode::<&[u8]>(&forged), Err(Fault::Truncated));
            assert_eq!(BincodeCodec::decode::<bytes_as::Buf>(&forged), Err(Fault::Truncated));
            assert_eq!(BincodeCodec::decode::<Vec<u8>>(&forged), Err(Fault::Truncated));
            assert_eq!(BincodeCodec::decode::<Vec<[u64; 32]>>(&forged), Err(Fault::Truncated));
            assert!(BincodeCodec::decode::<BTreeMap<u8, u8>>(&forged).is_err());
            assert!(BincodeCodec::decode::<std::collections::HashSet<u8>>(&forged).is_err());
        }
    }

    /// An owned byte buffer by serde's bytes, which bincode copies as a whole.
    mod bytes_as {
        use serde::de::{Deserialize, Deserializer, Visitor};

        #[derive(Debug, PartialEq)]
        pub(super) struct Buf(Vec<u8>);

        impl<'de> Deserialize<'de> for Buf {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Owned;
                impl Visitor<'_> for Owned {
                    type Value = Buf;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("bytes")
                    }
                    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Buf, E> {
                        Ok(Buf(bytes))
                    }
                }
                deserializer.deserialize_byte_buf(Owned)
            }
        }
    }
}
