use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[serde(tag = "kind")]
enum T {
    A { a: u8 },
    B,
}

fn main() {}
