use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(version = 0, from = UserV1<T>, try_from = UserV1<T>, codec = "xml")]
#[kvsd(freeze = 1, accept = [-1], from = UserV0, accept = 2)]
struct User<T> {
    #[serde(flatten)]
    a: T,
}

fn main() {}
