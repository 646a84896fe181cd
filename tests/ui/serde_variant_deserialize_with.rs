use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
enum T {
    #[serde(deserialize_with = "read")]
    A(u8),
}

fn read<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    u8::deserialize(from).map(|number| number / 2)
}

fn main() {}
