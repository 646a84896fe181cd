#[derive(kvsd::Value)]
struct T {
    a: u8,
}

fn main() {}
