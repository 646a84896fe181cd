use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Inner(u8);

#[derive(Serialize, Deserialize, kvsd::Value)]
struct T {
    inner: Vec<Inner>,
}

fn main() {}
