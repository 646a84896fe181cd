use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
struct T {
    #[serde(serialize_with = "write")]
    a: u8,
}

fn write<S: serde::Serializer>(number: &u8, serializer: S) -> Result<S::Ok, S::Error> {
    (number * 2).serialize(serializer)
}

fn main() {}
