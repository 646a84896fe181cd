use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct UserV1(u8);

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(version = 2, from = UserV1)]
struct User(u8);

impl From<UserV1> for User {
    fn from(old: UserV1) -> Self {
        Self(old.0)
    }
}

fn main() {}
