use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
struct User {
    id: u64,
}

fn put<T: kvsd::Keyed>(_: &T) {}

fn main() {
    put(&User { id: 7 });
}
