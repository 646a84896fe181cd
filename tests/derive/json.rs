//! `codec = "json"`: everything that serde can do is allowed, and the envelope is the same.

use std::collections::BTreeMap;

use kvsd::value::{CodecId, Envelope, Fault};
use kvsd::{DecodeError, Layout};
use serde::{Deserialize, Serialize};

use crate::{read_as, round_trip, stored};

#[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
#[kvsd(codec = "json")]
struct Loose {
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    note: Option<String>,
    #[serde(flatten)]
    rest: BTreeMap<String, Any>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Layout)]
#[kvsd(codec = "json")]
#[serde(untagged)]
enum Any {
    Number(i64),
    Text(String),
}

#[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
#[kvsd(codec = "json")]
#[serde(tag = "kind")]
enum Tagged {
    Circle { radius: f64 },
    Square { side: f64 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
#[kvsd(codec = "json")]
struct Tree {
    label: String,
    children: Vec<Tree>,
}

#[test]
fn attributes_that_rely_on_names_round_trip() {
    let rest = BTreeMap::from([
        ("n".to_owned(), Any::Number(-1)),
        ("t".to_owned(), Any::Text("x".to_owned())),
    ]);
    let loose = Loose { id: 7, note: None, rest };
    assert_eq!(round_trip(&loose), loose);
    let bytes = stored(&loose);
    let envelope = Envelope::parse(&bytes).unwrap().unwrap();
    assert_eq!(envelope.codec, CodecId::JSON);
    assert_eq!(envelope.payload, br#"{"id":7,"n":-1,"t":"x"}"#);

    let tagged = Tagged::Square { side: 2.0 };
    assert_eq!(round_trip(&tagged), tagged);
}

#[test]
fn a_recursive_type_round_trips() {
    let leaf = |label: &str| Tree { label: label.to_owned(), children: Vec::new() };
    let tree = Tree { label: "root".to_owned(), children: vec![leaf("a"), leaf("b")] };
    assert_eq!(round_trip(&tree), tree);
}

#[test]
fn json_that_is_too_deep_is_an_error_and_not_an_overflow() {
    let mut bytes = stored(&Tree { label: String::new(), children: Vec::new() });
    let payload_at = bytes.len() - br#"{"label":"","children":[]}"#.len();
    bytes.truncate(payload_at);
    bytes.extend_from_slice(br#"{"label":"","children":["#.repeat(100_000).as_slice());
    assert!(matches!(read_as::<Tree>(&bytes), DecodeError::Corrupt { .. }));
}

#[test]
fn broken_json_tells_where() {
    let mut bytes = stored(&Tagged::Square { side: 2.0 });
    *bytes.last_mut().unwrap() = b'?';
    let fault = Fault::Syntax { line: 1, column: 28 };
    let corrupt = DecodeError::Corrupt { type_name: "Tagged", codec: CodecId::JSON, fault };
    assert_eq!(read_as::<Tagged>(&bytes), corrupt);
}

#[test]
fn a_json_type_never_reads_a_positional_codec() {
    let mut bytes = stored(&Tree { label: String::new(), children: Vec::new() });
    bytes[2] = CodecId::BINCODE.get();
    let unknown = DecodeError::UnknownCodec { type_name: "Tree", codec: CodecId::BINCODE };
    assert_eq!(read_as::<Tree>(&bytes), unknown);
}

#[test]
fn a_type_that_moved_from_json_to_bincode_reads_what_it_wrote_before() {
    #[derive(Debug, Serialize, Deserialize, kvsd::Value)]
    #[kvsd(name = "Moved", codec = "json")]
    struct Before {
        id: u64,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
    #[kvsd(name = "Moved")]
    struct After {
        id: u64,
    }
    let bytes = stored(&Before { id: 7 });
    assert_eq!(<After as kvsd::Decode<'_>>::decode(&bytes), Ok(After { id: 7 }));
}

#[test]
fn what_changes_the_text_changes_the_fingerprint() {
    #[derive(Serialize, Deserialize, kvsd::Layout)]
    #[kvsd(codec = "json", name = "Tagged")]
    #[serde(tag = "type")]
    enum OtherTag {
        Circle { radius: f64 },
        Square { side: f64 },
    }
    #[derive(Serialize, Deserialize, kvsd::Layout)]
    #[kvsd(codec = "json", name = "Tagged")]
    enum NoTag {
        Circle { radius: f64 },
        Square { side: f64 },
    }
    let distinct = [Tagged::FINGERPRINT, OtherTag::FINGERPRINT, NoTag::FINGERPRINT];
    assert!(distinct[0] != distinct[1] && distinct[1] != distinct[2] && distinct[0] != distinct[2]);
}
