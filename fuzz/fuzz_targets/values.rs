//! Stored bytes: nothing that is read as a value panics or allocates more than it was given, and
//! what is read comes back the same once it is written and read again.
#![no_main]

use std::collections::BTreeMap;

use kvsd::value::{Envelope, encode_to_bytes};
use kvsd::{Bincode, Value};
use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize, kvsd::Value)]
struct Record {
    id: u64,
    small: i8,
    ratio: f64,
    name: String,
    tags: Vec<String>,
    parts: BTreeMap<String, Option<Part>>,
    mark: Option<char>,
    pair: (bool, i128),
}

#[derive(Serialize, Deserialize, kvsd::Layout)]
enum Part {
    Empty,
    One(Vec<u8>),
    Two { left: u16, right: Option<Box<str>> },
}

const LIMIT: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let _ = Envelope::parse(data);
    comes_back::<String>(data);
    comes_back::<Vec<u8>>(data);
    comes_back::<bool>(data);
    comes_back::<u8>(data);
    comes_back::<i64>(data);
    comes_back::<u128>(data);
    comes_back::<f32>(data);
    comes_back::<f64>(data);
    comes_back::<Bincode<Vec<(u32, String)>>>(data);
    comes_back::<Record>(data);

    // The envelope of a record, and arbitrary bytes of a record in it.
    let record = encode_to_bytes(&Record::default(), LIMIT).expect("a small record");
    let payload = Envelope::parse(&record)
        .expect("ours")
        .expect("an envelope")
        .payload;
    let header = &record[..record.len() - payload.len()];
    comes_back::<Record>(&[header, data].concat());
});

fn comes_back<T: Value>(data: &[u8]) {
    let Ok(value) = T::decode(data) else { return };
    let written = encode_to_bytes(&value, LIMIT).expect("what was read is small");
    let again = T::decode(&written).expect("what was written is read");
    assert_eq!(encode_to_bytes(&again, LIMIT).expect("as before"), written);
}
