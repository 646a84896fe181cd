#[derive(serde::Serialize, serde::Deserialize)]
struct User {
    id: u64,
}

fn store<T: kvsd::Value>(_: &T) {}

fn main() {
    store(&User { id: 7 });
    kvsd::value::encode_to_bytes(&User { id: 7 }, 100).unwrap();
    let _: Result<User, _> = kvsd::Decode::decode(b"");
}
