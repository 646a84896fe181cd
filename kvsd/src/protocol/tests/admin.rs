//! The administrator's messages: their bytes, which never change, and what is refused.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{decoder, id, whole};
use crate::protocol::MAX_FAIL_MESSAGE_BYTES;
use crate::protocol::admin::{
    Connection, MAX_FILTER_BYTES, MAX_PAGE_ROWS, PasswordHash, REPLY_LIMITS, REQUEST_LIMITS, Reply,
    Request, TableHealth, User,
};
use crate::protocol::frame::{Decoder, FieldError};
use crate::protocol::v2::{FailCode, Statistics};
use crate::types::Version;

const HASH: PasswordHash<'_> = PasswordHash("$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA");

#[test]
fn every_request_has_its_golden_bytes() {
    let hash = b"+$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA\r\n";
    let with_hash = |start: &[u8]| [start, hash].concat();
    for (request, bytes) in [
        (Request::Backup { name: "2026-11-22" }, &b"*3\r\n#B:7\r\n+2026-11-22\r\n"[..]),
        (Request::Progress, b"*2\r\n#P:7\r\n"),
        (Request::Compact { table: "users" }, b"*3\r\n#C:7\r\n+users\r\n"),
        (Request::Tables { after: None }, b"*3\r\n#T:7\r\n|"),
        (Request::Tables { after: Some("a") }, b"*3\r\n#T:7\r\n+a\r\n"),
        (Request::Reload, b"*2\r\n#R:7\r\n"),
        (Request::Users { after: None }, b"*3\r\n#U:7\r\n|"),
        (Request::Users { after: Some("app") }, b"*3\r\n#U:7\r\n+app\r\n"),
        (
            Request::AddUser { name: "app", hash: HASH, grants: Vec::new() },
            &with_hash(b"*4\r\n#A:7\r\n+app\r\n"),
        ),
        (Request::SetPassword { name: "app", hash: HASH }, &with_hash(b"*4\r\n#W:7\r\n+app\r\n")),
        (
            Request::AddUser { name: "app", hash: PasswordHash("h"), grants: vec!["read@*"] },
            b"*5\r\n#A:7\r\n+app\r\n+h\r\n+read@*\r\n",
        ),
        (
            Request::Grant { name: "app", grants: vec!["write@a", "read@b-*"] },
            b"*5\r\n#O:7\r\n+app\r\n+write@a\r\n+read@b-*\r\n",
        ),
        (
            Request::Revoke { name: "app", grants: vec!["write@a"] },
            b"*4\r\n#V:7\r\n+app\r\n+write@a\r\n",
        ),
        (Request::RemoveUser { name: "app" }, b"*3\r\n#X:7\r\n+app\r\n"),
        (Request::Connections { after: 0 }, b"*3\r\n#L:7\r\n:0\r\n"),
        (Request::Kill { connection: 12 }, b"*3\r\n#K:7\r\n:12\r\n"),
        (Request::LogFilter, b"*2\r\n#G:7\r\n"),
        (
            Request::SetLogFilter { filter: "info,kvsd=debug" },
            b"*3\r\n#S:7\r\n+info,kvsd=debug\r\n",
        ),
    ] {
        let mut out = BytesMut::new();
        request.encode(id(7), &mut out);
        assert_eq!(out, bytes, "{}", out.escape_ascii());
        whole(&mut decoder(), bytes, |message| {
            assert_eq!(Request::parse(message), Ok((id(7), Some(request.clone()))));
        });
    }
}

fn table(name: &str) -> TableHealth<'_> {
    let statistics = Statistics {
        keys: 1,
        live_bytes: 2,
        dead_bytes: 3,
        segments: 4,
        disk_bytes: 5,
        last_version: Version::new(6),
        incarnation: 7,
        stopped: None,
    };
    TableHealth { name, statistics }
}

fn user<'a>(name: &'a str, grants: &[&'a str]) -> User<'a> {
    User { name, grants: grants.to_vec() }
}

fn connection(user: Option<&str>) -> Connection<'_> {
    Connection {
        id: 1,
        peer: "[::1]:2",
        is_encrypted: false,
        user,
        age_millis: 3,
        idle_millis: 4,
        read_bytes: 5,
        written_bytes: 6,
        requests: 7,
        memory_bytes: 8,
    }
}

#[test]
fn every_reply_has_its_golden_bytes() {
    let fail = Reply::Fail { code: FailCode::Busy, message: "later" };
    for (id, reply, bytes) in [
        (
            Some(id(7)),
            Reply::Made { tables: 2, files: 9, bytes: 1234 },
            &b"*5\r\n#b:7\r\n:2\r\n:9\r\n:1234\r\n"[..],
        ),
        (Some(id(8)), Reply::Progress { done: 5, total: 10 }, b"*4\r\n#p:8\r\n:5\r\n:10\r\n"),
        (
            Some(id(7)),
            Reply::Compacted { freed_bytes: 5, dead_bytes: 6 },
            b"*4\r\n#c:7\r\n:5\r\n:6\r\n",
        ),
        (Some(id(7)), Reply::Tables { more: false, rows: Vec::new() }, b"*3\r\n#t:7\r\n:0\r\n"),
        (
            Some(id(7)),
            Reply::Tables { more: true, rows: vec![table("a")] },
            b"*12\r\n#t:7\r\n:1\r\n+a\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n|",
        ),
        (Some(id(7)), Reply::Reloaded { users: 3 }, b"*3\r\n#r:7\r\n:3\r\n"),
        (
            Some(id(7)),
            Reply::Users { more: true, rows: vec![user("app", &["read@*"]), user("ops", &[])] },
            b"*8\r\n#u:7\r\n:1\r\n+app\r\n:1\r\n+read@*\r\n+ops\r\n:0\r\n",
        ),
        (
            Some(id(7)),
            Reply::Connections { more: false, rows: vec![connection(None)] },
            b"*13\r\n#l:7\r\n:0\r\n:1\r\n+[::1]:2\r\n:0\r\n|:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:8\r\n",
        ),
        (Some(id(7)), Reply::LogFilter { filter: "info" }, b"*3\r\n#g:7\r\n+info\r\n"),
        (Some(id(7)), Reply::Done, b"*2\r\n#d:7\r\n"),
        (Some(id(7)), fail.clone(), b"*4\r\n#f:7\r\n+BUSY\r\n+later\r\n"),
        (None, fail, b"*4\r\n#f|+BUSY\r\n+later\r\n"),
    ] {
        let mut out = BytesMut::new();
        reply.encode(id, &mut out);
        assert_eq!(out, bytes, "{}", out.escape_ascii());
        whole(&mut decoder(), bytes, |message| {
            assert_eq!(Reply::parse(message), Ok((id, Some(reply.clone()))));
        });
    }
}

#[test]
fn surplus_frames_of_a_request_are_refused_and_those_of_a_reply_skipped() {
    let refused = |bytes: &'static [u8]| whole(&mut decoder(), bytes, |m| Request::parse(m).err());
    let seven = Some(id(7));
    assert_eq!(refused(b"*3\r\n#P:7\r\n:1\r\n"), Some((seven, FieldError::TooMany)));
    assert_eq!(refused(b"*4\r\n#B:7\r\n+a\r\n|"), Some((seven, FieldError::TooMany)));
    assert!(matches!(refused(b"*2\r\n#B:7\r\n"), Some((Some(_), FieldError::Missing { .. }))));
    assert!(matches!(refused(b"*2\r\n#P:-1\r\n"), Some((None, FieldError::OutOfRange { .. }))));
    assert!(matches!(refused(b"*1\r\n#P"), Some((None, FieldError::Missing { .. }))));
    assert!(matches!(
        refused(b"*3\r\n#K:7\r\n:-1\r\n"),
        Some((Some(_), FieldError::OutOfRange { .. }))
    ));
    whole(&mut decoder(), b"*3\r\n#!:7\r\n:1\r\n", |message| {
        assert_eq!(Request::parse(message), Ok((id(7), None)));
    });
    whole(&mut decoder(), b"*5\r\n#p:7\r\n:1\r\n:2\r\n:3\r\n", |message| {
        let progress = Reply::Progress { done: 1, total: 2 };
        assert_eq!(Reply::parse(message), Ok((seven, Some(progress))));
    });
    whole(&mut decoder(), b"*4\r\n#p:7\r\n:-1\r\n:2\r\n", |message| {
        assert!(matches!(Reply::parse(message), Err(FieldError::OutOfRange { .. })));
    });
    // Half a row.
    whole(&mut decoder(), b"*5\r\n#l:7\r\n:0\r\n:1\r\n+a\r\n", |message| {
        assert!(matches!(Reply::parse(message), Err(FieldError::Missing { .. })));
    });
}

#[test]
fn a_hash_is_shown_nowhere() {
    for request in [
        Request::AddUser { name: "app", hash: HASH, grants: Vec::new() },
        Request::SetPassword { name: "app", hash: HASH },
    ] {
        let shown = format!("{request:?}");
        assert!(shown.contains("app") && !shown.contains("argon2id"), "{shown}");
    }
}

#[test]
fn the_longest_messages_are_within_their_limits() {
    let (name, peer) = ("n".repeat(128), "p".repeat(64));
    let stopped = "s".repeat(2 * MAX_FAIL_MESSAGE_BYTES);
    let most = u64::MAX;
    let statistics = Statistics {
        keys: most,
        live_bytes: most,
        dead_bytes: most,
        segments: most,
        disk_bytes: most,
        last_version: Version::new(Version::MAX),
        incarnation: 1 << 63,
        stopped: Some(&stopped),
    };
    let row = Connection {
        id: most,
        peer: &peer,
        is_encrypted: true,
        user: Some(&name),
        age_millis: most,
        idle_millis: most,
        read_bytes: most,
        written_bytes: most,
        requests: most,
        memory_bytes: most,
    };
    let grant = "g".repeat(71);
    let filter = "\u{e4}".repeat(MAX_FILTER_BYTES);
    for reply in [
        Reply::Tables {
            more: true,
            rows: vec![TableHealth { name: &name, statistics }; MAX_PAGE_ROWS],
        },
        Reply::Connections { more: true, rows: vec![row; MAX_PAGE_ROWS] },
        Reply::Users { more: true, rows: vec![user(&name, &[]); MAX_PAGE_ROWS] },
        Reply::Users { more: true, rows: vec![user(&name, &[grant.as_str(); 64])] },
        Reply::LogFilter { filter: &filter },
    ] {
        let mut out = BytesMut::new();
        reply.encode(Some(id(i64::MAX as u64)), &mut out);
        let mut decoder = Decoder::new(REPLY_LIMITS);
        let message = decoder.decode(&out).unwrap().unwrap();
        assert!(matches!(Reply::parse(&message), Ok((Some(_), Some(_)))));
    }
    let hash = "h".repeat(REQUEST_LIMITS.line_bytes);
    let request =
        Request::AddUser { name: &name, hash: PasswordHash(&hash), grants: vec![&grant; 64] };
    let mut out = BytesMut::new();
    request.encode(id(i64::MAX as u64), &mut out);
    assert!(Decoder::new(REQUEST_LIMITS).decode(&out).unwrap().is_some());
}

fn word() -> impl Strategy<Value = String> {
    "[^\\p{Cc}]{0,40}"
}

fn number() -> impl Strategy<Value = u64> {
    0..=i64::MAX as u64
}

prop_compose! {
    /// The texts and numbers of a row.
    fn row()(
        texts in (word(), option::of(word())),
        numbers in vec(number(), 8),
        is_encrypted: bool,
    ) -> (String, Option<String>, Vec<u64>, bool) {
        (texts.0, texts.1, numbers, is_encrypted)
    }
}

/// The reply is read back as it was.
fn check_reply(reply: &Reply<'_>) -> Result<(), TestCaseError> {
    let mut out = BytesMut::new();
    reply.encode(Some(id(9)), &mut out);
    let mut decoder = Decoder::new(REPLY_LIMITS);
    let message = decoder.decode(&out).unwrap().unwrap();
    prop_assert_eq!(message.byte_len(), out.len());
    prop_assert_eq!(Reply::parse(&message), Ok((Some(id(9)), Some(reply.clone()))));
    Ok(())
}

proptest! {
    #[test]
    fn pages_are_read_back_as_they_were_written(rows in vec(row(), 0..9), more: bool) {
        let connections = rows.iter().map(|(peer, user, numbers, is_encrypted)| Connection {
            id: numbers[0],
            peer,
            is_encrypted: *is_encrypted,
            user: user.as_deref(),
            age_millis: numbers[1],
            idle_millis: numbers[2],
            read_bytes: numbers[3],
            written_bytes: numbers[4],
            requests: numbers[5],
            memory_bytes: numbers[6],
        });
        check_reply(&Reply::Connections { more, rows: connections.collect() })?;
        let tables = rows.iter().map(|(name, stopped, numbers, _)| TableHealth {
            name,
            statistics: Statistics {
                keys: numbers[0],
                live_bytes: numbers[1],
                dead_bytes: numbers[2],
                segments: numbers[3],
                disk_bytes: numbers[4],
                last_version: Version::new(numbers[5]),
                incarnation: numbers[6],
                stopped: stopped.as_deref(),
            },
        });
        check_reply(&Reply::Tables { more, rows: tables.collect() })?;
        let users = rows.iter().map(|(name, grant, ..)| User {
            name,
            grants: grant.iter().map(String::as_str).collect(),
        });
        check_reply(&Reply::Users { more, rows: users.collect() })?;
    }

    #[test]
    fn requests_are_read_back_as_they_were_written(
        text in word(), other in word(), number in number(), after in option::of(word()),
    ) {
        let (name, hash, after) = (text.as_str(), PasswordHash(&other), after.as_deref());
        for request in [
            Request::Backup { name },
            Request::Compact { table: name },
            Request::Tables { after },
            Request::Users { after },
            Request::AddUser { name, hash, grants: vec![name, hash.0] },
            Request::Grant { name, grants: vec![hash.0] },
            Request::Revoke { name, grants: Vec::new() },
            Request::SetPassword { name, hash },
            Request::RemoveUser { name },
            Request::Connections { after: number },
            Request::Kill { connection: number },
            Request::SetLogFilter { filter: name },
        ] {
            let mut out = BytesMut::new();
            request.encode(id(9), &mut out);
            let mut decoder = Decoder::new(REQUEST_LIMITS);
            let message = decoder.decode(&out).unwrap().unwrap();
            prop_assert_eq!(Request::parse(&message), Ok((id(9), Some(request))));
        }
    }
}
