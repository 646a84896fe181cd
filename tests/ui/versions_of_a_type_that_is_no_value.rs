use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Layout)]
#[kvsd(version = 2, from = u8, accept = [1])]
struct Part(u8);

fn main() {}
