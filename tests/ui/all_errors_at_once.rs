use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(codec = "msgpack", tabel = "x")]
#[serde(untagged)]
enum T {
    A {
        #[serde(flatten)]
        #[kvsd(opaque)]
        a: std::collections::BTreeMap<String, u8>,
    },
    #[serde(skip)]
    B,
}

fn main() {}
