//! What stored bytes that are not the type answer: each case by its own name, none with a value.

use kvsd::value::{CodecId, EnvelopeError, Fault};
use kvsd::{DecodeError, EncodeError, Layout};
use serde::{Deserialize, Serialize};

use crate::{read_as, stored};

#[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
struct User {
    id: u64,
    name: String,
}

fn sample() -> Vec<u8> {
    stored(&User { id: 7, name: "canary".to_owned() })
}

#[test]
fn a_plain_value_is_not_an_envelope() {
    let plain = DecodeError::NotAnEnvelope { expected: "User" };
    assert_eq!(read_as::<User>(b"hello"), plain);
    assert_eq!(read_as::<User>(b""), plain);
    assert_eq!(plain.to_string(), "the stored bytes are a plain value, not a User");
}

#[test]
fn another_type_is_named() {
    #[derive(Debug, Serialize, Deserialize, kvsd::Value)]
    struct Order {
        id: u64,
        name: String,
    }
    let error = read_as::<Order>(&sample());
    assert_eq!(error, DecodeError::OtherType { found: "User".into(), expected: "Order" });
    assert_eq!(error.to_string(), "the stored value is a User, not a Order");
}

#[test]
fn the_same_name_with_other_fields_is_another_layout() {
    mod later {
        #[derive(Debug, serde::Serialize, serde::Deserialize, kvsd::Value)]
        pub(super) struct User {
            id: u64,
            mail: String,
        }
    }
    let error = read_as::<later::User>(&sample());
    assert_eq!(
        error,
        DecodeError::OtherLayout {
            type_name: "User",
            version: 1,
            found: User::FINGERPRINT,
            expected: later::User::FINGERPRINT,
        }
    );
}

#[test]
fn a_newer_version_is_told_from_a_changed_layout() {
    let mut bytes = sample();
    bytes[3] = 2;
    let newer = DecodeError::NewerVersion { type_name: "User", found: 2, known: 1 };
    assert_eq!(read_as::<User>(&bytes), newer);
    assert_eq!(newer.to_string(), "the stored User has version 2, and this program knows up to 1");
}

#[test]
fn a_newer_envelope_says_that_kvsd_is_too_old() {
    let mut bytes = sample();
    bytes[1] = 2;
    let cause = EnvelopeError::UnknownFormat { format: 2 };
    assert_eq!(read_as::<User>(&bytes), DecodeError::Envelope { expected: "User", cause });
}

#[test]
fn an_unknown_codec_is_named() {
    let mut bytes = sample();
    bytes[2] = 77;
    let error = read_as::<User>(&bytes);
    let codec = CodecId::new(77);
    assert_eq!(error, DecodeError::UnknownCodec { type_name: "User", codec });
    assert_eq!(
        error.to_string(),
        "the stored User is written with codec 77, which is not read here"
    );
}

#[test]
fn a_value_cut_at_any_byte_is_corrupt() {
    let bytes = sample();
    let header = bytes.len() - 8;
    let codec = CodecId::BINCODE;
    for cut in header..bytes.len() {
        let corrupt = DecodeError::Corrupt { type_name: "User", codec, fault: Fault::Truncated };
        assert_eq!(read_as::<User>(&bytes[..cut]), corrupt);
    }
    for cut in 1..header {
        let cause = EnvelopeError::Damaged;
        let damaged = DecodeError::Envelope { expected: "User", cause };
        assert_eq!(read_as::<User>(&bytes[..cut]), damaged);
    }
}

#[test]
fn bytes_after_the_value_are_corrupt() {
    let mut bytes = sample();
    bytes.push(0);
    let codec = CodecId::BINCODE;
    let trailing = DecodeError::Corrupt { type_name: "User", codec, fault: Fault::Trailing };
    assert_eq!(read_as::<User>(&bytes), trailing);
}

#[test]
fn read_as_text_or_a_number_it_names_its_type_and_read_as_bytes_it_comes_untouched() {
    let bytes = sample();
    let enveloped = DecodeError::Enveloped { type_name: "User".into(), wanted: "text" };
    assert_eq!(read_as::<String>(&bytes), enveloped);
    assert_eq!(read_as::<&str>(&bytes), enveloped);
    assert_eq!(enveloped.to_string(), "the stored value is a User, not text");
    assert!(matches!(read_as::<u64>(&bytes), DecodeError::Enveloped { .. }));
    let untouched = <bytes::Bytes as kvsd::Decode<'_>>::decode(&bytes).unwrap();
    assert_eq!(untouched, bytes);
}

#[test]
fn no_error_quotes_the_value() {
    #[derive(Debug, Deserialize, kvsd::Value)]
    #[kvsd(name = "User")]
    struct Talkative {
        id: u64,
        name: Quoting,
    }
    #[derive(Debug, kvsd::Layout)]
    #[serde(transparent)]
    struct Quoting(String);
    impl<'de> Deserialize<'de> for Quoting {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            let text = String::deserialize(from)?;
            Err(serde::de::Error::custom(format!("{text} is refused")))
        }
    }
    impl Serialize for Talkative {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom(format!("{} {}", self.id, self.name.0)))
        }
    }

    let error = read_as::<Talkative>(&sample());
    let codec = CodecId::BINCODE;
    let refused = DecodeError::Corrupt { type_name: "User", codec, fault: Fault::Refused };
    assert_eq!(error, refused);

    let value = Talkative { id: 7, name: Quoting("canary".to_owned()) };
    let error = kvsd::value::encode_to_bytes(&value, 100).unwrap_err();
    assert_eq!(error, EncodeError::Codec { codec, fault: Fault::Refused });
    assert!(!format!("{error} {error:?}").contains("canary"));
}

/// Checked in debug builds, so that a mistake in a type shows at its first write.
#[cfg(debug_assertions)]
#[test]
fn a_type_that_writes_and_does_not_read_back_fails_on_its_first_write() {
    #[derive(Debug, Serialize, Deserialize, kvsd::Value)]
    struct Loose {
        // It asks the bytes what they are, and bincode's do not say.
        #[kvsd(opaque)]
        any: serde_json::Value,
    }
    let error = kvsd::value::encode_to_bytes(&Loose { any: 7.into() }, 100).unwrap_err();
    let codec = CodecId::BINCODE;
    let fault = Fault::NotSelfDescribing;
    let cause = Box::new(DecodeError::Corrupt { type_name: "Loose", codec, fault });
    assert_eq!(error, EncodeError::ReadBack { type_name: "Loose", cause });
}
