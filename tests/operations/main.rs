//! Every operation of the client, by what a user sees of it, against the embedded server; or, with
//! `KVSD_TEST_URL`, against the server that is there, each test in a table of its own.

mod arguments;
mod batches;
mod counters;
mod errors;
mod keyed;
mod lifetimes;
mod many;
mod pipelines;
mod records;
mod tables;
mod updates;

use kvsd::Client;
use kvsd_server::Embedded;

async fn start() -> (Embedded, Client) {
    let server = Embedded::temporary().await.unwrap();
    let client = match std::env::var("KVSD_TEST_URL") {
        Err(_) => server.client().await.unwrap(),
        Ok(url) => {
            let own = format!("operations-{}", uuid::Uuid::from_u128(random()).simple());
            Client::connect(&url).await.unwrap().table(&own).unwrap()
        }
    };
    (server, client)
}

/// No other test's, nor one's of an earlier run.
fn random() -> u128 {
    use std::hash::{BuildHasher, RandomState};
    let half = || u128::from(RandomState::new().hash_one(0));
    half() << 64 | half()
}
