use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(freeze = 0x0123_4567_89ab_cdef)]
struct Page<T>(Vec<T>);

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(freeze = 0x0123_4567_89ab_cdef)]
struct Sized<const N: usize>(u8);

fn main() {}
