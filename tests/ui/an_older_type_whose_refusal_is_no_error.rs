use serde::{Deserialize, Serialize};

#[derive(Deserialize, kvsd::Value)]
#[kvsd(name = "User")]
struct UserV1(u8);

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(version = 2, try_from = UserV1)]
struct User(u8);

struct Refusal;

impl TryFrom<UserV1> for User {
    type Error = Refusal;
    fn try_from(_: UserV1) -> Result<Self, Refusal> {
        Err(Refusal)
    }
}

fn main() {}
