#[derive(kvsd::Value)]
union T {
    a: u8,
    b: i8,
}

fn main() {}
