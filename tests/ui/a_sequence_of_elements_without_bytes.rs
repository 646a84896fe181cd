use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Layout)]
struct Nothing;

#[derive(Serialize, Deserialize, kvsd::Value)]
struct T {
    many: Option<Vec<Nothing>>,
}

fn main() {}
