use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(version = 0)]
struct Zero(u8);

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(version = 65_536)]
struct TooHigh(u8);

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(version = "2")]
struct Text(u8);

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(version)]
struct Nothing(u8);

fn main() {}
