use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(codec = "json")]
#[serde(untagged)]
enum Inner {
    A(u8),
    B(String),
}

#[derive(Serialize, Deserialize, kvsd::Value)]
struct T {
    inner: Option<Inner>,
}

fn main() {}
