//! One round trip for each serde attribute that the derive accepts with a positional codec.

use serde::{Deserialize, Serialize};

use crate::{round_trip, stored};

/// Declares a type with the three derives, for each test its own.
macro_rules! value {
    ($($item:tt)*) => {
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, kvsd::Value)]
        $($item)*
    };
}

/// As serde's `with`: a number as twice itself.
mod doubled {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(number: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        (number * 2).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        u32::deserialize(deserializer).map(|number| number / 2)
    }
}

/// What the codec wrote, without the envelope's header.
fn payload<T: kvsd::Encode>(value: &T) -> Vec<u8> {
    let bytes = stored(value);
    let envelope = kvsd::value::Envelope::parse(&bytes).expect("an envelope");
    envelope.expect("an envelope").payload.to_vec()
}

// On the type.

#[test]
fn container_rename() {
    value! { #[serde(rename = "other")] struct T { a: u8 } }
    assert_eq!(round_trip(&T { a: 7 }), T { a: 7 });
}

#[test]
fn container_rename_all() {
    value! { #[serde(rename_all = "camelCase")] struct T { first_name: u8 } }
    value! { #[serde(rename_all(serialize = "UPPERCASE", deserialize = "UPPERCASE"))] enum E { A } }
    assert_eq!(round_trip(&T { first_name: 7 }), T { first_name: 7 });
    assert_eq!(round_trip(&E::A), E::A);
}

#[test]
fn container_rename_all_fields() {
    value! { #[serde(rename_all_fields = "camelCase")] enum T { A { first_name: u8 } } }
    assert_eq!(round_trip(&T::A { first_name: 7 }), T::A { first_name: 7 });
}

#[test]
fn container_deny_unknown_fields() {
    value! { #[serde(deny_unknown_fields)] struct T { a: u8 } }
    assert_eq!(round_trip(&T { a: 7 }), T { a: 7 });
}

#[test]
fn container_default() {
    value! { #[derive(Default)] #[serde(default)] struct T { a: u8 } }
    assert_eq!(round_trip(&T { a: 7 }), T { a: 7 });
}

#[test]
fn container_transparent() {
    value! { #[serde(transparent)] struct T { a: u32, nothing: std::marker::PhantomData<u8> } }
    let value = T { a: 300, nothing: std::marker::PhantomData };
    assert_eq!(round_trip(&value), value);
    assert_eq!(<T as kvsd::Layout>::FINGERPRINT, <u32 as kvsd::Layout>::FINGERPRINT);
}

#[test]
fn container_bound() {
    value! {
        #[serde(bound = "A: Serialize + for<'a> Deserialize<'a>")]
        struct T<A> { a: A }
    }
    assert_eq!(round_trip(&T { a: 7_u8 }), T { a: 7 });
}

#[test]
fn container_crate() {
    use ::serde as renamed_serde;
    value! { #[serde(crate = "renamed_serde")] struct T { a: u8 } }
    assert_eq!(round_trip(&T { a: 7 }), T { a: 7 });
}

#[test]
fn container_expecting() {
    value! { #[serde(expecting = "a T")] struct T { a: u8 } }
    assert_eq!(round_trip(&T { a: 7 }), T { a: 7 });
}

#[test]
fn container_from_and_into_the_same_type() {
    value! { #[serde(from = "(u8, u8)", into = "(u8,u8)")] struct T { sum: u8 } }
    impl From<(u8, u8)> for T {
        fn from((a, b): (u8, u8)) -> Self {
            Self { sum: a + b }
        }
    }
    impl From<T> for (u8, u8) {
        fn from(value: T) -> Self {
            (value.sum, 0)
        }
    }
    assert_eq!(round_trip(&T { sum: 7 }), T { sum: 7 });
    assert_eq!(payload(&T { sum: 7 }), [7, 0]);
    assert_eq!(<T as kvsd::Layout>::FINGERPRINT, <(u8, u8) as kvsd::Layout>::FINGERPRINT);
}

#[test]
fn container_try_from_and_into_the_same_type() {
    value! { #[serde(try_from = "u8", into = "u8")] struct Even(u8); }
    impl TryFrom<u8> for Even {
        type Error = &'static str;
        fn try_from(number: u8) -> Result<Self, Self::Error> {
            if number.is_multiple_of(2) { Ok(Self(number)) } else { Err("odd") }
        }
    }
    impl From<Even> for u8 {
        fn from(even: Even) -> Self {
            even.0
        }
    }
    assert_eq!(round_trip(&Even(8)), Even(8));
}

// On a field.

#[test]
fn field_skip() {
    value! { struct T { a: u8, #[serde(skip)] cache: u8, b: u8 } }
    assert_eq!(round_trip(&T { a: 1, cache: 9, b: 2 }), T { a: 1, cache: 0, b: 2 });
}

#[test]
fn field_skipped_by_both_halves() {
    value! { struct T { a: u8, #[serde(skip_serializing, skip_deserializing)] cache: u8, b: u8 } }
    assert_eq!(round_trip(&T { a: 1, cache: 9, b: 2 }), T { a: 1, cache: 0, b: 2 });
}

#[test]
fn field_with() {
    value! { struct T { #[serde(with = "doubled")] a: u32 } }
    assert_eq!(round_trip(&T { a: 7 }), T { a: 7 });
    assert_eq!(payload(&T { a: 7 }), [14]);
}

#[test]
fn field_with_both_halves() {
    value! {
        struct T {
            #[serde(serialize_with = "doubled::serialize")]
            #[serde(deserialize_with = "doubled::deserialize")]
            a: u32,
        }
    }
    assert_eq!(round_trip(&T { a: 7 }), T { a: 7 });
    assert_eq!(payload(&T { a: 7 }), [14]);
}

#[test]
fn field_rename() {
    value! { struct T { #[serde(rename = "x")] a: u8 } }
    assert_eq!(round_trip(&T { a: 7 }), T { a: 7 });
}

#[test]
fn field_alias() {
    value! { struct T { #[serde(alias = "x")] a: u8 } }
    assert_eq!(round_trip(&T { a: 7 }), T { a: 7 });
}

#[test]
fn field_default() {
    value! { struct T { #[serde(default)] a: u8, #[serde(default = "Vec::new")] b: Vec<u8> } }
    assert_eq!(round_trip(&T { a: 7, b: vec![1] }), T { a: 7, b: vec![1] });
}

#[test]
fn field_default_fills_nothing_in() {
    value! { struct T { a: u8, #[serde(default)] b: u8 } }
    let mut bytes = stored(&T { a: 7, b: 9 });
    bytes.pop();
    assert!(matches!(crate::read_as::<T>(&bytes), kvsd::DecodeError::Corrupt { .. }));
}

#[test]
fn field_borrow() {
    value! { struct T<'a> { #[serde(borrow)] a: std::borrow::Cow<'a, str> } }
    let bytes = stored(&T { a: "x".into() });
    let read = <T<'_> as kvsd::Decode<'_>>::decode(&bytes).unwrap();
    assert!(matches!(read.a, std::borrow::Cow::Borrowed("x")));
}

#[test]
fn field_bound() {
    value! {
        struct T<A> {
            #[serde(bound = "A: Serialize + for<'a> Deserialize<'a>")]
            a: A,
        }
    }
    assert_eq!(round_trip(&T { a: 7_u8 }), T { a: 7 });
}

// On a variant.

#[test]
fn variant_rename() {
    value! { enum T { #[serde(rename = "x")] A, B } }
    assert_eq!(round_trip(&T::A), T::A);
    assert_eq!(round_trip(&T::B), T::B);
}

#[test]
fn variant_rename_all() {
    value! { enum T { #[serde(rename_all = "camelCase")] A { first_name: u8 } } }
    assert_eq!(round_trip(&T::A { first_name: 7 }), T::A { first_name: 7 });
}

#[test]
fn variant_alias() {
    value! { enum T { A, #[serde(alias = "x")] B } }
    assert_eq!(round_trip(&T::B), T::B);
}

#[test]
fn variant_skip_serializing() {
    value! { enum T { A, #[serde(skip_serializing)] Old, B } }
    assert_eq!(round_trip(&T::A), T::A);
    assert_eq!(round_trip(&T::B), T::B);
    let refused = kvsd::value::encode_to_bytes(&T::Old, 100).unwrap_err();
    assert!(matches!(refused, kvsd::EncodeError::Codec { .. }), "{refused:?}");
    // What an earlier program wrote still reads.
    let mut bytes = stored(&T::A);
    *bytes.last_mut().unwrap() = 1;
    assert_eq!(<T as kvsd::Decode<'_>>::decode(&bytes), Ok(T::Old));
}

#[test]
fn variant_other() {
    value! { enum T { A, B, #[serde(other)] Unknown } }
    for value in [T::A, T::B, T::Unknown] {
        assert_eq!(round_trip(&value), value);
    }
}

#[test]
fn variant_with() {
    value! { enum T { A, #[serde(with = "doubled")] B(u32), C } }
    for value in [T::A, T::B(7), T::C] {
        assert_eq!(round_trip(&value), value);
    }
    assert_eq!(payload(&T::B(7)), [1, 14]);
}

#[test]
fn variant_with_both_halves() {
    value! {
        enum T {
            A,
            #[serde(serialize_with = "doubled::serialize")]
            #[serde(deserialize_with = "doubled::deserialize")]
            B(u32),
        }
    }
    assert_eq!(round_trip(&T::B(7)), T::B(7));
}

#[test]
fn variant_bound() {
    value! {
        enum T<A> {
            #[serde(bound = "A: Serialize + for<'a> Deserialize<'a>")]
            Of(A),
        }
    }
    assert_eq!(round_trip(&T::Of(7_u8)), T::Of(7));
}

#[test]
fn variant_borrow() {
    value! { enum T<'a> { #[serde(borrow)] Of(std::borrow::Cow<'a, str>) } }
    let bytes = stored(&T::Of("x".into()));
    let read = <T<'_> as kvsd::Decode<'_>>::decode(&bytes).unwrap();
    assert!(matches!(read, T::Of(std::borrow::Cow::Borrowed("x"))));
}
