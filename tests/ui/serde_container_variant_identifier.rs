use serde::{Deserialize, Serialize};

#[derive(Deserialize, kvsd::Value)]
#[serde(variant_identifier)]
enum T {
    A,
    B,
}

impl Serialize for T {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("a")
    }
}

fn main() {}
