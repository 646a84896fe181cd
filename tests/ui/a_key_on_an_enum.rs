use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(key = "event/{at}")]
enum Event {
    Opened { at: u64 },
    Closed { at: u64 },
}

fn main() {}
