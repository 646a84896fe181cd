use serde::{Deserialize, Serialize};

#[derive(Deserialize, kvsd::Value)]
#[kvsd(name = "User")]
struct UserV1(u8);

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(version = 2, from = UserV1)]
struct User(u8);

fn main() {}
