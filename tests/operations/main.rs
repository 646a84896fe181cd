//! Every operation of the client, by what a user sees of it, against the embedded server; or, with
//! `KVSD_TEST_URL`, against the server that is there, which must be empty (`.ci/on-etcd`).

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
        Ok(url) => Client::connect(&url).await.unwrap(),
    };
    (server, client)
}
