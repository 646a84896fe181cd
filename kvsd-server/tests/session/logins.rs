//! Who gets in over a network: failures and whom they concern.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kvsd_server::Config;
use kvsd_server::config::MinVersion;
use kvsd_server::users::{Grants, Password, StoredHash, UserName, Users, UsersError};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::{TlsConnector, rustls};

use super::support::{Running, ask, encrypt, expect, rest};

const WELCOME: &[u8] = b"*2\r\n#\x03|";
const GET: &[u8] = b"*2\r\n#\x06+k\r\n";
const NOTHING: &[u8] = b"*2\r\n#\x03|";

#[tokio::test]
async fn whoever_fails_too_often_locks_out_neither_other_users_nor_other_addresses() {
    let keys = tempfile::tempdir().unwrap();
    let server = Running::start(|config| with_users(config, keys.path())).await;
    let mut answers = Vec::new();
    for _ in 0..12 {
        let mut stream = from("127.0.0.1", &server).await;
        say(&mut stream, "app", "wrong").await;
        answers.push(rest(&mut stream).await);
    }
    assert!(answers[0].contains("wrong"), "{}", answers[0]);
    assert!(answers[11].contains("too many failed logins"), "{}", answers[11]);

    for (address, user, password) in [("127.0.0.2", "app", "one"), ("127.0.0.1", "ops", "two")] {
        let mut stream = from(address, &server).await;
        say(&mut stream, user, password).await;
        expect(&mut stream, WELCOME).await;
    }
    let mut stream = from("127.0.0.1", &server).await;
    say(&mut stream, "app", "one").await;
    assert_eq!(rest(&mut stream).await, answers[11]);
}

#[tokio::test]
async fn a_user_who_goes_or_changes_is_logged_out_and_the_others_go_on() {
    let keys = tempfile::tempdir().unwrap();
    let server = Running::start(|config| with_users(config, keys.path())).await;
    let mut gone = log_in(&server, "app", "one").await;
    let mut changed = log_in(&server, "eve", "three").await;
    let mut granted = log_in(&server, "gus", "three").await;
    let mut old = server.connect().await;
    say(&mut old, "app", "one").await;
    expect(&mut old, WELCOME).await;
    let mut other = server.connect().await;
    say(&mut other, "ops", "two").await;
    expect(&mut other, WELCOME).await;

    change_users(&keys.path().join("users"), |users| {
        users.remove(&name("app"))?;
        users.remove(&name("eve"))?;
        users.grant(&name("gus"), ["read@*".parse().unwrap()])?;
        users.add(name("eve"), hash("four"), Grants::all())
    });
    for stream in [&mut gone, &mut changed, &mut granted] {
        let farewell = in_time(rest(stream)).await;
        assert!(farewell.contains("UNAUTHENTICATED"), "{farewell}");
        assert!(farewell.contains("log in again"), "{farewell}");
    }
    assert_eq!(in_time(rest(&mut old)).await, "", "version 1 has no word for it");
    ask(&mut other, GET, NOTHING).await;
    log_in(&server, "eve", "four").await;
    log_in(&server, "gus", "three").await;
    for (user, password) in [("app", "one"), ("eve", "three")] {
        let mut stream = server.connect().await;
        say(&mut stream, user, password).await;
        assert!(rest(&mut stream).await.contains("wrong"));
    }
}

#[tokio::test]
async fn what_is_under_way_ends_with_the_grant_that_allowed_it() {
    let keys = tempfile::tempdir().unwrap();
    let server = Running::start(|config| with_users(config, keys.path())).await;
    let mut watching = log_in(&server, "eve", "three").await;
    // Waits for a change of a table in which nothing happens.
    let watch = b"*6\r\n#W:1\r\n+default\r\n|:0\r\n:30000\r\n";
    watching.write_all(watch).await.unwrap();

    change_users(&keys.path().join("users"), |users| {
        users.revoke(&name("eve"), &["admin@*".parse().unwrap()])
    });
    let farewell = in_time(rest(&mut watching)).await;
    assert!(farewell.contains("UNAUTHENTICATED"), "{farewell}");
    // The new grants hold from the next login on.
    let mut next = log_in(&server, "eve", "three").await;
    next.write_all(b"*4\r\n#G:1\r\n+default\r\n$1\r\nk\r\n").await.unwrap();
    next.shutdown().await.unwrap();
    let refused = rest(&mut next).await;
    assert!(refused.contains("DENIED"), "{refused}");
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_a_bad_one_is_not() {
    let (keys, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut first = None;
    let server = Running::start_on(data, |config| {
        first = Some(encrypt(keys.path(), config));
        with_users(config, keys.path());
    })
    .await;
    let first = first.unwrap();
    let mut before = server.try_tls(&first).await.unwrap();
    say(&mut before, "ops", "two").await;
    expect(&mut before, WELCOME).await;

    let second = encrypt(keys.path(), &mut Config::default());
    in_time(async { while server.try_tls(&second).await.is_err() {} }).await;
    assert!(server.try_tls(&first).await.is_err());

    // Broken, and then a change of the users, which is looked at after it.
    std::fs::write(keys.path().join("cert.pem"), "-----BEGIN CERTIFICATE-----\n!\n").unwrap();
    let mut eve = server.try_tls(&second).await.unwrap();
    say_hello(&mut eve, "eve", "three").await;
    change_users(&keys.path().join("users"), |users| users.remove(&name("eve")));
    in_time(rest(&mut eve)).await;
    assert!(server.try_tls(&second).await.is_ok());
    ask(&mut before, GET, NOTHING).await;
}

#[tokio::test]
async fn tls_1_2_is_spoken_by_choice_only() {
    for (oldest, is_spoken) in [(MinVersion::Tls13, false), (MinVersion::Tls12, true)] {
        let keys = tempfile::tempdir().unwrap();
        let mut new = None;
        let server = Running::start(|config| {
            new = Some(encrypt(keys.path(), config));
            config.tls_min_version = oldest;
        })
        .await;
        let old = only_tls_1_2(&keys.path().join("cert.pem"));
        assert_eq!(server.try_tls(&old).await.is_ok(), is_spoken, "{oldest:?}");
        let stream = server.try_tls(&new.unwrap()).await.unwrap();
        let version = stream.get_ref().1.protocol_version();
        assert_eq!(version, Some(rustls::ProtocolVersion::TLSv1_3));
    }
}

/// A client that trusts this certificate and knows TLS 1.2 only.
fn only_tls_1_2(cert: &Path) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(cert).unwrap()).unwrap();
    let versions = [&rustls::version::TLS12];
    let client = rustls::ClientConfig::builder_with_protocol_versions(&versions);
    TlsConnector::from(Arc::new(client.with_root_certificates(roots).with_no_client_auth()))
}

/// Has a server know the users `app` (password `one`), `ops` (`two`), `eve` (`three`), and `gus`
/// (`three`), who may do nothing.
fn with_users(config: &mut Config, folder: &Path) {
    let file = folder.join("users");
    change_users(&file, |users| {
        users.add(name("app"), hash("one"), Grants::all())?;
        users.add(name("ops"), hash("two"), Grants::all())?;
        users.add(name("eve"), hash("three"), Grants::all())?;
        users.add(name("gus"), hash("three"), Grants::default())
    });
    config.dev = false;
    config.insecure = config.tls_cert.is_none();
    config.users = Some(file);
}

fn change_users(file: &Path, change: impl FnOnce(&mut Users) -> Result<(), UsersError>) {
    Users::edit(file, change).unwrap();
}

fn name(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

fn hash(password: &str) -> StoredHash {
    StoredHash::of(&Password::new(password.as_bytes().to_vec()).unwrap()).unwrap()
}

/// A client of this address.
async fn from(address: &str, server: &Running) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    socket.connect(server.address).await.unwrap()
}

/// Says who it is, in version 1.
async fn say(stream: &mut (impl AsyncWrite + Unpin), user: &str, password: &str) {
    let hello = format!("*3\r\n#\x02+{user}\r\n+{password}\r\n");
    stream.write_all(hello.as_bytes()).await.unwrap();
}

/// A client of version 2 that has been let in.
async fn log_in(server: &Running, user: &str, password: &str) -> TcpStream {
    let mut stream = server.connect().await;
    say_hello(&mut stream, user, password).await;
    stream
}

/// Says who it is, in version 2, and is let in.
async fn say_hello(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), user: &str, password: &str) {
    let (user_bytes, bytes) = (user.len(), password.len());
    let hello =
        format!("*6\r\n#H:0\r\n:2\r\n:2\r\n${user_bytes}\r\n{user}\r\n${bytes}\r\n{password}\r\n");
    ask(stream, hello.as_bytes(), b"*49\r\n#h:0\r\n:2\r\n").await;
}

/// What is to happen, on the busiest machine.
async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("it happens in time")
}
