use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
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
            json!({"event": "administration", "peer": "uid 1000, pid 77",
                "action": "backup", "of": "monday", "outcome": "ok"}),
            json!({"event": "administration", "peer": "uid 0", "action": "compact",
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

const WRONG: Reason<'static> = Reason { why: "wrong_credentials", text: "the password is wrong" };

#[test]
fn logins_and_refusals_are_told_with_user_and_address() {
    let bench = Bench::new();
    bench.audit.login("app", &"192.0.2.1:7000", Proof::Password);
    bench.audit.login("ops", &"192.0.2.1:7001", Proof::Certificate);
    bench.audit.login_refused(Some("app"), &"192.0.2.2:7000", WRONG);
    bench.audit.login_refused(None, &"192.0.2.2:7001", WRONG);
    let late = Reason { why: "handshake_late", text: "not authenticated in time" };
    bench.audit.connection_refused(None, &"192.0.2.3:7000", late);
    assert_eq!(
        bench.entries(),
        [
            json!({"event": "login", "user": "app", "peer": "192.0.2.1:7000",
                "action": "password", "outcome": "ok"}),
            json!({"event": "login", "user": "ops", "peer": "192.0.2.1:7001",
                "action": "certificate", "outcome": "ok"}),
            json!({"event": "login", "user": "app", "peer": "192.0.2.2:7000",
                "outcome": "refused", "why": "wrong_credentials",
                "reason": "the password is wrong"}),
            json!({"event": "login", "peer": "192.0.2.2:7001", "outcome": "refused",
                "why": "wrong_credentials", "reason": "the password is wrong"}),
            json!({"event": "connection", "peer": "192.0.2.3:7000", "outcome": "refused",
                "why": "handshake_late", "reason": "not authenticated in time"}),
        ]
    );
}

#[test]
fn a_flood_of_refusals_is_told_in_part_and_hides_nothing_else() {
    let bench = Bench::new();
    for _ in 0..1000 {
        bench.audit.login_refused(None, &"192.0.2.2:7000", WRONG);
    }
    bench.audit.login("app", &"192.0.2.1:7000", Proof::Password);
    bench.audit.administered(SOMEBODY, "backup", None, Ok::<_, &str>(()));
    let entries = bench.entries();
    let events = |event: &str| entries.iter().filter(|entry| entry["event"] == event).count();
    assert_eq!(events("administration"), 1);
    assert!(entries.iter().any(|entry| entry["user"] == "app"), "{entries:?}");
    // A slow machine may take more than one second for a thousand.
    assert!(events("login") < 500, "{entries:?}");
}

#[test]
fn users_who_change_are_told_by_name_and_not_without_end() {
    let bench = Bench::new();
    let names = |count: usize| (0..count).map(|number| format!("user-{number}")).collect();
    bench.audit.users_changed(&Changes {
        added: vec!["new".to_owned()],
        removed: vec!["old".to_owned()],
        changed: names(1500),
    });
    let entries = bench.entries();
    assert_eq!(entries.len(), 1001);
    let of = |place: usize| (entries[place]["action"].as_str(), entries[place]["user"].as_str());
    assert_eq!(of(0), (Some("added"), Some("new")));
    assert_eq!(of(1), (Some("removed"), Some("old")));
    assert_eq!(of(2), (Some("changed"), Some("user-0")));
    assert_eq!(entries[1000], json!({"event": "users", "outcome": "ok", "left_out": 502}));
}

#[test]
fn an_audit_log_that_was_moved_away_is_made_again_when_asked_for() {
    let bench = Bench::new();
    let path = bench.folder.path().join("audit");
    let moved = bench.folder.path().join("audit.1");
    bench.audit.administered(SOMEBODY, "backup", Some("one"), Ok::<_, &str>(()));
    fs::rename(&path, &moved).unwrap();
    bench.audit.administered(SOMEBODY, "backup", Some("two"), Ok::<_, &str>(()));
    bench.audit.reopen(Some(&path)).unwrap();
    bench.audit.administered(SOMEBODY, "backup", Some("three"), Ok::<_, &str>(()));
    assert_eq!(bench.entries()[0]["of"], "three");
    assert_eq!(fs::read_to_string(&moved).unwrap().lines().count(), 2);

    assert!(bench.audit.reopen(Some(bench.folder.path())).is_err(), "a folder");
    bench.audit.administered(SOMEBODY, "backup", Some("four"), Ok::<_, &str>(()));
    assert_eq!(bench.entries().len(), 2, "it goes on where it was");
    bench.audit.reopen(None).unwrap();
    bench.audit.administered(SOMEBODY, "backup", Some("five"), Ok::<_, &str>(()));
    assert_eq!(bench.entries().len(), 2, "it is not wanted any more");
}
