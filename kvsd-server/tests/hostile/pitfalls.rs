//! That the list in the head of this program is whole, and names tests that exist.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// How many cases each list of the head has.
const LISTS: [usize; 4] = [33, 9, 2, 7];

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
    let crates = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = HashSet::new();
    for folder in ["src", "tests", "../kvsd/src", "../kvsd/tests"] {
        add_tests(&crates.join(folder), &mut tests);
    }
    let docs = include_str!("main.rs").lines().map_while(|line| line.strip_prefix("//!"));
    // How many tests or reasons each case of each list has.
    let mut lists: Vec<Vec<usize>> = Vec::new();
    for line in docs.map(str::trim) {
        if line.starts_with("# ") {
            lists.push(Vec::new());
        }
        let Some(cases) = lists.last_mut() else { continue };
        if line.starts_with(&format!("{}. ", cases.len() + 1)) {
            cases.push(0);
        } else if let (Some(item), Some(count)) = (line.strip_prefix("- "), cases.last_mut()) {
            *count += 1;
            if let Some(test) = item.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
                assert!(tests.contains(test), "there is no test {test}");
            }
        }
    }
    let counts: Vec<usize> = lists.iter().map(Vec::len).collect();
    assert_eq!(counts, LISTS);
    assert!(!lists.iter().flatten().any(|count| *count == 0), "{lists:?}");
}
