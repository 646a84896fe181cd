//! The administrators' listener: a Unix socket in the data folder, for who may open it.
//!
//! No password is asked for: the socket is a file of mode 0600, and has that mode before it has its
//! name. A few connections of its own are served, however full the server is. The messages are those
//! of [`kvsd::protocol::admin`].
//!
//! Next file to read: `connections`.

use std::convert::Infallible;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use kvsd::protocol::admin::{LIMITS, Reply, Request};
use kvsd::protocol::frame::Decoder;
use kvsd::protocol::v2::{FailCode, RequestId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::accept;
use super::stop::{Stop, Stopper};
use crate::audit::{Administrator, Audit};
use crate::engine::{BackupError, BackupName, BackupProgress, BackupSummary, Engine, EngineError};

/// The socket's name in the data folder.
pub(crate) const SOCKET_FILE: &str = "admin.sock";

/// The socket. Its file is removed when this is dropped.
#[derive(Debug)]
pub(super) struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
    engine: Arc<dyn Engine>,
    audit: Arc<Audit>,
    slots: Arc<Semaphore>,
    /// Its disappearance ends all sessions.
    stopper: Stopper,
}

impl AdminSocket {
    /// Makes the socket in a data folder that is locked. One that a killed server has left is
    /// replaced.
    pub(super) fn bind(
        data: &Path,
        engine: Arc<dyn Engine>,
        audit: Arc<Audit>,
    ) -> io::Result<Self> {
        let path = data.join(SOCKET_FILE);
        // Its name must be short enough for whoever connects.
        SocketAddr::from_pathname(&path)?;
        refuse_unless(&path, |found| found.is_socket())?;
        // Nobody else can enter this folder, and so open the socket before it has its mode.
        let (folder, made) = (data.join(FOLDER), data.join(FOLDER).join("s"));
        refuse_unless(&folder, |found| found.is_dir())?;
        unless_absent(fs::remove_file(&made))?;
        unless_absent(fs::remove_dir(&folder))?;
        DirBuilder::new().mode(0o700).create(&folder)?;
        let bound = UnixListener::bind(&made).and_then(|listener| {
            fs::set_permissions(&made, Permissions::from_mode(0o600))?;
            fs::rename(&made, &path)?;
            Ok(listener)
        });
        if bound.is_err() {
            let _ = fs::remove_file(&made);
        }
        fs::remove_dir(&folder)?;
        let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        Ok(Self { listener: bound?, path, engine, audit, slots, stopper: Stopper::new() })
    }

    /// Serves administrators for as long as it is polled; their sessions end with the socket.
    pub(super) async fn serve(&self) -> Infallible {
        loop {
            let slot = Arc::clone(&self.slots).acquire_owned().await;
            let slot = slot.expect("the semaphore is never closed");
            let (stream, _) = accept::next(|| self.listener.accept()).await;
            let (engine, audit) = (Arc::clone(&self.engine), Arc::clone(&self.audit));
            let stop = self.stopper.subscribe();
            tokio::spawn(async move {
                match serve(stream, engine, audit, stop).await {
                    Ok(()) => debug!("an administrator's connection has ended"),
                    Err(error) => debug!(%error, "an administrator's connection is broken"),
                }
                drop(slot);
            });
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // One that is left does no harm: the next server replaces it.
        let _ = fs::remove_file(&self.path);
    }
}

/// An error if there is something else than what may be replaced.
fn refuse_unless(path: &Path, is_ours: impl Fn(fs::FileType) -> bool) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if is_ours(found.file_type()) => Ok(()),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{} is in the way", path.display()),
        )),
        Err(error) => unless_absent(Err(error)),
    }
}

fn unless_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn serve(
    stream: UnixStream,
    engine: Arc<dyn Engine>,
    audit: Arc<Audit>,
    stop: Stop,
) -> io::Result<()> {
    let peer = stream.peer_cred()?;
    let by = Administrator { uid: peer.uid(), pid: peer.pid() };
    Session::new(stream, engine, audit, by).run(stop).await
}

/// An administrator's connection.
#[derive(Debug)]
struct Session {
    stream: UnixStream,
    engine: Arc<dyn Engine>,
    audit: Arc<Audit>,
    by: Administrator,
    decoder: Decoder,
    input: BytesMut,
    output: BytesMut,
    backup: Option<Running>,
}

/// A backup under way. It goes on if the connection ends.
#[derive(Debug)]
struct Running {
    id: RequestId,
    progress: Arc<BackupProgress>,
    made: JoinHandle<Result<BackupSummary, BackupError>>,
}

/// Whether a connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Read,
    Close,
}

impl Session {
    fn new(
        stream: UnixStream,
        engine: Arc<dyn Engine>,
        audit: Arc<Audit>,
        by: Administrator,
    ) -> Self {
        Self {
            stream,
            engine,
            audit,
            by,
            decoder: Decoder::new(LIMITS),
            input: BytesMut::new(),
            output: BytesMut::new(),
            backup: None,
        }
    }

    async fn run(mut self, mut stop: Stop) -> io::Result<()> {
        loop {
            let next = self.answer_all();
            timeout(WRITE_TIMEOUT, self.stream.write_all_buf(&mut self.output)).await??;
            if next == Next::Close {
                return Ok(());
            }
            let is_idle = self.backup.is_none();
            tokio::select! {
                biased;
                () = stop.draining() => return Ok(()),
                made = end_of(&mut self.backup) => self.answer_backup(made),
                read = self.stream.read_buf(&mut self.input) => {
                    if read? == 0 {
                        return Ok(());
                    }
                }
                () = sleep(IDLE_TIMEOUT), if is_idle => return Ok(()),
            }
        }
    }

    /// Answers every whole message that has arrived.
    fn answer_all(&mut self) -> Next {
        loop {
            let message = match self.decoder.decode(&self.input) {
                Ok(Some(message)) => message,
                Ok(None) => return Next::Read,
                Err(error) => {
                    fail(None, FailCode::Protocol, &error.to_string(), &mut self.output);
                    return Next::Close;
                }
            };
            let length = message.byte_len();
            match Request::parse(&message) {
                Ok((id, Some(Request::Backup { name }))) => match BackupName::parse(name) {
                    Ok(name) if self.backup.is_none() => {
                        self.backup = Some(self.begin_backup(id, name));
                    }
                    Ok(_) => {
                        let message = BackupError::Busy.to_string();
                        fail(Some(id), FailCode::Busy, &message, &mut self.output);
                    }
                    Err(error) => {
                        fail(Some(id), FailCode::Invalid, &error.to_string(), &mut self.output);
                    }
                },
                Ok((id, Some(Request::Progress))) => {
                    let progress = self.backup.as_ref().map(|running| running.progress.get());
                    let (done, total) = progress.unwrap_or_default();
                    Reply::Progress { done, total }.encode(Some(id), &mut self.output);
                }
                Ok((id, None)) => {
                    let message = "no request of an administrator has this type";
                    fail(Some(id), FailCode::Unsupported, message, &mut self.output);
                }
                Err((id, error)) => {
                    fail(id, FailCode::Invalid, &error.to_string(), &mut self.output);
                    if id.is_none() {
                        return Next::Close;
                    }
                }
            }
            self.input.advance(length);
        }
    }

    fn begin_backup(&self, id: RequestId, name: BackupName) -> Running {
        let progress = Arc::new(BackupProgress::default());
        let (engine, shared) = (Arc::clone(&self.engine), Arc::clone(&progress));
        let (audit, by) = (Arc::clone(&self.audit), self.by);
        let made = tokio::spawn(async move {
            let made = engine.backup(&name, &shared).await;
            audit.administered(by, "backup", Some(name.as_str()), made.as_ref().map(|_| ()));
            made
        });
        Running { id, progress, made }
    }

    fn answer_backup(&mut self, (id, made): (RequestId, Result<BackupSummary, BackupError>)) {
        self.backup = None;
        match made {
            Ok(BackupSummary { tables, files, bytes }) => {
                Reply::Made { tables, files, bytes }.encode(Some(id), &mut self.output);
            }
            Err(error) => fail(Some(id), code_of(&error), &error.to_string(), &mut self.output),
        }
    }
}

/// How the backup under way ends; never, if there is none.
async fn end_of(backup: &mut Option<Running>) -> (RequestId, Result<BackupSummary, BackupError>) {
    match backup {
        Some(running) => {
            let made = (&mut running.made).await;
            (running.id, made.unwrap_or(Err(EngineError::Closed.into())))
        }
        None => std::future::pending().await,
    }
}

fn fail(id: Option<RequestId>, code: FailCode, message: &str, out: &mut BytesMut) {
    Reply::Fail { code, message }.encode(id, out);
}

fn code_of(error: &BackupError) -> FailCode {
    match error {
        BackupError::Unsupported | BackupError::NotConfigured => FailCode::Unsupported,
        BackupError::Exists { .. } => FailCode::Invalid,
        BackupError::Busy => FailCode::Busy,
        BackupError::DiskFull => FailCode::DiskFull,
        BackupError::Engine(EngineError::ReadOnly { .. }) => FailCode::ReadOnly,
        BackupError::Engine(EngineError::Corrupt { .. }) => FailCode::Corrupt,
        BackupError::Engine(EngineError::Closed) => FailCode::Closing,
        BackupError::Engine(_) => FailCode::Internal,
    }
}

/// The folder that the socket is made in.
const FOLDER: &str = ".admin";
/// How many administrators are served at once; more of them wait.
const MOST_CONNECTIONS: usize = 4;
/// How long an administrator may say nothing while nothing is under way.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long one may take to read an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
