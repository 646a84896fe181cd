//! Opening a connection: the transport, the hello, the tasks.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::alive::Alive;
use super::info::ServerInfo;
use super::outbox::Outbox;
use super::slots::Slots;
use super::tasks::{self, Incoming};
use super::{Connection, Handle, Phase, Shared, State};
use crate::error::{Error, ErrorKind, Outcome};
use crate::observe;
use crate::protocol::frame::{Decoder, FrameError, FrameLimits};
use crate::protocol::v2::part::{self, Assembler, Sender};
use crate::protocol::v2::{self, FailCode, Hello, Reply, RequestId, Welcome};
use crate::transport::{ConnectError, Stream, Transport};

/// Who the client says it is.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// What the welcome may cost: a server has little to say before it knows us.
const WELCOME_LIMITS: FrameLimits =
    FrameLimits { message_bytes: 4096, frames: 64, line_bytes: 1024 };

/// Opens a connection and says hello. Whenever the server has been silent for `keep_alive`, it is
/// asked whether it is there.
///
/// # Cancel safety
///
/// Dropping the future closes the stream.
pub(crate) async fn open(
    transport: &dyn Transport,
    address: &Arc<str>,
    credentials: Option<&Credentials>,
    keep_alive: Option<Duration>,
) -> Result<Connection, Error> {
    let stream = transport.connect().await.map_err(|cause| refuse(cause).at(address))?;
    let mut opening = Opening {
        stream: observe::counted(stream, address),
        buffer: BytesMut::with_capacity(4096),
        decoder: Decoder::new(WELCOME_LIMITS),
    };
    let info = opening.greet(address, credentials).await.map_err(|error| error.at(address))?;
    let Opening { stream: Stream { reader, writer }, buffer, mut decoder } = opening;
    let whole = v2::limits(info.max_value_bytes);
    decoder.set_limits(part::stream_limits(whole));
    let assembler = Assembler::new(Sender::Server, whole);
    let shared = Arc::new(Shared {
        address: Arc::clone(address),
        info,
        open: AtomicBool::new(true),
        crowded: AtomicBool::new(false),
        served: AtomicBool::new(false),
        state: Mutex::new(State {
            phase: Phase::Open,
            outbox: Outbox::default(),
            taken: 0,
            slots: Slots::default(),
            alive: Alive::new(keep_alive, Instant::now()),
            earliest: None,
        }),
        write: Notify::new(),
        keep: Notify::new(),
        ended: Notify::new(),
    });
    observe::connected(address);
    tokio::spawn(tasks::write(Arc::clone(&shared), writer));
    let incoming = Incoming::new(decoder, assembler);
    tokio::spawn(tasks::read(Arc::clone(&shared), reader, buffer, incoming));
    tokio::spawn(tasks::keep(Arc::clone(&shared)));
    Ok(Connection { handle: Arc::new(Handle { shared }) })
}

struct Opening {
    stream: Stream,
    buffer: BytesMut,
    decoder: Decoder,
}

impl Opening {
    /// Says hello; answers with what the server says of itself.
    async fn greet(
        &mut self,
        address: &str,
        credentials: Option<&Credentials>,
    ) -> Result<ServerInfo, Error> {
        let lost = |error: std::io::Error| {
            let detail = "the connection ended at the hello";
            Error::new(ErrorKind::Connect, Outcome::NotSent, detail).with_source(error)
        };
        let mut hello = BytesMut::new();
        Hello {
            lowest: v2::VERSION,
            highest: v2::VERSION,
            credentials: credentials.map(|credentials| v2::hello::Credentials {
                user: credentials.user.as_bytes(),
                password: credentials.password.as_bytes(),
            }),
        }
        .encode(HELLO_ID, &mut hello);
        self.stream.writer.write_all(&hello).await.map_err(lost)?;
        self.stream.writer.flush().await.map_err(lost)?;
        loop {
            if let Some(message) = self.decoder.decode(&self.buffer).map_err(misunderstand)? {
                let info = match Welcome::parse(&message) {
                    Ok((HELLO_ID, welcome)) if welcome.version == v2::VERSION => {
                        ServerInfo::new(address, welcome)
                    }
                    _ => return Err(turned_away(&message)),
                };
                let length = message.byte_len();
                self.buffer.advance(length);
                return Ok(info);
            }
            if self.stream.reader.read_buf(&mut self.buffer).await.map_err(lost)? == 0 {
                return Err(Error::new(
                    ErrorKind::Connect,
                    Outcome::NotSent,
                    "the server closed the connection at the hello",
                ));
            }
        }
    }
}

const HELLO_ID: RequestId = RequestId::ZERO;

/// What the server said in place of a welcome.
fn turned_away(message: &crate::protocol::frame::Message<'_>) -> Error {
    let Ok((_, Some(Reply::Fail { code, message }))) = Reply::parse(message) else {
        return Error::new(
            ErrorKind::Protocol,
            Outcome::NotSent,
            "the answer to the hello is no welcome; is this a kvsd server?",
        );
    };
    let kind = match code {
        FailCode::Unauthenticated => ErrorKind::Unauthenticated,
        code => ErrorKind::Server(code),
    };
    Error::new(kind, Outcome::NotSent, message)
}

fn misunderstand(error: FrameError) -> Error {
    match error {
        FrameError::Tls => Error::new(
            ErrorKind::Tls,
            Outcome::NotSent,
            "the server speaks TLS on this port; use a kvsds:// URL, and name its CA with \
             ca=FILE, --ca or KVSD_TLS_CA",
        ),
        error => Error::new(
            ErrorKind::Protocol,
            Outcome::NotSent,
            "the answer to the hello is no message; is this a kvsd server?",
        )
        .with_source(error),
    }
}

fn refuse(cause: ConnectError) -> Error {
    let kind = match cause {
        ConnectError::Resolve { .. }
        | ConnectError::Connect { .. }
        | ConnectError::HandshakeCut { .. } => ErrorKind::Connect,
        ConnectError::Certificate { .. }
        | ConnectError::NotTls { .. }
        | ConnectError::Tls { .. } => ErrorKind::Tls,
    };
    Error::new(kind, Outcome::NotSent, "").with_source(cause)
}

/// Never shows the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({:?})", self.user)
    }
}
