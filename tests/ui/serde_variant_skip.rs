use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
enum T {
    A,
    #[serde(skip)]
    B,
    C,
}

fn main() {}
