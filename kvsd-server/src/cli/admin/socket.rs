//! The connection to the server's socket: a request out, its answer in.
//!
//! Next file to read: `tables`.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use kvsd::protocol::admin::{REPLY_LIMITS, Reply, Request};
use kvsd::protocol::frame::Decoder;
use kvsd::protocol::v2::RequestId;

use crate::cli::failure::Failure;

/// A server that was connected to.
#[derive(Debug)]
pub(super) struct Socket {
    stream: UnixStream,
    decoder: Decoder,
    input: BytesMut,
    next_id: u64,
}

/// How long an answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// What takes a moment: half a minute.
    Short,
    /// What takes as long as it takes.
    Endless,
}

/// What came from the server.
#[derive(Debug)]
pub(super) enum Heard<T> {
    Reply(T),
    /// Nothing for a while.
    Silence,
}

impl Socket {
    /// Connects to the socket that is meant: by flag, else by environment, else where one is.
    pub(super) fn connect(socket: Option<PathBuf>) -> Result<Self, Failure> {
        let path = socket
            .or_else(|| {
                std::env::var_os("KVSD_ADMIN_SOCKET").filter(|p| !p.is_empty()).map(Into::into)
            })
            .unwrap_or_else(usual_path);
        let connected = UnixStream::connect(&path).and_then(|stream| {
            stream.set_read_timeout(Some(LOOK_AGAIN))?;
            Ok(stream)
        });
        let stream = connected.map_err(|error| not_connected(&path, &error))?;
        let (decoder, input) = (Decoder::new(REPLY_LIMITS), BytesMut::new());
        Ok(Self { stream, decoder, input, next_id: 1 })
    }

    /// Asks, and reads the answer; `None` of `read` is an answer that does not belong to the request.
    pub(super) fn ask<T>(
        &mut self,
        request: &Request<'_>,
        patience: Patience,
        read: impl Fn(Reply<'_>) -> Option<T>,
    ) -> Result<T, Failure> {
        let sent = self.send(request)?;
        let begun = Instant::now();
        loop {
            let heard = self.hear(|id, reply| match id {
                id if id == Some(sent) => Some(read(reply)),
                _ => None,
            })?;
            match heard {
                Heard::Reply(Some(Some(answer))) => return Ok(answer),
                Heard::Reply(Some(None)) => return Err(unknown_answer()),
                Heard::Reply(None) => {}
                Heard::Silence if patience == Patience::Short && begun.elapsed() > ENOUGH => {
                    return Err(Failure::other("the server has not answered for half a minute"));
                }
                Heard::Silence => {}
            }
        }
    }

    /// Asks for what is only done or refused.
    pub(super) fn done(&mut self, request: &Request<'_>) -> Result<(), Failure> {
        self.ask(request, Patience::Short, |reply| (reply == Reply::Done).then_some(()))
    }

    /// Sends a request; its id.
    pub(super) fn send(&mut self, request: &Request<'_>) -> Result<RequestId, Failure> {
        let id = RequestId::new(self.next_id).unwrap_or(RequestId::ZERO);
        self.next_id += 1;
        let mut out = BytesMut::new();
        request.encode(id, &mut out);
        self.stream.write_all(&out).map_err(|error| lost(&error))?;
        Ok(id)
    }

    /// The next reply. A Fail is an error, whatever it is the answer to.
    pub(super) fn hear<T>(
        &mut self,
        read: impl Fn(Option<RequestId>, Reply<'_>) -> T,
    ) -> Result<Heard<T>, Failure> {
        loop {
            if let Some(message) = self.decoder.decode(&self.input).map_err(|_| unknown_answer())? {
                let length = message.byte_len();
                let (id, reply) = Reply::parse(&message).map_err(|_| unknown_answer())?;
                let heard = match reply {
                    Some(Reply::Fail { code, message }) => Err(Failure::refused(code, message)),
                    Some(reply) => Ok(Heard::Reply(read(id, reply))),
                    None => Err(unknown_answer()),
                };
                self.input.advance(length);
                return heard;
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) => {
                    let message = "the server has stopped before it answered; its log says more";
                    return Err(Failure::other(message));
                }
                Ok(count) => {
                    self.input.extend_from_slice(bytes.get(..count).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Heard::Silence);
                }
                Err(error) => return Err(lost(&error)),
            }
        }
    }
}

/// Where a socket is that nobody has named: the first place that has one, else the first place.
fn usual_path() -> PathBuf {
    let exists = |path: &&str| std::fs::symlink_metadata(path).is_ok();
    USUAL_PATHS.iter().copied().find(exists).unwrap_or(USUAL_PATHS[0]).into()
}

fn not_connected(path: &Path, error: &io::Error) -> Failure {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            Failure::other(format!("no server is running at the socket {shown}")).with_hint(WHERE)
        }
        io::ErrorKind::PermissionDenied => {
            Failure::other(format!("not permitted to open the socket {shown}")).with_hint(WHO)
        }
        _ => Failure::other(format!("cannot connect to the socket {shown}: {error}")),
    }
}

fn lost(error: &io::Error) -> Failure {
    Failure::other(format!("the connection to the server is broken: {error}"))
}

fn unknown_answer() -> Failure {
    Failure::other(concat!(
        "the server has answered what this kvsd, ",
        env!("CARGO_PKG_VERSION"),
        ", does not know"
    ))
    .with_hint("use the kvsd of the server's version")
}

const USUAL_PATHS: [&str; 2] = ["./kvsd-data/admin.sock", "/var/lib/kvsd/admin.sock"];
const WHERE: &str = "the socket is admin.sock in the data folder of a running server; name it with \
                     --socket or KVSD_ADMIN_SOCKET";
const WHO: &str = "the socket is open to the user alone that the server runs as: use that one, with \
                   sudo -u for example";
/// How often whoever waits for an answer looks after something else.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const ENOUGH: Duration = Duration::from_secs(30);
