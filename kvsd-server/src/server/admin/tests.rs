//! Every operation of the table that is for administrators, over a real socket.

use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

use bytes::{Buf, BytesMut};
use kvsd::TableName;
use kvsd::protocol::admin::{PasswordHash, REPLY_LIMITS, Reply, Request};
use kvsd::protocol::frame::Decoder;
use kvsd::protocol::v2::{FailCode, RequestId};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::*;
use crate::auth::access::{Need, OPERATIONS, Operation};
use crate::config::{Config, LogFilter};
use crate::server::connections::Connections;
use crate::server::open_engine;
use crate::server::reload::Reload;
use crate::users::{Password, StoredHash, UserName, Users};

#[derive(Debug)]
struct Filter(Mutex<String>);

impl LogFilter for Filter {
    fn get(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    fn set(&self, filter: &str) -> Result<(), String> {
        if filter == "nonsense" {
            return Err("`nonsense` is no filter".to_owned());
        }
        filter.clone_into(&mut self.0.lock().unwrap());
        Ok(())
    }
}

/// A server's inside with its administrators' socket.
struct Bench {
    folder: TempDir,
    connections: Connections,
    serving: JoinHandle<Infallible>,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (users, data) = (folder.path().join("users"), folder.path().join("data"));
        Users::edit(&users, |users| users.add(name("app"), hash("one"), "read@*".parse().unwrap()))
            .unwrap();
        let config = Config {
            insecure: true,
            users: Some(users),
            backups: Some(folder.path().join("backups")),
            data_dir: data.clone(),
            ..Config::default()
        };
        let filter = Arc::new(Filter(Mutex::new("info".to_owned())));
        let settings = config.check().unwrap().with_log_filter(filter);
        let engine = open_engine(&settings, Arc::default()).await.unwrap().engine;
        engine.create_table(&TableName::default()).await.unwrap();
        let connections =
            Connections::new(Arc::clone(&engine), &settings, Arc::default(), Arc::default());
        let administration = Administration {
            engine,
            audit: Arc::default(),
            reload: Reload::new(&settings, None, Arc::default(), Arc::clone(connections.limits())),
            roster: Arc::clone(connections.roster()),
            log_filter: settings.log_filter().cloned(),
        };
        let socket = AdminSocket::bind(&data, administration).unwrap();
        let serving = tokio::spawn(async move { socket.serve().await });
        Self { folder, connections, serving }
    }

    async fn connect(&self) -> Peer {
        let path = self.folder.path().join("data").join(SOCKET_FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let stream = UnixStream::connect(path).await.unwrap();
        Peer { stream, decoder: Decoder::new(REPLY_LIMITS), input: BytesMut::new() }
    }

    /// A client who is connected, as the first one.
    async fn client(&self) -> DuplexStream {
        let (client, server) = tokio::io::duplex(1024);
        self.connections.spawn_pipe(self.connections.slot().await, server);
        client
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Peer {
    stream: UnixStream,
    decoder: Decoder,
    input: BytesMut,
}

impl Peer {
    /// What `read` makes of the answer.
    async fn ask<T>(&mut self, request: &Request<'_>, read: impl Fn(Reply<'_>) -> T) -> T {
        let mut out = BytesMut::new();
        request.encode(RequestId::ZERO, &mut out);
        self.stream.write_all(&out).await.unwrap();
        loop {
            if let Some(message) = self.decoder.decode(&self.input).unwrap() {
                let (id, reply) = Reply::parse(&message).unwrap();
                assert_eq!(id, Some(RequestId::ZERO));
                let answer = read(reply.unwrap());
                let length = message.byte_len();
                self.input.advance(length);
                return answer;
            }
            assert_ne!(self.stream.read_buf(&mut self.input).await.unwrap(), 0);
        }
    }

    async fn shown(&mut self, request: &Request<'_>) -> String {
        self.ask(request, |reply| format!("{reply:?}")).await
    }
}

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

fn hash(password: &str) -> StoredHash {
    StoredHash::of(&Password::new(password.as_bytes().to_vec()).unwrap()).unwrap()
}

/// A request for an operation of administrators, and how its answer begins; `None` for others.
fn request(operation: Operation, hash: &str) -> Option<(Request<'_>, &'static str)> {
    let hash = PasswordHash(hash);
    Some(match operation {
        Operation::Backup => (Request::Backup { name: "one" }, "Made { tables: 1"),
        Operation::BackupProgress => (Request::Progress, "Progress"),
        Operation::Compact => (Request::Compact { table: "default" }, "Compacted"),
        Operation::TableHealth => (Request::Tables { after: None }, "Tables { more: false"),
        Operation::Reload => (Request::Reload, "Reloaded { users: 0 }"),
        Operation::ListUsers => (
            Request::Users { after: None },
            "Users { more: false, rows: [User { name: \"app\", grants: [\"read@*\"] }] }",
        ),
        Operation::AddUser => {
            (Request::AddUser { name: "new", hash, grants: vec!["write@a"] }, "Done")
        }
        Operation::SetPassword => (Request::SetPassword { name: "app", hash }, "Done"),
        Operation::RemoveUser => (Request::RemoveUser { name: "app" }, "Done"),
        Operation::Grant => (Request::Grant { name: "app", grants: vec!["write@a"] }, "Done"),
        Operation::Revoke => (Request::Revoke { name: "app", grants: vec!["read@*"] }, "Done"),
        Operation::ListConnections => {
            (Request::Connections { after: 0 }, "Connections { more: false, rows: [Connection {")
        }
        Operation::KillConnection => (Request::Kill { connection: 1 }, "Done"),
        Operation::LogFilter => (Request::LogFilter, "LogFilter { filter: \"info\" }"),
        Operation::SetLogFilter => (Request::SetLogFilter { filter: "debug" }, "Done"),
        Operation::Ping
        | Operation::Get
        | Operation::Exists
        | Operation::Lifetime
        | Operation::Set
        | Operation::Delete
        | Operation::Increment
        | Operation::Expire
        | Operation::Batch
        | Operation::Pipeline
        | Operation::Scan
        | Operation::Watch
        | Operation::Cancel
        | Operation::CreateTable
        | Operation::DropTable
        | Operation::Tables
        | Operation::Statistics => return None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_administrators_is_carried_out_over_the_socket() {
    let hash = hash("two");
    for (operation, name, need) in OPERATIONS {
        let request = request(operation, hash.as_str());
        assert_eq!(request.is_some(), need == Need::Socket, "{name}");
        if let Some((request, answer)) = request {
            let bench = Bench::new().await;
            let _client = bench.client().await;
            let shown = bench.connect().await.shown(&request).await;
            assert!(shown.starts_with(answer), "{name}: {shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused_in_plain_words_and_ends_nothing() {
    let bench = Bench::new().await;
    let mut peer = bench.connect().await;
    let stored = hash("two");
    let hash = PasswordHash(stored.as_str());
    let none = Vec::new;
    for (request, code, said) in [
        (Request::Compact { table: "a b" }, FailCode::Invalid, "table"),
        (Request::Compact { table: "nothing" }, FailCode::NoTable, "there is no table nothing"),
        (Request::AddUser { name: "app", hash, grants: none() }, FailCode::Invalid, "app already"),
        (Request::AddUser { name: "a:b", hash, grants: none() }, FailCode::Invalid, ""),
        (
            Request::AddUser { name: "a", hash: PasswordHash("canary"), grants: none() },
            FailCode::Invalid,
            "PHC",
        ),
        (Request::AddUser { name: "a", hash, grants: vec!["root@*"] }, FailCode::Invalid, "read"),
        (Request::SetPassword { name: "b", hash }, FailCode::Invalid, "there is no user b"),
        (Request::RemoveUser { name: "b" }, FailCode::Invalid, "there is no user b"),
        (Request::Grant { name: "b", grants: vec!["read@*"] }, FailCode::Invalid, "no user b"),
        (
            Request::Revoke { name: "app", grants: vec!["write@*"] },
            FailCode::Invalid,
            "it has: read@*",
        ),
        (Request::Kill { connection: 7 }, FailCode::Invalid, "there is no connection 7"),
        (Request::SetLogFilter { filter: "nonsense" }, FailCode::Invalid, "is no filter"),
        (Request::Backup { name: "../one" }, FailCode::Invalid, "a backup's name"),
    ] {
        let (found, message) = peer
            .ask(&request, |reply| match reply {
                Reply::Fail { code, message } => (code, message.to_owned()),
                other => panic!("{request:?}: {other:?}"),
            })
            .await;
        assert_eq!(found, code, "{request:?}: {message}");
        assert!(message.contains(said) && !message.contains("canary"), "{request:?}: {message}");
    }
    assert!(peer.shown(&Request::LogFilter).await.contains("info"), "nothing was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages_that_go_on_behind_the_last_row() {
    let bench = Bench::new().await;
    let users = bench.folder.path().join("users");
    let stored = hash("two");
    Users::edit(&users, |users| {
        for number in 0..150 {
            let grants: Vec<String> =
                (0..number % 64).map(|it| format!("read@table-{it}-{}", "x".repeat(50))).collect();
            let grants = grants.join(",").parse().unwrap();
            users.add(name(&format!("user-{number:03}")), stored.clone(), grants)?;
        }
        Ok(())
    })
    .unwrap();
    let mut clients = Vec::new();
    for _ in 0..130 {
        clients.push(bench.client().await);
    }
    let mut peer = bench.connect().await;
    let (mut names, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let request = Request::Users { after: after.as_deref() };
        let (more, page) = peer
            .ask(&request, |reply| match reply {
                Reply::Users { more, rows } => {
                    (more, rows.iter().map(|row| row.name.to_owned()).collect::<Vec<_>>())
                }
                other => panic!("{other:?}"),
            })
            .await;
        assert!(!page.is_empty());
        after = page.last().cloned();
        names.extend(page);
        pages += 1;
        if !more {
            break;
        }
    }
    let mut expected: Vec<String> = (0..150).map(|number| format!("user-{number:03}")).collect();
    expected.insert(0, "app".to_owned());
    assert_eq!(names, expected);
    assert!(pages > 3, "so many grants do not fit three pages: {pages}");
    let (mut ids, mut more) = (Vec::new(), true);
    while more {
        let request = Request::Connections { after: ids.last().copied().unwrap_or(0) };
        let page;
        (more, page) = peer
            .ask(&request, |reply| match reply {
                Reply::Connections { more, rows } => {
                    (more, rows.iter().map(|row| row.id).collect::<Vec<_>>())
                }
                other => panic!("{other:?}"),
            })
            .await;
        ids.extend(page);
    }
    assert_eq!(ids, (1..=130).collect::<Vec<u64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_at_once_than_are_carried_out_are_refused_and_each_is_answered() {
    let bench = Bench::new().await;
    let mut peer = bench.connect().await;
    let mut out = BytesMut::new();
    for id in 1..=40 {
        Request::Users { after: None }.encode(RequestId::new(id).unwrap(), &mut out);
    }
    peer.stream.write_all(&out).await.unwrap();
    let (mut answered, mut busy) = (Vec::new(), 0);
    while answered.len() < 40 {
        peer.stream.read_buf(&mut peer.input).await.unwrap();
        while let Some(message) = peer.decoder.decode(&peer.input).unwrap() {
            let (id, reply) = Reply::parse(&message).unwrap();
            answered.push(id.unwrap().get());
            if let Some(Reply::Fail { code, .. }) = reply {
                assert_eq!(code, FailCode::Busy);
                busy += 1;
            }
            let length = message.byte_len();
            peer.input.advance(length);
        }
    }
    answered.sort_unstable();
    assert_eq!(answered, (1..=40).collect::<Vec<u64>>());
    assert!((1..=24).contains(&busy), "{busy}");
}
