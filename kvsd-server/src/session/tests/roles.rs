//! Who may do what: every operation of the table of operations, by every kind of client.

use std::ops::Bound::Unbounded;
use std::sync::atomic::Ordering::Relaxed;

use kvsd::UnixMillis;
use kvsd::protocol::admin;
use kvsd::protocol::v2::{
    Action, Change, Condition, Detail, Expiry, Order, Position, Previous, Scan, Select, Watch,
};

use super::*;
use crate::auth::access::{Need, OPERATIONS, Operation};
use crate::engine::Engine;
use crate::metrics::Refusal;
use crate::users::Role;

const TABLE: &str = "default";
const OTHER: &str = "other";

/// The clients of the matrix: a user's name, what it was granted, and the role that this is on
/// [`TABLE`]. No name is anyone, of a server that lets anyone in.
const CLIENTS: [(&str, &str, Option<Role>); 8] = [
    ("stranger", "", None),
    ("elsewhere", "admin@other,admin@defaul,admin@default.*", None),
    ("reader", "read@default", Some(Role::Read)),
    ("reads-all", "read@*,admin@other", Some(Role::Read)),
    ("writer", "write@def*", Some(Role::Write)),
    ("admin", "admin@default", Some(Role::Admin)),
    ("admins-all", "admin@*", Some(Role::Admin)),
    ("", "", Some(Role::Admin)),
];

/// A server with one record in each of the tables.
fn bench(user: &str, grants: &str) -> Bench {
    let authenticator = if user.is_empty() {
        Authenticator::accept_anyone()
    } else {
        let hash = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$\
                    Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm8";
        let mut users = Users::default();
        let (name, hash) = (UserName::parse(user).unwrap(), StoredHash::parse(hash).unwrap());
        users.add(name, hash, grants.parse().unwrap()).unwrap();
        Authenticator::from_users(&users).unwrap()
    };
    let bench = Bench::with(authenticator, 1024);
    for table in [TABLE, OTHER] {
        bench.engine.put(table, b"k", b"7".to_vec());
    }
    bench
}

async fn log_in(bench: &Bench, user: &str) -> Peer {
    let mut peer = bench.connect_as(Some(user).filter(|user| !user.is_empty()), PIPE_BYTES);
    peer.send(HELLO).await;
    assert!(peer.reply_bytes().await.starts_with(b"*49\r\n#h:0"), "{user:?} is let in");
    peer
}

/// A request of version 2 for each operation; `None` if no message of it asks for that.
fn request(operation: Operation) -> Option<Request<'static>> {
    let (table, key) = (TABLE, b"k");
    let condition = Condition::Any;
    Some(match operation {
        Operation::Ping => Request::Ping,
        Operation::Get => Request::Get { table, key, freshness: Freshness::Latest },
        Operation::Exists => Request::Exists { table, key, freshness: Freshness::Latest },
        Operation::Lifetime => Request::Lifetime { table, key, freshness: Freshness::Latest },
        Operation::Set => set(key, b"8"),
        Operation::Delete => Request::Delete { table, key, condition, previous: Previous::Return },
        Operation::Increment => Request::Increment { table, key, by: 1, condition },
        Operation::Expire => {
            let expiry = Some(Expiry::After(UnixMillis::new(60_000).unwrap()));
            Request::Expire { table, key, expiry, condition }
        }
        Operation::Batch => {
            let changes = vec![Change { key, condition, action: Action::Check }];
            Request::Batch { table, changes }
        }
        Operation::Pipeline => Request::Pipeline(
            PARTS.iter().map(|part| request(*part).expect("it stands alone as well")).collect(),
        ),
        Operation::Scan => Request::Scan(Scan {
            table,
            from: Unbounded,
            to: Unbounded,
            order: Order::Ascending,
            detail: Detail::Records,
            limit: None,
            freshness: Freshness::Latest,
            at: None,
        }),
        Operation::Watch => {
            let since = Some(Position { incarnation: None, version: 0 });
            Request::Watch(Watch { table, since, wait_millis: 0, select: Select::All })
        }
        Operation::Cancel => Request::Cancel,
        Operation::CreateTable => Request::CreateTable { table },
        Operation::DropTable => Request::DropTable { table },
        Operation::Tables => Request::Tables { after: None },
        Operation::Statistics => Request::Statistics { table },
        Operation::Backup
        | Operation::BackupProgress
        | Operation::Compact
        | Operation::TableHealth
        | Operation::Reload
        | Operation::ListUsers
        | Operation::AddUser
        | Operation::SetPassword
        | Operation::RemoveUser
        | Operation::Grant
        | Operation::Revoke
        | Operation::ListConnections
        | Operation::KillConnection
        | Operation::LogFilter
        | Operation::SetLogFilter => return None,
    })
}

/// What the pipeline asks for: each of them as it would be answered alone, twice over, so that some
/// come behind one that waits.
const PARTS: [Operation; 14] = [
    Operation::Get,
    Operation::Exists,
    Operation::Lifetime,
    Operation::Set,
    Operation::Increment,
    Operation::Expire,
    Operation::Delete,
    Operation::Get,
    Operation::Exists,
    Operation::Lifetime,
    Operation::Set,
    Operation::Increment,
    Operation::Expire,
    Operation::Delete,
];

fn may(operation: Operation, role: Option<Role>) -> bool {
    match operation.need() {
        Need::Nothing | Need::OfEachPart | Need::RoleToSee(_) => true,
        Need::Role(needed) => role.is_some_and(|role| role >= needed),
        Need::Socket => false,
    }
}

/// How often the engine was asked for anything.
fn calls(bench: &Bench) -> [usize; 4] {
    let MapEngine { reads, finds, looks, .. } = &*bench.engine;
    let [reads, finds, looks] = [reads, finds, looks].map(|calls| calls.load(Relaxed));
    [reads, finds, looks, bench.engine.batches().len()]
}

fn is_denied(reply: &str) -> bool {
    reply.starts_with("Fail { code: Denied")
}

#[tokio::test]
async fn every_operation_is_carried_out_for_those_who_may_and_for_nobody_else() {
    let mut cells = 0;
    for (user, grants, role) in CLIENTS {
        for (operation, name, need) in OPERATIONS {
            cells += 1;
            let cell = format!("{name} by {user:?} ({grants})");
            let bench = bench(user, grants);
            let mut peer = log_in(&bench, user).await;
            let Some(request) = request(operation) else {
                assert_eq!(need, Need::Socket, "{cell}");
                continue;
            };
            peer.request(1, &request).await;
            if operation == Operation::Cancel {
                // It has no answer of its own.
                peer.request(1, &Request::Ping).await;
            }
            let reply = peer.answer(1, |reply| format!("{reply:?}")).await;
            let denied = bench.service.metrics.refused(Refusal::Denied);
            match need {
                Need::OfEachPart => {
                    let parts = PARTS.iter().filter(|part| !may(**part, role)).count();
                    assert_eq!(reply.matches("code: Denied").count(), parts, "{cell}: {reply}");
                    assert_eq!(reply.matches("Fail").count(), parts, "{cell}: {reply}");
                    assert_eq!(denied, parts as u64, "{cell}");
                }
                Need::RoleToSee(_) => {
                    let of = |table: &str| {
                        let grants: Grants = grants.parse().unwrap();
                        user.is_empty() || grants.allow(Role::Read, table)
                    };
                    for table in [TABLE, OTHER] {
                        assert_eq!(reply.contains(table), of(table), "{cell}: {reply}");
                    }
                }
                Need::Nothing | Need::Role(_) | Need::Socket => {
                    assert_eq!(is_denied(&reply), !may(operation, role), "{cell}: {reply}");
                    assert_eq!(reply.contains("Fail"), !may(operation, role), "{cell}: {reply}");
                    assert_eq!(denied, u64::from(!may(operation, role)), "{cell}");
                }
            }
            if !may(operation, role) {
                assert_eq!(calls(&bench), [0; 4], "{cell}");
                assert_eq!(bench.engine.tables().await.unwrap().len(), 2, "{cell}");
                assert!(!reply.contains("\"k\"") && !reply.contains('7'), "{cell}: {reply}");
            }
        }
    }
    assert_eq!(cells, CLIENTS.len() * OPERATIONS.len());
}

#[tokio::test]
async fn version_1_is_held_to_the_same() {
    for (user, grants, role) in CLIENTS {
        for (operation, message) in [
            (Operation::Ping, &b"*2\r\n#\x01+2026-11-22T00:00:00Z\r\n"[..]),
            (Operation::Get, b"*2\r\n#\x06+k\r\n"),
            (Operation::Set, b"*3\r\n#\x05+k\r\n$1\r\n8\r\n"),
            (Operation::Delete, b"*2\r\n#\x07+k\r\n"),
        ] {
            let cell = format!("{} by {user:?} ({grants})", operation.name());
            let bench = bench(user, grants);
            let mut peer = bench.connect_as(Some(user).filter(|user| !user.is_empty()), PIPE_BYTES);
            let login = format!("*3\r\n#\x02+{user}\r\n+\r\n");
            peer.send(login.as_bytes()).await;
            assert_eq!(peer.reply_bytes().await, b"*2\r\n#\x03|", "{cell}");
            peer.send(message).await;
            let reply = peer.reply_bytes().await.escape_ascii().to_string();
            assert_eq!(reply.contains("may not do that"), !may(operation, role), "{cell}: {reply}");
            if !may(operation, role) {
                assert_eq!(calls(&bench), [0; 4], "{cell}");
            }
        }
    }
}

/// Messages of the administrators' socket mean nothing here, or what they mean to anyone.
#[tokio::test]
async fn what_is_for_administrators_is_not_done_over_a_data_connection() {
    for (user, grants, _) in CLIENTS {
        let bench = bench(user, grants);
        let mut peer = log_in(&bench, user).await;
        let mut wire = BytesMut::new();
        admin::Request::Backup { name: "monday" }.encode(id_of(1), &mut wire);
        admin::Request::Progress.encode(id_of(2), &mut wire);
        peer.send(&wire).await;
        let reply = peer.answer(1, |reply| format!("{reply:?}")).await;
        assert!(reply.starts_with("Fail"), "{user}: {reply}");
        let reply = peer.answer(2, |reply| format!("{reply:?}")).await;
        assert!(reply.starts_with("Pong"), "{user}: {reply}");
    }
}

#[tokio::test]
async fn behind_a_write_that_waits_a_pipeline_is_held_to_the_same() {
    let bench = bench("elsewhere", "write@other");
    let mut peer = log_in(&bench, "elsewhere").await;
    let mut allowed = set(b"k", b"8");
    if let Request::Set { table, .. } = &mut allowed {
        *table = OTHER;
    }
    let requests = vec![allowed, set(b"k", b"8"), get(TABLE, b"k"), get(OTHER, b"k")];
    peer.request(1, &Request::Pipeline(requests)).await;
    let answers = peer.answer(1, |reply| match reply {
        Reply::Pipeline(answers) => answers.iter().map(|it| format!("{it:?}")).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    });
    let answers = answers.await;
    assert_eq!([1, 2].map(|place| is_denied(&answers[place])), [true; 2], "{answers:?}");
    assert!(answers[0].starts_with("Written") && answers[3].starts_with("Value"), "{answers:?}");
    assert_eq!(bench.engine.batches(), [(OTHER.to_owned(), 1)]);
}

#[tokio::test]
async fn a_refusal_tells_neither_whether_there_is_such_a_table_nor_what_stood_in_its_place() {
    let bench = bench("stranger", "");
    let mut peer = log_in(&bench, "stranger").await;
    for (there, absent) in [
        (Request::Statistics { table: OTHER }, Request::Statistics { table: "absent" }),
        (Request::DropTable { table: OTHER }, Request::DropTable { table: "absent" }),
        (Request::CreateTable { table: OTHER }, Request::CreateTable { table: "absent" }),
        (get(OTHER, b"k"), get("absent", b"k")),
    ] {
        let told = peer.ask(&there).await;
        assert!(is_denied(&told), "{told}");
        assert_eq!(told, peer.ask(&absent).await);
    }
    // Nor is any other rule looked at first: no key, and no table's name.
    let told = peer.ask(&get("canary!", b"")).await;
    assert!(is_denied(&told) && !told.contains("canary"), "{told}");
}

#[tokio::test]
async fn a_page_of_tables_is_full_of_those_that_may_be_seen() {
    let bench = bench("reader", "read@seen-*");
    for number in 0..1005 {
        bench.engine.put(&format!("a-{number:04}"), b"k", Vec::new());
        bench.engine.put(&format!("seen-{number:04}"), b"k", Vec::new());
    }
    let mut peer = log_in(&bench, "reader").await;
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        peer.request(1, &Request::Tables { after: after.as_deref() }).await;
        let (more, names) = peer
            .answer(1, |reply| match reply {
                Reply::Tables(page) => (
                    page.more,
                    page.names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(),
                ),
                other => panic!("{other:?}"),
            })
            .await;
        assert!(names.iter().all(|name| name.starts_with("seen-")), "{names:?}");
        assert!(!more || names.len() == 1000, "{} names, and there are more", names.len());
        after = names.last().cloned();
        seen.extend(names);
        if !more {
            break;
        }
    }
    assert_eq!(seen.len(), 1005);
}
