use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
struct T {
    #[serde(skip_serializing, default)]
    a: u8,
    b: u8,
}

fn main() {}
