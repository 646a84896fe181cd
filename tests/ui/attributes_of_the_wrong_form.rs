use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(codec, name = 7, crate = 7)]
struct T {
    #[kvsd(opaque = true)]
    a: u8,
}

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd]
struct Bare;

fn main() {}
