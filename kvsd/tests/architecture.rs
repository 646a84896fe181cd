//! The arrows between the modules of `kvsd` and `kvsd-server`, read from their sources.
//!
//! Each row of a table below names modules of one height, the rows above that they may use, and the
//! crates that they may name (a path allows what lies below it). What is not listed fails the test:
//! a new module needs a row, a new arrow a reason. Tests inside the modules are not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use source::{Segments, paths_of};

#[path = "architecture/source.rs"]
mod source;

struct Row {
    modules: &'static [&'static str],
    uses: &'static [&'static str],
    crates: &'static [&'static str],
}

/// The SDK, from the bottom to the top.
#[rustfmt::skip]
const SDK: &[Row] = &[
    Row { modules: &["types"], uses: &[], crates: &["std", "thiserror"] },
    // No I/O, no clock, no log: the parts of std are named one by one.
    Row { modules: &["protocol"], uses: &["types"],
        crates: &["std::collections::VecDeque", "std::fmt", "std::ops::Bound", "std::str", "bytes",
            "thiserror"] },
    Row { modules: &["value"], uses: &["types"],
        crates: &["std", "bincode", "bytes", "chrono", "jiff", "postcard", "rust_decimal", "serde",
            "serde_json", "thiserror", "time", "uuid"] },
    Row { modules: &["key"], uses: &[],
        crates: &["std", "bytes", "chrono", "jiff", "time", "uuid"] },
    Row { modules: &["transport"], uses: &[],
        crates: &["std", "async_trait", "thiserror", "tokio::io"] },
    Row { modules: &["testing"], uses: &["transport"], crates: &["std", "async_trait", "tokio"] },
    Row { modules: &["error"], uses: &["types", "protocol", "value"],
        crates: &["std", "thiserror"] },
    Row { modules: &["observe"], uses: &["transport", "error"],
        crates: &["std", "metrics", "tokio::io", "tracing"] },
    Row { modules: &["tcp"], uses: &["transport", "error"],
        crates: &["std", "async_trait", "rustls_native_certs", "tokio", "tokio_rustls",
            "tracing"] },
    Row { modules: &["connection"], uses: &["types", "protocol", "transport", "error", "observe"],
        crates: &["std", "bytes", "tokio"] },
    Row { modules: &["pool"], uses: &["connection", "transport", "error", "observe"],
        crates: &["std", "arc_swap", "async_trait", "bb8", "tokio"] },
    // An operation borrows the client that makes it, and the builder makes the client.
    Row { modules: &["client", "config", "operation", "stream"],
        uses: &["types", "protocol", "value", "key", "error", "transport", "testing", "observe",
            "tcp", "connection", "pool"],
        crates: &["std", "bytes", "futures_core", "percent_encoding", "thiserror", "tokio::time",
            "tracing"] },
    Row { modules: &["blocking"], uses: &[],
        crates: &["std", "futures_core", "tokio::runtime", "tokio::time"] },
];

/// The server, from the bottom to the top.
#[rustfmt::skip]
const SERVER: &[Row] = &[
    Row { modules: &["secret_file"], uses: &[],
        crates: &["std", "rustix", "tempfile", "thiserror"] },
    Row { modules: &["clock"], uses: &[], crates: &["std", "humantime", "kvsd::UnixMillis"] },
    Row { modules: &["units"], uses: &[], crates: &["std", "humantime"] },
    Row { modules: &["network"], uses: &[], crates: &["std"] },
    Row { modules: &["limits"], uses: &[], crates: &["std"] },
    Row { modules: &["server/stop"], uses: &[], crates: &["std", "tokio::sync"] },
    Row { modules: &["server/roster"], uses: &["network"],
        crates: &["std", "tokio::sync", "tokio::time"] },
    Row { modules: &["users"], uses: &["secret_file"],
        crates: &["std", "argon2", "async_trait", "getrandom", "kvsd::protocol", "kvsd::types",
            "thiserror"] },
    Row { modules: &["tls"], uses: &["secret_file"],
        crates: &["std", "thiserror", "tokio_rustls", "webpki"] },
    Row { modules: &["auth"], uses: &["network", "users"],
        crates: &["std", "blake2", "getrandom", "thiserror", "tokio"] },
    // Numbers: no I/O, no log.
    Row { modules: &["metrics"], uses: &["clock"],
        crates: &["std", "kvsd::types", "tokio::time::Instant"] },
    Row { modules: &["audit"], uses: &["auth", "secret_file"],
        crates: &["std", "humantime", "serde", "serde_json", "thiserror", "tracing"] },
    Row { modules: &["engine"], uses: &["metrics"],
        crates: &["std", "async_trait", "bytes", "kvsd::TableName", "kvsd::UnixMillis",
            "kvsd::Version", "kvsd::types", "smallvec", "thiserror"] },
    // Bytes and files: no runtime and no wire.
    Row { modules: &["log/storage"], uses: &[],
        crates: &["std", "bytes", "crc32c", "getrandom", "hashbrown", "kvsd::TableName",
            "kvsd::UnixMillis", "kvsd::Version", "kvsd::types", "prefetch_index", "rustix",
            "smallvec", "thiserror"] },
    Row { modules: &["log"], uses: &["engine", "log/storage", "metrics"],
        crates: &["std", "arc_swap", "async_trait", "bytes", "kvsd::TableName", "kvsd::UnixMillis",
            "kvsd::Version", "kvsd::types", "futures_util", "smallvec", "thiserror", "tokio",
            "tracing"] },
    Row { modules: &["etcd"], uses: &["clock", "engine", "log", "metrics", "users"],
        crates: &["std", "async_trait", "bytes", "crc32c", "etcd_client", "futures_util", "getrandom",
            "kvsd::TableName", "kvsd::UnixMillis", "kvsd::Version", "kvsd::types", "serde",
            "serde_json", "thiserror", "tokio", "tonic::Code", "tonic::Status", "tracing"] },
    // Tests, which every engine runs.
    Row { modules: &["engine/conformance"], uses: &["engine", "etcd", "log"],
        crates: &["std", "async_trait", "bytes", "futures_util", "getrandom", "kvsd::TableName",
            "kvsd::UnixMillis", "kvsd::Version", "kvsd::types", "serde_json", "tokio"] },
    Row { modules: &["session"],
        uses: &["audit", "auth", "clock", "engine", "limits", "metrics", "server/roster",
            "server/stop", "users"],
        crates: &["std", "bytes", "futures_util", "kvsd", "thiserror", "tokio", "tracing"] },
    Row { modules: &["config"],
        uses: &["auth", "limits", "log", "secret_file", "tls", "units", "users"],
        crates: &["std", "humantime", "kvsd", "serde", "thiserror", "tokio_rustls", "toml"] },
    // Who asks sees everything and changes nothing.
    Row { modules: &["status"],
        uses: &["clock", "config", "engine", "log", "metrics", "server/roster"],
        crates: &["std", "getrandom", "http_body_util", "hyper", "hyper_util", "rustix", "serde",
            "serde_json", "tokio", "tracing"] },
    Row { modules: &["server"],
        uses: &["audit", "auth", "clock", "config", "engine", "etcd", "limits", "log", "metrics",
            "server/roster", "server/stop", "session", "status", "tls", "users"],
        crates: &["std", "async_trait", "bytes", "kvsd", "rustix", "thiserror", "tokio",
            "tokio_rustls", "tracing"] },
    Row { modules: &["embedded"], uses: &["auth", "config", "engine", "log", "server", "session"],
        crates: &["std", "async_trait", "kvsd", "tempfile", "thiserror", "tokio", "tracing"] },
    Row { modules: &["init"], uses: &["config", "secret_file", "tls", "users"],
        crates: &["std", "getrandom", "kvsd", "rcgen", "rustix", "thiserror", "tokio_rustls"] },
    Row { modules: &["password_prompt"], uses: &["users"],
        crates: &["std", "rpassword", "thiserror"] },
    // A record as a line of JSON, which both command lines print.
    Row { modules: &["record_line"], uses: &[],
        crates: &["base64", "bytes", "kvsd::KeyError", "kvsd::NameError", "kvsd::TableName",
            "kvsd::UnixMillis", "kvsd::types", "kvsd::value", "serde", "serde_json", "std",
            "thiserror"] },
    // The command line of the server, and the command line that is a client.
    Row { modules: &["cli_server"],
        uses: &["config", "engine", "etcd", "init", "log", "password_prompt", "record_line", "server", "users"],
        crates: &["std", "bytes", "clap", "clap_complete", "indicatif", "kvsd", "rustix",
            "serde", "serde_json", "thiserror", "tokio", "tracing", "tracing_subscriber"] },
    Row { modules: &["cli"], uses: &["password_prompt", "record_line", "units", "users"],
        crates: &["std", "base64", "bytes", "clap", "clap_complete", "hdrhistogram", "humantime", "indicatif",
            "kvsd", "rustix", "serde", "serde_json", "thiserror", "tokio"] },
    Row { modules: &["bin"], uses: &["cli", "cli_server"], crates: &["std", "tokio"] },
];

#[test]
fn every_module_of_the_sdk_uses_only_what_lies_below_it() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert_arrows(package, SDK);
}

#[test]
fn every_module_of_the_server_uses_only_what_lies_below_it() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kvsd-server");
    assert_arrows(&package, SERVER);
}

#[test]
fn the_tables_name_only_rows_above() {
    for table in [SDK, SERVER] {
        let mut above: BTreeSet<&str> = BTreeSet::new();
        for row in table {
            for used in row.uses {
                assert!(above.contains(used), "{:?} names {used}, no row above", row.modules);
            }
            above.extend(row.modules);
        }
    }
}

#[test]
fn an_arrow_that_is_not_listed_is_found_however_it_is_written() {
    let table = &[
        Row { modules: &["low", "low/part"], uses: &[], crates: &["std::fmt"] },
        Row { modules: &["high"], uses: &["low"], crates: &["tokio::time"] },
    ];
    let crates = ["std", "tokio"].map(String::from).into();
    let exports = BTreeMap::from([("High".to_owned(), segments("high::High"))]);
    let complaints = |module: &str, source: &str| {
        let file = File { module: segments(module), paths: paths_of(&segments(module), source) };
        complaints(&file, table, "own", &crates, &exports)
    };
    for fine in [
        "use std::fmt; use crate::low::x; fn f(a: &'static str) -> fmt::Result { a::b() }",
        "// crate::high\n/* tokio::spawn /* */ crate::high */ const A: &str = \"crate::high\";",
        "const A: &str = r#\"\"tokio::spawn\"\"#; const B: char = '\"'; use self::tokio_like;",
        "#[cfg(test)] mod tests { use crate::high::High; } #[cfg(test)] use tokio::spawn;",
        "mod inner { use super::x; } use super::low::x;",
    ] {
        assert_eq!(complaints("low", fine), Vec::<String>::new(), "{fine}");
    }
    for (module, source) in [
        ("low", "use crate::high::High;"),
        ("low", "use crate::High;"),
        ("low", "use own::high;"),
        ("low", "use super::high::High;"),
        ("low", "mod inner { use super::super::high; }"),
        ("low::part", "use super::super::high;"),
        ("low", "use crate::{low::x, high::{self}};"),
        ("low", "fn f() { crate::high::f(); }"),
        ("low", "macro_rules! m { () => { $crate::high::f() } }"),
        ("low", "use crate::unheard_of;"),
        ("low", "use std::{fmt, time::Instant};"),
        ("low", "fn f() { ::std::thread::yield_now() }"),
        ("low", "use tokio;"),
        ("low", "use tokio as t;"),
        ("high", "use tokio::net::TcpStream;"),
        ("elsewhere", ""),
    ] {
        assert_eq!(complaints(module, source).len(), 1, "{module}: {source}");
    }
}

fn segments(path: &str) -> Segments {
    path.split("::").map(String::from).collect()
}

fn assert_arrows(package: &Path, table: &[Row]) {
    let (name, crates) = manifest(package);
    let source = package.join("src");
    let root = fs::read_to_string(source.join("lib.rs")).expect("the package has a lib.rs");
    let exports = paths_of(&[], &root).into_iter().map(|path| {
        let name = path.last().cloned().unwrap_or_default();
        (name, path.into_iter().filter(|part| part != "self" && part != "crate").collect())
    });
    let exports = exports.collect();
    let mut complaints_of_all = Vec::new();
    for place in rust_files(&source) {
        let module = module_of(place.strip_prefix(&source).expect("below src"));
        if module.is_empty() || module.iter().any(|part| part == "tests") {
            continue;
        }
        let text = fs::read_to_string(&place).expect("a source file is UTF-8");
        let file = File { paths: paths_of(&module, &text), module };
        complaints_of_all.extend(complaints(&file, table, &name, &crates, &exports));
    }
    let text = complaints_of_all.join("\n");
    assert!(text.is_empty(), "arrows that kvsd/tests/architecture.rs does not list:\n{text}");
}

struct File {
    module: Segments,
    paths: BTreeSet<Segments>,
}

fn complaints(
    file: &File,
    table: &[Row],
    package: &str,
    crates: &BTreeSet<String>,
    exports: &BTreeMap<String, Segments>,
) -> Vec<String> {
    let here = file.module.join("/");
    let Some((_, row)) = row_of(table, &file.module) else {
        return vec![format!("{here}: a new module; add it to the table")];
    };
    let mut complaints = Vec::new();
    for path in &file.paths {
        let (first, rest) = path.split_first().expect("a path has a segment");
        if first == "crate" || first == package {
            let exported = rest.first().and_then(|name| exports.get(name));
            let target = row_of(table, rest).or_else(|| row_of(table, exported?));
            let fits = target
                .is_some_and(|(name, _)| row.modules.contains(&name) || row.uses.contains(&name));
            if !fits {
                complaints.push(format!("{here}: uses {}", path.join("::")));
            }
        } else if crates.contains(first) {
            let named = path.join("::") + "::";
            if !row.crates.iter().any(|allowed| named.starts_with(&format!("{allowed}::"))) {
                complaints.push(format!("{here}: names {}", path.join("::")));
            }
        }
    }
    complaints
}

/// The row of the longest listed module that holds this path.
fn row_of<'t>(table: &'t [Row], path: &[String]) -> Option<(&'static str, &'t Row)> {
    let name = path.join("/") + "/";
    let rows = table.iter().flat_map(|row| row.modules.iter().map(move |module| (*module, row)));
    rows.filter(|(module, _)| name.starts_with(&format!("{module}/")))
        .max_by_key(|(module, _)| module.len())
}

/// A package's name, and the crates that its sources could name.
fn manifest(package: &Path) -> (String, BTreeSet<String>) {
    let text = fs::read_to_string(package.join("Cargo.toml")).expect("the package has a manifest");
    let mut crates = BTreeSet::from(["std", "core", "alloc"].map(String::from));
    let (mut section, mut name) = ("", String::new());
    for line in text.lines() {
        let key = line.split(['=', '.']).next().unwrap_or_default().trim().replace('-', "_");
        if line.starts_with('[') {
            section = line;
        } else if section == "[package]" && key == "name" {
            name = line.split('"').nth(1).unwrap_or_default().replace('-', "_");
        } else if section.ends_with("dependencies]") {
            crates.insert(key);
        }
    }
    (name, crates)
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of sources");
    let mut places: Vec<_> = entries.map(|entry| entry.expect("a listed file").path()).collect();
    places.sort();
    places
        .into_iter()
        .flat_map(|place| if place.is_dir() { rust_files(&place) } else { vec![place] })
        .filter(|place| place.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

fn module_of(place: &Path) -> Segments {
    let parts = place.with_extension("");
    let parts = parts.iter().map(|part| part.to_string_lossy().into_owned());
    parts.filter(|part| part != "mod" && part != "lib").collect()
}
