//! A server made of pipes, played by the test: each connection that the client opens arrives here.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use kvsd::protocol::frame::{Decoder, Message};
use kvsd::protocol::v2::part::{Arrival, Assembler, Sender, stream_limits};
use kvsd::protocol::v2::{self, Before, Hello, Record, Reply, Request, RequestId, Welcome};
use kvsd::transport::{ConnectError, Stream, Transport};
use kvsd::{Client, ClientBuilder, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// The values that the played server takes, in bytes.
pub(crate) const MAX_VALUE_BYTES: usize = 1024 * 1024;

/// What the played server waits for the client, in time that does not pass while anything else can
/// happen: a client that forgets somebody fails the test and does not hang it.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The place where the client's connections arrive.
pub(crate) struct Server {
    arrivals: mpsc::Receiver<DuplexStream>,
    refusing: Arc<AtomicBool>,
    attempts: Arc<AtomicUsize>,
}

/// A builder for a client of a played server, and that server. The client never asks by itself
/// whether the server is there: most tests count its requests, and time passes fast.
pub(crate) fn builder() -> (ClientBuilder, Server) {
    let (pipes, server) = pipes("played");
    let builder = Client::builder().transport(pipes).pool_size(1).keep_alive(Duration::MAX);
    (builder, server)
}

/// As [`builder`], with a played server at each of these addresses.
pub(crate) fn builder_of<const N: usize>(
    addresses: [&'static str; N],
) -> (ClientBuilder, [Server; N]) {
    let mut transports = Vec::new();
    let servers = addresses.map(|address| {
        let (pipes, server) = pipes(address);
        transports.push(pipes);
        server
    });
    let builder = Client::builder().transports(transports);
    (builder.pool_size(1).keep_alive(Duration::MAX), servers)
}

fn pipes(address: &'static str) -> (Pipes, Server) {
    let (sender, arrivals) = mpsc::channel(100);
    let (refusing, attempts) = (Arc::default(), Arc::default());
    let pipes = Pipes {
        address,
        sender: Mutex::new(sender),
        refusing: Arc::clone(&refusing),
        attempts: Arc::clone(&attempts),
    };
    (pipes, Server { arrivals, refusing, attempts })
}

/// A client with one connection, the server, and its end of that connection.
pub(crate) async fn connected() -> (Client, Server, Session) {
    let (builder, mut server) = builder();
    let (client, session) = tokio::join!(builder.connect(), server.welcome());
    (client.expect("the played server welcomes everyone"), server, session)
}

impl Server {
    /// The next connection, before its hello.
    pub(crate) async fn arrival(&mut self) -> Session {
        let arrival = timeout(PATIENCE, self.arrivals.recv()).await;
        let stream = arrival.expect("the client connects").expect("the client still exists");
        Session {
            stream,
            buffer: BytesMut::new(),
            decoder: Decoder::new(stream_limits(v2::limits(MAX_VALUE_BYTES))),
            assembler: Assembler::new(Sender::Client, v2::limits(MAX_VALUE_BYTES)),
            parts: 0,
        }
    }

    /// The next connection, welcomed.
    pub(crate) async fn welcome(&mut self) -> Session {
        let mut session = self.arrival().await;
        session.welcome(MAX_VALUE_BYTES).await;
        session
    }

    /// How often the client has tried to connect.
    pub(crate) fn attempts(&self) -> usize {
        self.attempts.load(Ordering::SeqCst)
    }

    /// From now on connections are refused, or no longer so.
    pub(crate) fn refuse(&self, refusing: bool) {
        self.refusing.store(refusing, Ordering::SeqCst);
    }
}

/// The server's end of one connection.
pub(crate) struct Session {
    stream: DuplexStream,
    buffer: BytesMut,
    decoder: Decoder,
    assembler: Assembler,
    /// How many parts have come.
    pub(crate) parts: usize,
}

/// A request that owns what it asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) id: RequestId,
    pub(crate) what: String,
    pub(crate) key: Vec<u8>,
    /// 1, but for a pipeline.
    pub(crate) requests: usize,
    /// The request as it shows itself.
    pub(crate) shown: String,
}

impl Session {
    /// Takes the hello and answers that values have at most `max_value_bytes`.
    pub(crate) async fn welcome(&mut self, max_value_bytes: usize) {
        self.welcome_within(max_value_bytes, &[]).await;
    }

    /// As [`Session::welcome`], with other limits.
    pub(crate) async fn welcome_within(&mut self, max_value_bytes: usize, limits: &[(&str, u64)]) {
        let id = self.next(|message| Hello::parse(&message).unwrap().0).await.unwrap();
        let mut out = BytesMut::new();
        Welcome {
            version: v2::VERSION,
            server: "played",
            engine: "none",
            durability: "never",
            max_value_bytes: max_value_bytes as u64,
            limits: limits.to_vec(),
        }
        .encode(id, &mut out);
        self.send(&out).await;
    }

    /// Takes the hello without answering it; its user and password.
    pub(crate) async fn hello(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        self.next(|message| {
            let (_, hello) = Hello::parse(&message).unwrap();
            hello.credentials.map(|given| (given.user.to_vec(), given.password.to_vec()))
        })
        .await
        .unwrap()
    }

    /// The next request; `None` once the client has closed its side.
    pub(crate) async fn request(&mut self) -> Option<Asked> {
        self.next(|message| {
            let (id, request) = Request::parse(&message).unwrap();
            let request = request.expect("a known request");
            let shown = format!("{request:?}");
            let requests = if let Request::Pipeline(all) = &request { all.len() } else { 1 };
            let (what, key) = match request {
                Request::Ping => ("ping", &b""[..]),
                Request::Get { key, .. } => ("get", key),
                Request::Exists { key, .. } => ("exists", key),
                Request::Set { key, .. } => ("set", key),
                Request::Delete { key, .. } => ("delete", key),
                Request::Lifetime { key, .. } => ("lifetime", key),
                Request::Increment { key, .. } => ("increment", key),
                Request::Expire { key, .. } => ("expire", key),
                Request::Batch { .. } => ("batch", &b""[..]),
                Request::Pipeline(_) => ("pipeline", &b""[..]),
                Request::Scan(scan) => ("scan", lower_bound(&scan)),
                Request::Watch(watch) => {
                    let key = format!("{:?}, {} ms", watch.since, watch.wait_millis);
                    return Asked { id, what: "watch".into(), key: key.into(), requests, shown };
                }
                Request::Cancel => ("cancel", &b""[..]),
                Request::CreateTable { .. } => ("create table", &b""[..]),
                Request::DropTable { .. } => ("drop table", &b""[..]),
                Request::Tables { .. } => ("tables", &b""[..]),
                Request::Statistics { .. } => ("statistics", &b""[..]),
            };
            Asked { id, what: what.into(), key: key.to_vec(), requests, shown }
        })
        .await
    }

    /// Takes so many bytes, whatever they are.
    pub(crate) async fn receive(&mut self, bytes: usize) {
        let mut taken = vec![0; bytes];
        self.stream.read_exact(&mut taken).await.unwrap();
    }

    /// Answers a request.
    pub(crate) async fn reply(&mut self, id: RequestId, reply: Reply<'_>) {
        let mut out = BytesMut::new();
        reply.encode(id, &mut out);
        self.send(&out).await;
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        // A client that has gone away does not take them; the tests that care look at the client.
        let _ = self.stream.write_all(bytes).await;
    }

    async fn next<T>(&mut self, take: impl Fn(Message<'_>) -> T) -> Option<T> {
        loop {
            if let Some(message) = self.decoder.decode(&self.buffer).expect("well-formed bytes") {
                let length = message.byte_len();
                let taken = match self.assembler.take(&message).expect("well-formed parts") {
                    Arrival::Whole => Some(take(message)),
                    Arrival::Part => None,
                    Arrival::Assembled(mut whole) => Some(take(whole.open().unwrap().0)),
                };
                self.parts += usize::from(message.kind() == Sender::Client.kind());
                self.buffer.advance(length);
                match taken {
                    None => continue,
                    taken => return taken,
                }
            }
            let reading = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
            if reading.expect("the client sends or hangs up").unwrap_or(0) == 0 {
                return None;
            }
        }
    }
}

#[derive(Debug)]
struct Pipes {
    address: &'static str,
    sender: Mutex<mpsc::Sender<DuplexStream>>,
    refusing: Arc<AtomicBool>,
    attempts: Arc<AtomicUsize>,
}

#[async_trait]
impl Transport for Pipes {
    async fn connect(&self) -> Result<Stream, ConnectError> {
        self.attempts.fetch_add(1, Ordering::SeqCst);
        if self.refusing.load(Ordering::SeqCst) {
            let source = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
            return Err(ConnectError::Connect { source });
        }
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let sender = self.sender.lock().unwrap().clone();
        sender.send(theirs).await.expect("the played server still exists");
        let (reader, writer) = tokio::io::split(ours);
        Ok(Stream::new(reader, writer))
    }

    fn address(&self) -> String {
        self.address.into()
    }
}

/// Polls once.
pub(crate) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let polled = std::future::poll_fn(|context| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context))
    })
    .await;
    match polled {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

/// Where a scan begins; from there, or behind it.
fn lower_bound<'a>(scan: &v2::Scan<'a>) -> &'a [u8] {
    match scan.from {
        Bound::Included(key) | Bound::Excluded(key) => key,
        Bound::Unbounded => b"",
    }
}

pub(crate) fn record(value: &[u8]) -> Reply<'_> {
    Reply::Value(Some(Record { version: Version::new(1).unwrap(), expires_at: None, value }))
}

pub(crate) fn written() -> Reply<'static> {
    Reply::Written { version: Version::new(9), before: Before::Absent }
}
