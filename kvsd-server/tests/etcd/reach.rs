//! How a front end reaches a cluster: TLS, its own certificate, etcd's access control.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use crate::cluster::{Cluster, Options};
use crate::support::{Certificates, Server, assert_fails, assert_prints, binary, outcome};

/// `kvsd-server user list` with these settings: it asks the cluster, and nothing else.
fn list(folder: &Path, cluster: &Cluster, settings: &str) -> Output {
    let config = format!(
        "engine = 'etcd'\netcd_endpoints = {:?}\netcd_timeout = '2s'\n{settings}",
        cluster.endpoints()
    );
    fs::write(folder.join(CONFIG), config).unwrap();
    let mut command = binary(env!("CARGO_BIN_EXE_kvsd-server"));
    command.args(["user", "list", "--config", CONFIG]).current_dir(folder).output().unwrap()
}

/// Asserts that the cluster was asked and has no users.
fn assert_asked(output: &Output) {
    assert_eq!(outcome(output), (Some(0), String::new(), String::new()));
}

#[tokio::test]
async fn members_that_speak_tls_are_trusted_by_their_ca_and_may_ask_for_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Certificates::make(folder.path(), "ours", &["127.0.0.1"]);
    let other = Certificates::make(folder.path(), "other", &["127.0.0.1"]);
    let options = Options::members(1).tls(&ours.server, &ours.server_key).client_ca(&ours.ca);
    let Some(cluster) = Cluster::start_with(options).await else { return };
    let with = |ca: &Path, own: Option<&Certificates>| {
        let mut settings = format!("etcd_ca = {ca:?}\n");
        if let Some(Certificates { server, server_key, .. }) = own {
            settings.push_str(&format!("etcd_cert = {server:?}\netcd_key = {server_key:?}\n"));
        }
        list(folder.path(), &cluster, &settings)
    };
    assert_asked(&with(&ours.ca, Some(&ours)));
    assert_fails(&with(&other.ca, Some(&ours)), 1, &["etcd", "127.0.0.1"]);
    assert_fails(&with(&ours.ca, None), 1, &["etcd", "127.0.0.1"]);
    assert_fails(&with(&ours.ca, Some(&other)), 1, &["etcd", "127.0.0.1"]);
    assert_fails(&list(folder.path(), &cluster, ""), 1, &["etcd", "127.0.0.1"]);
}

#[tokio::test]
async fn a_user_of_etcd_who_may_use_the_prefix_is_all_that_a_front_end_needs() {
    let Some(cluster) = Cluster::start(1).await else { return };
    // `kvsd/` and what follows it, in base64.
    let prefix = r#"{"permType": "READWRITE", "key": "a3ZzZC8=", "range_end": "a3ZzZDA="}"#;
    for (path, body) in [
        ("user/add", r#"{"name": "root", "password": "root"}"#),
        ("role/add", r#"{"name": "root"}"#),
        ("user/grant", r#"{"user": "root", "role": "root"}"#),
        ("user/add", r#"{"name": "kvsd", "password": "canary"}"#),
        ("role/add", r#"{"name": "kvsd"}"#),
        ("role/grant", &format!(r#"{{"name": "kvsd", "perm": {prefix}}}"#)),
        ("user/grant", r#"{"user": "kvsd", "role": "kvsd"}"#),
        ("enable", "{}"),
    ] {
        cluster.call(0, &format!("/v3/auth/{path}"), body).await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    let settings = "etcd_user = 'kvsd'\netcd_password_file = 'password'\n";
    let write = |text: &str| {
        fs::write(&password, text).unwrap();
        fs::set_permissions(&password, Permissions::from_mode(0o600)).unwrap();
    };
    write("canary\n");
    assert_asked(&list(folder.path(), &cluster, settings));
    write("canary-2\n");
    let refused = list(folder.path(), &cluster, settings);
    assert_fails(&refused, 1, &["etcd refuses access", "etcd_password_file"]);
    assert!(!outcome(&refused).2.contains("canary"), "{}", outcome(&refused).2);
    let nobody = list(folder.path(), &cluster, "");
    assert_fails(&nobody, 1, &["etcd refuses access", "etcd_user"]);

    write("canary\n");
    let config = fs::read_to_string(folder.path().join(CONFIG)).unwrap();
    let config = format!("{config}{settings}dev = true\nlisten = '127.0.0.1:0'\n");
    fs::write(folder.path().join(CONFIG), config).unwrap();
    let server = Server::start(folder, ["--config", CONFIG]);
    assert_prints(&server.run(["set", "hello", "rust"]), "OK\n");
    assert_prints(&server.run(["get", "hello"]), "rust\n");
    assert!(!server.log().contains("canary"), "{}", server.log());
}

const CONFIG: &str = "kvsd.toml";
