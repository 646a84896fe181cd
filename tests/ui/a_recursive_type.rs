use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
struct T {
    next: Option<Box<T>>,
}

#[derive(Serialize, Deserialize, kvsd::Value)]
enum E {
    Leaf,
    Branch(Vec<Self>),
}

fn main() {}
