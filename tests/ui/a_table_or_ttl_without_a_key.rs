use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(table = "users", ttl = "15m")]
struct User {
    id: u64,
}

fn main() {}
