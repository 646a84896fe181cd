//! Users in etcd: what one front end or one command changes, every front end takes up.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use kvsd::{Client, Error, ErrorKind};
use tempfile::TempDir;

use crate::cluster::{Cluster, within};
use crate::support::{Server, assert_fails, assert_prints, binary, kvsd, outcome, run_with_input};

/// A folder whose `kvsd.toml` makes a front end of this cluster.
fn folder(cluster: &Cluster) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let endpoints = cluster.endpoints();
    let config = format!(
        "insecure = true\nlisten = '127.0.0.1:0'\nengine = 'etcd'\netcd_endpoints = {endpoints:?}\n\
         etcd_timeout = '2s'\n"
    );
    fs::write(folder.path().join(CONFIG), config).unwrap();
    folder
}

fn front_end(cluster: &Cluster) -> Server {
    Server::start(folder(cluster), ["--config", CONFIG])
}

/// `kvsd-server user` in this folder, which need not be that of a front end which runs.
fn user(folder: &TempDir, args: &[&str]) -> Command {
    let mut command = binary(env!("CARGO_BIN_EXE_kvsd-server"));
    command.arg("user").args(args).args(["--config", CONFIG]).current_dir(folder.path());
    command
}

/// `kvsd admin user` at a front end.
fn admin(server: &Server, args: &[&str]) -> Command {
    let mut command = kvsd(["admin", "user"].iter().chain(args));
    command.current_dir(server.folder());
    command
}

/// What is said when a command of `kvsd-server user` succeeds.
fn said(output: &Output) -> String {
    let (code, _, stderr) = outcome(output);
    assert_eq!(code, Some(0), "{stderr}");
    stderr
}

async fn connect(server: &Server, user: &str, password: &str) -> Result<Client, Error> {
    let url = format!("kvsd://{user}:{password}@{}", server.address);
    Client::builder().url(&url).unwrap().pool_size(1).connect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_at_one_front_end_ends_and_changes_the_sessions_of_another() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let elsewhere = folder(&cluster);
    let mut refused = binary(env!("CARGO_BIN_EXE_kvsd-server"));
    refused.args(["--config", CONFIG]).current_dir(elsewhere.path()).stderr(Stdio::piped());
    let refused = outcome(&refused.output().unwrap());
    assert_eq!(refused.0, Some(2), "nobody could log in: {}", refused.2);
    assert!(refused.2.contains("kvsd-server user add"), "{}", refused.2);

    let added =
        run_with_input(&mut user(&elsewhere, &["add", "app", "--grant", "read@*"]), b"one\n");
    assert!(said(&added).contains("all servers of the cluster"));
    let (first, second) = (front_end(&cluster), front_end(&cluster));
    let client = connect(&second, "app", "one").await.unwrap();
    let may_write =
        async || client.set("key", "value").await.err().map(|error| error.kind()) != DENIED;
    assert!(!may_write().await);
    let listed = [
        admin(&first, &["list"]).output().unwrap(),
        admin(&second, &["list"]).output().unwrap(),
        user(&elsewhere, &["list"]).output().unwrap(),
    ];
    for output in &listed {
        assert_prints(output, "app\tread@*\n");
    }

    // The connection of the client has what it was let in with, and comes back with what is so now.
    assert_prints(&admin(&first, &["grant", "app", "write@*"]).output().unwrap(), "OK\n");
    assert!(within(SOON, may_write).await, "the grant did not come to the other front end");
    said(&user(&elsewhere, &["revoke", "app", "write@*"]).output().unwrap());
    assert!(within(SOON, async || !may_write().await).await, "nor did the revocation");

    let changed = run_with_input(&mut admin(&first, &["password", "app"]), b"two\n");
    assert_prints(&changed, "OK\n");
    let is_out = async || {
        let error = client.ping().await.err().map(|error| error.kind());
        error == Some(ErrorKind::Unauthenticated)
    };
    assert!(within(SOON, is_out).await, "the old password still serves");
    assert!(connect(&second, "app", "two").await.is_ok());

    assert_prints(&admin(&second, &["remove", "app"]).output().unwrap(), "OK\n");
    let is_gone = async || connect(&first, "app", "two").await.is_err();
    assert!(within(SOON, is_gone).await, "who was removed still gets in");
    for server in [&first, &second] {
        let log = server.log();
        assert!(!log.contains("argon2id"), "{log}");
    }
    let again = user(&elsewhere, &["remove", "app"]).output().unwrap();
    assert_fails(&again, 1, &["there is no user app"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_users_that_were_known_last_stay_while_etcd_is_away() {
    let Some(mut cluster) = Cluster::start(1).await else { return };
    let elsewhere = folder(&cluster);
    said(&run_with_input(&mut user(&elsewhere, &["add", "app", "--grant", "read@*"]), b"one\n"));
    let server = front_end(&cluster);
    let client = connect(&server, "app", "one").await.unwrap();

    cluster.kill(0);
    let told = async || server.log().contains("users not read again");
    assert!(within(LONG, told).await, "{}", server.log());
    client.ping().await.unwrap();
    assert!(connect(&server, "app", "one").await.is_ok(), "who was known gets in");
    let denied = connect(&server, "new", "two").await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Unauthenticated);
    let add = |of: &mut Command| outcome(&run_with_input(of, b"two\n"));
    let (code, _, stderr) = add(&mut user(&elsewhere, &["add", "new"]));
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("etcd"), "{stderr}");
    let (code, _, stderr) = add(&mut admin(&server, &["add", "new"]));
    assert_ne!(code, Some(0));
    assert!(stderr.contains("the users in etcd cannot be had now"), "{stderr}");

    cluster.restart(0).await;
    cluster.ready().await;
    said(&run_with_input(&mut user(&elsewhere, &["add", "new"]), b"two\n"));
    let is_known = async || connect(&server, "new", "two").await.is_ok();
    assert!(within(LONG, is_known).await, "{}", server.log());
    client.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_who_change_a_user_at_the_same_time_lose_nothing() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let elsewhere = folder(&cluster);
    said(&run_with_input(&mut user(&elsewhere, &["add", "app"]), b"one\n"));
    let tables: Vec<_> = (0..8).map(|table| format!("read@t{table}")).collect();
    std::thread::scope(|scope| {
        for grant in &tables {
            let elsewhere = &elsewhere;
            scope.spawn(move || said(&user(elsewhere, &["grant", "app", grant]).output().unwrap()));
        }
    });
    let (_, stdout, _) = outcome(&user(&elsewhere, &["list"]).output().unwrap());
    for grant in &tables {
        assert!(stdout.contains(grant.as_str()), "{grant} was lost: {stdout}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn front_ends_share_a_machine_but_never_a_folder() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let elsewhere = folder(&cluster);
    said(&run_with_input(&mut user(&elsewhere, &["add", "app"]), b"one\n"));
    let (first, _second) = (front_end(&cluster), front_end(&cluster));
    let mut third = binary(env!("CARGO_BIN_EXE_kvsd-server"));
    third.args(["--config", CONFIG]).current_dir(first.folder());
    assert_fails(&third.output().unwrap(), 1, &["is in use by another process"]);
    assert_prints(&admin(&first, &["list"]).output().unwrap(), "app\t\n");
}

const CONFIG: &str = "kvsd.toml";
const DENIED: Option<ErrorKind> = Some(ErrorKind::PermissionDenied);
/// How long a change may take to be known everywhere, on a machine with much to do.
const SOON: Duration = Duration::from_secs(20);
/// As long, and what a front end waits for etcd.
const LONG: Duration = Duration::from_secs(60);
