//! A stop: what was received is answered, what was acknowledged is there after the next start.

use std::time::Duration;

use kvsd_server::{ServeError, Server};
use tokio::io::AsyncWriteExt;

use super::support::{Running, ask, expect, rest};

const SET: &[u8] = b"*3\r\n#\x05+k\r\n$1\r\nv\r\n";
const DONE: &[u8] = b"*2\r\n#\x03|";

#[tokio::test]
async fn a_stop_closes_idle_silent_and_encrypted_connections_at_once() {
    let server = Running::start_tls(|_| {}).await;
    let mut silent = server.connect().await;
    let mut encrypted = server.connect_tls().await;
    super::support::login_v1(&mut encrypted).await;
    ask(&mut encrypted, SET, DONE).await;
    let (_folder, ending) = server.stop();
    assert_eq!(rest(&mut silent).await, "");
    assert_eq!(rest(&mut encrypted).await, "");
    drop((silent, encrypted));
    ending.await.unwrap().unwrap();
}

#[tokio::test]
async fn nobody_is_accepted_after_a_stop_and_the_folder_is_free() {
    let server = Running::start(|_| {}).await;
    let mut stream = server.connect_v1().await;
    ask(&mut stream, SET, DONE).await;
    drop(stream);
    let address = server.address;
    let folder = server.end().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());

    let server = Running::start_on(folder, |_| {}).await;
    let mut stream = server.connect_v1().await;
    ask(&mut stream, b"*2\r\n#\x06+k\r\n", b"*2\r\n#\x03$1\r\nv\r\n").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_every_acknowledged_write_survives_a_stop() {
    let server = Running::start(|_| {}).await;
    let mut clients = Vec::new();
    for client in 0..8_u32 {
        let mut stream = server.connect_v1().await;
        clients.push(tokio::spawn(async move {
            let mut acknowledged = 0_u32;
            loop {
                let set = format!("*3\r\n#\x05+{client}/{acknowledged}\r\n$1\r\nv\r\n");
                if stream.write_all(set.as_bytes()).await.is_err() {
                    return acknowledged;
                }
                let mut answer = [0; 5 + 1 + 1];
                if tokio::io::AsyncReadExt::read_exact(&mut stream, &mut answer).await.is_err() {
                    return acknowledged;
                }
                assert_eq!(answer, DONE);
                acknowledged += 1;
                if client == 0 && acknowledged == 50 {
                    LOADED.notify_one();
                }
            }
        }));
    }
    static LOADED: tokio::sync::Notify = tokio::sync::Notify::const_new();
    LOADED.notified().await;
    let folder = server.end().await;

    let server = Running::start_on(folder, |_| {}).await;
    let mut stream = server.connect_v1().await;
    for (client, acknowledged) in clients.into_iter().enumerate() {
        let acknowledged = acknowledged.await.unwrap();
        for number in 0..acknowledged {
            let get = format!("*2\r\n#\x06+{client}/{number}\r\n");
            ask(&mut stream, get.as_bytes(), b"*2\r\n#\x03$1\r\nv\r\n").await;
        }
    }
}

#[tokio::test]
async fn a_session_that_does_not_end_is_cut_and_the_engine_still_closes() {
    let server =
        Running::start(|config| config.shutdown_timeout = Duration::from_millis(200)).await;
    let mut flood = server.connect_v1().await;
    let large = vec![b'v'; 4 << 20];
    flood.write_all(b"*3\r\n#\x05+k\r\n$4194304\r\n").await.unwrap();
    flood.write_all(&large).await.unwrap();
    flood.write_all(b"\r\n").await.unwrap();
    expect(&mut flood, DONE).await;
    // More answers than the kernel buffers, and nobody who reads them.
    flood.write_all(&b"*2\r\n#\x06+k\r\n".repeat(8)).await.unwrap();
    flood.readable().await.unwrap();
    let folder = server.end().await;

    let server = Running::start_on(folder, |_| {}).await;
    let mut stream = server.connect_v1().await;
    ask(&mut stream, b"*2\r\n#\x07+k\r\n", b"*2\r\n#\x03$4194304\r\n").await;
}

#[tokio::test]
async fn a_taken_address_and_a_taken_folder_are_told_apart() {
    let server = Running::start(|_| {}).await;
    let mut config = kvsd_server::Config::default();
    config.dev = true;
    config.listen = server.address;
    let other = tempfile::tempdir().unwrap();
    config.data_dir = other.path().join("data");
    let error = Server::bind(config.check().unwrap()).await.unwrap_err();
    assert!(matches!(error, ServeError::Listen { .. }), "{error}");
    assert!(!config.data_dir.exists(), "a server that cannot listen left something behind");

    config.listen = ([127, 0, 0, 1], 0).into();
    config.data_dir = server.folder.path().join("data");
    let error = Server::bind(config.check().unwrap()).await.unwrap_err();
    assert!(matches!(error, ServeError::Open(_)), "{error}");
}
