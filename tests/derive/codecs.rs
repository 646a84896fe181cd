//! A change of codec leaves nothing behind: each codec's values are read by a type of any other,
//! so long as the type is fit for both.

use std::collections::BTreeMap;

use kvsd::value::{CodecId, Envelope};
use kvsd::{Decode, DecodeError};
use serde::{Deserialize, Serialize};

use crate::{read_as, round_trip, stored};

/// The same type with each of the codecs.
macro_rules! with_codecs {
    ($($module:ident $codec:literal;)*) => { $(
        mod $module {
            use std::collections::BTreeMap;

            use serde::{Deserialize, Serialize};

            #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
            #[kvsd(codec = $codec)]
            pub(super) struct Record {
                pub(super) id: u64,
                pub(super) text: String,
                pub(super) scores: BTreeMap<String, f64>,
                pub(super) kind: Option<Kind>,
            }

            #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Layout)]
            pub(super) enum Kind {
                Small,
                Large { size: i32 },
            }

            pub(super) fn sample() -> Record {
                Record {
                    id: 300,
                    text: "x".to_owned(),
                    scores: BTreeMap::from([("a".to_owned(), 0.5)]),
                    kind: Some(Kind::Large { size: -1 }),
                }
            }
        }
    )* };
}

with_codecs! {
    bincode "bincode";
    postcard "postcard";
    json "json";
}

#[test]
fn each_codec_is_named_in_the_envelope_by_its_number() {
    let codec = |bytes: Vec<u8>| Envelope::parse(&bytes).unwrap().unwrap().codec;
    let found = [
        codec(stored(&bincode::sample())),
        codec(stored(&postcard::sample())),
        codec(stored(&json::sample())),
    ];
    assert_eq!(found, [CodecId::BINCODE, CodecId::POSTCARD, CodecId::JSON]);
    assert_eq!(found.map(CodecId::get), [1, 2, 3]);
    assert_eq!(found.map(|codec| codec.to_string()), ["bincode", "postcard", "json"]);
}

#[test]
fn a_type_of_any_codec_reads_the_values_of_every_codec() {
    for bytes in [stored(&bincode::sample()), stored(&postcard::sample()), stored(&json::sample())]
    {
        assert_eq!(bincode::Record::decode(&bytes), Ok(bincode::sample()));
        assert_eq!(postcard::Record::decode(&bytes), Ok(postcard::sample()));
        assert_eq!(json::Record::decode(&bytes), Ok(json::sample()));
    }
}

#[test]
fn postcard_borrows() {
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    #[kvsd(codec = "postcard")]
    struct View<'a> {
        text: &'a str,
        bytes: &'a [u8],
    }
    let bytes = stored(&View { text: "canto", bytes: b"\x00\xFF" });
    let read = View::decode(&bytes).unwrap();
    assert!(bytes.as_ptr_range().contains(&read.text.as_ptr()));
    assert_eq!(read.bytes, b"\x00\xFF");
    assert_eq!(&bytes[18..], b"\x05canto\x02\x00\xFF");
}

#[test]
fn postcard_rejects_what_follows_the_value() {
    let mut bytes = stored(&postcard::sample());
    bytes.push(0);
    let fault = kvsd::value::Fault::Trailing;
    let codec = CodecId::POSTCARD;
    let trailing = DecodeError::Corrupt { type_name: "Record", codec, fault };
    assert_eq!(read_as::<postcard::Record>(&bytes), trailing);
}

/// A JSON type that no positional codec can hold never reads one, whatever the envelope claims.
#[test]
fn what_is_only_fit_for_json_reads_nothing_else() {
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    #[kvsd(codec = "json", name = "Loose")]
    struct Loose {
        #[serde(flatten)]
        rest: BTreeMap<String, u8>,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    #[kvsd(codec = "json", name = "Loose")]
    struct OfUnits(Vec<()>);
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    #[kvsd(codec = "json", name = "Loose")]
    struct Opaque(#[kvsd(opaque)] Box<Chain>);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Chain {
        next: Option<Box<Chain>>,
    }

    let refused = |mut bytes: Vec<u8>, read: fn(&[u8]) -> DecodeError| {
        for codec in [CodecId::BINCODE, CodecId::POSTCARD] {
            bytes[2] = codec.get();
            let unknown = DecodeError::UnknownCodec { type_name: "Loose", codec };
            assert_eq!(read(&bytes), unknown);
        }
    };
    let loose = Loose { rest: BTreeMap::from([("a".to_owned(), 1)]) };
    assert_eq!(round_trip(&loose), loose);
    refused(stored(&loose), |bytes| read_as::<Loose>(bytes));
    assert_eq!(round_trip(&OfUnits(vec![(); 3])), OfUnits(vec![(); 3]));
    refused(stored(&OfUnits(Vec::new())), |bytes| read_as::<OfUnits>(bytes));
    let opaque = Opaque(Box::new(Chain { next: Some(Box::new(Chain { next: None })) }));
    assert_eq!(round_trip(&opaque), opaque);
    refused(stored(&opaque), |bytes| read_as::<Opaque>(bytes));
}
