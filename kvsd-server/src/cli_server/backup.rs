//! `kvsd-server backup`: ask a running server for a backup, and show how far it is.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use indicatif::{ProgressBar, ProgressDrawTarget};
use kvsd::protocol::admin::{LIMITS, Reply, Request};
use kvsd::protocol::frame::{Decoder, FieldError, FrameError};
use kvsd::protocol::v2::RequestId;
use thiserror::Error;

use super::args::FolderArgs;
use super::exit::Failure;
use super::folder::bar;
use crate::engine::BackupName;
use crate::server::admin::SOCKET_FILE;

/// Has the backup made.
pub(super) fn run(name: &BackupName, folder: FolderArgs) -> Result<(), Failure> {
    let data = folder.find()?;
    let stream = connect(&data).map_err(Failure::other)?;
    let bar = bar(0, ProgressDrawTarget::stderr());
    bar.set_message(name.to_string());
    let (decoder, input) = (Decoder::new(LIMITS), BytesMut::new());
    let mut server = Server { stream, decoder, input, next_id: 0 };
    let made = server.back_up(name, &bar).map_err(Failure::other)?;
    bar.finish_and_clear();
    let Made { tables, files, bytes } = made;
    writeln!(
        io::stdout(),
        "backed up {tables} tables, {files} files, {bytes} bytes as {name}; users, certificates and \
         configuration are no part of it"
    )
    .map_err(Failure::other)
}

fn connect(data: &Path) -> Result<UnixStream, AskError> {
    let socket = data.join(SOCKET_FILE);
    let connected = UnixStream::connect(&socket).and_then(|stream| {
        stream.set_read_timeout(Some(LOOK_AGAIN))?;
        Ok(stream)
    });
    connected.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            AskError::NoServer { folder: data.to_owned() }
        }
        _ => AskError::Connect { socket, source },
    })
}

/// A server that was connected to.
#[derive(Debug)]
struct Server {
    stream: UnixStream,
    decoder: Decoder,
    input: BytesMut,
    next_id: u64,
}

/// A backup that was made.
#[derive(Debug)]
struct Made {
    tables: u64,
    files: u64,
    bytes: u64,
}

/// Whether an answer is on its way that the bar waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bar {
    Shown,
    Asked,
}

impl Server {
    fn back_up(&mut self, name: &BackupName, shown: &ProgressBar) -> Result<Made, AskError> {
        self.send(Request::Backup { name: name.as_str() })?;
        let mut state = Bar::Shown;
        loop {
            if let Some(message) = self.decoder.decode(&self.input)? {
                let (_, reply) = Reply::parse(&message)?;
                let length = message.byte_len();
                match reply {
                    Some(Reply::Made { tables, files, bytes }) => {
                        return Ok(Made { tables, files, bytes });
                    }
                    Some(Reply::Progress { done, total }) => {
                        shown.set_length(total);
                        shown.set_position(done);
                        state = Bar::Shown;
                    }
                    Some(Reply::Fail { message, .. }) => {
                        return Err(AskError::Refused(message.to_owned()));
                    }
                    // A later server may say more.
                    None => {}
                }
                self.input.advance(length);
                continue;
            }
            let mut bytes = [0; 1024];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(AskError::Left),
                Ok(count) => {
                    self.input.extend_from_slice(bytes.get(..count).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if state == Bar::Shown {
                        self.send(Request::Progress)?;
                        state = Bar::Asked;
                    }
                }
                Err(error) => return Err(AskError::Lost(error)),
            }
        }
    }

    fn send(&mut self, request: Request<'_>) -> Result<(), AskError> {
        let id = RequestId::new(self.next_id).unwrap_or(RequestId::ZERO);
        self.next_id += 1;
        let mut out = BytesMut::new();
        request.encode(id, &mut out);
        self.stream.write_all(&out).map_err(AskError::Lost)
    }
}

/// Why there is no backup, or none for sure.
#[derive(Debug, Error)]
enum AskError {
    #[error("no server is running on the data folder {}", folder.display())]
    NoServer { folder: PathBuf },
    #[error("cannot connect to {}", socket.display())]
    Connect { socket: PathBuf, source: io::Error },
    #[error("{0}")]
    Refused(String),
    #[error("the server has stopped before it answered; its log says what became of the backup")]
    Left,
    #[error("the connection to the server is broken")]
    Lost(#[source] io::Error),
    #[error("the server's answer makes no sense")]
    Garbled(#[from] FrameError),
    #[error("the server's answer makes no sense")]
    Misplaced(#[from] FieldError),
}

/// How often the server is asked how far it is.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
