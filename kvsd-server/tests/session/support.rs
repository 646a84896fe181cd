//! A server on a free port with a folder of its own, and raw clients for it.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use kvsd_server::{Config, ServeError, Server};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsConnector, rustls};

/// A server that serves until it is stopped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), ServeError>>,
    tls: Option<TlsConnector>,
}

impl Running {
    pub(crate) async fn start(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(tempfile::tempdir().unwrap(), change).await
    }

    /// A server that speaks TLS.
    pub(crate) async fn start_tls(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = tempfile::tempdir().unwrap();
        let mut tls = None;
        let mut running = Self::start_on(folder, |config| {
            tls = Some(encrypt(keys.path(), config));
            change(config);
        })
        .await;
        running.tls = tls;
        running
    }

    pub(crate) async fn start_on(folder: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.dev = true;
        config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.data_dir = folder.path().join("data");
        change(&mut config);
        let server = Server::bind(config.check().unwrap()).await.unwrap();
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(server.serve(async {
            // A test that drops the server stops it too.
            let _ = stopped.await;
        }));
        Self { address, folder, stop, serving, tls: None }
    }

    /// Tells the server to stop; its end is the second half of the answer.
    pub(crate) fn stop(self) -> (TempDir, JoinHandle<Result<(), ServeError>>) {
        self.stop.send(()).unwrap();
        (self.folder, self.serving)
    }

    /// Stops the server and waits for its end.
    pub(crate) async fn end(self) -> TempDir {
        let (folder, serving) = self.stop();
        serving.await.unwrap().unwrap();
        folder
    }

    /// A client that has said nothing.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A client that has shaken hands, on a server that speaks TLS.
    pub(crate) async fn connect_tls(&self) -> TlsStream<TcpStream> {
        let tls = self.tls.as_ref().unwrap();
        self.try_tls(tls).await.unwrap()
    }

    /// A client that shakes hands like this.
    pub(crate) async fn try_tls(&self, tls: &TlsConnector) -> io::Result<TlsStream<TcpStream>> {
        let name = "localhost".try_into().unwrap();
        tls.connect(name, self.connect().await).await
    }

    /// A client of version 1 that has been let in.
    pub(crate) async fn connect_v1(&self) -> TcpStream {
        let mut stream = self.connect().await;
        login_v1(&mut stream).await;
        stream
    }
}

pub(crate) async fn login_v1(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    ask(stream, b"*3\r\n#\x02+app\r\n+secret\r\n", b"*2\r\n#\x03|").await;
}

/// Sends a request and checks the answer, byte for byte.
pub(crate) async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &[u8],
    answer: &[u8],
) {
    stream.write_all(request).await.unwrap();
    expect(stream, answer).await;
}

/// Reads exactly these bytes.
pub(crate) async fn expect(stream: &mut (impl AsyncRead + Unpin), answer: &[u8]) {
    let mut read = vec![0; answer.len()];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(read.escape_ascii().to_string(), answer.escape_ascii().to_string());
}

/// All that comes until the server closes.
pub(crate) async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    rest.escape_ascii().to_string()
}

/// Has a configuration use a new certificate for `localhost`; a client that trusts it.
pub(crate) fn encrypt(folder: &Path, config: &mut Config) -> TlsConnector {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    config.tls_cert = Some(cert);
    config.tls_key = Some(key);

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder().with_root_certificates(roots);
    TlsConnector::from(Arc::new(client.with_no_client_auth()))
}
