use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(freeze = 0x0123_4567_89ab_cdef)]
struct User {
    id: u64,
}

#[derive(Serialize, Deserialize, kvsd::Layout)]
#[kvsd(freeze = 0)]
enum Part<'a> {
    Of(&'a str),
}

fn main() {}
