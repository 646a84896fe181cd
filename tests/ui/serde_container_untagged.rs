use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[serde(untagged)]
enum T {
    A(u8),
    B(String),
}

fn main() {}
