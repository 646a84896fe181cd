use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[serde(tag = "kind", content = "value")]
enum T {
    A(u8),
    B(String),
}

fn main() {}
