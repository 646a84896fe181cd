//! How many are served at once, how long a client may keep silent, and what all may hold together.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kvsd::protocol::v2::part::{Cut, Cutter, Sender};
use kvsd::protocol::v2::{Condition, Previous, Request, RequestId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

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

impl Running {
    /// A client of another address of this machine.
    async fn connect_from(&self, host: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, host], 0).into()).unwrap();
        socket.connect(self.address).await.unwrap()
    }
}

/// Says something and takes whatever is answered.
async fn answer(stream: &mut TcpStream, request: &[u8]) -> String {
    stream.write_all(request).await.unwrap();
    let mut answer = vec![0; 1024];
    let length = stream.read(&mut answer).await.unwrap();
    answer[..length].escape_ascii().to_string()
}

#[tokio::test]
async fn an_address_that_has_enough_is_told_so_and_others_are_served() {
    let server = Running::start(|config| config.max_connections_per_address = 2).await;
    let (first, mut second) = (server.connect_v1().await, server.connect_v1().await);
    let mut third = server.connect().await;
    third.write_all(b"*6\r\n#H:0\r\n:2\r\n:2\r\n||").await.unwrap();
    let told = rest(&mut third).await;
    assert!(told.contains("BUSY") && told.contains("max_connections_per_address"), "{told}");

    let mut other = server.connect_from(2).await;
    login_v1(&mut other).await;
    ask(&mut second, GET, NOTHING).await;
    drop(first);
    loop {
        let mut again = server.connect().await;
        if answer(&mut again, b"*3\r\n#\x02+app\r\n+secret\r\n").await == "*2\\r\\n#\\x03|" {
            break;
        }
    }
}

#[tokio::test]
async fn an_address_that_has_enough_gets_no_handshake() {
    let server = Running::start_tls(|config| config.max_connections_per_address = 1).await;
    let mut first = server.connect_tls().await;
    login_v1(&mut first).await;
    let mut second = server.connect().await;
    assert_eq!(rest(&mut second).await, "");
    ask(&mut first, GET, NOTHING).await;
}

#[tokio::test]
async fn a_thousand_silent_handshakes_keep_nobody_out() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    let server = Running::start_tls(|config| {
        config.max_unauthenticated = 16;
        config.max_connections = 64;
        config.max_connections_per_address = 64;
        config.handshake_timeout = Duration::from_secs(600);
    })
    .await;
    let mut known = server.connect_tls().await;
    login_v1(&mut known).await;
    let mut silent = Vec::new();
    for number in 0..1000 {
        let mut stream = server.connect_from(2).await;
        stream.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
        silent.push(stream);
        if number % 100 == 0 {
            ask(&mut known, GET, NOTHING).await;
            let mut newcomer = server.connect_tls().await;
            login_v1(&mut newcomer).await;
            ask(&mut newcomer, GET, NOTHING).await;
        }
    }
    // Those that came first have made room; the last ones may say who they are.
    for stream in &mut silent[..900] {
        assert_eq!(stream.read(&mut [0; 64]).await.unwrap_or(0), 0);
    }
    assert!(silent[999].try_read(&mut [0; 64]).is_err());
    ask(&mut known, GET, NOTHING).await;
}

#[tokio::test]
async fn a_client_that_is_idle_for_too_long_is_closed_and_a_busy_one_is_not() {
    let server = Running::start(|config| config.idle_timeout = Duration::from_millis(500)).await;
    let (mut idle, mut busy) = (server.connect_v1().await, server.connect_v1().await);
    let mut closed = std::pin::pin!(rest(&mut idle));
    loop {
        tokio::select! {
            said = &mut closed => break assert_eq!(said, ""),
            () = ask(&mut busy, GET, NOTHING) => {}
        }
    }
    ask(&mut busy, GET, NOTHING).await;
}

/// All but the last part of a message that sets a value of so many bytes.
fn begun(value_bytes: usize) -> Vec<u8> {
    let value = vec![b'v'; value_bytes];
    let mut message = BytesMut::new();
    Request::Set {
        table: "default",
        key: b"k",
        value: &value,
        condition: Condition::Any,
        expiry: None,
        previous: Previous::Omit,
    }
    .encode(RequestId::ZERO, &mut message);
    let mut cutter = Cutter::new(Sender::Client);
    cutter.push(RequestId::ZERO, Bytes::from(message));
    let mut bytes = BytesMut::new();
    loop {
        let before = bytes.len();
        if let Cut::Last(_) = cutter.cut(&mut bytes) {
            bytes.truncate(before);
            return bytes.to_vec();
        }
    }
}

#[tokio::test]
async fn whoever_holds_most_is_cut_off_before_the_memory_is_passed_and_others_are_served() {
    let server = Running::start(|config| config.connection_memory = Some(48 << 20)).await;
    let mut known = server.connect_v1().await;
    let begun = begun(10 << 20);
    let mut greedy = Vec::new();
    let mut cut = 0;
    while cut == 0 {
        let mut stream = server.connect().await;
        stream.write_all(b"*6\r\n#H:0\r\n:2\r\n:2\r\n||").await.unwrap();
        // One that is cut off cannot write to the end, or be written to.
        let sent = stream.write_all(&begun).await;
        greedy.push(stream);
        let said = answer(&mut known, GET).await;
        assert!(said == "*2\\r\\n#\\x03|" || said.contains("connection_memory"), "{said}");
        cut += usize::from(sent.is_err());
        for stream in &greedy {
            let mut welcome = [0; 4096];
            while let Ok(1..) = stream.try_read(&mut welcome) {}
            let ended = stream.try_read(&mut welcome);
            cut += usize::from(
                !ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
            );
        }
        assert!(greedy.len() < 12, "nobody was cut off");
    }
    assert!(greedy.len() >= 4, "{} could not hold that much", greedy.len());
    drop(greedy);
    while answer(&mut known, GET).await != "*2\\r\\n#\\x03|" {}
}

#[tokio::test]
async fn a_disk_with_little_room_takes_deletes_only() {
    let free = rustix::fs::statvfs(std::env::temp_dir().as_path()).unwrap();
    if free.f_bavail * free.f_frsize >= 1 << 40 {
        // A disk on which this setting can refuse nothing.
        return;
    }
    let server = Running::start(|config| config.min_free_disk = 1 << 40).await;
    let mut client = server.connect_v1().await;
    let set = b"*3\r\n#\x05+k\r\n$1\r\nv\r\n";
    while !answer(&mut client, set).await.contains("min_free_disk") {}
    answer(&mut client, b"*2\r\n#\x07+k\r\n").await;
    ask(&mut client, GET, NOTHING).await;
    server.end().await;
}

/// Long enough for a handshake on a busy machine.
const SOON: Duration = Duration::from_millis(1500);
