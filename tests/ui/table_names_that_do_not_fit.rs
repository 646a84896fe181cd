use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(table = "", key = "{0}")]
struct Empty(u8);

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(table = "a-name-of-more-than-sixty-four-bytes-is-more-than-a-table-can-have", key = "{0}")]
struct Long(u8);

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(table = "../etc", key = "{0}")]
struct Start(u8);

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(table = "a/b", key = "{0}")]
struct Slash(u8);

fn main() {}
