use kvsd::Keyed;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(key = "order/{customer}/{year}/{id}")]
struct Order {
    customer: String,
    year: u16,
    id: u64,
}

fn main() {
    Order::key_of(7);
    Order::key_of(("ada", 2026));
    Order::key_of(("ada", "2026", 12));
    // A type of another record.
    let _: kvsd::Key<String> = Order::key_of(("ada", 2026, 12));
    Order::prefix_of(2026);
    Order::prefix_of((2026, "ada"));
    // All parts are a key, not a prefix.
    Order::prefix_of(("ada", 2026, 12));
}
