//! That the lists of the cases are whole, and quote what the documentation says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

type Cases = &'static [(&'static str, &'static [&'static str])];

macro_rules! names_of {
    ($($file:ident { $($case:ident,)+ })+) => {
        const CASES: Cases = &[$((stringify!($file), &[$(stringify!($case)),+])),+];
    };
}
super::with_cases!(names_of);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine")
}

/// The lines of a file that begin so, as one.
fn prose(path: &Path, begin: &str) -> String {
    let source = fs::read_to_string(path).unwrap();
    let lines = source.lines().filter_map(|line| line.trim().strip_prefix(begin));
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

/// What the engine's files say of what they offer.
fn contract() -> String {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|it| it == "rs"));
    let mut all: Vec<_> = files.collect();
    all.sort();
    // Also what is said of a module: `shown` has no more than that.
    all.iter().flat_map(|path| [prose(path, "///"), prose(path, "//!")]).collect()
}

#[test]
fn each_case_is_listed_with_sentences_that_the_contract_has() {
    let contract = contract();
    for (file, cases) in CASES {
        let list = prose(&folder().join(format!("conformance/{file}.rs")), "//!");
        let mut listed = BTreeSet::new();
        for entry in list.split("- `").skip(1) {
            let (case, sentences) = entry.split_once("`:").expect("a case, and its sentences");
            assert!(listed.insert(case), "{case} is listed twice");
            let quotes: Vec<_> = sentences.split('"').skip(1).step_by(2).collect();
            assert!(!quotes.is_empty(), "{case} holds an engine to nothing");
            for quote in quotes {
                assert!(contract.contains(quote), "{file}: {case}: nobody says {quote:?}");
            }
        }
        assert_eq!(listed, cases.iter().copied().collect(), "the list of {file}");
    }
}
