//! Every operation of the client, by what a user sees of it, against the embedded server.

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
    let client = server.client().await.unwrap();
    (server, client)
}
