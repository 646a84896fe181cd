use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(version = 2, from = 7)]
struct Number(u8);

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(version = 2, try_from = "not a type")]
struct Text(u8);

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(version = 2, from = ?)]
struct Mark(u8);

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(version = 2, from)]
struct Nothing(u8);

fn main() {}
