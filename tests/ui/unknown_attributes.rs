use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(tabel = "users", opaque)]
struct T {
    #[kvsd(skip, name = "x")]
    a: u8,
}

#[derive(Serialize, Deserialize, kvsd::Value)]
enum E {
    #[kvsd(opaque)]
    A,
}

fn main() {}
