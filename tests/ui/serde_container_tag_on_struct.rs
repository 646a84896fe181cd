use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[serde(tag = "kind")]
struct T {
    a: u8,
}

fn main() {}
