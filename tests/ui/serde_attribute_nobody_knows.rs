#[derive(kvsd::Value)]
#[serde(reversed)]
struct T {
    #[serde(encrypted)]
    a: u8,
}

fn main() {}
