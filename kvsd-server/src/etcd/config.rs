//! What the etcd engine is opened with.
//!
//! Values only; whoever fills them in checks what a user wrote. Next file to read: `layout`.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::log::{Clock, SystemClock};

/// How to reach an etcd cluster, and how to use it.
#[derive(Clone)]
pub struct EtcdConfig {
    /// The members: `http://host:port` or `https://host:port`, at least one. Those that are not
    /// named are never asked.
    pub endpoints: Vec<String>,
    /// What all keys begin with, without the `/` behind it. Two stores with different prefixes share
    /// a cluster and know nothing of each other. Default: `kvsd`.
    pub prefix: String,
    /// The certificates that may sign those of the members, PEM; `None`: those of the platform.
    pub ca: Option<PathBuf>,
    /// The certificate that the engine shows to the members, and its key, PEM.
    pub identity: Option<Identity>,
    /// Who the engine is for etcd's own access control.
    pub user: Option<Credentials>,
    /// How long an operation may take in all, whatever is tried meanwhile. Default: 5 s.
    pub timeout: Duration,
    /// How long the past is kept, for watches and scans that are under way; `None` leaves it to
    /// etcd's own settings. Default: 1 h.
    pub history: Option<Duration>,
    /// The largest value, in bytes; at most [`EtcdConfig::LARGEST_MAX_VALUE_BYTES`], which is the
    /// default.
    pub max_value_bytes: usize,
    /// The most tables there may be. Default: 4096.
    pub max_tables: usize,
    /// What expiry goes by. Default: [`SystemClock`].
    pub clock: Arc<dyn Clock>,
    /// Where clients reach this front end, for whoever looks at the others; nothing depends on it.
    pub address: String,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate, and those that signed it.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A user of etcd.
#[derive(Clone)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl EtcdConfig {
    /// The largest value that fits into a request of etcd, which by its default takes 1.5 MiB.
    pub const LARGEST_MAX_VALUE_BYTES: usize = 1024 * 1024;
    /// The most bytes of keys and values in one write. What it is bound to names its keys three times
    /// more.
    pub const MAX_WRITE_BYTES: usize = 1300 * 1024;
    /// The most changes in one write: etcd takes 128 operations in a list.
    pub const MAX_BATCH: usize = 64;

    /// The defaults, for the members at these endpoints.
    #[must_use]
    pub fn new(endpoints: Vec<String>) -> Self {
        Self {
            endpoints,
            prefix: "kvsd".to_owned(),
            ca: None,
            identity: None,
            user: None,
            timeout: Duration::from_secs(5),
            history: Some(Duration::from_secs(3600)),
            max_value_bytes: Self::LARGEST_MAX_VALUE_BYTES,
            max_tables: 4096,
            clock: Arc::new(SystemClock),
            address: String::new(),
        }
    }
}

/// Never shows the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl fmt::Debug for EtcdConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdConfig")
            .field("endpoints", &self.endpoints)
            .field("prefix", &self.prefix)
            .field("user", &self.user)
            .field("timeout", &self.timeout)
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}
