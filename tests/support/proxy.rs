//! A network that cuts connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Stands between client and server, passes bytes on in small pieces, and cuts each connection after
/// some of them, anywhere in a message.
pub(crate) struct CuttingProxy {
    address: SocketAddr,
    cuts: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl CuttingProxy {
    /// A way to the server at `url`.
    pub(crate) async fn start(url: &str) -> Self {
        let server = url.trim_start_matches("kvsd://").to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let cuts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&cuts);
        let serving = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            for budget in (0..).map(|number| 20_000 + number % 7 * 17_011) {
                let (client, _) = listener.accept().await.unwrap();
                let (cuts, server) = (Arc::clone(&counted), server.clone());
                connections.spawn(async move {
                    let server = TcpStream::connect(server).await.unwrap();
                    let (client, server) = (client.into_split(), server.into_split());
                    tokio::select! {
                        () = pass(client.0, server.1, budget) => {}
                        () = pass(server.0, client.1, budget) => {}
                    }
                    cuts.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        Self { address, cuts, serving }
    }

    pub(crate) fn url(&self, rest: &str) -> String {
        format!("kvsd://{}{rest}", self.address)
    }

    pub(crate) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Passes `budget` bytes on, or all there are.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut budget: usize,
) {
    let mut piece = [0; 701];
    while budget > 0 {
        let room = budget.min(piece.len());
        let length = from.read(&mut piece[..room]).await.unwrap_or(0);
        if length == 0 || to.write_all(&piece[..length]).await.is_err() {
            return;
        }
        budget -= length;
    }
}
