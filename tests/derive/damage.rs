//! Stored bytes that an attacker or a bad disk wrote: reading them ends, and ends soon.

use std::collections::{BTreeMap, HashMap, HashSet};

use kvsd::Decode;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::stored;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, kvsd::Value)]
struct Nested {
    texts: Vec<Vec<String>>,
    map: HashMap<String, BTreeMap<u8, Vec<u64>>>,
    set: HashSet<[u64; 8]>,
    choice: Option<Box<Choice>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, kvsd::Layout)]
enum Choice {
    Bytes(Vec<u8>),
    Chars { all: Vec<char> },
}

fn sample() -> Nested {
    Nested {
        texts: vec![vec!["a".to_owned(), "bc".to_owned()], Vec::new()],
        map: HashMap::from([("key".to_owned(), BTreeMap::from([(1, vec![300, 5])]))]),
        set: HashSet::from([[1; 8]]),
        choice: Some(Box::new(Choice::Chars { all: vec!['x'] })),
    }
}

#[test]
fn a_forged_length_at_any_place_is_an_error() {
    let bytes = stored(&sample());
    for at in 0..bytes.len() {
        for length in [u64::MAX, 1 << 60, 1 << 40, 1 << 33] {
            let mut forged = bytes[..at].to_vec();
            forged.push(253);
            forged.extend_from_slice(&length.to_le_bytes());
            forged.extend_from_slice(&bytes[at..]);
            assert!(Nested::decode(&forged).is_err(), "{length} at {at}");
        }
    }
}

#[test]
fn every_single_flipped_bit_reads_without_a_panic() {
    let bytes = stored(&sample());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            if let Ok(read) = Nested::decode(&flipped) {
                assert_ne!(read, sample(), "bit {bit} of byte {at} means nothing");
            }
        }
    }
}

proptest! {
    #[test]
    fn bytes_behind_a_good_header_read_without_a_panic(payload: Vec<u8>) {
        let mut bytes = stored(&sample());
        let payload_at = 14 + "Nested".len();
        bytes.truncate(payload_at);
        bytes.extend_from_slice(&payload);
        let _ = Nested::decode(&bytes);
    }

    #[test]
    fn any_bytes_behind_the_mark_read_without_a_panic(mut bytes: Vec<u8>) {
        bytes.insert(0, 0xFF);
        prop_assert!(Nested::decode(&bytes).is_err());
    }
}
