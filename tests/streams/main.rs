//! Scans and watches, by what a user sees of them, against the embedded server.

mod history;
mod scan;
mod watch;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kvsd::Client;
use kvsd::transport::{ConnectError, Stream, Transport};
use kvsd_server::config::SyncPolicy;
use kvsd_server::{Embedded, EmbeddedTransport};

/// A server on a temporary folder, and a client of it.
async fn start() -> (Embedded, Client) {
    let server = Embedded::options().sync(SyncPolicy::Never).temporary().await.unwrap();
    let client = server.client().await.unwrap();
    (server, client)
}

/// A server that stops and starts again on its folder, and the way to it for clients that stay.
#[derive(Debug)]
struct Host {
    folder: tempfile::TempDir,
    server: Option<Embedded>,
    way: Way,
}

#[derive(Debug, Clone)]
struct Way(Arc<Mutex<EmbeddedTransport>>);

impl Host {
    async fn start() -> (Self, Client) {
        let folder = tempfile::tempdir().unwrap();
        let server = Embedded::open(folder.path()).await.unwrap();
        let way = Way(Arc::new(Mutex::new(server.transport())));
        let client = Client::builder().transport(way.clone()).connect().await.unwrap();
        (Self { folder, server: Some(server), way }, client)
    }

    async fn stop(&mut self) {
        self.server.take().unwrap().close().await.unwrap();
    }

    async fn run(&mut self) {
        let server = Embedded::open(self.folder.path()).await.unwrap();
        *self.way.0.lock().unwrap() = server.transport();
        self.server = Some(server);
    }
}

#[async_trait]
impl Transport for Way {
    async fn connect(&self) -> Result<Stream, ConnectError> {
        let transport = self.0.lock().unwrap().clone();
        transport.connect().await
    }

    fn address(&self) -> String {
        "host".into()
    }
}
