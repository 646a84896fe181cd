//! Version 1 from end to end: the bytes of a session of its client, against the real engine.

use super::support::{Running, ask, login_v1};

#[tokio::test]
async fn the_old_client_works_over_plain_tcp_and_over_tls() {
    let session: [(&[u8], &[u8]); 6] = [
        (b"*2\r\n#\x06+hello\r\n", b"*2\r\n#\x03|"),
        (b"*3\r\n#\x05+hello\r\n$4\r\nrust\r\n", b"*2\r\n#\x03|"),
        (b"*2\r\n#\x06+hello\r\n", b"*2\r\n#\x03$4\r\nrust\r\n"),
        (b"*3\r\n#\x05+hello\r\n$0\r\n\r\n", b"*2\r\n#\x03|"),
        (b"*2\r\n#\x07+hello\r\n", b"*2\r\n#\x03$0\r\n\r\n"),
        (b"*2\r\n#\x07+hello\r\n", b"*2\r\n#\x03|"),
    ];
    let server = Running::start(|_| {}).await;
    let mut stream = server.connect_v1().await;
    for (request, answer) in session {
        ask(&mut stream, request, answer).await;
    }
    let server = Running::start_tls(|_| {}).await;
    let mut stream = server.connect_tls().await;
    login_v1(&mut stream).await;
    for (request, answer) in session {
        ask(&mut stream, request, answer).await;
    }
}

#[tokio::test]
async fn both_versions_see_the_same_table() {
    let server = Running::start(|_| {}).await;
    let mut v1 = server.connect_v1().await;
    ask(&mut v1, b"*3\r\n#\x05+hello\r\n$4\r\nrust\r\n", b"*2\r\n#\x03|").await;
    let url = format!("kvsd://{}", server.address);
    let client = kvsd::Client::connect(&url).await.unwrap();
    assert_eq!(client.get::<String>("hello").await.unwrap().as_deref(), Some("rust"));
    client.set("hello", "v2").await.unwrap();
    ask(&mut v1, b"*2\r\n#\x06+hello\r\n", b"*2\r\n#\x03$2\r\nv2\r\n").await;
}
