use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, kvsd::Value)]
#[serde(into = "u16")]
struct T {
    a: u8,
}

impl From<T> for u16 {
    fn from(value: T) -> Self {
        value.a.into()
    }
}

fn main() {}
