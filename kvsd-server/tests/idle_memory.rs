//! What connections cost that have nothing to do: the resident memory of the real server with a
//! thousand of them, compared with before they came. Each has been busy first.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the right answer to a surprise")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Certificates, Server};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

#[tokio::test]
async fn an_idle_connection_holds_at_most_16_kib() {
    let mut server = Server::start(tempfile::tempdir().unwrap(), ARGS);
    let address = server.address;
    let connect = async || TcpStream::connect(address).await.unwrap();
    let bytes = cost_of_each(server.child().id(), connect).await;
    assert!(bytes <= 16 * 1024, "{bytes} bytes");
}

#[tokio::test]
async fn an_idle_connection_over_tls_holds_at_most_48_kib() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(folder.path(), "ca", &["localhost"]);
    let file = |path: &Path| path.to_str().unwrap().to_owned();
    let tls = [
        "--tls-cert".to_owned(),
        file(&certificates.server),
        "--tls-key".to_owned(),
        file(&certificates.server_key),
    ];
    let args = ARGS.into_iter().map(String::from).chain(tls);
    let mut server = Server::start(tempfile::tempdir().unwrap(), args);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&certificates.ca).unwrap()).unwrap();
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(client));
    let address = server.address;
    let connect = async || {
        let stream = TcpStream::connect(address).await.unwrap();
        connector.connect("localhost".try_into().unwrap(), stream).await.unwrap()
    };
    let bytes = cost_of_each(server.child().id(), connect).await;
    assert!(bytes <= 48 * 1024, "{bytes} bytes");
}

/// What each of a thousand connections adds to the memory of a process.
async fn cost_of_each<S>(process: u32, connect: impl AsyncFn() -> S) -> usize
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    // What the first ones make the process take, it takes once.
    let mut warm = Vec::new();
    for _ in 0..50 {
        warm.push(busy(connect().await).await);
    }
    let before = resident(process);
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        idle.push(busy(connect().await).await);
    }
    (resident(process) - before) / CONNECTIONS
}

/// Has the server read and write so much that its buffers have grown.
async fn busy<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> S {
    let value = "v".repeat(12 * 1024);
    let set = format!("*5\r\n#S:1\r\n+default\r\n$1\r\nk\r\n${}\r\n{value}\r\n", value.len());
    let get = "*4\r\n#G:2\r\n+default\r\n$1\r\nk\r\n";
    let pings = "*2\r\n#P:3\r\n".repeat(1000);
    let request = format!("*6\r\n#H:0\r\n:2\r\n:2\r\n||{set}{get}{pings}*2\r\n#P:4\r\n");
    let (mut reader, mut writer) = tokio::io::split(&mut stream);
    let write = async {
        writer.write_all(request.as_bytes()).await.unwrap();
        writer.flush().await.unwrap();
    };
    let read = async {
        let (mut answers, mut looked_at) = (Vec::new(), 0);
        let mut missing = vec![b":1\r\n", b":2\r\n", b":4\r\n"];
        // They come in any order.
        while !missing.is_empty() {
            assert_ne!(reader.read_buf(&mut answers).await.unwrap(), 0, "closed");
            for line in answers[looked_at..].windows(6).filter(|line| line[0] == b'#') {
                missing.retain(|id| **id != line[2..]);
            }
            looked_at = answers.len().saturating_sub(5);
        }
    };
    tokio::join!(write, read);
    stream
}

/// The resident memory of a process, in bytes.
fn resident(process: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

const CONNECTIONS: usize = 1000;
const ARGS: [&str; 7] = [
    "--dev",
    "--listen",
    "127.0.0.1:0",
    "--max-connections",
    "1100",
    "--max-connections-per-address",
    "1100",
];
