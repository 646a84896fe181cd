use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(key = "")]
struct Empty {
    id: u64,
}

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(key = "config")]
struct OneForAll {
    id: u64,
}

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(key = "user/{id")]
struct NotClosed {
    id: u64,
}

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(key = "user/id}")]
struct NotOpened {
    id: u64,
}

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(key = "user/{ID}/{id}/{name:?}/{id}")]
struct UnknownAndTwice {
    id: u64,
    name: String,
}

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(key = "pair/{0}/{2}")]
struct NoThird(u8, u8);

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(key = "unit/{}/{id}")]
struct Unit;

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(key = "user/{id}")]
struct NotStored {
    #[serde(skip)]
    id: u64,
}

fn main() {}
