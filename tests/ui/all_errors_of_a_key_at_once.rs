use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(key = "{id}/{nmae}", table = "a b", ttl = "1w", codec = "msgpack")]
#[kvsd(key = "{id}")]
struct T {
    #[serde(flatten)]
    id: u64,
    name: String,
}

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(key = 7, table, ttl(900))]
struct WrongForms {
    id: u64,
}

fn main() {}
