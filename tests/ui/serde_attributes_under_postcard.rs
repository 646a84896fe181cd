use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(codec = "postcard")]
struct T {
    #[serde(skip_serializing_if = "Option::is_none")]
    a: Option<u8>,
    tree: Vec<T>,
}

fn main() {}
