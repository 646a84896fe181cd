use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(key = "{0}", ttl = "0s")]
struct Nothing(u8);

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(key = "{0}", ttl = "15 minutes")]
struct Words(u8);

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(key = "{0}", ttl = "900")]
struct NoUnit(u8);

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(key = "{0}", ttl = "36501d")]
struct Long(u8);

fn main() {}
