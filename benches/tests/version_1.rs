//! The library of crate kvsd 0.1.3, as published, against this server.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the right answer to a surprise")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kvsd_server::users::{Grants, Password, StoredHash, UserName, Users};
use kvsd_server::{Config, Server};
use kvsd_v1::client::Api;
use kvsd_v1::client::tcp::UnauthenticatedClient;
use kvsd_v1::{Key, KvsdError, Value};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A server in this process.
struct Running {
    port: u16,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    folder: TempDir,
}

impl Running {
    /// Starts a server; `change` says how, given the folder that it may use.
    async fn start(change: impl FnOnce(&mut Config, &Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.listen = "127.0.0.1:0".parse().unwrap();
        config.data_dir = folder.path().join("data");
        change(&mut config, folder.path());
        let server = Server::bind(config.check().unwrap()).await.unwrap();
        let port = server.local_addr().port();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            server.serve(stopped).await.unwrap();
        });
        Self { port, stop, serving, folder }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap();
        self.folder.close().unwrap();
    }
}

/// Makes the server one for development.
fn dev(config: &mut Config, _: &Path) {
    config.dev = true;
}

/// Gives the server a certificate, which version 1 takes for `localhost` whatever it says.
fn encrypt(config: &mut Config, folder: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    (config.tls_cert, config.tls_key) = (Some(cert), Some(key));
}

/// Lets in `app` with the password `secret`, and nobody else.
fn with_user(config: &mut Config, folder: &Path) {
    let path = folder.join("users");
    let hash = StoredHash::of(&Password::new(b"secret".to_vec()).unwrap()).unwrap();
    Users::edit(&path, |users| users.add(UserName::parse("app").unwrap(), hash, Grants::all()))
        .unwrap();
    config.users = Some(path);
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn value(bytes: &[u8]) -> Value {
    Value::new(bytes).unwrap()
}

/// What the one trait of version 1 can do, and the values that its protocol makes hard.
async fn use_everything(client: &mut impl Api) {
    client.ping().await.unwrap();

    assert_eq!(client.get(key("hello")).await.unwrap(), None);
    assert_eq!(client.delete(key("hello")).await.unwrap(), None);
    client.set(key("hello"), value(b"rust")).await.unwrap();
    assert_eq!(client.get(key("hello")).await.unwrap(), Some(value(b"rust")));
    client.set(key("hello"), value(b"rust!!!")).await.unwrap();
    assert_eq!(client.delete(key("hello")).await.unwrap(), Some(value(b"rust!!!")));
    assert_eq!(client.get(key("hello")).await.unwrap(), None);

    let every_byte: Vec<u8> = (0..=255).collect();
    let large = vec![b'\r'; 1024 * 1024];
    for hard in [&b""[..], b"\r\n", b"a\r\nb\r\n", b"|", b"*2\r\n#\x03\r\n", &every_byte, &large] {
        client.set(key("hard"), value(hard)).await.unwrap();
        let found = client.get(key("hard")).await.unwrap();
        assert_eq!(found.as_deref(), Some(hard));
        let old = client.delete(key("hard")).await.unwrap();
        assert_eq!(old.as_deref(), Some(hard));
    }

    let longest = "k".repeat(1024);
    client.set(key(&longest), value(b"1")).await.unwrap();
    assert_eq!(client.get(key(&longest)).await.unwrap(), Some(value(b"1")));
    client.ping().await.unwrap();
}

#[tokio::test]
async fn version_1_works_over_plain_tcp() {
    let server = Running::start(dev).await;
    let client = UnauthenticatedClient::insecure_from_addr("127.0.0.1", server.port).await;
    let mut client = client.unwrap().authenticate("anyone", "anything").await.unwrap();
    use_everything(&mut client).await;
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn version_1_works_over_tls() {
    let server = Running::start(|config, folder| {
        dev(config, folder);
        encrypt(config, folder);
    });
    let server = server.await;
    let client = UnauthenticatedClient::from_addr("127.0.0.1", server.port).await;
    let mut client = client.unwrap().authenticate("anyone", "anything").await.unwrap();
    use_everything(&mut client).await;
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn version_1_logs_in_over_plain_tcp_and_a_wrong_password_is_told() {
    let server = Running::start(|config, folder| {
        with_user(config, folder);
        config.insecure = true;
    });
    let server = server.await;
    for (user, password) in [("app", "wrong"), ("nobody", "secret"), ("app", "")] {
        let client = UnauthenticatedClient::insecure_from_addr("127.0.0.1", server.port).await;
        let refused = client.unwrap().authenticate(user, password).await;
        assert!(matches!(refused, Err(KvsdError::Unauthenticated)), "{user}:{password}");
    }
    let client = UnauthenticatedClient::insecure_from_addr("127.0.0.1", server.port).await;
    let mut client = client.unwrap().authenticate("app", "secret").await.unwrap();
    use_everything(&mut client).await;
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn version_1_logs_in_over_tls_and_a_wrong_password_is_told() {
    let server = Running::start(|config, folder| {
        with_user(config, folder);
        encrypt(config, folder);
    });
    let server = server.await;
    let client = UnauthenticatedClient::from_addr("127.0.0.1", server.port).await;
    let refused = client.unwrap().authenticate("app", "wrong").await;
    assert!(matches!(refused, Err(KvsdError::Unauthenticated)));
    let client = UnauthenticatedClient::from_addr("127.0.0.1", server.port).await;
    let mut client = client.unwrap().authenticate("app", "secret").await.unwrap();
    use_everything(&mut client).await;
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn version_1_and_version_2_see_the_same_records() {
    let server = Running::start(dev).await;
    let old = UnauthenticatedClient::insecure_from_addr("127.0.0.1", server.port).await;
    let mut old = old.unwrap().authenticate("anyone", "anything").await.unwrap();
    let new = kvsd::Client::connect(&format!("kvsd://127.0.0.1:{}", server.port)).await.unwrap();

    old.set(key("hello"), value(b"rust")).await.unwrap();
    assert_eq!(new.get::<String>("hello").await.unwrap().as_deref(), Some("rust"));
    new.set("answer", 42_u32).await.unwrap();
    assert_eq!(old.get(key("answer")).await.unwrap(), Some(value(b"42")));

    drop(old);
    new.close().await;
    server.stop().await;
}
