//! The benchmark itself, as short as it can be: it starts the servers, checks what they answer, and
//! prints its table.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the right answer to a surprise")]

use std::process::{Command, Output};

fn bench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kvsd-benches")).args(args).output().unwrap()
}

/// The first column of all tables that it prints, measured on few keys and as briefly as it can be.
fn lines(words: &[&str]) -> Vec<String> {
    let output = bench(&[&["--rounds", "1", "--seconds", "0.1", "--keys", "1000"], words].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("- Machine: "), "{text}");
    // Every ratio of sides that were there is a number.
    assert!(!text.contains("NaN") || !redis_is_there(), "{text}");
    let lines = text.lines().filter(|line| line.starts_with("| "));
    lines.filter_map(|line| line.split(' ').nth(1).map(ToOwned::to_owned)).collect()
}

/// Whether this machine has what the peers need.
fn redis_is_there() -> bool {
    Command::new("redis-server").arg("--version").output().is_ok()
}

#[test]
fn every_cell_is_measured_and_every_side_has_a_line() {
    let lines = lines(&["wire"]);
    let second = 1 + lines[1..].iter().position(|line| line == "cell").unwrap();
    let cells = &lines[1..second];
    assert_eq!(cells.len(), 37, "{cells:?}");
    for cell in ["get-64", "set-512-always", "mixed-64-always", "watch-16-by-64-interval"] {
        assert!(cells.iter().any(|line| line == cell), "{cell}");
    }
    // Three cells have everyone, two all libraries, and the others Redis.
    let expected = if redis_is_there() { 2 * 37 + 5 * 2 + 3 } else { 37 + 3 };
    assert_eq!(lines[second + 1..].len(), expected);
}

#[test]
fn a_peer_is_left_out_on_wish() {
    let lines = lines(&["get-512", "--peers", "fred,bb8"]);
    assert_eq!(lines[..3], ["cell", "get-512", "cell"]);
    assert_eq!(lines[3..].len(), if redis_is_there() { 3 } else { 1 });
}

#[test]
fn what_a_get_costs_is_measured() {
    let expected = ["line", "cost-by-keys", "cost-by-tables", "cost-by-connections"];
    assert_eq!(lines(&["cost"]), expected);
}

#[test]
fn the_engine_is_measured_beside_fjall_and_redb() {
    let lines = lines(&["storage"]);
    let expected = "line random-get-100 scan-values-shuffled scan-keys durable-set-1 \
                    durable-set-64 scan-values-in-order random-get-4096";
    assert_eq!(lines, expected.split(' ').collect::<Vec<_>>());
}

#[test]
fn starts_after_both_kinds_of_ends_are_measured() {
    assert_eq!(lines(&["startup"]), ["line", "start-after-kill", "start-after-stop"]);
}

#[test]
fn memory_is_measured_beside_redis_and_as_the_index_grows() {
    let lines = lines(&["memory"]);
    assert_eq!(lines[..3], ["line", "server-memory", "line"]);
    assert_eq!(lines[3..], ["index-memory"; 7]);
}

#[test]
fn space_and_steadiness_are_measured() {
    let expected = ["line", "space", "line", "gets-beside-writes", "gets-beside-compaction"];
    assert_eq!(lines(&["space", "steady"]), expected);
}

#[test]
fn an_unknown_cell_is_refused_with_the_known_ones() {
    let output = bench(&["fly"]);
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("get-64") && errors.contains("set-512-always"), "{errors}");
}
