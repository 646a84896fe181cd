//! What the network adds to hostility: resets, other protocols, floods.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{Running, ask, login_v1, rest};

#[tokio::test]
async fn a_fail_can_be_read_even_if_more_was_sent_than_the_server_read() {
    let server = Running::start(|_| {}).await;
    for _ in 0..20 {
        let mut stream = server.connect().await;
        // Without care the close would be a reset, which throws the Fail away.
        stream.write_all(&[b'?'; 100_000]).await.unwrap();
        assert!(rest(&mut stream).await.starts_with("*4\\r\\n#f|+PROTOCOL\\r\\n+a message begins"));
    }
    let mut stream = server.connect_v1().await;
    ask(&mut stream, b"*2\r\n#\x06+k\r\n", b"*2\r\n#\x03|").await;
}

#[tokio::test]
async fn a_tls_client_on_a_plain_port_is_told_what_the_port_speaks() {
    let server = Running::start(|_| {}).await;
    let mut stream = server.connect().await;
    let hello = [&b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03"[..], &[0; 194]].concat();
    stream.write_all(&hello).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.contains("this port speaks plain TCP, not TLS: use a kvsd:// URL"), "{answer}");
}

#[tokio::test]
async fn a_plain_client_on_a_tls_port_gets_an_alert_and_the_end() {
    let server = Running::start_tls(|_| {}).await;
    let mut stream = server.connect().await;
    stream.write_all(b"*6\r\n#H:0\r\n:2\r\n:2\r\n||").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer.first(), Some(&0x15), "no TLS alert: {}", answer.escape_ascii());

    let mut stream = server.connect_tls().await;
    login_v1(&mut stream).await;
}

#[tokio::test]
async fn whoever_floods_and_never_reads_is_not_waited_for() {
    let soon = Duration::from_millis(200);
    let server = Running::start(|config| config.shutdown_timeout = soon).await;
    let mut flood = server.connect_v1().await;
    let set = [b"*3\r\n#\x05+k\r\n$1000\r\n", &[b'v'; 1000][..], b"\r\n"].concat();
    ask(&mut flood, &set, b"*2\r\n#\x03|").await;
    // Takes until the kernel's buffers and the session's are full, then takes no more.
    let gets = b"*2\r\n#\x06+k\r\n".repeat(10_000);
    let mut stuck = 0;
    while stuck < 100 {
        match flood.try_write(&gets) {
            Ok(_) => stuck = 0,
            Err(_) => stuck += 1,
        }
        let mut other = server.connect_v1().await;
        ask(&mut other, b"*2\r\n#\x06+none\r\n", b"*2\r\n#\x03|").await;
    }
    server.end().await;
}
