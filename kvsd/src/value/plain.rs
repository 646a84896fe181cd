//! Values without an envelope: text, bytes, numbers and bools, as any other client writes them.
//!
//! Reading one where a derived value stands is an error that names the derived type; only bytes
//! read everything. Next file to read: `envelope.rs`.

use std::borrow::Cow;

use bytes::Bytes;

use super::{Decode, DecodeError, Encode, EncodeError, Envelope, ValueWriter};

impl<T: Encode + ?Sized> Encode for &T {
    #[inline]
    fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        T::encode(self, out)
    }
}

impl<T: Encode + ToOwned + ?Sized> Encode for Cow<'_, T> {
    #[inline]
    fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        T::encode(self, out)
    }
}

macro_rules! encode_as_bytes {
    ($([$($generics:tt)*] $type:ty;)*) => { $(
        impl<$($generics)*> Encode for $type {
            #[inline]
            fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
                out.append(self.as_ref())
            }
        }
    )* };
}

encode_as_bytes! {
    [] str;
    [] String;
    [] [u8];
    [] Vec<u8>;
    [] Bytes;
    [const N: usize] [u8; N];
}

impl<'a> Decode<'a> for &'a str {
    fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        std::str::from_utf8(bytes).map_err(|_| match refuse_envelope(bytes, "text") {
            Ok(()) => DecodeError::NotUtf8,
            Err(enveloped) => enveloped,
        })
    }
}

impl<'a> Decode<'a> for Cow<'a, str> {
    fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        <&str>::decode(bytes).map(Cow::Borrowed)
    }
}

impl Decode<'_> for String {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        <&str>::decode(bytes).map(str::to_owned)
    }
}

impl<'a> Decode<'a> for &'a [u8] {
    #[inline]
    fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(bytes)
    }
}

impl<'a> Decode<'a> for Cow<'a, [u8]> {
    fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(Cow::Borrowed(bytes))
    }
}

impl Decode<'_> for Vec<u8> {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(bytes.to_vec())
    }
}

impl Decode<'_> for Bytes {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self::copy_from_slice(bytes))
    }
}

impl<const N: usize> Decode<'_> for [u8; N] {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let wrong = DecodeError::WrongLength { expected: N, found: bytes.len() };
        bytes.try_into().map_err(|_| wrong)
    }
}

impl Encode for bool {
    fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        out.append(if *self { b"true" } else { b"false" })
    }
}

impl Decode<'_> for bool {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes {
            b"true" => Ok(true),
            b"false" => Ok(false),
            _ => {
                refuse_envelope(bytes, "a bool")?;
                Err(DecodeError::NotABool)
            }
        }
    }
}

macro_rules! integers {
    ($($type:ident)*) => { $(
        impl Encode for $type {
            fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
                out.append_fmt(format_args!("{self}"))
            }
        }

        impl Decode<'_> for $type {
            fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                let wanted = stringify!($type);
                let text = canonical_integer(bytes, wanted)?;
                // What is canonical and does not parse is too large, too small, or negative.
                text.parse().map_err(|_| DecodeError::OutOfRange { wanted })
            }
        }
    )* };
}

integers! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize }

macro_rules! floats {
    ($($type:ident)*) => { $(
        impl Encode for $type {
            fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
                out.append_fmt(format_args!("{self:?}"))
            }
        }

        impl Decode<'_> for $type {
            fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                let wanted = stringify!($type);
                refuse_envelope(bytes, wanted)?;
                let text = std::str::from_utf8(bytes).ok();
                text.and_then(|text| text.parse().ok()).ok_or(DecodeError::NotANumber { wanted })
            }
        }
    )* };
}

floats! { f32 f64 }

/// An error that names the type, if the bytes hold a derived value.
pub(super) fn refuse_envelope(bytes: &[u8], wanted: &'static str) -> Result<(), DecodeError> {
    match Envelope::parse(bytes) {
        Ok(Some(envelope)) => {
            Err(DecodeError::Enveloped { type_name: envelope.type_name.into(), wanted })
        }
        Ok(None) | Err(_) => Ok(()),
    }
}

/// The text of an integer in the only form that is ever written: no plus sign, no leading zero, no
/// minus zero. So equal numbers are equal bytes.
fn canonical_integer<'a>(bytes: &'a [u8], wanted: &'static str) -> Result<&'a str, DecodeError> {
    refuse_envelope(bytes, wanted)?;
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let canonical = match digits {
        [b'0'] => digits.len() == bytes.len(),
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let text = std::str::from_utf8(bytes).ok().filter(|_| canonical);
    text.ok_or(DecodeError::NotANumber { wanted })
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::prelude::*;

    use super::*;
    use crate::value::{Value, encode_to_bytes};

    fn stored<T: Encode + ?Sized>(value: &T) -> Bytes {
        encode_to_bytes(value, 10_000).unwrap()
    }

    fn round_trips<T: Value + PartialEq + Debug>(value: &T) {
        assert_eq!(T::decode(&stored(value)).as_ref(), Ok(value));
    }

    #[test]
    fn plain_values_are_stored_as_other_clients_expect_them() {
        assert_eq!(stored("hello"), "hello");
        assert_eq!(stored(&"hello".to_owned()), "hello");
        assert_eq!(stored(&Cow::Borrowed("hello")), "hello");
        assert_eq!(stored(&[0_u8, 0xFF][..]), &b"\x00\xFF"[..]);
        assert_eq!(stored(b"four"), "four");
        assert_eq!(stored(&vec![1_u8]), &b"\x01"[..]);
        assert_eq!(stored(&Bytes::from_static(b"x")), "x");
        assert_eq!(stored(""), "");
        assert_eq!(stored(&-7_i8), "-7");
        assert_eq!(stored(&u128::MAX), "340282366920938463463374607431768211455");
        assert_eq!(stored(&1.0_f64), "1.0");
        assert_eq!(stored(&1e16_f64), "1e16");
        assert_eq!(stored(&0.1_f32), "0.1");
        assert_eq!(stored(&f64::NAN), "NaN");
        assert_eq!(stored(&f64::NEG_INFINITY), "-inf");
        assert_eq!(stored(&true), "true");
        assert_eq!(stored(&&&false), "false");
    }

    #[test]
    fn a_borrowed_value_points_into_the_stored_bytes() {
        let bytes = stored("hello");
        assert!(std::ptr::eq(<&str>::decode(&bytes).unwrap().as_bytes(), &bytes[..]));
        assert!(matches!(<Cow<'_, str>>::decode(&bytes), Ok(Cow::Borrowed("hello"))));
        assert!(matches!(<Cow<'_, [u8]>>::decode(&bytes), Ok(Cow::Borrowed(b"hello"))));
    }

    #[test]
    fn only_canonical_integers_are_numbers() {
        for text in ["", "-", "+7", "007", "-0", "00", "7 ", " 7", "7.0", "0x7", "1e3", "7\n", "x"]
        {
            let not = DecodeError::NotANumber { wanted: "i64" };
            assert_eq!(i64::decode(text.as_bytes()), Err(not), "{text:?}");
        }
        assert_eq!(i64::decode(b"0"), Ok(0));
        assert_eq!(i64::decode(b"-10"), Ok(-10));
    }

    #[test]
    fn numbers_that_do_not_fit_say_so() {
        assert_eq!(u8::decode(b"256"), Err(DecodeError::OutOfRange { wanted: "u8" }));
        assert_eq!(u8::decode(b"-1"), Err(DecodeError::OutOfRange { wanted: "u8" }));
        assert_eq!(i8::decode(b"-129"), Err(DecodeError::OutOfRange { wanted: "i8" }));
        assert_eq!(
            u64::decode(b"18446744073709551616"),
            Err(DecodeError::OutOfRange { wanted: "u64" })
        );
        assert_eq!(f64::decode(b"one"), Err(DecodeError::NotANumber { wanted: "f64" }));
        assert_eq!(f64::decode(b"3"), Ok(3.0));
    }

    #[test]
    fn other_shapes_are_told_apart() {
        assert_eq!(bool::decode(b"1"), Err(DecodeError::NotABool));
        assert_eq!(String::decode(b"\xC3"), Err(DecodeError::NotUtf8));
        // Begins like an envelope and is none: a JPEG.
        assert_eq!(String::decode(b"\xFF\xD8\xFF\xE0"), Err(DecodeError::NotUtf8));
        let wrong = DecodeError::WrongLength { expected: 4, found: 3 };
        assert_eq!(<[u8; 4]>::decode(b"abc"), Err(wrong));
    }

    #[test]
    fn a_derived_value_read_as_plain_is_named_and_read_as_bytes_is_untouched() {
        let stored = b"\xFF\x01\x01\x01\x00\x01\x02\x03\x04\x05\x06\x07\x08\x04Userrest";
        let enveloped = |wanted| DecodeError::Enveloped { type_name: "User".into(), wanted };
        assert_eq!(String::decode(stored), Err(enveloped("text")));
        assert_eq!(u64::decode(stored), Err(enveloped("u64")));
        assert_eq!(f32::decode(stored), Err(enveloped("f32")));
        assert_eq!(bool::decode(stored), Err(enveloped("a bool")));
        #[cfg(feature = "json")]
        assert_eq!(crate::Json::<u64>::decode(stored), Err(enveloped("JSON")));
        assert_eq!(Bytes::decode(stored).unwrap(), &stored[..]);
        assert_eq!(Vec::decode(stored).unwrap(), stored);
    }

    proptest! {
        #[test]
        fn what_is_stored_reads_back(
            text: String,
            bytes: Vec<u8>,
            array: [u8; 16],
            unsigned: u64,
            signed: i64,
            wide: i128,
            small: u8,
            flag: bool,
            float in proptest::num::f64::ANY,
            single in proptest::num::f32::ANY,
        ) {
            round_trips(&text);
            round_trips(&Bytes::from(bytes.clone()));
            round_trips(&bytes);
            round_trips(&array);
            round_trips(&unsigned);
            round_trips(&signed);
            round_trips(&wide);
            round_trips(&small);
            round_trips(&flag);
            if !float.is_nan() {
                let back = f64::decode(&stored(&float)).unwrap();
                prop_assert_eq!(back.to_bits(), float.to_bits());
            }
            if !single.is_nan() {
                let back = f32::decode(&stored(&single)).unwrap();
                prop_assert_eq!(back.to_bits(), single.to_bits());
            }
        }

        #[test]
        fn any_bytes_read_as_anything_without_a_panic(bytes: Vec<u8>) {
            let _ = String::decode(&bytes);
            let _ = u64::decode(&bytes);
            let _ = i128::decode(&bytes);
            let _ = f64::decode(&bytes);
            let _ = bool::decode(&bytes);
            let _ = <[u8; 3]>::decode(&bytes);
        }
    }
}
