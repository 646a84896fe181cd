//! What clients and administrators may not reach: other files, under any name.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kvsd::protocol::v2::Request;

use super::target::{Target, tool};
use super::wire::{get, set};

#[test]
fn no_name_of_a_table_or_a_backup_is_a_path() {
    let target = Target::dev(&["--backups", "backups"]);
    let mut client = target.client();
    assert!(client.ask(&set("default", b"k", b"v")).starts_with("Written"));
    let before = below(target.folder());
    for name in [
        "../x", "..", ".", "/etc/x", "a/b", "a\\b", "\u{0}", "x\u{0}y", "~", "%2e%2e", "x y",
        "\u{202e}",
    ] {
        for request in [
            set(name, b"k", b"v"),
            get(name, b"k"),
            Request::CreateTable { table: name },
            Request::DropTable { table: name },
            Request::Statistics { table: name },
        ] {
            let answer = client.ask(&request);
            // A name that is none of a table is refused, or there is no such table.
            assert!(answer.contains("code: Invalid"), "{name:?}: {answer}");
        }
        let mut administrator = target.administrator();
        administrator.say(format!("*3\r\n#B:3\r\n+{name}\r\n").as_bytes());
        let answer = administrator.heard();
        assert!(answer.contains("#f:3\\r\\n+INVALID"), "{name:?}: {answer}");
    }
    assert_eq!(below(target.folder()), before);
    target.stop();
}

#[test]
fn what_the_server_keeps_is_open_to_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let made = tool(folder.path(), &["init", "--data-dir", "kvsd-data"]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let target = Target::start(
        folder,
        &["--config", "kvsd-data/kvsd.toml", "--status-listen", "127.0.0.1:0"],
    );
    // What is public by its nature.
    let is_public = |path: &Path| path.extension().is_some_and(|end| end == "pem" || end == "toml");
    let kept = below(&target.data_dir());
    assert!(kept.iter().any(|path| path.ends_with("admin.sock")), "{kept:?}");
    for path in kept.iter().filter(|path| !is_public(path)) {
        let mode = fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
    }
    target.stop();
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries
        .flat_map(|path| {
            let mut below = if path.is_dir() { below(&path) } else { Vec::new() };
            below.push(path);
            below
        })
        .collect();
    found.sort();
    found
}
