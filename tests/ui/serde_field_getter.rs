use serde::{Deserialize, Serialize};

struct Foreign {
    a: u8,
}

impl Foreign {
    fn a(&self) -> u8 {
        self.a
    }
}

impl From<T> for Foreign {
    fn from(value: T) -> Self {
        Foreign { a: value.a }
    }
}

#[derive(Serialize, Deserialize, kvsd::Value)]
#[serde(remote = "Foreign")]
struct T {
    #[serde(getter = "Foreign::a")]
    a: u8,
}

fn main() {}
