use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(name = "a name of more than thirty-two bytes")]
struct A;

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(name = "")]
struct B;

#[derive(Serialize, Deserialize, kvsd::Value)]
#[kvsd(name = "line\nfeed")]
struct C;

#[derive(Serialize, Deserialize, kvsd::Value)]
struct ATypeWhoseOwnNameHasMoreThanThirtyTwoBytes;

fn main() {}
