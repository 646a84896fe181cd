//! `kvsd-server verify`, `dump` and `salvage` on folders that a real server has written.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the right answer to a surprise")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::{Server, assert_fails, binary, outcome};
use tempfile::TempDir;

#[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
struct User {
    id: u64,
}

/// `kvsd-server` with a command, in a folder.
fn tool(folder: &Path, args: &[&str]) -> Command {
    let mut command = binary(env!("CARGO_BIN_EXE_kvsd-server"));
    command.args(args).current_dir(folder);
    command
}

fn run(folder: &TempDir, args: &[&str]) -> Output {
    tool(folder.path(), args).output().unwrap()
}

async fn client(server: &Server) -> kvsd::Client {
    kvsd::Client::connect(&format!("kvsd://{}", server.address)).await.unwrap()
}

/// Stops the server as an operator does; its folder.
fn stop(mut server: Server) -> TempDir {
    kill_process(Pid::from_child(server.child()), Signal::TERM).unwrap();
    assert!(server.child().wait().unwrap().success());
    server.into_folder()
}

fn serve(folder: TempDir, data: &str) -> Server {
    Server::start(folder, ["--dev", "--listen", "127.0.0.1:0", "--data-dir", data])
}

/// Every file below the data folder, with its content and the time of its last change.
fn contents(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    // What is neither is a socket, which has no content.
    let entries = entries.filter(|path| path.is_dir() || path.is_file());
    let files = entries.flat_map(|path| match path.is_dir() {
        true => contents(&path),
        false => {
            let changed = fs::metadata(&path).unwrap().modified().unwrap();
            BTreeMap::from([(path.clone(), (fs::read(&path).unwrap(), changed))])
        }
    });
    files.collect()
}

/// Flips a bit where these bytes first stand; in which file, and where.
fn damage(folder: &Path, bytes: &[u8]) -> (PathBuf, usize) {
    for (path, (mut content, _)) in contents(folder) {
        if let Some(at) = content.windows(bytes.len()).position(|window| window == bytes) {
            content[at] ^= 1;
            fs::write(&path, content).unwrap();
            return (path, at);
        }
    }
    panic!("no file holds the bytes");
}

/// The lines of a dump, which must have ended well.
fn lines(output: &Output) -> Vec<Value> {
    let (code, stdout, stderr) = outcome(output);
    assert_eq!(code, Some(0), "{stderr}");
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_folder_verifies_and_its_dump_tells_what_was_written() {
    let server = Server::dev();
    let writer = client(&server).await;
    writer.set("b", "canary \u{e4}").await.unwrap();
    writer.set("a", "old").await.unwrap();
    writer.set("a", "new").await.unwrap();
    writer.set("gone", "gone").await.unwrap();
    writer.delete("gone").await.unwrap();
    writer.set([0xff, 0x00], &[0xff, 0x80][..]).await.unwrap();
    let future = SystemTime::UNIX_EPOCH + Duration::from_millis(4_000_000_000_000);
    writer.set("past", "x").ttl(Duration::from_millis(1)).await.unwrap();
    while writer.exists("past").await.unwrap() {}
    writer.set("soon", "x").expire_at(future).await.unwrap();
    let users = writer.table("users").unwrap();
    users.set("user/7", &User { id: 7 }).await.unwrap();
    writer.close().await;
    let folder = stop(server);

    let before = contents(&folder.path().join("kvsd-data"));
    let (code, stdout, stderr) = outcome(&run(&folder, &["verify"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    for words in ["default: 8 records, 4 live keys, ", "users: 1 records, 1 live keys, ", ": ok\n"]
    {
        assert!(stdout.contains(words), "`{words}` is not in: {stdout}");
    }
    assert!(stdout.ends_with("\nOK: 2 tables, 9 records\n"), "{stdout}");

    let dumped = lines(&run(&folder, &["dump", "--data-dir", "kvsd-data"]));
    let picked = |line: &Value| (line["table"].clone(), line["key"].clone(), line["value"].clone());
    let default = json!("default");
    assert_eq!(
        dumped.iter().take(4).map(picked).collect::<Vec<_>>(),
        [
            (default.clone(), json!("a"), json!("new")),
            (default.clone(), json!("b"), json!("canary \u{e4}")),
            (default.clone(), json!("soon"), json!("x")),
            (default, json!({"base64": "/wA="}), json!({"base64": "/4A="})),
        ]
    );
    assert_eq!(dumped[0]["expires_at"], Value::Null);
    assert_eq!(dumped[0]["version"], 3);
    assert_eq!(dumped[2]["expires_at"], 4_000_000_000_000_u64);
    assert_eq!(dumped.len(), 5);
    let user = &dumped[4];
    assert_eq!((&user["table"], &user["key"]), (&json!("users"), &json!("user/7")));
    assert_eq!((&user["type"], &user["type_version"]), (&json!("User"), &json!(1)));
    assert_eq!((&user["codec"], &user["value"]), (&json!("bincode"), &json!("\u{7}")));

    assert_eq!(lines(&run(&folder, &["dump", "--expired"])).len(), 6);
    assert_eq!(lines(&run(&folder, &["dump", "--table", "users"])), dumped[4..]);
    assert_fails(&run(&folder, &["dump", "--table", "none"]), 1, &["no table none"]);
    assert_eq!(contents(&folder.path().join("kvsd-data")), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_use_is_refused() {
    let server = Server::dev();
    client(&server).await.set("key", "value").await.unwrap();
    for args in [&["verify"][..], &["dump"], &["salvage", "--to", "new"]] {
        let output = tool(server.folder(), args).output().unwrap();
        assert_fails(&output, 1, &["kvsd-data", "in use by another process"]);
    }
    assert!(!server.folder().join("new").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_named_by_start_and_verify_and_salvage_saves_the_rest() {
    let server = Server::dev();
    let writer = client(&server).await;
    for key in ["first", "second", "third"] {
        writer.set(key, format!("canary-{key}")).await.unwrap();
    }
    let other = writer.table("other").unwrap();
    other.set("whole", "kept").await.unwrap();
    let shown = other.get::<String>("whole").versioned().await.unwrap().unwrap().version;
    writer.close().await;
    // After a clean stop a hint vouches for the file, and the server would not read it.
    let folder = server.into_folder();
    let data = folder.path().join("kvsd-data");
    let (file, _) = damage(&data, b"canary-second");
    let file = file.strip_prefix(folder.path()).unwrap().display().to_string();

    let start = run(&folder, &["--dev", "--listen", "127.0.0.1:0"]);
    let (code, _, refusal) = outcome(&start);
    assert_eq!(code, Some(1), "{refusal}");
    assert!(refusal.contains("run `kvsd-server verify`"), "{refusal}");
    let at = refusal.find(&file).unwrap();
    let place = refusal[at..].split(':').next().unwrap();
    assert!(place.starts_with(&format!("{file} is damaged at byte ")), "{refusal}");
    // The start may have opened the other table, which was not closed, before it met the damage.
    let before = contents(&data);

    let (code, stdout, stderr) = outcome(&run(&folder, &["verify"]));
    assert_eq!(code, Some(1), "{stdout}");
    let named = stdout.lines().find(|line| line.starts_with("  default: ")).unwrap();
    assert!(named.contains(place), "`{place}` is not in: {named}");
    assert!(stdout.contains("other: 1 records, 1 live keys"), "{stdout}");
    assert!(stderr.contains("1 place is damaged") && stderr.contains("kvsd-server salvage"));
    assert!(!stdout.contains("second") && !stderr.contains("second"));

    let dump = run(&folder, &["dump"]);
    assert_fails(&dump, 1, &[&file, "kvsd-server salvage"]);

    let (code, stdout, stderr) = outcome(&run(&folder, &["salvage", "--to", "new"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.contains("default: 2 records saved, 1 places skipped"), "{stdout}");
    assert!(stdout.contains("other: 1 records saved, 0 places skipped"), "{stdout}");
    assert!(stdout.contains(place), "`{place}` is not in: {stdout}");
    assert_eq!(contents(&data), before);

    let (code, stdout, _) = outcome(&run(&folder, &["verify", "--data-dir", "new"]));
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.ends_with("OK: 2 tables, 3 records\n"), "{stdout}");

    let server = serve(folder, "new");
    let reader = client(&server).await;
    assert_eq!(reader.get::<String>("first").await.unwrap().as_deref(), Some("canary-first"));
    assert_eq!(reader.get::<String>("second").await.unwrap(), None);
    assert_eq!(reader.get::<String>("third").await.unwrap().as_deref(), Some("canary-third"));
    let other = reader.table("other").unwrap();
    let saved = other.get::<String>("whole").versioned().await.unwrap().unwrap();
    assert_eq!((saved.value.as_str(), saved.version), ("kept", shown));
    other.set("whole", "again").await.unwrap();
    let again = other.get::<String>("whole").versioned().await.unwrap().unwrap().version;
    assert!(again.get() > shown.get() + (1 << 32), "a version that was shown never returns");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_hint_costs_a_warning_and_nothing_else() {
    let server = Server::dev();
    let writer = client(&server).await;
    writer.set("key", "canary").await.unwrap();
    writer.close().await;
    let folder = stop(server);
    let hint = folder.path().join("kvsd-data/tables/00000001/00000001.hint");
    let mut content = fs::read(&hint).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(&hint, content).unwrap();
    let before = contents(folder.path());

    let (code, stdout, stderr) = outcome(&run(&folder, &["verify"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    let warning = "  default: warning: ./kvsd-data/tables/00000001/00000001.hint: it is damaged";
    assert!(stdout.contains(warning), "{stdout}");
    assert!(stdout.contains("bytes: ok\n"), "{stdout}");
    assert!(stdout.ends_with("\nOK: 1 tables, 1 records\n"), "{stdout}");
    assert_eq!(contents(folder.path()), before);

    let server = serve(folder, "kvsd-data");
    let value = client(&server).await.get::<String>("key").await.unwrap();
    assert_eq!(value.as_deref(), Some("canary"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_is_reported_and_is_no_damage() {
    let server = Server::dev();
    let writer = client(&server).await;
    writer.set("key", "canary").await.unwrap();
    writer.close().await;
    let folder = server.into_folder();
    let data = folder.path().join("kvsd-data");
    let segment = contents(&data).into_keys().find(|path| path.extension() == Some("seg".as_ref()));
    let segment = segment.unwrap();
    let mut content = fs::read(&segment).unwrap();
    let end = content.iter().rposition(|byte| *byte != 0).unwrap() + 100;
    content.truncate(end);
    content.extend_from_slice(&[0xa5; 50]);
    fs::write(&segment, content).unwrap();
    let before = contents(&data);

    for tool in ["verify", "dump"] {
        assert_eq!(run(&folder, &[tool]).status.code(), Some(0), "{tool}");
    }
    let (_, stdout, _) = outcome(&run(&folder, &["verify"]));
    assert!(stdout.contains("default: 1 records, 1 live keys"), "{stdout}");
    assert!(stdout.contains("with a torn tail"), "{stdout}");
    assert!(stdout.contains("unfinished bytes, from byte "), "{stdout}");
    assert!(stdout.ends_with("OK: 1 tables, 1 records\n"), "{stdout}");
    assert_eq!(contents(&data), before);

    let server = serve(folder, "kvsd-data");
    let value = client(&server).await.get::<String>("key").await.unwrap();
    assert_eq!(value.as_deref(), Some("canary"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_seen_enough_ends_a_dump_quietly() {
    let server = Server::dev();
    let writer = client(&server).await;
    for key in ["a", "b", "c"] {
        writer.set(key, "x".repeat(100_000)).await.unwrap();
    }
    writer.close().await;
    let folder = stop(server);
    let (reader, closed) = io::pipe().unwrap();
    drop(reader);
    let output = tool(folder.path(), &["dump"]).stdout(closed).output().unwrap();
    assert_eq!(outcome(&output), (Some(0), String::new(), String::new()));
}

#[test]
fn folders_that_cannot_be_meant_are_refused_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["verify", "dump"] {
        let output = run(&folder, &[command, "--data-dir", "absent"]);
        assert_fails(&output, 1, &["absent", "No such file"]);
        let output = run(&folder, &[command, "--data-dir", "."]);
        assert_fails(&output, 1, &["CATALOG", "no kvsd data"]);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

    let folder = stop(Server::dev());
    fs::create_dir(folder.path().join("full")).unwrap();
    fs::write(folder.path().join("full/file"), "").unwrap();
    let salvage = |to| run(&folder, &["salvage", "--to", to]);
    assert_fails(&salvage("full"), 1, &["full", "not empty"]);
    assert_fails(&salvage("kvsd-data/new"), 2, &["inside the folder to salvage"]);
    assert_fails(&salvage("kvsd-data"), 2, &["inside the folder to salvage"]);
    assert!(!folder.path().join("kvsd-data/new").exists());
    assert_fails(&run(&folder, &["salvage"]), 2, &["--to"]);
}

#[test]
fn the_folder_is_found_by_configuration_and_environment() {
    let folder = stop(Server::dev());
    fs::write(folder.path().join("kvsd.toml"), "data_dir = 'kvsd-data'\n").unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let ok = (Some(0), "OK: 0 tables, 0 records\n".to_owned(), String::new());
    let config = folder.path().join("kvsd.toml");
    let mut by_flag = tool(elsewhere.path(), &["verify", "--config"]);
    assert_eq!(outcome(&by_flag.arg(&config).output().unwrap()), ok);
    let mut by_file = tool(elsewhere.path(), &["verify"]);
    assert_eq!(outcome(&by_file.env("KVSD_SERVER_CONFIG", &config).output().unwrap()), ok);
    let mut by_variable = tool(elsewhere.path(), &["verify"]);
    by_variable.env("KVSD_SERVER_DATA_DIR", folder.path().join("kvsd-data"));
    assert_eq!(outcome(&by_variable.output().unwrap()), ok);
}
