//! That the list of pitfalls in [`super`] is whole and names tests that exist.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// The last number of the list.
const CASES: usize = 39;

/// The names of all tests below a folder.
fn add_tests(folder: &Path, names: &mut HashSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add_tests(&path, names);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let source = fs::read_to_string(path).unwrap();
            let mut is_test = false;
            for line in source.lines().map(str::trim) {
                let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
                match function.and_then(|rest| rest.split_once('(')) {
                    Some((name, _)) if is_test => drop(names.insert(name.to_owned())),
                    _ => {}
                }
                is_test = line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            }
        }
    }
}

#[test]
fn every_pitfall_has_a_test_that_exists_or_a_reason() {
    let mut tests = HashSet::new();
    add_tests(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/log"), &mut tests);
    let docs = include_str!("mod.rs").lines().map_while(|line| line.strip_prefix("//!"));
    // How many tests or reasons each case has.
    let mut cases: Vec<usize> = Vec::new();
    for line in docs.map(str::trim) {
        if let Some(test) = line.strip_prefix("- `").and_then(|rest| rest.strip_suffix('`')) {
            assert!(tests.contains(test), "there is no test {test}");
        }
        if line.starts_with(&format!("{}. ", cases.len() + 1)) {
            cases.push(0);
        } else if let (Some(_), Some(count)) = (line.strip_prefix("- "), cases.last_mut()) {
            *count += 1;
        }
    }
    assert_eq!(cases.len(), CASES);
    assert!(!cases.contains(&0), "{cases:?}");
}
