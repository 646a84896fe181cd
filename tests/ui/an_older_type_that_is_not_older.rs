use serde::{Deserialize, Serialize};

#[derive(Deserialize, kvsd::Value)]
#[kvsd(name = "User", version = 2)]
struct Same(u8);

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(version = 2, try_from = Same)]
struct User(u8);

impl From<Same> for User {
    fn from(old: Same) -> Self {
        Self(old.0)
    }
}

#[derive(Deserialize, kvsd::Value)]
#[kvsd(name = "Order", version = 3)]
struct Newer<'a>(&'a str);

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(version = 2, from = Newer<'a>)]
struct Order<'a>(&'a str);

impl<'a> From<Newer<'a>> for Order<'a> {
    fn from(old: Newer<'a>) -> Self {
        Self(old.0)
    }
}

fn main() {}
