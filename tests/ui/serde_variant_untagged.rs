use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
enum T {
    A,
    #[serde(untagged)]
    B(u8),
}

fn main() {}
