//! The repository's texts say what is there: files, commands, examples, numbers.
//!
//! The code in the README is compiled and run as a doc test of `kvsd-server`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use kvsd::protocol::v2::MAX_BATCH;
use kvsd::protocol::v2::part::MAX_PART_BYTES;
use kvsd_server::Config;

const TEXTS: [&str; 10] = [
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/etcd.md",
    "docs/operations.md",
    "docs/threat-model.md",
    "examples/data/README.md",
    ".ci/run",
];

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between `before` and `after`, everywhere in a text.
fn all_between<'t>(text: &'t str, before: &str, after: &[char]) -> Vec<&'t str> {
    text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).collect()
}

/// The README without the spaces and line ends that its lines happen to have.
fn flowing_readme() -> String {
    read("README.md").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_file_that_a_text_links_to_exists() {
    let mut links = 0;
    for text in TEXTS {
        let folder = Path::new(text).parent().unwrap();
        for target in all_between(&read(text), "](", &[')']) {
            assert!(!target.contains("://"), "{text} leads out of the repository: {target}");
            let file = target.split('#').next().unwrap_or(target);
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(file);
            assert!(path.exists(), "{text}: {target} does not exist");
            links += 1;
        }
    }
    assert!(links > 5, "the texts' links were not found");
}

#[test]
fn every_test_that_the_readme_names_as_evidence_exists() {
    let readme = read("README.md");
    let named = all_between(&readme, "(tests/", &[')', ' ', ',']);
    assert!(!named.is_empty(), "the README's tests were not found");
    for name in named {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
        assert!(path.exists(), "tests/{name} does not exist");
    }
}

#[test]
fn every_example_has_a_line_in_the_readme_and_every_one_named_exists() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let there: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some() || path.join("main.rs").exists())
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let readme = read("README.md");
    for name in &there {
        assert!(readme.contains(&format!("[`{name}`](examples/{name}")), "{name} is not listed");
    }
    let sources = ["examples/quickstart.rs", "examples/remote.rs"];
    for text in TEXTS.iter().chain(&sources) {
        for name in all_between(&read(text), "--example ", &[' ', '\n', '`', '"']) {
            assert!(there.contains(name), "{text} runs the example {name}, which does not exist");
        }
    }
}

#[test]
fn the_gate_runs_the_test_command_of_the_readme_to_the_letter() {
    assert!(read("README.md").contains("\n$ cargo run --example quickstart\n$ cargo test\n```"));
    let gate = read(".ci/run");
    assert!(gate.contains("\ncargo test\n"));
    // The compiler's messages are compared on the gate's toolchain, or nowhere.
    let compared = read("tests/derive/rejected.rs");
    let compared = all_between(&compared, "SNAPSHOT_TOOLCHAIN: &str = \"", &['"']);
    assert!(gate.contains(&format!("\nreadonly TOOLCHAIN={}", compared[0])));
}

#[test]
fn the_numbers_in_the_readme_are_those_of_the_code() {
    let readme = flowing_readme();
    let mebibyte = 1024 * 1024;
    let config = Config::default();
    for claim in [
        format!("Keys have 1 to {} bytes", thousands(kvsd::types::MAX_KEY_BYTES)),
        format!("values at most {} MiB", kvsd::types::DEFAULT_MAX_VALUE_BYTES / mebibyte),
        format!("1 to {} letters, digits", kvsd::types::MAX_TABLE_NAME_BYTES),
        format!("at most {} tables", thousands(config.max_tables)),
        format!("`--sync-interval`, {} s", config.sync_interval.as_secs()),
        format!("`--shutdown-timeout` ({} s)", config.shutdown_timeout.as_secs()),
        format!("({} s by default)", kvsd::DEFAULT_TIMEOUT.as_secs()),
        format!("connections ({} by default)", kvsd::DEFAULT_POOL_SIZE),
        format!("listening on {}", config.listen),
        format!("has at most {} changes", thousands(MAX_BATCH)),
        format!("larger than {} KiB travels in parts", MAX_PART_BYTES / 1024),
        format!(
            "the newest {} MiB for up to {} minutes",
            config.history_bytes / (1 << 20),
            in_words(config.history_time.as_secs() / 60)
        ),
        format!("among them a storm: {} operations", storms_operations()),
    ] {
        assert!(readme.contains(&claim), "the README does not say: {claim}");
    }
}

/// As the README writes a number that it spells out.
fn in_words(number: u64) -> &'static str {
    match number {
        10 => "ten",
        other => panic!("the README has no word for {other}"),
    }
}

fn storms_operations() -> String {
    let storm = read("tests/storm/main.rs");
    let operations = all_between(&storm, "const OPERATIONS: u64 = ", &[';']);
    thousands(operations[0].replace('_', "").parse().unwrap())
}

fn thousands(number: usize) -> String {
    match number / 1000 {
        0 => number.to_string(),
        more => format!("{},{:03}", thousands(more), number % 1000),
    }
}

#[test]
fn the_figures_of_minimum_rust_are_those_of_the_manifests() {
    let version = |manifest: &str| {
        let text = read(manifest);
        all_between(&text, "\nrust-version = \"", &['"'])[0].to_owned()
    };
    let (sdk, derive) = (version("kvsd/Cargo.toml"), version("kvsd-derive/Cargo.toml"));
    let server = version("kvsd-server/Cargo.toml");
    assert_eq!(sdk, derive);
    let readme = flowing_readme();
    let claim = format!("Minimum Rust: {sdk} for `kvsd` and `kvsd-derive`, {server} for");
    assert!(readme.contains(&claim), "the README does not say: {claim}");
    assert!(readme.contains(&format!("You need Rust {server} or later")));
}
