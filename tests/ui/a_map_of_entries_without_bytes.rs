use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
struct T {
    many: std::collections::BTreeMap<(), [u8; 0]>,
}

fn main() {}
