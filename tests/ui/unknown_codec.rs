use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(codec = "msgpack")]
struct T {
    a: u8,
}

fn main() {}
