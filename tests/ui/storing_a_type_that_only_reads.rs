use serde::Deserialize;

#[derive(Deserialize, kvsd::Value)]
#[kvsd(name = "User")]
struct UserV1 {
    id: u64,
}

fn main() {
    let _ = kvsd::value::encode_to_bytes(&UserV1 { id: 7 }, 100);
}
