use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use tempfile::TempDir;

use super::*;

struct Bench {
    folder: TempDir,
    audit: Audit,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::open(Some(&folder.path().join("audit"))).unwrap();
        Self { folder, audit }
    }

    /// The entries so far, without their times.
    fn entries(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("audit")).unwrap();
        let entry = |line: &str| {
            let mut entry: Value = serde_json::from_str(line).unwrap();
            let time = entry.as_object_mut().unwrap().remove("time").unwrap();
            assert!(humantime::parse_rfc3339(time.as_str().unwrap()).is_ok(), "{time}");
            entry
        };
        text.lines().map(entry).collect()
    }
}

const SOMEBODY: Administrator = Administrator { uid: 1000, pid: Some(77) };

#[test]
fn an_action_is_told_with_who_did_it_to_what_and_how_it_ended() {
    let bench = Bench::new();
    bench.audit.administered(SOMEBODY, "backup", Some("monday"), Ok::<_, &str>(()));
    let nobody = Administrator { uid: 0, pid: None };
    bench.audit.administered(nobody, "compact", None, Err("the disk is full"));
    assert_eq!(
        bench.entries(),
        [
            serde_json::json!({"event": "administration", "peer": "uid 1000, pid 77",
                "action": "backup", "of": "monday", "outcome": "ok"}),
            serde_json::json!({"event": "administration", "peer": "uid 0", "action": "compact",
                "outcome": "failed", "reason": "the disk is full"}),
        ]
    );
}

#[test]
fn the_audit_log_is_for_its_owner_and_is_continued() {
    let bench = Bench::new();
    bench.audit.administered(SOMEBODY, "backup", None, Ok::<_, &str>(()));
    let path = bench.folder.path().join("audit");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let again = Audit::open(Some(&path)).unwrap();
    again.administered(SOMEBODY, "compact", None, Ok::<_, &str>(()));
    assert_eq!(bench.entries().len(), 2);

    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let error = Audit::open(Some(&path)).unwrap_err();
    let reason = std::error::Error::source(&error).unwrap().to_string();
    assert!(reason.contains("chmod 600 "), "{reason}");
}

#[test]
fn a_line_break_in_an_entry_makes_no_second_entry() {
    let bench = Bench::new();
    bench.audit.administered(SOMEBODY, "backup", Some("a\n{}"), Err("b\r\nc"));
    assert_eq!(bench.entries().len(), 1);
}
