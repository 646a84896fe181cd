//! The benchmark itself, as short as it can be: it starts the servers, checks what they answer, and
//! prints its table.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the right answer to a surprise")]

use std::process::{Command, Output};

fn bench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kvsd-benches")).args(args).output().unwrap()
}

#[test]
fn one_command_measures_a_get_and_both_kinds_of_set() {
    let output = bench(&["--rounds", "1", "--seconds", "0.1", "get-64", "set-64"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("- Machine: "), "{text}");
    let lines = text.lines().filter(|line| line.starts_with('|'));
    let names: Vec<_> = lines.filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(names, ["cell", "get-64", "set-64-interval", "set-64-always"], "{text}");
}

#[test]
fn an_unknown_cell_is_refused_with_the_known_ones() {
    let output = bench(&["fly"]);
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("get-64") && errors.contains("set-512-always"), "{errors}");
}
