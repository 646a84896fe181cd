use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Layout)]
#[kvsd(table = "users", key = "user/{id}")]
struct User {
    id: u64,
}

fn main() {}
