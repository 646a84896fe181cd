//! The commands of `kvsd` against `kvsd-server --dev`: what they store, print and end with.

mod support;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;

use support::{COMMANDS, Server, assert_fails, assert_prints, kvsd, outcome, run_with_input};

/// Every byte, and what a terminal, a line reader or a decoder would stumble over.
fn odd_bytes() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..=255).collect();
    bytes.extend_from_slice(b"\r\n\n$5\r\n\0\xff\xfe\n");
    bytes
}

#[test]
fn get_adds_one_line_feed_and_raw_adds_nothing() {
    let server = Server::dev();
    for value in ["rust", "", "two\nlines\n", " - "] {
        assert_prints(&server.run(["set", "key", value]), "OK\n");
        assert_prints(&server.run(["get", "key"]), &format!("{value}\n"));
        assert_prints(&server.run(["get", "--raw", "key"]), value);
        assert_prints(&server.run(["get", "key", "--raw"]), value);
    }
}

#[test]
fn a_missing_key_leaves_standard_output_empty_and_ends_with_1() {
    let server = Server::dev();
    for args in [&["get", "key"][..], &["get", "--raw", "key"]] {
        let expected = (Some(1), String::new(), "no value at \"key\"\n".to_owned());
        assert_eq!(outcome(&server.run(args)), expected);
    }
}

#[test]
fn delete_says_what_was_there_and_succeeds_either_way() {
    let server = Server::dev();
    assert_prints(&server.run(["delete", "key"]), "OK\n");
    for value in ["old", ""] {
        assert_prints(&server.run(["set", "key", value]), "OK\n");
        assert_prints(&server.run(["delete", "key"]), &format!("OK old value: {value}\n"));
        assert_prints(&server.run(["delete", "key"]), "OK\n");
    }
}

#[test]
fn exists_answers_on_standard_output_and_with_its_code() {
    let server = Server::dev();
    assert_eq!(outcome(&server.run(["exists", "key"])), (Some(1), "false\n".into(), "".into()));
    assert_prints(&server.run(["set", "key", ""]), "OK\n");
    assert_prints(&server.run(["exists", "key"]), "true\n");
}

#[test]
fn ping_prints_the_round_trip() {
    let server = Server::dev();
    let (code, stdout, stderr) = outcome(&server.run(["ping"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let time = stdout.strip_prefix("OK ").and_then(|rest| rest.strip_suffix(" ms\n"));
    let time: f64 = time.expect(&stdout).parse().unwrap();
    assert!(time > 0.0, "{stdout}");
}

#[test]
fn standard_input_is_stored_byte_for_byte() {
    let server = Server::dev();
    for value in [odd_bytes(), Vec::new(), b"\n".to_vec(), vec![0; 300_000]] {
        assert_prints(&run_with_input(&mut server.kvsd(["set", "key", "-"]), &value), "OK\n");
        let output = server.run(["get", "--raw", "key"]);
        assert!(output.status.success() && output.stdout == value, "{} bytes", value.len());
        let line = [&value[..], b"\n"].concat();
        assert!(server.run(["get", "key"]).stdout == line, "{} bytes", value.len());
        let line = [b"OK old value: ", &line[..]].concat();
        assert!(server.run(["delete", "key"]).stdout == line, "{} bytes", value.len());
    }
}

#[test]
fn the_largest_value_goes_through_and_one_byte_more_is_refused_with_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--dev", "--listen", "127.0.0.1:0", "--max-value-bytes", "1MiB"];
    let server = Server::start(folder, args);
    let mut value = vec![0xa5; 1024 * 1024];
    assert_prints(&run_with_input(&mut server.kvsd(["set", "key", "-"]), &value), "OK\n");
    assert!(server.run(["get", "--raw", "key"]).stdout == value);

    value.push(0);
    let output = run_with_input(&mut server.kvsd(["set", "key", "-"]), &value);
    assert_fails(&output, 3, &["the value is too large", "1048576 bytes"]);
    let mut endless = server.kvsd(["set", "key", "-"]);
    let output = endless.stdin(File::open("/dev/zero").unwrap()).output().unwrap();
    assert_fails(&output, 3, &["the value is too large", "1048576 bytes"]);

    value.pop();
    assert!(server.run(["get", "--raw", "key"]).stdout == value, "the old value is still there");
}

#[test]
fn keys_are_bytes_and_may_begin_with_a_hyphen_behind_two() {
    let server = Server::dev();
    let odd = OsStr::from_bytes(b"k\xff\r\n\x1b");
    let dashed = OsStr::new("-k");
    let longest = "k".repeat(1024);
    for key in [odd, dashed, OsStr::new("--"), OsStr::new(&longest)] {
        let dashes = OsStr::new("--");
        assert_prints(&server.run([OsStr::new("set"), dashes, key, key]), "OK\n");
        let mut line = key.as_bytes().to_vec();
        line.push(b'\n');
        assert_eq!(server.run([OsStr::new("get"), dashes, key]).stdout, line);
    }
}

#[test]
fn values_that_begin_with_a_hyphen_are_values() {
    let server = Server::dev();
    for value in ["-5", "-----BEGIN X-----\nabc\n", "--unknown"] {
        assert_prints(&server.run(["set", "key", value]), "OK\n");
        assert_prints(&server.run(["get", "--raw", "key"]), value);
    }
}

#[test]
fn each_table_has_its_own_keys_and_the_flag_beats_the_url() {
    let server = Server::dev();
    let url = format!("kvsd://{}/users", server.address);
    assert_prints(&server.run(["set", "key", "in default"]), "OK\n");
    assert_prints(&server.run(["--url", &url, "set", "key", "in users"]), "OK\n");
    assert_prints(&server.run(["get", "key", "--table", "default"]), "in default\n");
    assert_prints(&server.run(["get", "key", "--table", "users"]), "in users\n");
    assert_prints(&server.run(["--url", &url, "get", "key"]), "in users\n");
    let output = server.run(["--url", &url, "--table", "default", "get", "key"]);
    assert_prints(&output, "in default\n");
    // A table that nobody has written to is empty, not an error.
    assert_eq!(server.run(["get", "key", "--table", "none"]).status.code(), Some(1));
}

#[test]
fn a_closed_pipe_ends_every_command_quietly_with_the_code_of_what_it_did() {
    let server = Server::dev();
    let value = vec![b'v'; 1_000_000];
    assert_prints(&run_with_input(&mut server.kvsd(["set", "big", "-"]), &value), "OK\n");
    for (args, code) in [
        (&["get", "big"][..], 0),
        (&["get", "--raw", "big"], 0),
        (&["exists", "big"], 0),
        (&["exists", "none"], 1),
        (&["ping"], 0),
        (&["set", "key", "value"], 0),
        (&["delete", "big"], 0),
        (&["--help"], 0),
    ] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let output = server.kvsd(args).stdout(writer).output().unwrap();
        assert_eq!(outcome(&output), (Some(code), "".into(), "".into()), "{args:?}");
    }
    // What was asked for was done.
    assert_prints(&server.run(["get", "key"]), "value\n");
    assert_eq!(server.run(["exists", "big"]).status.code(), Some(1));
}

#[test]
fn closed_standard_error_changes_no_exit_code() {
    let server = Server::dev();
    for (args, code) in [(&["get", "none"][..], 1), (&["get", ""], 2), (&["get", "--x"], 2)] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let output = server.kvsd(args).stderr(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}");
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error_with_its_cause() {
    let server = Server::dev();
    assert_prints(&server.run(["set", "key", "value"]), "OK\n");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = server.kvsd(["get", "key"]).stdout(full).output().unwrap();
    assert_fails(&output, 3, &["cannot write to standard output", "No space left"]);
}

#[test]
fn mistakes_in_the_usage_end_with_2_and_reach_no_server() {
    let long = "k".repeat(1025);
    for (args, said) in [
        (&["set", "key"][..], "<VALUE>"),
        (&["get"], "<KEY>"),
        (&["get", "key", "--rwa"], "--rwa"),
        (&["frobnicate"], "frobnicate"),
        (&["ping", "key"], "no place"),
        (&["--password", "x", "ping"], "--password"),
        (&["get", ""], "a key must not be empty"),
        (&["get", &long], "at most 1024 bytes, this one has 1025"),
        (&["ping", "--table", "a/b"], "table name"),
        (&["ping", "--url", "redis://localhost"], "--url: "),
        (&["ping", "--url", "kvsd://localhost", "--ca", "x.pem"], "kvsds://"),
        (&["ping", "--url", "kvsds://localhost", "--ca", "absent.pem"], "absent.pem"),
    ] {
        assert_fails(&kvsd(args).output().unwrap(), 2, &[said]);
    }
    let output = kvsd([] as [&str; 0]).output().unwrap();
    let (code, stdout, stderr) = outcome(&output);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("Usage: kvsd"), "{stderr}");
}

#[test]
fn help_and_version_go_to_standard_output() {
    let help = String::from_utf8(kvsd(["--help"]).output().unwrap().stdout).unwrap();
    for command in COMMANDS {
        assert!(help.contains(&format!("\n  {command}")), "{command}");
        let (code, stdout, stderr) = outcome(&kvsd([command, "--help"]).output().unwrap());
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{command}");
        assert!(stdout.contains(&format!("Usage: kvsd {command}")), "{stdout}");
    }
    let version = format!("kvsd {}\n", env!("CARGO_PKG_VERSION"));
    assert_prints(&kvsd(["--version"]).output().unwrap(), &version);
}
