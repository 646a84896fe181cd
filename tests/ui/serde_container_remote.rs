use serde::{Deserialize, Serialize};

struct Foreign {
    a: u8,
}

#[derive(Serialize, Deserialize, kvsd::Value)]
#[serde(remote = "Foreign")]
struct T {
    a: u8,
}

fn main() {}
