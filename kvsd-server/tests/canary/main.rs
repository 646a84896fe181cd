//! A canary password, key and value through every path, at every level of every log: found nowhere.
//!
//! The server is the real one, at level `trace`, once for each format of its log; the client is in
//! this process, at level `trace` too. Looked at: both logs, the slow log and the audit log, every
//! error, what the command lines print beside what they are asked for, what administrators and the
//! status address are told, every answer to nonsense, `Debug` of what
//! holds a secret, and every file. Tables and users have names that everybody may see.

#![allow(clippy::unwrap_used, reason = "a test's helpers unwrap as its functions do")]

#[path = "../support/mod.rs"]
mod support;

mod client;
mod raw;
mod told;
mod types;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kvsd::Client;
use tempfile::TempDir;
use tracing_subscriber::filter::LevelFilter;

use client::DAMAGED;
use support::{Server, binary, run_with_input};
use told::{KEY, PASSWORD, STRANGER, Told, VALUE, WRONG, assert_clean_files};

#[test]
fn no_type_shows_what_it_holds() {
    let told = Told::default();
    types::show(&told);
    told.assert_clean();
}

#[test]
fn a_text_log_and_all_else_keep_every_secret() {
    nothing_tells_a_secret("text");
}

#[test]
fn a_json_log_and_all_else_keep_every_secret() {
    nothing_tells_a_secret("json");
}

fn nothing_tells_a_secret(format: &str) {
    let told = Told::default();
    let writer = told.clone();
    let lines = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(move || writer.writer())
        .finish();
    // The client's tasks run on this thread.
    let _guard = tracing::subscriber::set_default(lines);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();

    let folder = tempfile::tempdir().unwrap();
    users(folder.path(), &told);
    let server = start(folder, format, &[]);
    let url = format!("kvsd://app:{PASSWORD}@{}/default", server.address);
    runtime.block_on(async {
        let client = Client::connect(&url).await.unwrap();
        client::operations(&client, &told).await;
        client::failures(&client, &told).await;
        client.close().await;
        // Before so many wrong passwords that not even the right one is taken.
        let url = url.replacen("app", "eve", 1);
        let client = Client::connect(&url).await.unwrap();
        client::denied(&client, &told).await;
        client.close().await;
        client::strangers(&server.address.to_string(), &told).await;
    });
    raw::nonsense(server.address, &told);
    let answers = Told::default();
    answers.add("the answers of version 1", raw::version_1(server.address));
    answers.assert_told(VALUE);
    answers.assert_holds_no(&[&PASSWORD[9..22]]);
    command_line(&server, &told);
    administration(&server, &told);
    status_address(&server, &told);

    // The next server finds damage in the middle of a table.
    told.add("the server's log", server.log());
    let folder = stop(server);
    damage(&folder.path().join("kvsd-data"));
    let server = start(folder, format, &[]);
    let url = format!("kvsd://app:{PASSWORD}@{}/default", server.address);
    runtime.block_on(async {
        let client = Client::connect(&url).await.unwrap();
        told.error("damage", &client.get::<String>(DAMAGED).await.unwrap_err());
        let mut scan = client.scan::<String>(KEY);
        while let Some(record) = scan.next().await {
            if let Err(error) = record {
                told.error("a scan over damage", &error);
            }
        }
        client.close().await;
    });
    told.add("the server's log", server.log());

    // And one that takes its disk to be full.
    let server = start(stop(server), format, &["--min-free-disk", "1024GiB"]);
    let url = format!("kvsd://app:{PASSWORD}@{}/default", server.address);
    runtime.block_on(async {
        let client = Client::connect(&url).await.unwrap();
        client::on_a_full_disk(&client, &told).await;
        client.close().await;
    });
    told.add("the server's log", server.log());
    let folder = stop(server);
    for command in ["verify", "dump"] {
        told.output(command, &tool(folder.path(), &[command]).output().unwrap());
    }
    let salvage = tool(folder.path(), &["salvage", "--to", "salvaged"]).output().unwrap();
    told.output("salvage", &salvage);

    told.add("the audit log", fs::read(folder.path().join("audit")).unwrap());
    let seen = ["connected", "wrong_credentials", "damaged", "table-0"];
    let by_others = ["kvsd::slow", "set password", "kvsd_requests_total", "\"slow\":{"];
    for words in seen.into_iter().chain(by_others) {
        told.assert_told(words);
    }
    told.assert_clean();
    let is_data = |path: &Path| {
        ["kvsd-data", "salvaged"].iter().any(|data| path.starts_with(folder.path().join(data)))
    };
    assert_clean_files(folder.path(), &is_data);
}

/// Makes the user, and fails to make others.
fn users(folder: &Path, told: &Told) {
    let right = format!("{PASSWORD}\n");
    for (args, input) in [
        (&["user", "add", "app", "--users", "users", "--grant", "admin@*"][..], right.clone()),
        (&["user", "add", "eve", "--users", "users", "--grant", "read@other"], right.clone()),
        (&["user", "password", "eve", "--users", "users"], right),
        (&["user", "grant", "eve", "write@other", "--users", "users"], String::new()),
        (&["user", "grant", "eve", "owner@other", "--users", "users"], String::new()),
        (&["user", "add", "app", "--users", "users"], format!("{WRONG}\n")),
        (&["user", "add", "two:parts", "--users", "users"], format!("{WRONG}\n")),
        (&["user", "add", "ops", "--users", "users"], format!("{WRONG}\n{WRONG}\n")),
        (&["user", "add", "ops", "--users", "users"], format!("{}\n", WRONG.repeat(100))),
        (&["user", "list", "--users", "users"], String::new()),
    ] {
        let output = run_with_input(&mut tool(folder, args), input.as_bytes());
        told.add(format!("{args:?}"), [output.stdout.clone(), output.stderr.clone()].concat());
    }
}

fn start(folder: TempDir, format: &str, flags: &[&str]) -> Server {
    let args = ["--insecure", "--users", "users", "--listen", "127.0.0.1:0", "--log", "trace"];
    let more = ["--audit-log", "audit", "--max-value-bytes", "1MiB", "--max-tables", "8"];
    let status = ["--status-listen", "127.0.0.1:0", "--slow-request", "1ms"];
    let args = args.into_iter().chain(more).chain(status).chain(["--log-format", format]);
    Server::start(folder, args.chain(flags.iter().copied()))
}

fn stop(mut server: Server) -> TempDir {
    let pid = server.child().id().to_string();
    assert!(Command::new("kill").arg(&pid).status().unwrap().success());
    assert!(server.child().wait().unwrap().success());
    server.into_folder()
}

fn tool(folder: &Path, args: &[&str]) -> Command {
    let mut command = binary(env!("CARGO_BIN_EXE_kvsd-server"));
    command.args(args).current_dir(folder);
    command
}

/// What `kvsd admin` prints, with passwords and without.
fn administration(server: &Server, told: &Told) {
    let right = format!("{PASSWORD}\n");
    for (args, input) in [
        (&["user", "add", "gus", "--grant", "read@other"][..], &*right),
        (&["user", "add", "gus"], &right),
        (&["user", "password", "gus"], &right),
        (&["user", "password", "nobody"], &right),
        (&["user", "grant", "gus", "write@other"], ""),
        (&["user", "list"], ""),
        (&["tables"], ""),
        (&["connections", "list"], ""),
        (&["compact"], ""),
        (&["backup", "monday"], ""),
        (&["reload"], ""),
        (&["log", "trace"], ""),
        (&["user", "remove", "gus"], ""),
    ] {
        for output in ["text", "json"] {
            let mut command = server.kvsd(["--output", output, "admin"]);
            let command = command.args(args).current_dir(server.folder());
            let output = run_with_input(command, input.as_bytes());
            told.add(format!("{args:?}"), [output.stdout, output.stderr].concat());
        }
    }
}

/// What whoever asks the status address is told.
fn status_address(server: &Server, told: &Told) {
    let log = server.log();
    let port = log.split("http://127.0.0.1:").nth(1).unwrap().split('/').next().unwrap();
    for path in ["/", "/status.json", "/metrics", "/healthz", "/readyz"] {
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        let head = "Host: localhost\r\nConnection: close";
        write!(stream, "GET {path} HTTP/1.1\r\n{head}\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        told.add(format!("the status address's {path}"), answer);
    }
}

/// What the command line `kvsd` prints on standard error, and on both streams where it fails.
fn command_line(server: &Server, told: &Told) {
    let run = |user: &str, password: &str, args: &[&str]| {
        let mut command = server.kvsd(args);
        command.env("KVSD_USERNAME", user).env("KVSD_PASSWORD", password);
        told.output(
            &format!("{:?}", args.first()),
            &command.stdin(Stdio::null()).output().unwrap(),
        );
    };
    let too_long = KEY.repeat(100);
    for output in ["text", "json"] {
        for args in [
            &["ping"][..],
            &["set", KEY, VALUE],
            &["set", KEY, VALUE, VALUE],
            &["set", &too_long, VALUE],
            &["get", KEY],
            &["get", &too_long],
            &["get", "--wrong-flag", KEY],
            &["exists", KEY],
            &["scan", KEY],
            &["scan", "--table", "absent", KEY],
            &["export"],
            &["import"],
            &["tables", "list"],
            &["stats"],
            &["delete", KEY],
        ] {
            let args: Vec<_> = ["--output", output].iter().chain(args).copied().collect();
            run("app", PASSWORD, &args);
            run("eve", WRONG, &args);
        }
        run(STRANGER, WRONG, &["--output", output, "get", KEY]);
    }
    for line in [format!("{{\"key\": \"{KEY}\", \"value\": "), format!("{KEY} {VALUE}")] {
        let mut command = server.kvsd(["import"]);
        command.env("KVSD_USERNAME", "app").env("KVSD_PASSWORD", PASSWORD);
        told.output("import of a broken line", &run_with_input(&mut command, line.as_bytes()));
    }
}

/// Flips a bit in the middle of a stored value.
fn damage(data: &Path) {
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let mut bytes = fs::read(&path).unwrap_or_default();
            let key = bytes.windows(DAMAGED.len()).position(|w| w == DAMAGED.as_bytes());
            let value = key.and_then(|key| {
                let rest = &bytes[key..(key + 100).min(bytes.len())];
                rest.windows(VALUE.len()).position(|w| w == VALUE.as_bytes()).map(|at| key + at)
            });
            if let Some(value) = value {
                bytes[value + 3] ^= 1;
                fs::write(&path, bytes).unwrap();
                return;
            }
        }
    }
    panic!("the value is in no file");
}
