//! `kvsd scan`, `watch`, `tables`, `stats` and `completions` against `kvsd-server --dev`.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the right answer to a surprise")]

mod support;

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::{
    COMMANDS, Server, assert_fails, assert_prints, binary, kvsd, outcome, run_with_input,
};

#[derive(Debug, Serialize, Deserialize, kvsd::Value)]
struct User {
    id: u64,
}

/// A derived value that a client with the codec JSON has stored.
const PAGE: &str = r#"{"key":"5 page","type":"Page","type_version":1,
    "fingerprint":"0123456789abcdef","codec":"json","value":"{\"title\":\"x\"}"}"#;

async fn client(server: &Server) -> kvsd::Client {
    kvsd::Client::connect(&format!("kvsd://{}", server.address)).await.unwrap()
}

/// Stores lines of JSON.
fn import(server: &Server, lines: &[Value]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let output = run_with_input(&mut server.kvsd(["import"]), text.as_bytes());
    assert!(output.status.success(), "{output:?}");
}

fn names(prefix: &str, count: usize) -> Vec<Value> {
    (0..count)
        .map(|n| json!({ "key": format!("{prefix}{n:05}"), "value": n.to_string() }))
        .collect()
}

/// The objects that a command printed, after it has succeeded.
#[track_caller]
fn objects(output: &Output) -> Vec<Value> {
    let (code, stdout, stderr) = outcome(output);
    assert_eq!(code, Some(0), "{stderr}");
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_scan_prints_what_begins_so_or_lies_between_in_order_or_backwards() {
    let server = Server::dev();
    for key in ["a", "user/1", "user/2", "user/3", "users"] {
        assert_prints(&server.run(["set", key, "v"]), "OK\n");
    }
    assert_prints(&server.run(["scan", "user/", "--limit", "2"]), "user/1\tv\nuser/2\tv\n");
    // A server that keeps its data itself has nothing older.
    assert_prints(&server.run(["scan", "--stale", "--keys-only", "users"]), "users\n");
    assert_prints(&server.run(["get", "--stale", "users"]), "v\n");
    assert_prints(&server.run(["exists", "--stale", "users"]), "true\n");
    for (args, keys) in [
        (&[][..], "a user/1 user/2 user/3 users"),
        (&["user/"], "user/1 user/2 user/3"),
        (&["user/", "--reverse"], "user/3 user/2 user/1"),
        (&["--limit", "0"], ""),
        (&["--from", "user/2"], "user/2 user/3 users"),
        (&["--to", "user/2"], "a user/1"),
        (&["--from", "b", "--to", "user/3", "--reverse", "--limit", "1"], "user/2"),
        (&["--from", "x", "--to", "b"], ""),
        (&["none"], ""),
        (&["--table", "none"], ""),
    ] {
        let expected: String = keys.split_whitespace().map(|key| format!("{key}\n")).collect();
        let output = server.kvsd(["scan", "--keys-only"]).args(args).output().unwrap();
        assert_prints(&output, &expected);
    }
}

#[test]
fn a_scan_goes_through_all_pages() {
    let server = Server::dev();
    import(&server, &names("k", 10_000));
    let (code, stdout, stderr) = outcome(&server.run(["scan"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let expected: String = (0..10_000).map(|n| format!("k{n:05}\t{n}\n")).collect();
    assert!(stdout == expected, "{} bytes", stdout.len());
    let backwards = objects(&server.run(["scan", "--reverse", "--keys-only", "--output", "json"]));
    assert_eq!(backwards.len(), 10_000);
    assert_eq!(
        (&backwards[0]["key"], &backwards[9_999]["key"]),
        (&json!("k09999"), &json!("k00000"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_shown_so_that_a_terminal_and_a_program_can_bear_them() {
    let server = Server::dev();
    let writer = client(&server).await;
    writer.set("1 text", "it's \u{e4}").await.unwrap();
    writer.set("2 lines\n", "a\tb\n\x1b[2J").await.unwrap();
    writer.set([b'3', 0xff], &[0xff, 0x01, 0x02][..]).await.unwrap();
    writer.set("4 user", &User { id: 7 }).await.unwrap();
    import(&server, &[serde_json::from_str(PAGE).unwrap()]);
    let expected = "1 text\tit's \u{e4}\n\
                    \"2 lines\\n\"\t\"a\\tb\\n\\u{1b}[2J\"\n\
                    (2 bytes, base64) M/8=\t(3 bytes, base64) /wEC\n\
                    4 user\t<User v1, bincode, 1 bytes>\n\
                    5 page\t<Page v1, json, 13 bytes> {\"title\":\"x\"}\n";
    assert_prints(&server.run(["scan"]), expected);
    let page = "<Page v1, json, 13 bytes> {\"title\":\"x\"}\n";
    assert_prints(&server.run(["get", "5 page"]), page);
    let raw = server.run(["get", "--raw", "5 page"]).stdout;
    assert!(raw.starts_with(b"\xFF\x01") && raw.ends_with(b"{\"title\":\"x\"}"), "{raw:?}");

    let lines = objects(&server.run(["--output", "json", "scan"]));
    assert_eq!(lines[0]["value"], "it's \u{e4}");
    assert_eq!(lines[1]["key"], "2 lines\n");
    assert_eq!(lines[2]["key"], json!({ "base64": "M/8=" }));
    assert_eq!((&lines[3]["type"], &lines[3]["codec"]), (&json!("User"), &json!("bincode")));
    assert_eq!(lines[4]["value"], "{\"title\":\"x\"}");
    assert!(lines.iter().all(|line| line["table"] == "default" && line["expires_at"].is_null()));
    assert_eq!(lines[4], objects(&server.run(["--output", "json", "get", "5 page"]))[0]);
    let keys = objects(&server.run(["--output", "json", "scan", "--keys-only", "5"]));
    assert!(keys[0].get("value").is_none() && keys[0]["version"] == lines[4]["version"]);
}

#[test]
fn a_reader_that_has_seen_enough_ends_a_scan_and_an_export_quietly() {
    let server = Server::dev();
    import(&server, &names("k", 10_000));
    for (args, first) in [
        (&["scan"][..], "k00000\t0\n"),
        (&["scan", "--keys-only"], "k00000\n"),
        (&["--output", "json", "scan"], "{\"table\":\"default\",\"key\":\"k00000\""),
        (&["export"], "{\"table\":\"default\",\"key\":\"k00000\""),
    ] {
        let mut command = server.kvsd(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        reader.read_line(&mut line).unwrap();
        drop(reader);
        let (code, _, stderr) = outcome(&child.wait_with_output().unwrap());
        assert!(line.starts_with(first), "{line}");
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}");
    }
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = server.kvsd(["scan"]).stdout(full).output().unwrap();
    assert_fails(&output, 3, &["cannot write to standard output", "No space left"]);
}

/// A `kvsd watch` that runs.
struct Watch {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Watch {
    /// Starts it, and waits until nothing can happen unseen.
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        let mut stderr = child.stderr.take().unwrap();
        BufReader::new(&mut stderr).read_line(&mut said).unwrap();
        assert!(said.contains("watching table default; Ctrl-C ends it"), "{said}");
        child.stderr = Some(stderr);
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    /// Sends a signal; the exit code, and what else was printed.
    fn end(mut self, signal: Signal) -> (Option<i32>, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

#[test]
fn a_watch_tells_what_changes_and_a_signal_ends_it_with_0() {
    let server = Server::dev();
    assert_prints(&server.run(["set", "user/0", "before"]), "OK\n");
    for signal in [Signal::INT, Signal::TERM] {
        let mut watch = Watch::start(server.kvsd(["watch", "user/"]));
        assert_prints(&server.run(["set", "other", "v"]), "OK\n");
        assert_prints(&server.run(["set", "user/7", "a\tb"]), "OK\n");
        assert_prints(&server.run(["delete", "user/7"]), "OK old value: a\tb\n");
        let set = watch.line();
        let (version, rest) = set.split_once('\t').unwrap();
        assert_eq!(rest, "set\tuser/7\t\"a\\tb\"\n");
        let version: u64 = version.parse().unwrap();
        assert_eq!(watch.line(), format!("{}\tdeleted\tuser/7\n", version + 1));
        assert_eq!(watch.end(signal), (Some(0), String::new()));
    }
}

#[test]
fn a_watch_ends_when_nobody_reads_it_any_more_though_nothing_happens() {
    let server = Server::dev();
    let Watch { mut child, mut lines } = Watch::start(server.kvsd(["watch"]));
    assert_prints(&server.run(["set", "k", "v"]), "OK\n");
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "1\tset\tk\tv\n");
    drop(lines);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn a_watch_of_a_key_begins_behind_a_version_and_its_events_are_objects() {
    let server = Server::dev();
    let stored = server.run(["--output", "json", "set", "k", "1"]);
    let version = objects(&stored)[0]["version"].as_u64().unwrap();
    assert_prints(&server.run(["set", "k2", "v"]), "OK\n");
    assert_prints(&server.run(["set", "k", "2"]), "OK\n");
    assert_prints(&server.run(["delete", "k"]), "OK old value: 2\n");
    for (from, values) in [(0, &["1", "2"][..]), (version, &["2"])] {
        let from = from.to_string();
        let args = ["--output", "json", "watch", "--key", "k", "--from", &from];
        let mut watch = Watch::start(server.kvsd(args));
        for value in values {
            let event: Value = serde_json::from_str(&watch.line()).unwrap();
            assert_eq!((&event["event"], &event["value"]), (&json!("set"), &json!(value)));
            assert_eq!((&event["table"], &event["key"]), (&json!("default"), &json!("k")));
        }
        let event: Value = serde_json::from_str(&watch.line()).unwrap();
        let expected = json!({ "event": "deleted", "table": "default", "key": "k", "version": 4 });
        assert_eq!(event, expected);
        assert_eq!(watch.end(Signal::INT), (Some(0), String::new()));
    }
}

#[test]
fn a_watch_goes_on_when_the_server_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--dev", "--listen", "127.0.0.1:0", "--data-dir", "data"];
    let server = Server::start(folder, args);
    let address = server.address.to_string();
    let mut watch = Watch::start(server.kvsd(["watch"]));
    assert_prints(&server.run(["set", "a", "1"]), "OK\n");
    assert_eq!(watch.line(), "1\tset\ta\t1\n");
    let folder = server.into_folder();
    let args = ["--dev", "--listen", &address, "--data-dir", "data"];
    let server = Server::start(folder, args);
    assert_prints(&server.run(["set", "b", "2"]), "OK\n");
    // What an earlier process wrote is no history, so there may be a gap, and nothing else.
    let line = watch.line();
    let line = if line == "-\tgap\n" { watch.line() } else { line };
    assert!(line.ends_with("\tset\tb\t2\n"), "{line}");
    assert_eq!(watch.end(Signal::INT).0, Some(0));
}

#[test]
fn tables_are_made_listed_measured_and_dropped() {
    let server = Server::dev();
    assert_prints(&server.run(["tables", "list"]), "");
    assert_prints(&server.run(["tables", "create", "users"]), "OK\n");
    assert_prints(&server.run(["tables", "create", "users"]), "OK\n");
    assert_prints(&server.run(["--table", "orders", "set", "k", "v"]), "OK\n");
    assert_prints(&server.run(["tables", "list"]), "orders\nusers\n");

    let (code, stdout, stderr) = outcome(&server.run(["tables", "stats"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let cells: Vec<Vec<&str>> =
        stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(cells.len(), 3, "{stdout}");
    assert_eq!((cells[1][0], cells[1][1]), ("orders", "1"), "{stdout}");
    assert_eq!((cells[2][0], cells[2][1]), ("users", "0"), "{stdout}");
    let lines = objects(&server.run(["--output", "json", "tables", "stats", "orders"]));
    assert_eq!((&lines[0]["table"], &lines[0]["keys"]), (&json!("orders"), &json!(1)));
    assert_eq!(
        objects(&server.run(["--output", "json", "--table", "orders", "tables", "stats"])),
        lines
    );
    assert!(lines.len() == 1 && lines[0]["live_bytes"].as_u64() > Some(0), "{lines:?}");

    // Nobody sits at a pipe.
    let output = server.run(["tables", "drop", "orders"]);
    assert_fails(&output, 2, &["give --yes"]);
    assert_prints(&server.run(["--table", "orders", "get", "k"]), "v\n");
    assert_prints(&server.run(["tables", "drop", "--yes", "orders"]), "OK\n");
    assert_prints(&server.run(["tables", "list"]), "users\n");
    for args in [
        &["tables", "drop", "--yes", "orders"][..],
        &["tables", "drop", "orders"],
        &["tables", "stats", "orders"],
    ] {
        let expected = (Some(1), String::new(), "no table orders\n".to_owned());
        assert_eq!(outcome(&server.run(args)), expected, "{args:?}");
    }
}

#[test]
fn stats_tell_of_the_server_and_of_each_table() {
    let server = Server::dev();
    let address = server.address.to_string();
    let (code, stdout, stderr) = outcome(&server.run(["stats"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains(&format!("address:       {address}\n")), "{stdout}");
    assert_prints(&server.run(["set", "k", "v"]), "OK\n");
    let (_, stdout, _) = outcome(&server.run(["stats"]));
    assert!(stdout.contains("kvsd-server/") && stdout.contains("\ndefault "), "{stdout}");
    let lines = objects(&server.run(["--output", "json", "stats"]));
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (&lines[0]["address"], &lines[0]["tables"][0]["keys"]),
        (&json!(address), &json!(1))
    );
}

#[test]
fn every_answer_is_an_object_if_asked_and_errors_are_too() {
    let server = Server::dev();
    let run = |args: &[&str]| server.kvsd(["--output", "json"]).args(args).output().unwrap();
    assert!(objects(&run(&["ping"]))[0]["round_trip_ms"].as_f64() > Some(0.0));
    assert_eq!(objects(&run(&["set", "k", "v"])), [json!({ "version": 1 })]);
    let got = &objects(&run(&["get", "k"]))[0];
    assert_eq!(
        (&got["key"], &got["value"], &got["version"]),
        (&json!("k"), &json!("v"), &json!(1))
    );
    assert_eq!(objects(&run(&["exists", "k"])), [json!({ "exists": true })]);
    assert_eq!(objects(&run(&["delete", "k"])), [json!({ "deleted": true, "value": "v" })]);
    assert_eq!(objects(&run(&["delete", "k"])), [json!({ "deleted": false })]);
    let made = json!({ "table": "users", "created": true });
    assert_eq!(objects(&run(&["tables", "create", "users"])), [made]);
    assert_eq!(
        objects(&run(&["tables", "list"])),
        ["default", "users"].map(|t| json!({ "table": t }))
    );
    let gone = json!({ "table": "users", "dropped": true });
    assert_eq!(objects(&run(&["tables", "drop", "--yes", "users"])), [gone]);
    let args = ["bench", "--operations", "50", "--keys", "10", "--warm-up", "0s"];
    let bench = &objects(&run(&args))[0];
    assert!(bench["operations"].as_u64() >= Some(50) && bench["errors"] == json!([]), "{bench}");
    assert!(bench["latency_ms"]["get"]["p99"].as_f64() > Some(0.0), "{bench}");

    for (args, code, said) in [
        (&["get", "none"][..], 1, "no value at \"none\""),
        (&["tables", "stats", "none"], 1, "no table none"),
        (&["get", ""], 2, "a key must not be empty"),
        (&["get", "k", "--rwa"], 2, "--rwa"),
        (&["--url", "kvsd://127.0.0.1:1", "ping"], 3, "127.0.0.1:1"),
    ] {
        let (actual, stdout, stderr) = outcome(&run(args));
        assert_eq!((actual, stdout.as_str()), (Some(code), ""), "{args:?}: {stderr}");
        let error: Value = serde_json::from_str(&stderr).unwrap();
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(error["error"].as_str().unwrap().contains(said), "{error}");
    }
}

#[test]
fn mistakes_in_ranges_and_names_end_with_2() {
    let server = Server::dev();
    let long = "k".repeat(1025);
    for (args, said) in [
        (&["scan", "a", "--from", "b"][..], "--from"),
        (&["scan", "--limit", "x"], "--limit"),
        (&["scan", &long], "1024 bytes"),
        (&["watch", "a", "--key", "b"], "--key"),
        (&["watch", "--key", ""], "a key must not be empty"),
        (&["watch", "--from", "x"], "--from"),
        (&["watch", &long], "1024 bytes"),
        (&["tables", "create", "a/b"], "table name"),
        (&["tables", "create"], "<NAME>"),
        (&["ping", "--output", "xml"], "--output"),
    ] {
        assert_fails(&server.run(args), 2, &[said]);
    }
}

#[test]
fn a_key_that_is_no_text_can_be_a_prefix_and_a_bound() {
    let server = Server::dev();
    let key = OsStr::from_bytes(b"\xffk");
    assert_prints(&server.run([OsStr::new("set"), key, OsStr::new("v")]), "OK\n");
    let expected = "(2 bytes, base64) /2s=\tv\n";
    let prefix = OsStr::from_bytes(b"\xff");
    assert_prints(&server.run([OsStr::new("scan"), prefix]), expected);
    assert_prints(&server.run([OsStr::new("scan"), OsStr::new("--from"), key]), expected);
}

#[test]
fn completions_name_every_command_and_need_no_server() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, stdout, stderr) = outcome(&kvsd(["completions", shell]).output().unwrap());
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{shell}");
        for word in COMMANDS.iter().chain(&["create", "drop", "keys-only", "output", "table"]) {
            assert!(stdout.contains(word), "{shell}: {word}");
        }
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let output = kvsd(["completions", shell]).stdout(writer).output().unwrap();
        assert_eq!(outcome(&output), (Some(0), String::new(), String::new()));
        let mut server = binary(env!("CARGO_BIN_EXE_kvsd-server"));
        let (code, stdout, _) = outcome(&server.args(["completions", shell]).output().unwrap());
        assert_eq!(code, Some(0), "{shell}");
        for word in ["init", "restore", "salvage", "max-value-bytes"] {
            assert!(stdout.contains(word), "{shell}: {word}");
        }
    }
    let output = kvsd(["completions", "tcsh"]).output().unwrap();
    assert_fails(&output, 2, &["tcsh"]);
}

#[test]
fn the_help_of_every_command_has_an_example() {
    for words in [
        &["ping"][..],
        &["set"],
        &["get"],
        &["delete"],
        &["exists"],
        &["scan"],
        &["watch"],
        &["export"],
        &["import"],
        &["tables"],
        &["tables", "list"],
        &["tables", "create"],
        &["tables", "drop"],
        &["tables", "stats"],
        &["stats"],
        &["bench"],
        &["completions"],
    ] {
        let (code, help, stderr) = outcome(&kvsd(words).arg("--help").output().unwrap());
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{words:?}");
        assert!(help.contains("\n  kvsd ") && help.contains("Example"), "{words:?}: {help}");
        assert!(help.lines().all(|line| line.len() <= 100), "{words:?}: {help}");
    }
}
