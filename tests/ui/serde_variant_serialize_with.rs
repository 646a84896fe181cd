use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
enum T {
    #[serde(serialize_with = "write")]
    A(u8),
}

fn write<S: serde::Serializer>(number: &u8, serializer: S) -> Result<S::Ok, S::Error> {
    (number * 2).serialize(serializer)
}

fn main() {}
