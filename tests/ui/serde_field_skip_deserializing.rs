use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
struct T {
    #[serde(skip_deserializing)]
    a: u8,
    b: u8,
}

fn main() {}
