use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(name = "A", codec = "bincode")]
#[kvsd(name = "B")]
struct T {
    #[kvsd(opaque, opaque)]
    a: u8,
}

fn main() {}
