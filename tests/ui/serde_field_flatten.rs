use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Layout)]
struct Inner {
    b: u8,
}

#[derive(Serialize, Deserialize, kvsd::Value)]
struct T {
    a: u8,
    #[serde(flatten)]
    inner: Inner,
}

fn main() {}
