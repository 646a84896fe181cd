//! How many are served at once, and how long a client may keep silent.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::support::{Running, ask, expect, login_v1, rest};

const PING: &[u8] = b"*3\r\n#\x01||";
const GET: &[u8] = b"*2\r\n#\x06+k\r\n";
const NOTHING: &[u8] = b"*2\r\n#\x03|";

#[tokio::test]
async fn a_client_too_many_waits_and_is_served_when_one_leaves() {
    let server = Running::start(|config| config.max_connections = 2).await;
    let mut first = server.connect_v1().await;
    let mut second = server.connect_v1().await;

    // The system takes the third connection and its bytes; the server does not yet.
    let mut third = server.connect().await;
    third.write_all(b"*3\r\n#\x02+a\r\n+b\r\n").await.unwrap();
    ask(&mut first, GET, NOTHING).await;
    ask(&mut second, GET, NOTHING).await;
    let unanswered = third.try_read(&mut [0; 64]).unwrap_err();
    assert_eq!(unanswered.kind(), std::io::ErrorKind::WouldBlock, "served beyond the limit");

    drop(first);
    expect(&mut third, NOTHING).await;
    ask(&mut third, GET, NOTHING).await;
    ask(&mut second, GET, NOTHING).await;
}

#[tokio::test]
async fn a_slot_comes_back_however_its_client_ends() {
    let server = Running::start(|config| {
        config.max_connections = 1;
        config.handshake_timeout = SOON;
    })
    .await;
    for way in 0..5 {
        let mut stream = server.connect().await;
        match way {
            0 => drop(stream),
            1 => assert_eq!(rest(&mut stream).await, "", "silent, and so closed"),
            2 => {
                stream.write_all(b"garbage").await.unwrap();
                assert!(rest(&mut stream).await.contains("PROTOCOL"));
            }
            3 => {
                login_v1(&mut stream).await;
                // Leaves with a reset: the answer is never read.
                stream.write_all(PING).await.unwrap();
                stream.set_zero_linger().unwrap();
            }
            _ => {
                login_v1(&mut stream).await;
                stream.write_all(b"*5\r\n#\x05").await.unwrap();
            }
        }
    }
    let mut last = server.connect_v1().await;
    ask(&mut last, GET, NOTHING).await;
}

/// Clients that begin and do not go on.
async fn half_begun(server: &Running, beginning: &[u8]) -> Vec<TcpStream> {
    let mut silent = Vec::new();
    for _ in 0..10 {
        let mut stream = server.connect().await;
        stream.write_all(beginning).await.unwrap();
        silent.push(stream);
    }
    silent
}

#[tokio::test]
async fn a_silent_client_is_closed_by_the_deadline_and_holds_nobody_up() {
    let server = Running::start(|config| config.handshake_timeout = SOON).await;
    for beginning in [&b""[..], b"*", b"*6\r\n#H:0\r\n"] {
        let silent = half_begun(&server, beginning).await;
        let mut other = server.connect_v1().await;
        for mut stream in silent {
            assert_eq!(rest(&mut stream).await, "");
        }
        // Who is let in may keep silent for as long as it likes.
        ask(&mut other, GET, NOTHING).await;
    }
}

#[tokio::test]
async fn a_silent_client_of_a_tls_port_is_closed_by_the_deadline_and_holds_nobody_up() {
    let server = Running::start_tls(|config| config.handshake_timeout = SOON).await;
    // Nothing, and the start of a handshake that promises 512 bytes.
    for beginning in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let silent = half_begun(&server, beginning).await;
        let mut other = server.connect_tls().await;
        login_v1(&mut other).await;
        for mut stream in silent {
            assert_eq!(rest(&mut stream).await, "");
        }
        ask(&mut other, GET, NOTHING).await;
    }
}

#[tokio::test]
async fn the_deadline_covers_the_time_after_the_tls_handshake() {
    let server = Running::start_tls(|config| config.handshake_timeout = SOON).await;
    let mut silent = server.connect_tls().await;
    assert_eq!(rest(&mut silent).await, "");
}

/// Long enough for a handshake on a busy machine.
const SOON: Duration = Duration::from_millis(1500);
