use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(freeze = "0x01", accept = 7)]
struct Text(u8);

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(freeze = 0x1_0000_0000_0000_0000, accept = [1, "2"])]
struct TooLong(u8);

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(freeze, accept)]
struct Nothing(u8);

fn main() {}
