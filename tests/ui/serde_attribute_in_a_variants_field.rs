use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
enum T {
    A {
        #[serde(skip_serializing_if = "Option::is_none")]
        a: Option<u8>,
    },
}

fn main() {}
