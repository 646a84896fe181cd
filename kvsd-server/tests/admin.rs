//! `kvsd admin` with a real server.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the right answer to a surprise")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use kvsd::{Client, ErrorKind};
use support::{Server, assert_fails, assert_prints, binary, kvsd, outcome, run_with_input};

fn admin(folder: &Path, args: &[&str]) -> Command {
    let mut command = kvsd(["admin"].iter().chain(args));
    command.current_dir(folder);
    command
}

fn run(server: &Server, args: &[&str]) -> Output {
    admin(server.folder(), args).output().unwrap()
}

fn objects(output: &Output) -> Vec<serde_json::Value> {
    let (code, stdout, stderr) = outcome(output);
    assert_eq!(code, Some(0), "{stderr}");
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A server with the user `app`, whose password is `one` and who may write.
fn with_users() -> Server {
    let folder = tempfile::tempdir().unwrap();
    let mut add = binary(env!("CARGO_BIN_EXE_kvsd-server"));
    add.args(["user", "add", "app", "--users", "users", "--grant", "write@*"]);
    let added = run_with_input(add.current_dir(folder.path()), b"one\n");
    assert_eq!(added.status.code(), Some(0), "{}", outcome(&added).2);
    let audit = ["--audit-log", "audit"];
    let usual = ["--insecure", "--users", "users", "--listen", "127.0.0.1:0"];
    Server::start(folder, usual.iter().chain(&audit))
}

async fn connect(server: &Server, user: &str, password: &str) -> Result<Client, kvsd::Error> {
    let url = format!("kvsd://{user}:{password}@{}", server.address);
    Client::builder().url(&url).unwrap().pool_size(1).connect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn users_come_and_go_at_run_time_and_it_is_so_when_it_is_answered() {
    let server = with_users();
    let new = |args: &[&str], password: &[u8]| {
        run_with_input(&mut admin(server.folder(), args), password)
    };
    assert_prints(&run(&server, &["user", "list"]), "app\twrite@*\n");
    assert_prints(&new(&["user", "add", "ops", "--grant", "read@*"], b"two\n"), "OK\n");
    let ops = connect(&server, "ops", "two").await.unwrap();
    assert_eq!(ops.get::<String>("key").await.unwrap(), None);
    assert_eq!(ops.set("key", "value").await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_prints(&run(&server, &["user", "grant", "ops", "write@default"]), "OK\n");
    let ops = connect(&server, "ops", "two").await.unwrap();
    ops.set("key", "value").await.unwrap();
    assert_prints(&run(&server, &["user", "revoke", "ops", "read@*"]), "OK\n");
    assert_prints(&run(&server, &["user", "list"]), "app\twrite@*\nops\twrite@default\n");

    assert_prints(&new(&["user", "password", "ops"], b"three\n"), "OK\n");
    let denied = connect(&server, "ops", "two").await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Unauthenticated);
    assert!(connect(&server, "ops", "three").await.is_ok());
    assert_prints(&run(&server, &["user", "remove", "ops"]), "OK\n");
    let denied = connect(&server, "ops", "three").await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Unauthenticated);

    let made = objects(&run(&server, &["--output", "json", "user", "add", "new", "--generate"]));
    let password = made[0]["password"].as_str().unwrap();
    assert_eq!((made[0]["user"].as_str(), password.len()), (Some("new"), 32));
    assert!(connect(&server, "new", password).await.is_ok());
    let audit = fs::read_to_string(server.folder().join("audit")).unwrap();
    for (action, of) in [
        ("add user", "ops read@*"),
        ("grant", "ops write@default"),
        ("revoke", "ops read@*"),
        ("set password", "ops"),
        ("remove user", "ops"),
    ] {
        let is_it = |line: &str| {
            let entry: serde_json::Value = serde_json::from_str(line).unwrap();
            (entry["action"].as_str(), entry["of"].as_str()) == (Some(action), Some(of))
        };
        assert_eq!(audit.lines().filter(|line| is_it(line)).count(), 1, "{action}: {audit}");
    }
    assert!(!audit.contains("list"), "who only looks leaves no entry: {audit}");
    let users = objects(&run(&server, &["--output", "json", "user", "list"]));
    assert_eq!(users[1], serde_json::json!({ "user": "new", "grants": [] }));

    assert_fails(&new(&["user", "add", "app"], b"x\n"), 2, &["there is a user app already"]);
    assert_fails(&run(&server, &["user", "remove", "none"]), 2, &["there is no user none"]);
    assert_fails(&new(&["user", "password", "app"], b"\n"), 2, &["must not be empty"]);
    assert!(connect(&server, "app", "one").await.is_ok());
    let log = server.log();
    assert!(log.contains("add user") && log.contains("remove user"), "{log}");
    for secret in ["two", "three", password, "argon2id"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_listed_and_ended() {
    let server = with_users();
    let client = connect(&server, "app", "one").await.unwrap();
    client.set("key", "value").await.unwrap();
    let rows = objects(&run(&server, &["--output", "json", "connections", "list"]));
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((rows[0]["user"].as_str(), rows[0]["tls"].as_bool()), (Some("app"), Some(false)));
    assert!(rows[0]["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    let id = rows[0]["id"].as_u64().unwrap().to_string();
    let (code, text, _) = outcome(&run(&server, &["connections", "list"]));
    assert_eq!(code, Some(0));
    assert!(text.starts_with("peer ") && text.contains(" app "), "{text}");
    assert_prints(&run(&server, &["connections", "kill", &id]), "OK\n");
    // The client opens another one.
    while client.get::<String>("key").await.is_err() {}
    let rows = objects(&run(&server, &["--output", "json", "connections", "list"]));
    assert_ne!(rows[0]["id"].as_u64().unwrap().to_string(), id);
    let said = format!("there is no connection {id}");
    assert_fails(&run(&server, &["connections", "kill", &id]), 2, &[&said]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_told_of_and_compacted() {
    let folder = tempfile::tempdir().unwrap();
    let dev = ["--dev", "--listen", "127.0.0.1:0", "--history-time", "0s", "--history-bytes", "0"];
    let server = Server::start(folder, dev);
    let client = Client::connect(&format!("kvsd://{}", server.address)).await.unwrap();
    for table in ["one", "two"] {
        for _ in 0..10 {
            client.table(table).unwrap().set("key", &vec![7_u8; 1000][..]).await.unwrap();
        }
    }
    let (code, text, _) = outcome(&run(&server, &["tables"]));
    assert_eq!(code, Some(0));
    assert!(text.starts_with("table ") && text.matches(" ok\n").count() == 2, "{text}");
    let rows = objects(&run(&server, &["--output", "json", "compact", "one"]));
    assert_eq!((rows.len(), rows[0]["table"].as_str()), (1, Some("one")));
    assert!((9_000..10_500).contains(&rows[0]["freed_bytes"].as_u64().unwrap()), "{rows:?}");
    let (_, text, _) = outcome(&run(&server, &["compact"]));
    assert!(text.starts_with("one: freed 0 bytes, ") && text.contains("\ntwo: freed "), "{text}");
    let tables = objects(&run(&server, &["--output", "json", "tables"]));
    assert!(tables.iter().all(|table| table["dead_bytes"].as_u64().unwrap() < 100), "{tables:?}");
    let value = client.table("two").unwrap().get::<Vec<u8>>("key").await.unwrap();
    assert_eq!(value.unwrap().len(), 1000);
    assert_fails(&run(&server, &["compact", "none"]), 1, &["table none", "there is no table"]);
}

#[test]
fn the_log_filter_is_shown_and_changed() {
    let server = Server::dev();
    assert_prints(&run(&server, &["log"]), "info\n");
    assert!(!server.log().contains("DEBUG"), "{}", server.log());
    let (code, text, note) = outcome(&run(&server, &["log", "kvsd_server=debug"]));
    assert_eq!((code, text.as_str()), (Some(0), "OK\n"));
    assert!(note.contains("until the server ends"), "{note}");
    assert_prints(&run(&server, &["log"]), "kvsd_server=debug\n");
    assert!(server.log().contains("DEBUG"), "{}", server.log());
    assert_fails(&run(&server, &["log", "a=b=c"]), 2, &[]);
    assert_prints(&run(&server, &["log"]), "kvsd_server=debug\n");
}

#[test]
fn reload_says_whether_it_could() {
    let server = with_users();
    let (code, text, _) = outcome(&run(&server, &["reload"]));
    assert_eq!(code, Some(0));
    assert!(text.contains("0 users changed"), "{text}");
    fs::write(server.folder().join("users"), "app:nonsense\n").unwrap();
    let said = ["not read again", "line 1"];
    assert_fails(&run(&server, &["reload"]), 2, &said);
}

#[test]
fn a_socket_that_cannot_be_used_is_named_with_the_way_out() {
    use std::os::unix::net::UnixListener;

    let folder = tempfile::tempdir().unwrap();
    let none = admin(folder.path(), &["--socket", "none.sock", "tables"]).output().unwrap();
    assert_fails(&none, 3, &["no server is running at the socket none.sock", "hint: ", "--socket"]);
    let mut by_variable = admin(folder.path(), &["tables"]);
    by_variable.env("KVSD_ADMIN_SOCKET", "other.sock");
    assert_fails(&by_variable.output().unwrap(), 3, &["other.sock"]);
    let json = admin(folder.path(), &["--output", "json", "tables"]).output().unwrap();
    let error: serde_json::Value = serde_json::from_slice(&json.stderr).unwrap();
    assert!(error["error"].as_str().unwrap().contains("kvsd-data/admin.sock"), "{error}");

    // Of another version: what it says is not known here.
    let listener = UnixListener::bind(folder.path().join("new.sock")).unwrap();
    let later = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"*3\r\n#z:1\r\n:7\r\n").unwrap();
        stream
    });
    let asked = admin(folder.path(), &["--socket", "new.sock", "tables"]).output().unwrap();
    assert_fails(&asked, 3, &["does not know", "hint: use the kvsd of the server's version"]);
    drop(later.join().unwrap());
}
