//! The server: a listener, the connections it brings, and the engine behind them.
//!
//! One accept loop for plain TCP and TLS. A connection is accepted when there is a slot for it, and
//! never before: more clients than slots wait in the system's queue. The handshake belongs to the
//! connection's task, so that a silent client holds nobody up. Next file to read: `connections`.

mod accept;
pub(crate) mod admin;
pub(crate) mod connections;
mod error;
mod opening;
mod reload;
pub(crate) mod roster;
mod seldom;
mod shared_users;
pub(crate) mod stop;
mod watchman;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};
use tracing::{info, warn};

use self::admin::{AdminSocket, Administration};
use self::connections::Connections;
use self::reload::Reload;
use crate::audit::Audit;
use crate::config::{ConfigError, Settings};
use crate::metrics::{Measure, Metrics};
use crate::status::{Status, StatusListener};
use crate::users::UserStore;

pub use self::error::ServeError;
use self::opening::FrontEndFolder;
#[cfg(all(feature = "cli", feature = "etcd"))]
pub(crate) use self::opening::etcd_config;
#[cfg(feature = "cli")]
pub(crate) use self::opening::open_users;
pub(crate) use self::opening::{Opened, open_engine};
pub use self::reload::Reloader;
use self::shared_users::SharedUsers;

/// A server that listens.
///
/// ```
/// use kvsd_server::{Config, Server};
///
/// # let folder = tempfile::tempdir()?;
/// # let runtime = tokio::runtime::Runtime::new()?;
/// # runtime.block_on(async {
/// let mut config = Config::default();
/// config.dev = true;
/// config.listen = "127.0.0.1:0".parse()?;
/// # config.data_dir = folder.path().to_path_buf();
/// let server = Server::bind(config.check()?).await?;
/// println!("listening on {}", server.local_addr());
/// let soon = async { /* wait for a signal */ };
/// server.serve(soon).await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    reload: Reload,
    connections: Connections,
    /// None where it could not be made.
    admin: Option<AdminSocket>,
    status: Arc<Status>,
    /// None where none is wanted.
    status_listener: Option<StatusListener>,
    /// Kept from others; None where an engine keeps it.
    _folder: Option<FrontEndFolder>,
}

impl Server {
    /// Opens the data folder, or asks the etcd cluster, and listens; administrators find a Unix socket `admin.sock` in the data
    /// folder, open to its owner alone. Clients are served from [`Server::serve`] on; those that
    /// come earlier wait.
    ///
    /// # Errors
    ///
    /// [`ServeError`] names the address or the folder, and what is wrong with it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future lets go of address and folder.
    pub async fn bind(mut settings: Settings) -> Result<Self, ServeError> {
        // The address is taken before the data is touched, but nobody can connect yet: a client
        // that comes during a long recovery is refused at once and does not wait for it.
        let socket = take_address(settings.listen)?;
        // With its real port, for other servers of a cluster to see.
        settings.listen = socket.local_addr().unwrap_or(settings.listen);
        let folder = match &settings.etcd {
            Some(_) => FrontEndFolder::lock(&settings.data_dir)?,
            None => None,
        };
        let audit = Arc::new(Audit::open(settings.sources.audit_log.as_deref())?);
        let (metrics, progress) = (metrics(&settings), Arc::default());
        let most = settings.max_connections;
        let status = Status::new(Arc::clone(&metrics), most, Arc::clone(&progress));
        let status = Arc::new(status);
        // Before the data is opened, so that it can tell how far that is.
        let status_listener = status_listener(&settings, &status).await?;
        let Opened { engine, users } = open_engine(&settings, progress).await?;
        let shared = match share_users(&settings, users, &audit).await {
            Ok(shared) => shared,
            Err(error) => {
                engine.close().await?;
                return Err(error);
            }
        };
        match listen(socket) {
            Ok((listener, local_addr)) => {
                let connections =
                    Connections::new(Arc::clone(&engine), &settings, metrics, Arc::clone(&audit));
                let limits = Arc::clone(connections.limits());
                let reload = Reload::new(&settings, shared, Arc::clone(&audit), limits);
                let administration = Administration {
                    engine,
                    audit,
                    reload: reload.clone(),
                    roster: Arc::clone(connections.roster()),
                    log_filter: settings.log_filter.clone(),
                };
                Ok(Self {
                    admin: admin_socket(&settings, administration),
                    listener,
                    local_addr,
                    reload,
                    connections,
                    status,
                    status_listener,
                    _folder: folder,
                })
            }
            Err(source) => {
                engine.close().await?;
                Err(ServeError::Listen { address: settings.listen, source })
            }
        }
    }

    /// The address that clients connect to, with its real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The address of the status page, with its real port, if there is one.
    #[must_use]
    pub fn status_addr(&self) -> Option<SocketAddr> {
        self.status_listener.as_ref().map(StatusListener::local_addr)
    }

    /// What tells this server to read its configuration, its certificate and its users again.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let runtime = tokio::runtime::Runtime::new()?;
    /// # runtime.block_on(async {
    /// # let mut config = kvsd_server::Config::default();
    /// # config.dev = true;
    /// # config.listen = "127.0.0.1:0".parse()?;
    /// # config.data_dir = folder.path().to_path_buf();
    /// let server = kvsd_server::Server::bind(config.check()?).await?;
    /// let reloader = server.reloader();
    /// let serving = server.serve(async move {
    ///     reloader.reload(); // on a signal, say
    /// });
    /// serving.await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        self.reload.reloader()
    }

    /// Serves clients until `shutdown` is ready, then stops: no client is accepted any more,
    /// sessions finish what they have received, the engine makes everything durable and closes.
    /// All of that within the shutdown timeout of the settings: a session that takes half of it is
    /// cut, and only a disk that is slow to sync may take longer, by 5 s at most.
    ///
    /// # Errors
    ///
    /// [`ServeError`] if the engine could not be closed. Errors of clients and of single
    /// connections end nothing but those.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cuts all sessions; what the engine had acknowledged is as durable as
    /// its sync policy says.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), ServeError> {
        info!(address = %self.local_addr, tls = self.reload.tls().is_some(), "serving");
        if let Some(address) = self.status_addr() {
            info!(url = %format_args!("http://{address}/"), "the status page is served");
        }
        self.status.serve(self.connections.engine(), self.connections.roster());
        tokio::select! {
            biased;
            () = shutdown => {}
            never = self.accept() => match never {},
            never = self.administer() => match never {},
            never = self.reload.watch() => match never {},
            never = self.reload.watch_users() => match never {},
            never = self.connections.watch() => match never {},
        }
        info!("stopping");
        self.status.stop();
        drop(self.listener);
        drop(self.admin);
        self.connections.stop(self.reload.shutdown_timeout()).await?;
        info!("stopped");
        Ok(())
    }

    async fn administer(&self) -> Infallible {
        match &self.admin {
            Some(admin) => admin.serve().await,
            None => std::future::pending().await,
        }
    }

    async fn accept(&self) -> Infallible {
        loop {
            let slot = self.connections.slot().await;
            let (socket, peer) = accept::next(|| self.listener.accept()).await;
            self.connections.spawn_tcp(slot, socket, peer, self.reload.tls());
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("local_addr", &self.local_addr)
            .field("tls", &self.reload.tls().is_some())
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

/// Makes the administrators' socket. A server whose folder can have none serves without it.
fn admin_socket(settings: &Settings, administration: Administration) -> Option<AdminSocket> {
    let made = AdminSocket::bind(&settings.data_dir, administration);
    made.inspect_err(
        |error| warn!(%error, "no socket for administrators: `kvsd admin` cannot come"),
    )
    .ok()
}

/// Puts the users in force that an engine keeps, unless anybody is let in.
async fn share_users(
    settings: &Settings,
    users: Option<Arc<dyn UserStore>>,
    audit: &Arc<Audit>,
) -> Result<Option<SharedUsers>, ServeError> {
    let authenticator = settings.authenticator.clone();
    let Some(store) = users.filter(|_| !authenticator.accepts_anyone()) else {
        return Ok(None);
    };
    let (shared, count) = SharedUsers::open(store, authenticator, Arc::clone(audit))
        .await
        .map_err(|error| ServeError::Users(Box::new(error)))?;
    if count == 0 {
        let prefix = settings.etcd.as_ref().map(|etcd| etcd.prefix.clone()).unwrap_or_default();
        return Err(ConfigError::NoUsersInEtcd { prefix }.into());
    }
    Ok(Some(shared))
}

/// The counters that the settings ask for.
pub(crate) fn metrics(settings: &Settings) -> Arc<Metrics> {
    let measure = if settings.metrics { Measure::Operations } else { Measure::Least };
    Arc::new(Metrics::new(measure, settings.slow_request))
}

/// Serves the status page from now on, if the settings ask for it.
async fn status_listener(
    settings: &Settings,
    status: &Arc<Status>,
) -> Result<Option<StatusListener>, ServeError> {
    let Some(wanted) = &settings.status else {
        return Ok(None);
    };
    let bound = StatusListener::bind(wanted.listen, wanted.hosts.clone(), Arc::clone(status)).await;
    let refused = |source| ServeError::StatusListen { address: wanted.listen, source };
    bound.map(Some).map_err(refused)
}

/// Takes an address without listening on it.
fn take_address(address: SocketAddr) -> Result<TcpSocket, ServeError> {
    let take = || -> io::Result<TcpSocket> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restarted server does not wait for its old connections to be forgotten.
        socket.set_reuseaddr(true)?;
        // Connections inherit it. What stands in the system's buffers cannot be passed by anybody:
        // a small answer would wait behind megabytes of a large one.
        socket.set_send_buffer_size(BUFFER_BYTES)?;
        socket.set_recv_buffer_size(BUFFER_BYTES)?;
        socket.bind(address)?;
        Ok(socket)
    };
    take().map_err(|source| ServeError::Listen { address, source })
}

/// What the system may hold of a connection in each direction; Linux takes twice as much.
const BUFFER_BYTES: u32 = 128 * 1024;

fn listen(socket: TcpSocket) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = socket.listen(BACKLOG)?;
    let local_addr = listener.local_addr()?;
    Ok((listener, local_addr))
}

/// How many clients the system keeps waiting, where it allows so many.
const BACKLOG: u32 = 1024;
