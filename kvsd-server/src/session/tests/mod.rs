//! Sessions over in-memory pipes, driven byte by byte: what goes in, what comes out.
//!
//! The engine here keeps tables in a map and can hold its answers back, which a disk does when it
//! likes and not when a test wants it.

mod batches;
mod closing;
mod engine;
mod freshness;
mod hostile;
mod limits;
mod logins;
mod nonsense;
mod parts;
mod pipeline;
mod points;
mod pressure;
mod roles;
mod scans;
mod storm;
mod tables;
mod v1;
mod v2;
mod watches;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use kvsd::protocol::frame::{Decoder, FrameLimits, Message};
use kvsd::protocol::v2::part::{Arrival, Assembler, Cut, Cutter, MAX_PART_BYTES, Sender};
use kvsd::protocol::v2::{Freshness, Reply, Request, RequestId};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::engine::MapEngine;
use self::nonsense::HELLO;
use super::{Ended, Newcomer, Service, most_of, run};
use crate::auth::Authenticator;
use crate::config::Config;
use crate::engine::Limits;
use crate::limits::InForce;
use crate::server::roster::{self, Most, Roster};
use crate::server::stop::Stopper;
use crate::users::{Grants, Password, StoredHash, UserName, Users};

/// A server as far as one session sees it.
struct Bench {
    engine: Arc<MapEngine>,
    service: Arc<Service>,
    stopper: Stopper,
    roster: Arc<Roster>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Authenticator::accept_anyone(), 10 * 1024 * 1024)
    }

    fn with_limit(max_value_bytes: usize) -> Self {
        Self::with(Authenticator::accept_anyone(), max_value_bytes)
    }

    /// A server with the user `app`, whose password is `secret`.
    fn with_users() -> Self {
        let mut users = Users::default();
        let hash = StoredHash::of(&Password::new(b"secret".to_vec()).unwrap()).unwrap();
        users.add(UserName::parse("app").unwrap(), hash, Grants::all()).unwrap();
        Self::with(Authenticator::from_users(&users).unwrap(), 10 * 1024 * 1024)
    }

    /// A server whose engine takes less than it does.
    fn with_engine_limits(limits: Limits) -> Self {
        let engine = MapEngine::default();
        engine.limit(limits);
        Self::on(engine, Authenticator::accept_anyone(), 10 * 1024 * 1024)
    }

    fn with(authenticator: Authenticator, max_value_bytes: usize) -> Self {
        Self::on(MapEngine::default(), authenticator, max_value_bytes)
    }

    fn on(engine: MapEngine, authenticator: Authenticator, max_value_bytes: usize) -> Self {
        let engine = Arc::new(engine);
        let shared: Arc<MapEngine> = Arc::clone(&engine);
        let metrics = Arc::default();
        let limits = Config { dev: true, connection_memory: Some(1 << 30), ..Config::default() };
        let limits = limits.check().unwrap().limits;
        let service = Service {
            most: most_of(&*engine, max_value_bytes),
            audit: Arc::default(),
            engine: shared,
            authenticator,
            metrics,
            max_connections: 1024,
            max_tables: 1024,
            limits: Arc::new(InForce::new(limits)),
            disk_is_low: Arc::default(),
        };
        Self { engine, service: Arc::new(service), stopper: Stopper::new(), roster: Arc::default() }
    }

    /// A client whose connection is open and about which nothing is known.
    fn connect(&self) -> Peer {
        self.connect_by(PIPE_BYTES)
    }

    fn connect_by(&self, pipe_bytes: usize) -> Peer {
        self.connect_as(None, pipe_bytes)
    }

    /// A client whose certificate names this user.
    fn connect_as(&self, certified: Option<&str>, pipe_bytes: usize) -> Peer {
        let (ours, mut theirs) = tokio::io::duplex(pipe_bytes);
        let service = Arc::clone(&self.service);
        let mut stop = self.stopper.subscribe();
        let certified = certified.map(str::to_owned);
        let arriving = arriving(&self.roster, Duration::from_secs(3600));
        let newcomer = Newcomer { certified, ..arriving };
        let session =
            tokio::spawn(async move { run(&mut theirs, &service, &newcomer, &mut stop).await });
        let decoder = Decoder::new(ANY);
        let assembler = Assembler::new(Sender::Server, ANY);
        Peer { stream: ours, buffer: BytesMut::new(), decoder, assembler, session }
    }

    /// A client of version 2 that has been let in.
    async fn connect_v2(&self) -> Peer {
        let mut peer = self.connect();
        peer.send(HELLO).await;
        assert!(peer.reply_bytes().await.starts_with(b"*49\r\n#h:0\r\n:2\r\n"));
        peer
    }

    /// A client of version 1 that has been let in.
    async fn connect_v1(&self) -> Peer {
        let mut peer = self.connect();
        peer.send(b"*3\r\n#\x02+app\r\n+secret\r\n").await;
        assert_eq!(peer.reply_bytes().await, b"*2\r\n#\x03|");
        peer
    }
}

/// The other end of a session.
struct Peer {
    stream: DuplexStream,
    buffer: BytesMut,
    decoder: Decoder,
    assembler: Assembler,
    session: JoinHandle<Ended>,
}

impl Peer {
    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    async fn request(&mut self, id: u64, request: &Request<'_>) {
        self.send(&parts_of(id, request).concat()).await;
    }

    async fn get(&mut self, id: u64, key: &[u8]) {
        self.request(id, &get("default", key)).await;
    }

    async fn set(&mut self, id: u64, key: &[u8], value: &[u8]) {
        self.request(id, &set(key, value)).await;
    }

    /// The bytes of the next message.
    async fn reply_bytes(&mut self) -> Vec<u8> {
        self.next(|message| message.byte_len()).await.0
    }

    /// The next answer, as [`Reply`] shows it, and its id.
    async fn reply(&mut self) -> (Option<u64>, String) {
        let show = |message: &Message<'_>| {
            let (id, reply) = Reply::parse(message).unwrap();
            (id.map(RequestId::get), format!("{:?}", reply.unwrap()))
        };
        self.whole(show).await
    }

    /// The next answer, which is to this request, as far as the test looks at it.
    async fn answer<T>(&mut self, to: u64, take: impl Fn(Reply<'_>) -> T) -> T {
        let own = |message: &Message<'_>| match Reply::parse(message).unwrap() {
            (Some(id), Some(reply)) if id == id_of(to) => take(reply),
            other => panic!("{other:?} where the answer to {to} was due"),
        };
        self.whole(own).await
    }

    /// Asks, and has the answer as [`Reply`] shows it.
    async fn ask(&mut self, request: &Request<'_>) -> String {
        self.request(77, request).await;
        self.answer(77, |reply| format!("{reply:?}")).await
    }

    /// As [`Peer::ask`]; the value of the record.
    async fn value(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        self.get(77, key).await;
        self.answer(77, |reply| match reply {
            Reply::Value(record) => record.map(|record| record.value.to_vec()),
            other => panic!("{other:?}"),
        })
        .await
    }

    /// The next message, which may come in parts.
    async fn whole<T>(&mut self, take: impl Fn(&Message<'_>) -> T) -> T {
        loop {
            let (bytes, ()) = self.next(|_| ()).await;
            let mut decoder = Decoder::new(ANY);
            let message = decoder.decode(&bytes).unwrap().expect("what was just found");
            match self.assembler.take(&message).unwrap() {
                Arrival::Whole => return take(&message),
                Arrival::Part => {}
                Arrival::Assembled(mut whole) => return take(&whole.open().unwrap().0),
            }
        }
    }

    /// The next message of the stream, and its bytes.
    async fn next<T>(&mut self, take: impl Fn(&Message<'_>) -> T) -> (Vec<u8>, T) {
        loop {
            let found = self
                .decoder
                .decode(&self.buffer)
                .unwrap()
                .map(|message| (message.byte_len(), take(&message)));
            if let Some((length, taken)) = found {
                let bytes = self.buffer[..length].to_vec();
                self.buffer.advance(length);
                return (bytes, taken);
            }
            let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert_ne!(read, 0, "closed where an answer was due, after {:?}", self.buffer);
        }
    }

    /// All that is still to come, up to the close, and why the session ended.
    async fn rest(mut self) -> (Vec<u8>, Ended) {
        let ended = self.session.await.unwrap();
        let mut rest = self.buffer.to_vec();
        self.stream.read_to_end(&mut rest).await.unwrap();
        (rest, ended)
    }

    /// Closes the writing side, then as [`Peer::rest`].
    async fn leave(mut self) -> (Vec<u8>, Ended) {
        self.stream.shutdown().await.unwrap();
        self.rest().await
    }
}

/// A client in this process that has so long to say who it is.
fn arriving(roster: &Arc<Roster>, patience: Duration) -> Newcomer {
    let most = Most { of_address: usize::MAX, unauthenticated: usize::MAX };
    let guest = roster.enter(roster::Peer::Embedded, most).unwrap();
    Newcomer { guest, certified: None, deadline: Instant::now() + patience }
}

fn id_of(number: u64) -> RequestId {
    RequestId::new(number).unwrap()
}

/// A request as a client sends it: whole, or in parts, one message each.
fn parts_of(number: u64, request: &Request<'_>) -> Vec<Vec<u8>> {
    let mut message = BytesMut::new();
    request.encode(id_of(number), &mut message);
    if message.len() <= MAX_PART_BYTES {
        return vec![message.to_vec()];
    }
    let mut cutter = Cutter::new(Sender::Client);
    cutter.push(id_of(number), message.freeze());
    let mut parts = Vec::new();
    loop {
        let mut out = BytesMut::new();
        match cutter.cut(&mut out) {
            Cut::Nothing => return parts,
            Cut::Part | Cut::Last(_) => parts.push(out.to_vec()),
        }
    }
}

fn set<'a>(key: &'a [u8], value: &'a [u8]) -> Request<'a> {
    use kvsd::protocol::v2::{Condition, Previous};
    Request::Set {
        table: "default",
        key,
        value,
        condition: Condition::Any,
        expiry: None,
        previous: Previous::Omit,
    }
}

fn get<'a>(table: &'a str, key: &'a [u8]) -> Request<'a> {
    Request::Get { table, key, freshness: Freshness::Latest }
}

/// Limits for what the server says: it is trusted here.
const ANY: FrameLimits = FrameLimits { message_bytes: 1 << 30, frames: 1 << 20, line_bytes: 1024 };
const PIPE_BYTES: usize = 64 * 1024;
