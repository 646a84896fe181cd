//! The audit log of the real server: who came in, who did not, and who changed what.

#![allow(clippy::unwrap_used, reason = "a test's helpers unwrap as its functions do")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread;

use serde_json::Value;

use support::{Server, binary, run_with_input};

/// A server with the user `app`, whose password is `secret`, and an audit log.
fn server() -> Server {
    let folder = tempfile::tempdir().unwrap();
    add_user(folder.path(), "app", b"secret\n");
    let args = ["--insecure", "--users", "users", "--audit-log", "audit", "--log-format", "json"];
    Server::start(folder, args.into_iter().chain(["--listen", "127.0.0.1:0"]))
}

fn add_user(folder: &Path, name: &str, password: &[u8]) {
    let mut command = binary(env!("CARGO_BIN_EXE_kvsd-server"));
    command.args(["user", "add", name, "--users"]).arg(folder.join("users"));
    assert!(run_with_input(&mut command, password).status.success());
}

fn entries(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until an entry of the audit log is as it should be.
fn wait_for(file: &Path, is_it: impl Fn(&Value) -> bool) -> Value {
    loop {
        if let Some(entry) = entries(file).into_iter().find(|entry| is_it(entry)) {
            return entry;
        }
        thread::yield_now();
    }
}

/// Logs in as version 1 does; what the server answers.
fn login(server: &Server, user: &str, password: &str) -> String {
    let mut stream = TcpStream::connect(server.address).unwrap();
    write!(stream, "*3\r\n#\x02+{user}\r\n+{password}\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn who_comes_in_and_who_does_not_is_told_and_nothing_of_what_a_stranger_said() {
    let server = server();
    let file = server.folder().join("audit");
    assert!(login(&server, "app", "secret").contains("#\x03"));
    assert!(login(&server, "app", "canary").contains("UNAUTHENTICATED"));
    assert!(login(&server, "canary", "secret").contains("UNAUTHENTICATED"));
    let entries = entries(&file);
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| (entry["event"].as_str(), entry["user"].as_str(), entry["outcome"].as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            (Some("login"), Some("app"), Some("ok")),
            (Some("login"), Some("app"), Some("refused")),
            (Some("login"), None, Some("refused")),
        ]
    );
    for entry in &entries {
        assert!(entry["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{entry}");
    }
    let told = format!("{entries:?}{}", server.log());
    assert!(!told.contains("canary") && !told.contains("secret"), "{told}");
}

#[test]
fn a_flood_of_bad_passwords_leaves_few_lines_and_their_number() {
    let server = server();
    let file = server.folder().join("audit");
    let count = 40;
    for _ in 0..count {
        login(&server, "nobody", "wrong");
    }
    // All are told, one by one or as a number.
    let told = |entries: &[Value]| -> u64 {
        entries.iter().map(|entry| entry["left_out"].as_u64().unwrap_or(1)).sum()
    };
    while told(&entries(&file)) < count {
        thread::yield_now();
    }
    assert_eq!(told(&entries(&file)), count);
    assert!(entries(&file).iter().any(|entry| entry["left_out"].is_u64()), "all have a line");
}

#[test]
fn users_who_change_are_named_and_a_log_that_was_moved_away_is_made_again() {
    let mut server = server();
    let file = server.folder().join("audit");
    add_user(server.folder(), "ops", b"other\n");
    let entry = wait_for(&file, |entry| entry["event"] == "users");
    assert_eq!((&entry["action"], &entry["user"]), (&"added".into(), &"ops".into()));

    fs::rename(&file, server.folder().join("audit.1")).unwrap();
    let pid = server.child().id().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    while !file.exists() {
        thread::yield_now();
    }
    login(&server, "app", "secret");
    let entry = wait_for(&file, |entry| entry["event"] == "login");
    assert_eq!((&entry["user"], &entry["outcome"]), (&"app".into(), &"ok".into()));
}

#[test]
fn the_log_is_json_line_by_line_and_has_the_entries_too() {
    let server = server();
    login(&server, "app", "wrong");
    let log = server.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let entry = lines.iter().find(|line| line["target"] == "kvsd::audit").unwrap();
    assert_eq!((&entry["level"], &entry["event"]), (&"WARN".into(), &"login".into()));
    assert_eq!((&entry["user"], &entry["outcome"]), (&"app".into(), &"refused".into()));
}

#[test]
fn what_a_user_may_not_do_is_told_with_the_table() {
    let server = server();
    let mut stream = TcpStream::connect(server.address).unwrap();
    write!(
        stream,
        "*6\r\n#H:0\r\n:2\r\n:2\r\n$3\r\napp\r\n$6\r\nsecret\r\n\
         *3\r\n#Z:1\r\n+stock\r\n*4\r\n#G:2\r\n+not/a/table\r\n$6\r\ncanary\r\n"
    )
    .unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let entries = entries(&server.folder().join("audit"));
    let refused: Vec<_> = entries.iter().filter(|entry| entry["event"] == "operation").collect();
    assert_eq!(refused.len(), 2, "{entries:?}");
    for entry in &refused {
        assert_eq!((&entry["user"], &entry["why"]), (&"app".into(), &"denied".into()));
    }
    assert_eq!((&refused[0]["action"], &refused[0]["of"]), (&"drop table".into(), &"stock".into()));
    assert_eq!((&refused[1]["action"], &refused[1]["of"]), (&"get".into(), &Value::Null));
    assert!(!format!("{entries:?}").contains("canary"), "{entries:?}");
}
