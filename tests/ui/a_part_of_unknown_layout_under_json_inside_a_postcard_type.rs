use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(codec = "json")]
struct Inner {
    #[kvsd(opaque)]
    any: serde_json::Value,
}

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(codec = "postcard")]
struct T {
    inner: Vec<Inner>,
}

fn main() {}
