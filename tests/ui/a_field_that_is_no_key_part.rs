use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(key = "sensor/{id}/{at}")]
struct Sample {
    id: usize,
    at: f64,
}

fn main() {}
