use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
struct T {
    #[serde(skip_serializing_if = "Option::is_none")]
    a: Option<u8>,
    b: u8,
}

fn main() {}
