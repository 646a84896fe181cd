//! `kvsd export` and `kvsd import` against `kvsd-server --dev`: every byte comes back.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the right answer to a surprise")]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use kvsd::{Client, UnixMillis};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::{Server, assert_fails, assert_prints, binary, outcome, run_with_input};

#[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
struct User {
    id: u64,
}

async fn client(server: &Server) -> Client {
    Client::connect(&format!("kvsd://{}", server.address)).await.unwrap()
}

/// All of a table but the versions.
async fn content(client: &Client) -> BTreeMap<Bytes, (Bytes, Option<UnixMillis>)> {
    let mut records = BTreeMap::new();
    let mut scan = client.scan::<Bytes>(..);
    while let Some(entry) = scan.next().await {
        let entry = entry.unwrap();
        records.insert(entry.key, (entry.value, entry.expires_at));
    }
    records
}

fn exported(server: &Server, args: &[&str]) -> (String, String) {
    let (code, stdout, stderr) = outcome(&server.kvsd(["export"]).args(args).output().unwrap());
    assert_eq!(code, Some(0), "{stderr}");
    (stdout, stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_and_every_expiry_comes_back() {
    let server = Server::dev();
    let writer = client(&server).await;
    let all: Vec<u8> = (0..=255).collect();
    for byte in 0..=255_u8 {
        writer.set([byte], [byte].repeat(usize::from(byte))).await.unwrap();
        writer.set([b'x', byte, 0, 0xff], &all).await.unwrap();
    }
    writer.set("text\r\n\"\\\u{2028}\u{1f980}", "\0\x1b\u{e4}\"\n").await.unwrap();
    writer.set("large", vec![0_u8; 3_000_000]).await.unwrap();
    writer.set("controls", vec![1_u8; 1_500_000]).await.unwrap();
    writer.set("user", &User { id: 7 }).await.unwrap();
    // As clients with other codecs store them.
    for (key, codec) in [("page", 3), ("future", 99)] {
        let header = [0xFF, 1, codec, 2, 1, 8, 7, 6, 5, 4, 3, 2, 1, 4];
        writer.set(key, [&header[..], b"Page{\"title\":\"\xc3\xa4\"}"].concat()).await.unwrap();
    }
    writer.set("no envelope", &[0xFF, 1, 3][..]).await.unwrap();
    let end = SystemTime::UNIX_EPOCH + Duration::from_millis(4_000_000_000_123);
    writer.set("ends", "v").expire_at(end).await.unwrap();
    let before = content(&writer).await;

    let (lines, said) = exported(&server, &[]);
    assert_eq!(said, format!("exported {} records\n", before.len()));
    let other = Server::dev();
    let reader = client(&other).await;
    // The second time, everything is there already.
    for _ in 0..2 {
        let output = run_with_input(&mut other.kvsd(["import"]), lines.as_bytes());
        assert_prints(&output, &format!("OK {} records\n", before.len()));
        assert!(content(&reader).await == before, "another content");
    }
    assert_eq!(reader.get::<User>("user").await.unwrap(), Some(User { id: 7 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_records_go_through_a_file_in_many_batches() {
    let server = Server::dev();
    let writer = client(&server).await;
    let names = (0..10_000).map(|n| (format!("k{n:05}"), n));
    writer.set_many(names).await.unwrap();
    let file = server.folder().join("records.jsonl");
    let output = server.kvsd(["export"]).arg(&file).output().unwrap();
    assert_eq!(outcome(&output), (Some(0), "".into(), "exported 10,000 records\n".into()));
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 10_000);
    let output = server.kvsd(["--table", "copy", "import"]).arg(&file).output().unwrap();
    assert_prints(&output, "OK 10,000 records\n");
    let copy = writer.table("copy").unwrap();
    assert!(content(&copy).await == content(&writer).await, "another content");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dump_prints_can_be_imported_table_by_table() {
    let server = Server::dev();
    let writer = client(&server).await;
    writer.set([0xff], "v").await.unwrap();
    writer.table("users").unwrap().set("user/7", &User { id: 7 }).await.unwrap();
    let folder = server.into_folder();
    let mut dump = binary(env!("CARGO_BIN_EXE_kvsd-server"));
    let output = dump.args(["dump", "--data-dir", "kvsd-data"]).current_dir(&folder).output();
    let lines = output.unwrap().stdout;

    let other = Server::dev();
    assert_prints(&run_with_input(&mut other.kvsd(["import"]), &lines), "OK 2 records\n");
    let reader = client(&other).await;
    assert_eq!(reader.get::<String>([0xff]).await.unwrap().as_deref(), Some("v"));
    let users = reader.table("users").unwrap();
    assert_eq!(users.get::<User>("user/7").await.unwrap(), Some(User { id: 7 }));
}

#[test]
fn a_part_a_table_and_nothing_can_be_exported() {
    let server = Server::dev();
    assert_eq!(exported(&server, &[]), (String::new(), "exported 0 records\n".into()));
    for (table, key) in [("default", "a"), ("default", "user/1"), ("users", "user/2")] {
        assert_prints(&server.run(["--table", table, "set", key, "v"]), "OK\n");
    }
    let keys = |args: &[&str]| -> Vec<String> {
        let lines = exported(&server, args).0;
        let parse = |line| serde_json::from_str::<Value>(line).unwrap();
        lines.lines().map(|line| parse(line)["key"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(keys(&[]), ["a", "user/1"]);
    assert_eq!(keys(&["--prefix", "user/"]), ["user/1"]);
    assert_eq!(keys(&["--table", "users"]), ["user/2"]);
    let (code, stdout, stderr) = outcome(&server.run(["--output", "json", "export"]));
    assert_eq!((code, stdout.lines().count()), (Some(0), 2));
    let note: Value = serde_json::from_str(&stderr).unwrap();
    assert_eq!(note, json!({ "note": "exported 2 records" }));
}

#[test]
fn lines_go_to_the_table_that_was_asked_for_or_to_the_one_that_they_name() {
    let server = Server::dev();
    let lines = r#"{"key":"k","value":"1"}
{"table":"users","key":"k","value":"2"}

{"table":"orders","key":"k","value":"3"}
{"table":"users","key":"k","value":"4"}"#;
    let import = |args: &[&str]| {
        let mut command = server.kvsd(args);
        assert_prints(&run_with_input(&mut command, lines.as_bytes()), "OK 4 records\n");
    };
    import(&["import", "-"]);
    for (table, value) in [("default", "1\n"), ("users", "4\n"), ("orders", "3\n")] {
        assert_prints(&server.run(["--table", table, "get", "k"]), value);
    }
    import(&["--table", "all", "import"]);
    assert_prints(&server.run(["--table", "all", "get", "k"]), "4\n");
}

#[test]
fn a_line_that_is_no_record_is_named_and_all_before_it_are_stored() {
    let server = Server::dev();
    let long = "v".repeat(10 * 1024 * 1024 + 1);
    for (number, bad) in [
        "canary",
        r#"{"key":"canary","value":"canary"#,
        r#"{"key":"canary"}"#,
        r#"{"key":"canary","value":"v","canary":1}"#,
        r#"{"key":"k","value":{"base64":"canary!"}}"#,
        r#"{"key":"","value":"canary"}"#,
        r#"{"table":"can/ary","key":"k","value":"canary"}"#,
        "\u{0}\u{1}",
        &format!(r#"{{"key":"canary","value":"{long}"}}"#),
    ]
    .into_iter()
    .enumerate()
    {
        let good: String = (1..=1_500)
            .map(|n| format!("{{\"key\":\"{number}/{n}\",\"value\":\"v\"}}\n"))
            .collect();
        let lines = format!("{good}{bad}\n{{\"key\":\"after {number}\",\"value\":\"v\"}}\n");
        let output = run_with_input(&mut server.kvsd(["import"]), lines.as_bytes());
        assert_fails(&output, 3, &["line 1501: ", "the lines before it are stored"]);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("canary"), "{output:?}");
        assert_prints(&server.run(["exists", &format!("{number}/1500")]), "true\n");
        assert_eq!(server.run(["exists", &format!("after {number}")]).status.code(), Some(1));
    }
}

#[test]
fn a_record_that_the_server_refuses_is_named_by_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder, ["--dev", "--listen", "127.0.0.1:0", "--max-tables", "1"]);
    let lines = r#"{"table":"one","key":"1","value":"v"}
{"table":"one","key":"2","value":"v"}
{"table":"two","key":"3","value":"canary"}"#;
    let output = run_with_input(&mut server.kvsd(["import"]), lines.as_bytes());
    assert_fails(&output, 3, &["line 3", "tables"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("canary"), "{output:?}");
    assert_prints(&server.run(["--table", "one", "scan"]), "1\tv\n2\tv\n");
}

#[test]
fn an_endless_line_ends_the_import_and_not_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--dev", "--listen", "127.0.0.1:0", "--max-value-bytes", "64KiB"];
    let server = Server::start(folder, args);
    let zeros = File::open("/dev/zero").unwrap();
    let output = server.kvsd(["import"]).stdin(zeros).output().unwrap();
    assert_fails(&output, 3, &["line 1: it is longer than that of any record"]);
}

#[test]
fn a_record_that_has_ended_is_left_out_and_counted() {
    let server = Server::dev();
    let lines = r#"{"key":"past","value":"v","expires_at":1000}
{"key":"future","value":"v","expires_at":4000000000000}"#;
    let output = run_with_input(&mut server.kvsd(["import"]), lines.as_bytes());
    let said = "left out 1 that had ended\n".to_owned();
    assert_eq!(outcome(&output), (Some(0), "OK 1 records\n".into(), said));
    assert_eq!(server.run(["exists", "past"]).status.code(), Some(1));
    let output = run_with_input(&mut server.kvsd(["--output=json", "import"]), lines.as_bytes());
    let stored: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(stored, json!({ "stored": 1, "ended": 1 }));
}

#[test]
fn files_that_cannot_be_read_or_written_are_named() {
    let server = Server::dev();
    assert_prints(&server.run(["set", "k", "v"]), "OK\n");
    assert_prints(&run_with_input(&mut server.kvsd(["import"]), b""), "OK 0 records\n");
    assert_fails(&server.run(["import", "/absent/file"]), 3, &["cannot read /absent/file"]);
    assert_fails(&server.run(["import", "/"]), 3, &["cannot read"]);
    assert_fails(&server.run(["export", "/absent/file"]), 3, &["cannot write /absent/file"]);
    assert_fails(&server.run(["export", "/dev/full"]), 3, &["/dev/full", "No space left"]);
}
