use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
enum T {
    A,
    #[serde(skip_deserializing)]
    B,
    C,
}

fn main() {}
