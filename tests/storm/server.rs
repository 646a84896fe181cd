//! The server in the storm: stopped and started again on the same folder, now inside this process,
//! now behind a port.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kvsd::transport::{ConnectError, Stream, Transport};
use kvsd_server::config::SyncPolicy;
use kvsd_server::{Config, Embedded, EmbeddedTransport, Server};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Leads to the server wherever it runs now.
#[derive(Debug, Clone)]
pub(crate) struct Way(Arc<Mutex<Place>>);

#[derive(Debug, Clone)]
enum Place {
    Nowhere,
    Inside(EmbeddedTransport),
    Port(SocketAddr),
}

pub(crate) struct Host {
    folder: PathBuf,
    way: Way,
    running: Option<Running>,
}

enum Running {
    Inside(Embedded),
    Port { stop: oneshot::Sender<()>, serving: JoinHandle<()> },
}

/// More than is written while a watch is held up: the watches here are to miss nothing.
const HISTORY_BYTES: u64 = 16 << 30;

/// Where the server runs next.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Inside,
    Port,
}

/// How it stops.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stop {
    Gracefully,
    /// Sessions end where they stand. A server behind a port has no such way.
    Abruptly,
}

impl Host {
    pub(crate) async fn start(folder: PathBuf, kind: Kind) -> Self {
        let mut host =
            Self { folder, way: Way(Arc::new(Mutex::new(Place::Nowhere))), running: None };
        host.run(kind).await;
        host
    }

    pub(crate) fn way(&self) -> Way {
        self.way.clone()
    }

    /// Starts the server on its folder.
    pub(crate) async fn run(&mut self, kind: Kind) {
        let (running, place) = match kind {
            Kind::Inside => {
                let options = Embedded::options().sync(SyncPolicy::Never);
                let options = options.history_bytes(HISTORY_BYTES);
                let server = options.open(&self.folder).await.unwrap();
                let place = Place::Inside(server.transport());
                (Running::Inside(server), place)
            }
            Kind::Port => {
                let mut config = Config::default();
                config.dev = true;
                config.listen = ([127, 0, 0, 1], 0).into();
                config.data_dir.clone_from(&self.folder);
                config.history_bytes = HISTORY_BYTES;
                let server = Server::bind(config.check().unwrap()).await.unwrap();
                let place = Place::Port(server.local_addr());
                let (stop, stopped) = oneshot::channel();
                let serving = tokio::spawn(async move {
                    let shutdown = async {
                        let _ = stopped.await;
                    };
                    server.serve(shutdown).await.unwrap();
                });
                (Running::Port { stop, serving }, place)
            }
        };
        self.running = Some(running);
        *self.way.0.lock().unwrap() = place;
    }

    /// Stops the server; what it acknowledged is in its folder.
    pub(crate) async fn stop(&mut self, how: Stop) {
        *self.way.0.lock().unwrap() = Place::Nowhere;
        match (self.running.take(), how) {
            (Some(Running::Inside(server)), Stop::Gracefully) => server.close().await.unwrap(),
            (Some(Running::Inside(server)), Stop::Abruptly) => {
                tokio::task::spawn_blocking(|| drop(server)).await.unwrap();
            }
            (Some(Running::Port { stop, serving }), _) => {
                let _ = stop.send(());
                serving.await.unwrap();
            }
            (None, _) => {}
        }
    }
}

#[async_trait]
impl Transport for Way {
    async fn connect(&self) -> Result<Stream, ConnectError> {
        let place = self.0.lock().unwrap().clone();
        let refuse = |source| ConnectError::Connect { source };
        match place {
            Place::Nowhere => Err(refuse(std::io::ErrorKind::ConnectionRefused.into())),
            Place::Inside(server) => server.connect().await,
            Place::Port(address) => {
                let stream = TcpStream::connect(address).await.map_err(refuse)?;
                stream.set_nodelay(true).map_err(refuse)?;
                let (reader, writer) = stream.into_split();
                Ok(Stream::new(reader, writer))
            }
        }
    }

    fn address(&self) -> String {
        "storm".to_owned()
    }
}
