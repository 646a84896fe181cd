//! What the SDK says when it cannot connect, each cause by its own name and at once; and that it
//! lives with a server that has less room than its pool wants.

#![allow(clippy::unwrap_used, reason = "a test's helpers unwrap as its functions do")]

mod support;

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use kvsd::protocol::v2::FailCode;
use kvsd::{Client, Error, ErrorKind, Outcome};
use support::{Certificates, Server, binary, run_with_input};
use tempfile::TempDir;

async fn fails(url: &str) -> Error {
    let error = Client::connect(url).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent);
    error
}

#[track_caller]
fn says(error: &Error, kind: ErrorKind, words: &str) {
    assert_eq!(error.kind(), kind, "{error}");
    assert!(format!("{error:#}").contains(words), "`{words}` is not in: {error:#}");
}

fn tls_server(certificates: &Certificates) -> Server {
    let args = ["--dev", "--listen", "127.0.0.1:0", "--tls-cert"].map(String::from);
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let key = ["--tls-key".into(), path(&certificates.server_key)];
    let args = args.into_iter().chain([path(&certificates.server)]).chain(key);
    Server::start(tempfile::tempdir().unwrap(), args)
}

#[tokio::test]
async fn a_closed_port_and_an_unknown_host_are_told_apart() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    says(&fails(&format!("kvsd://{free}")).await, ErrorKind::Connect, "connection refused");
    says(&fails("kvsd://no-such-host.invalid").await, ErrorKind::Connect, "cannot find the host");
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    let mut add = binary(env!("CARGO_BIN_EXE_kvsd-server"));
    add.args(["user", "add", "app", "--grant=write@*", "--users"]).arg(&users);
    assert!(run_with_input(&mut add, b"right\n").status.success());
    let args = ["--insecure", "--listen", "127.0.0.1:0", "--users", "users"];
    let server = Server::start(folder, args);
    let url = |login: &str| format!("kvsd://{login}{}", server.address);

    let error = fails(&url("app:canary@")).await;
    says(&error, ErrorKind::Unauthenticated, "password");
    assert!(!format!("{error} {error:?}").contains("canary"));
    says(&fails(&url("nobody:right@")).await, ErrorKind::Unauthenticated, "password");
    says(&fails(&url("")).await, ErrorKind::Unauthenticated, "password");
    Client::connect(&url("app:right@")).await.unwrap().ping().await.unwrap();
    assert!(!server.log().contains("canary"), "{}", server.log());
}

#[tokio::test]
async fn what_a_user_may_not_do_is_said_and_what_it_is_granted_counts_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    let user = |action: &str, grants: &[&str]| {
        let mut user = binary(env!("CARGO_BIN_EXE_kvsd-server"));
        user.args(["user", action, "app", "--users"]).arg(&users).args(grants);
        assert!(run_with_input(&mut user, b"right\n").status.success());
    };
    user("add", &["--grant=read@logs-*"]);
    let args = ["--insecure", "--listen", "127.0.0.1:0", "--users", "users"];
    let server = Server::start(folder, args);
    let url = format!("kvsd://app:right@{}", server.address);
    let client = Client::connect(&url).await.unwrap();
    client.ping().await.unwrap();
    let logs = client.table("logs-1").unwrap();
    assert_eq!(logs.get::<String>("canary").await.unwrap(), None);
    for error in [
        logs.set("canary", "v").await.unwrap_err(),
        client.get::<String>("canary").await.unwrap_err(),
        client.get_many::<String>(["canary"]).await.unwrap_err(),
        client.set_many([("canary", "v")]).await.unwrap_err(),
        client.batch().set("canary", "v").await.unwrap_err(),
        client.drop_table("logs-1").await.unwrap_err(),
    ] {
        says(&error, ErrorKind::PermissionDenied, "takes the role");
        assert_eq!(error.outcome(), Outcome::Refused, "{error}");
        assert!(!error.is_retryable(), "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }

    user("grant", &["write@default"]);
    loop {
        match client.set("k", "v").await {
            Ok(_) => break,
            // Not noticed yet, or just noticed: the connection ends, and the next one may.
            Err(error) => assert!(
                matches!(
                    error.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::Server(FailCode::Unauthenticated)
                ),
                "{error}"
            ),
        }
    }
    assert_eq!(client.get::<String>("k").await.unwrap().as_deref(), Some("v"));
    assert!(!server.log().contains("canary"), "{}", server.log());
}

#[tokio::test]
async fn an_untrusted_certificate_and_one_of_another_host_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(folder.path(), "ours", &["localhost"]);
    let others = Certificates::make(folder.path(), "others", &["localhost"]);
    let server = tls_server(&certificates);
    let port = server.address.port();
    let ca = |file: &Path| file.to_str().unwrap().replace(' ', "%20");
    let (ca, other_ca) = (ca(&certificates.ca), ca(&others.ca));

    says(&fails(&format!("kvsds://localhost:{port}")).await, ErrorKind::Tls, "not trusted here");
    let url = format!("kvsds://localhost:{port}?ca={other_ca}");
    says(&fails(&url).await, ErrorKind::Tls, "not trusted here");
    let url = format!("kvsds://127.0.0.1:{port}?ca={ca}");
    says(&fails(&url).await, ErrorKind::Tls, "another host name");
    let client = Client::connect(&format!("kvsds://localhost:{port}?ca={ca}")).await.unwrap();
    client.set("k", "v").await.unwrap();
    assert_eq!(client.get::<String>("k").await.unwrap().as_deref(), Some("v"));
}

/// A server with the users `app` (password `right`) and `ops` (`other`), two CAs of clients, and
/// clients with certificates.
struct Certified {
    server: Server,
    ca: String,
    app: String,
    nobody: String,
    forged: String,
    /// What the files lie in.
    _folder: TempDir,
}

impl Certified {
    fn start(client_auth: &str) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let make = |ca: &str, host: &str| Certificates::make(keys.path(), ca, &[host]);
        let ours = make("ours", "localhost");
        let (app, nobody, forged) =
            (make("one", "app"), make("two", "nobody"), make("forger", "app"));
        let both = [&app.ca, &nobody.ca].map(|file| std::fs::read(file).unwrap()).concat();
        std::fs::write(keys.path().join("clients.pem"), both).unwrap();

        let folder = tempfile::tempdir().unwrap();
        for (user, password) in [("app", &b"right\n"[..]), ("ops", b"other\n")] {
            let mut add = binary(env!("CARGO_BIN_EXE_kvsd-server"));
            add.args(["user", "add", user, "--grant=write@*", "--users"])
                .arg(folder.path().join("users"));
            assert!(run_with_input(&mut add, password).status.success());
        }
        let clients = keys.path().join("clients.pem");
        let args = [
            ("--listen", "127.0.0.1:0".as_ref()),
            ("--users", "users".as_ref()),
            ("--tls-cert", ours.server.as_os_str()),
            ("--tls-key", ours.server_key.as_os_str()),
            ("--tls-client-ca", clients.as_os_str()),
            ("--tls-client-auth", client_auth.as_ref()),
        ];
        let args = args.into_iter().flat_map(|(flag, value)| [flag.as_ref(), value]);
        let server = Server::start(folder, args.collect::<Vec<&OsStr>>());
        let text = |file: &Path| file.to_str().unwrap().replace(' ', "%20");
        let own = |made: &Certificates| {
            format!("&cert={}&key={}", text(&made.server), text(&made.server_key))
        };
        let (app, nobody, forged) = (own(&app), own(&nobody), own(&forged));
        Self { server, ca: text(&ours.ca), app, nobody, forged, _folder: keys }
    }

    /// The URL of a client with this login and this certificate.
    fn url(&self, login: &str, certificate: &str) -> String {
        let port = self.server.address.port();
        format!("kvsds://{login}localhost:{port}?pool=1&ca={}{certificate}", self.ca)
    }
}

#[tokio::test]
async fn the_user_whom_a_certificate_names_needs_no_password_and_others_do() {
    let all = Certified::start("optional");
    for (login, certificate) in
        [("", &*all.app), ("app@", &all.app), ("ops:other@", &all.app), ("app:right@", "")]
    {
        let client = Client::connect(&all.url(login, certificate)).await;
        client.unwrap_or_else(|error| panic!("{login} {certificate}: {error:#}"));
    }
    for (login, certificate, words) in [
        ("ops@", &*all.app, "wrong"),
        ("app:wrong@", &all.app, "wrong"),
        ("app@", &all.nobody, "wrong"),
        ("", &all.nobody, "names no user"),
        ("", "", "give a user name"),
        ("nobody@", &all.nobody, "wrong"),
    ] {
        let error = fails(&all.url(login, certificate)).await;
        says(&error, ErrorKind::Unauthenticated, words);
    }
    // Not of a CA that vouches for clients.
    let error = Client::connect(&all.url("", &all.forged)).await.unwrap_err();
    assert_ne!(error.kind(), ErrorKind::Unauthenticated, "{error:#}");
}

#[tokio::test]
async fn where_certificates_are_required_a_password_alone_does_not_do() {
    let all = Certified::start("required");
    Client::connect(&all.url("", &all.app)).await.unwrap();
    Client::connect(&all.url("ops:other@", &all.nobody)).await.unwrap();
    let error = Client::connect(&all.url("app:right@", "")).await.unwrap_err();
    assert!(format!("{error:#}").contains("CertificateRequired"), "{error:#}");
    Client::connect(&all.url("app:right@", &all.forged)).await.unwrap_err();

    // Whose user goes has no use for a certificate.
    let client = Client::connect(&all.url("", &all.app)).await.unwrap();
    let mut remove = binary(env!("CARGO_BIN_EXE_kvsd-server"));
    remove.args(["user", "remove", "app", "--users"]).arg(all.server.folder().join("users"));
    assert!(remove.output().unwrap().status.success());
    let refused = async {
        loop {
            match client.ping().await {
                Err(error) if error.kind() == ErrorKind::Unauthenticated => return error,
                Ok(_) | Err(_) => {}
            }
        }
    };
    let error = tokio::time::timeout(Duration::from_secs(60), refused).await.unwrap();
    says(&error, ErrorKind::Unauthenticated, "names no user");
}

#[tokio::test]
async fn plain_on_a_tls_port_and_tls_on_a_plain_one_name_the_other_url() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(folder.path(), "ours", &["localhost"]);
    let tls = tls_server(&certificates);
    says(&fails(&format!("kvsd://{}", tls.address)).await, ErrorKind::Tls, "kvsds://");
    let plain = Server::dev();
    let url = format!("kvsds://localhost:{}", plain.address.port());
    says(&fails(&url).await, ErrorKind::Tls, "kvsd://");
}

#[tokio::test]
async fn a_pool_larger_than_the_servers_room_works_with_what_it_gets() {
    let args = ["--dev", "--listen", "127.0.0.1:0", "--max-connections", "2"];
    let server = Server::start(tempfile::tempdir().unwrap(), args);
    let client = Client::connect(&format!("kvsd://{}?pool=4", server.address)).await.unwrap();
    let work = (0..200).map(|i| {
        let client = client.clone();
        tokio::spawn(async move {
            let key = format!("k{i}");
            client.set(&key, i).await.unwrap();
            assert_eq!(client.get::<i32>(&key).await.unwrap(), Some(i));
        })
    });
    for task in work.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}
