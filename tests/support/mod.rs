//! A real server on a free port, in this process.

use std::net::SocketAddr;

use kvsd_server::Server;
use kvsd_server::config::Config;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A server as `kvsd-server --dev` starts it, on a temporary folder.
pub(crate) struct DevServer {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl DevServer {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.dev = true;
        config.listen = ([127, 0, 0, 1], 0).into();
        config.data_dir = folder.path().join("data");
        let server = Server::bind(config.check().unwrap()).await.unwrap();
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            server.serve(shutdown).await.unwrap();
        });
        Self { address, stop, serving, _folder: folder }
    }

    /// The server's URL with `rest` behind it.
    pub(crate) fn url(&self, rest: &str) -> String {
        format!("kvsd://{}{rest}", self.address)
    }

    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        self.serving.await.unwrap();
    }
}
