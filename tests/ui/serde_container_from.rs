use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, kvsd::Value)]
#[serde(from = "u8")]
struct T {
    a: u8,
}

impl From<u8> for T {
    fn from(a: u8) -> Self {
        T { a }
    }
}

fn main() {}
