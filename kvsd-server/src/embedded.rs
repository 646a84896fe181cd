//! The whole server inside a program: same engine, same sessions, same client, no port.
//!
//! Runs on a thread and a runtime of its own, so that it outlives the runtimes of its callers and
//! stops properly even when it is merely dropped. Next file to read: [`crate::server`].

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_trait::async_trait;
use kvsd::transport::{ConnectError, Stream, Transport};
use tempfile::TempDir;
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::config::{Config, LEAST_CACHE_BYTES, Settings, SyncPolicy};
use crate::server::connections::Connections;
use crate::server::{Opened, ServeError, metrics, open_engine};

/// A server in this process, for tests and small programs. Its clients are the ordinary ones.
///
/// Dropping it cuts its clients, makes everything that was acknowledged durable and closes the
/// files before it returns; [`Embedded::close`] lets requests in flight finish first, does not
/// block, and reports errors.
///
/// ```
/// use kvsd_server::Embedded;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// let server = Embedded::temporary().await?;
/// let client = server.client().await?;
/// client.set("greeting", "hello").await?;
/// assert_eq!(client.get::<String>("greeting").await?.as_deref(), Some("hello"));
/// server.close().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Tests of your program
///
/// Give each test [`Embedded::temporary`] and hand its client to the code under test: nothing is
/// shared, nothing is left behind, no port is taken. What must survive a restart gets a folder of
/// its own and [`Embedded::open`], twice:
///
/// ```
/// # use kvsd_server::Embedded;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let server = Embedded::open(folder.path()).await?;
/// server.client().await?.set("greeting", "hello").await?;
/// server.close().await?;
///
/// let server = Embedded::open(folder.path()).await?;
/// let greeting = server.client().await?.get::<String>("greeting").await?;
/// assert_eq!(greeting.as_deref(), Some("hello"));
/// # server.close().await?;
/// # Ok(()) }
/// ```
///
/// How the program takes a network that fails is tested with `kvsd::testing::Faults` (feature
/// `testing` of `kvsd`) around [`Embedded::transport`]; the page of that module has more.
pub struct Embedded {
    door: mpsc::Sender<DuplexStream>,
    data_dir: PathBuf,
    /// Taken by whoever stops the server first.
    stop: Option<oneshot::Sender<How>>,
    ended: oneshot::Receiver<Result<(), ServeError>>,
    /// Taken by the drop.
    thread: Option<JoinHandle<()>>,
}

/// How to stop.
#[derive(Debug, Clone, Copy)]
enum How {
    /// Sessions finish what they received.
    Drain,
    /// Sessions end where they stand.
    Cut,
}

impl Embedded {
    /// Opens the server on a folder, which is made if it does not exist.
    ///
    /// # Errors
    ///
    /// [`ServeError`] if the folder cannot be opened: because another server holds it, for one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the folder again.
    pub async fn open(data_dir: impl AsRef<Path>) -> Result<Self, ServeError> {
        Self::options().open(data_dir).await
    }

    /// Opens the server on a new folder, which goes when the server does.
    ///
    /// # Errors
    ///
    /// As [`Embedded::open`].
    ///
    /// # Cancel safety
    ///
    /// As [`Embedded::open`].
    pub async fn temporary() -> Result<Self, ServeError> {
        Self::options().temporary().await
    }

    /// What can be chosen before opening.
    pub fn options() -> EmbeddedOptions {
        EmbeddedOptions::default()
    }

    /// A client of this server, with the default settings. Another one comes from
    /// [`kvsd::Client::builder`] and [`Embedded::transport`].
    ///
    /// # Errors
    ///
    /// If the server does not run any more.
    pub async fn client(&self) -> Result<kvsd::Client, kvsd::Error> {
        kvsd::Client::builder().transport(self.transport()).connect().await
    }

    /// How clients reach this server.
    #[must_use]
    pub fn transport(&self) -> EmbeddedTransport {
        EmbeddedTransport { door: self.door.clone() }
    }

    /// The folder that holds the data.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Stops the server: requests that it has received are answered, everything is made durable,
    /// the folder is closed, and removed if it was a temporary one.
    ///
    /// # Errors
    ///
    /// [`ServeError`] if not everything could be made durable.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future blocks until the server has stopped.
    pub async fn close(mut self) -> Result<(), ServeError> {
        self.tell(How::Drain);
        self.ending().await
    }

    /// Tells the server to stop. Only the first word counts.
    fn tell(&mut self, how: How) {
        if let Some(stop) = self.stop.take() {
            // A server that is gone has stopped.
            let _ = stop.send(how);
        }
    }

    /// Waits until the server has stopped.
    async fn ending(&mut self) -> Result<(), ServeError> {
        // Without a word, its thread has panicked.
        (&mut self.ended).await.unwrap_or(Err(ServeError::Lost))
    }
}

/// Stops the server and waits for it.
impl Drop for Embedded {
    fn drop(&mut self) {
        self.tell(How::Cut);
        if let Some(thread) = self.thread.take() {
            // A panic over there was reported over there.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

/// What can be chosen before an [`Embedded`] is opened.
#[derive(Debug, Clone)]
#[must_use]
pub struct EmbeddedOptions {
    sync: SyncPolicy,
    max_value_bytes: usize,
    cache_bytes: usize,
    history_bytes: u64,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        let Config { history_bytes, .. } = Config::default();
        let max_value_bytes = kvsd::types::DEFAULT_MAX_VALUE_BYTES;
        let (sync, cache_bytes) = (SyncPolicy::Always, LEAST_CACHE_BYTES);
        Self { sync, max_value_bytes, cache_bytes, history_bytes }
    }
}

impl EmbeddedOptions {
    /// When a write is acknowledged. Default: [`SyncPolicy::Always`].
    pub fn sync(mut self, policy: SyncPolicy) -> Self {
        self.sync = policy;
        self
    }

    /// The largest value, 1 KiB to 64 MiB. Default: 10 MiB.
    pub fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.max_value_bytes = bytes;
        self
    }

    /// How much memory keeps records at hand that are up to 8 KiB long and were read or replaced
    /// last, in bytes, up to 1 TiB; 0 for none. It is taken as it is used. Default: 32 MiB.
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// How much of a table's past a watch can resume from, in bytes of its log, for up to ten
    /// minutes. Default: 64 MiB.
    pub fn history_bytes(mut self, bytes: u64) -> Self {
        self.history_bytes = bytes;
        self
    }

    /// Opens the server, as [`Embedded::open`] does.
    ///
    /// # Errors
    ///
    /// As [`Embedded::open`]; also for an option out of its bounds.
    ///
    /// # Cancel safety
    ///
    /// As [`Embedded::open`].
    pub async fn open(self, data_dir: impl AsRef<Path>) -> Result<Embedded, ServeError> {
        self.start(data_dir.as_ref().to_path_buf(), None).await
    }

    /// Opens the server, as [`Embedded::temporary`] does.
    ///
    /// # Errors
    ///
    /// As [`EmbeddedOptions::open`].
    ///
    /// # Cancel safety
    ///
    /// As [`Embedded::open`].
    pub async fn temporary(self) -> Result<Embedded, ServeError> {
        let folder = tempfile::Builder::new().prefix("kvsd-").tempdir();
        let folder = folder.map_err(ServeError::Start)?;
        self.start(folder.path().to_path_buf(), Some(folder)).await
    }

    async fn start(
        self,
        data_dir: PathBuf,
        temporary: Option<TempDir>,
    ) -> Result<Embedded, ServeError> {
        let config = Config {
            dev: true,
            metrics: false,
            data_dir: data_dir.clone(),
            max_value_bytes: Some(self.max_value_bytes),
            cache_bytes: Some(self.cache_bytes),
            history_bytes: self.history_bytes,
            // Both are for networks and machines of their own: who embeds it has the client at hand.
            min_free_disk: 0,
            idle_timeout: Duration::ZERO,
            ..Config::default()
        };
        let settings = Settings { sync: self.sync, ..config.check()? };

        let (door, clients) = mpsc::channel(DOOR_CLIENTS);
        let (opened, wait_opened) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let run = move || {
            let ending = host(settings, opened, clients, stopped);
            drop(temporary);
            // Whoever dropped the server asks for no result.
            let _ = end.send(ending);
        };
        let thread = thread::Builder::new().name("kvsd-embedded".to_owned()).spawn(run);
        let thread = thread.map_err(ServeError::Start)?;
        let mut embedded =
            Embedded { door, data_dir, stop: Some(stop), ended, thread: Some(thread) };
        match wait_opened.await {
            Ok(()) => Ok(embedded),
            Err(_) => Err(embedded.ending().await.err().unwrap_or(ServeError::Lost)),
        }
    }
}

/// The thread of an embedded server: opens, says so, serves until it is told to stop, closes.
fn host(
    settings: Settings,
    opened: oneshot::Sender<()>,
    mut clients: mpsc::Receiver<DuplexStream>,
    stopped: oneshot::Receiver<How>,
) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.map_err(ServeError::Start)?.block_on(async move {
        let Opened { engine, .. } = open_engine(&settings, Arc::default()).await?;
        let patience = settings.shutdown_timeout;
        let counted = metrics(&settings);
        let connections = Connections::new(engine, &settings, counted, Arc::default());
        // Whoever opened it may be gone already; then the stop has come, too.
        let _ = opened.send(());
        let serve = async {
            while let Some(pipe) = clients.recv().await {
                connections.spawn_pipe(connections.slot().await, pipe);
            }
        };
        let how = tokio::select! {
            biased;
            how = stopped => how.unwrap_or(How::Cut),
            // No door is left through which anybody could come or say a word.
            () = serve => How::Cut,
            never = connections.watch() => match never {},
        };
        drop(clients);
        match how {
            How::Drain => connections.stop(patience).await,
            How::Cut => connections.cut(Instant::now() + patience).await,
        }
    })
}

/// Reaches an [`Embedded`] server from a [`kvsd::ClientBuilder`]. Does not keep it running.
#[derive(Debug, Clone)]
pub struct EmbeddedTransport {
    door: mpsc::Sender<DuplexStream>,
}

#[async_trait]
impl Transport for EmbeddedTransport {
    async fn connect(&self) -> Result<Stream, ConnectError> {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        if self.door.send(theirs).await.is_err() {
            let stopped =
                io::Error::new(io::ErrorKind::ConnectionRefused, "the embedded server has stopped");
            return Err(ConnectError::Connect { source: stopped });
        }
        let (reader, writer) = tokio::io::split(ours);
        Ok(Stream::new(reader, writer))
    }

    fn address(&self) -> String {
        "embedded".to_owned()
    }
}

/// The clients that may wait to be served at a time.
const DOOR_CLIENTS: usize = 16;
/// What a pipe holds each way: as much as a busy session reads at once.
const PIPE_BYTES: usize = 64 * 1024;
