use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Layout)]
#[serde(untagged)]
enum Inner {
    A(u8),
    B(String),
}

#[derive(Serialize, Deserialize, kvsd::Value)]
struct T {
    inner: Inner,
}

fn main() {}
