//! Why a server does not serve. Next file to read: `crate::engine`.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::audit::AuditError;
use crate::config::ConfigError;
use crate::engine::EngineError;
#[cfg(feature = "etcd")]
use crate::etcd::EtcdError;
use crate::log::OpenError;

/// Why a server did not start, or did not stop cleanly. `{:#}` shows it with all its causes.
///
/// ```
/// use kvsd_server::Embedded;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let server = Embedded::temporary().await?;
/// let error = Embedded::open(server.data_dir()).await.unwrap_err();
/// let folder = server.data_dir().display();
/// assert_eq!(
///     format!("{error:#}"),
///     format!("cannot open the data folder: the data folder {folder} is in use by another process")
/// );
/// # server.close().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is taken or is none of this machine's.
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The address of the status page is taken or is none of this machine's.
    StatusListen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The audit log cannot be written.
    AuditLog(AuditError),
    /// A setting is out of its bounds.
    Config(ConfigError),
    /// No thread, no runtime or no folder to be had.
    Start(io::Error),
    /// The data folder cannot be opened. The reason, which names the folder or a file of it, belongs
    /// to the message; the sources are those of the reason.
    Open(OpenError),
    /// The etcd cluster cannot be used. The reason belongs to the message; the sources are those of
    /// the reason.
    #[cfg(feature = "etcd")]
    Etcd(EtcdError),
    /// The users that all servers of a cluster share cannot be read.
    Users(Box<dyn Error + Send + Sync>),
    /// The engine could not make everything durable.
    Close(EngineError),
    /// The engine took longer to close than the shutdown timeout allows.
    CloseTimedOut,
    /// A thread that opened the data folder, or the embedded server's own, has panicked.
    Lost,
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { address, source: _ } => write!(f, "cannot listen on {address}")?,
            Self::StatusListen { address, source: _ } => {
                write!(f, "cannot serve the status page on {address}")?;
            }
            Self::AuditLog(_) => f.write_str("no audit log")?,
            Self::Config(_) => f.write_str("the settings do not make sense")?,
            Self::Start(_) => f.write_str("cannot start")?,
            Self::Open(reason) => write!(f, "cannot open the data folder: {reason}")?,
            #[cfg(feature = "etcd")]
            Self::Etcd(reason) => write!(f, "cannot open the store in etcd: {reason}")?,
            Self::Users(_) => f.write_str("cannot read the users")?,
            Self::Close(_) => f.write_str("cannot close the data folder")?,
            Self::CloseTimedOut => f.write_str("the data folder could not be closed in time")?,
            Self::Lost => f.write_str("one of the server's threads has died")?,
        }
        if f.alternate() {
            let mut cause = self.source();
            while let Some(error) = cause {
                write!(f, ": {error}")?;
                cause = error.source();
            }
        }
        Ok(())
    }
}

impl Error for ServeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Listen { source, .. }
            | Self::StatusListen { source, .. }
            | Self::Start(source) => Some(source),
            Self::AuditLog(source) => Some(source),
            Self::Config(source) => Some(source),
            Self::Open(reason) => reason.source(),
            #[cfg(feature = "etcd")]
            Self::Etcd(reason) => reason.source(),
            Self::Users(source) => Some(&**source),
            Self::Close(source) => Some(source),
            Self::CloseTimedOut | Self::Lost => None,
        }
    }
}

impl From<AuditError> for ServeError {
    fn from(source: AuditError) -> Self {
        Self::AuditLog(source)
    }
}

impl From<ConfigError> for ServeError {
    fn from(source: ConfigError) -> Self {
        Self::Config(source)
    }
}

impl From<OpenError> for ServeError {
    fn from(reason: OpenError) -> Self {
        Self::Open(reason)
    }
}

#[cfg(feature = "etcd")]
impl From<EtcdError> for ServeError {
    fn from(reason: EtcdError) -> Self {
        Self::Etcd(reason)
    }
}

impl From<EngineError> for ServeError {
    fn from(source: EngineError) -> Self {
        Self::Close(source)
    }
}
