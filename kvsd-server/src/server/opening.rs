//! Opening what a server stands on: the engine that the settings ask for, and with etcd the folder
//! of a front end, which has no data in it.
//!
//! Next file to read: `reload`.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use tracing::warn;

use super::ServeError;
#[cfg(not(feature = "etcd"))]
use crate::config::ConfigError;
use crate::config::{EtcdSettings, Settings};
use crate::engine::Engine;
#[cfg(feature = "etcd")]
use crate::etcd::{Credentials, EtcdConfig, EtcdEngine, Identity};
use crate::log::{LogConfig, LogEngine, OpenError, OpenProgress};
use crate::users::UserStore;

/// What a server stands on.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) engine: Arc<dyn Engine>,
    /// Where the users are, with an engine that keeps them.
    pub(crate) users: Option<Arc<dyn UserStore>>,
}

/// Opens the engine that the settings ask for.
pub(crate) async fn open_engine(
    settings: &Settings,
    progress: Arc<OpenProgress>,
) -> Result<Opened, ServeError> {
    match &settings.etcd {
        Some(etcd) => open_etcd(settings, etcd).await,
        None => open_log(settings, progress).await,
    }
}

async fn open_log(settings: &Settings, progress: Arc<OpenProgress>) -> Result<Opened, ServeError> {
    let config = LogConfig {
        backups: settings.backups.clone(),
        sync: settings.sync,
        max_tables: settings.max_tables,
        open_files: settings.open_files,
        max_value_bytes: settings.max_value_bytes,
        cache_bytes: settings.cache_bytes,
        history_bytes: settings.history_bytes,
        history_time: settings.history_time,
        progress,
        ..LogConfig::new(&settings.data_dir)
    };
    // Opening reads everything back, which is no work for the threads that serve.
    let opening = tokio::task::spawn_blocking(move || LogEngine::open(config));
    let engine = opening.await.map_err(|_| ServeError::Lost)??;
    Ok(Opened { engine: Arc::new(engine), users: None })
}

#[cfg(feature = "etcd")]
async fn open_etcd(settings: &Settings, etcd: &EtcdSettings) -> Result<Opened, ServeError> {
    if etcd.endpoints.iter().any(|endpoint| is_plain_beyond_loopback(endpoint)) {
        warn!(
            endpoints = %etcd.endpoints.join(", "),
            "etcd is reached over plain TCP: keys, values and passwords go in the clear"
        );
    }
    let config = EtcdConfig {
        max_value_bytes: settings.max_value_bytes,
        max_tables: settings.max_tables,
        address: settings.listen.to_string(),
        ..etcd_config(etcd)
    };
    let engine = EtcdEngine::open(config).await?;
    let users = Arc::new(engine.users());
    Ok(Opened { engine: Arc::new(engine), users: Some(users) })
}

/// Reaches the users that the servers of a cluster share.
#[cfg(all(feature = "cli", feature = "etcd"))]
pub(crate) async fn open_users(etcd: &EtcdSettings) -> Result<Arc<dyn UserStore>, ServeError> {
    Ok(Arc::new(crate::etcd::EtcdUsers::open(&etcd_config(etcd)).await?))
}

/// As with an engine that was not built: no settings come here.
#[cfg(all(feature = "cli", not(feature = "etcd")))]
pub(crate) async fn open_users(_: &EtcdSettings) -> Result<Arc<dyn UserStore>, ServeError> {
    Err(ConfigError::BuiltWithoutEtcd.into())
}

#[cfg(feature = "etcd")]
fn is_plain_beyond_loopback(endpoint: &str) -> bool {
    const LOOPBACK: [&str; 3] = ["127.", "localhost:", "[::1]:"];
    let address = endpoint.strip_prefix("http://");
    address.is_some_and(|address| !LOOPBACK.iter().any(|start| address.starts_with(start)))
}

/// What a cluster is reached with.
#[cfg(feature = "etcd")]
pub(crate) fn etcd_config(etcd: &EtcdSettings) -> EtcdConfig {
    let EtcdSettings { endpoints, prefix, ca, identity, user, timeout, history } = etcd.clone();
    EtcdConfig {
        prefix,
        ca,
        identity: identity.map(|(cert, key)| Identity { cert, key }),
        user: user.map(|user| Credentials { user: user.name, password: user.password }),
        timeout,
        history,
        ..EtcdConfig::new(endpoints)
    }
}

/// No settings come here: [`crate::Config::check`] makes none.
#[cfg(not(feature = "etcd"))]
async fn open_etcd(_: &Settings, _: &EtcdSettings) -> Result<Opened, ServeError> {
    Err(ConfigError::BuiltWithoutEtcd.into())
}

/// The folder of a front end, which nobody else uses for as long as this lives.
#[derive(Debug)]
pub(super) struct FrontEndFolder {
    _lock: File,
}

impl FrontEndFolder {
    /// Makes the folder if need be, and keeps others from it: a second server would take the
    /// administrators' socket of the first. Where nothing can be written there is no socket either,
    /// and so nothing to keep.
    pub(super) fn lock(folder: &Path) -> Result<Option<Self>, ServeError> {
        let locked = || -> io::Result<File> {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false).mode(0o600);
            let file = options.open(folder.join(LOCK_FILE))?;
            match file.try_lock() {
                Ok(()) => Ok(file),
                Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
                Err(TryLockError::Error(error)) => Err(error),
            }
        };
        if folder.join(CATALOG_FILE).exists() {
            warn!(
                folder = %folder.display(),
                "this folder has tables of the log engine in it, which are not served"
            );
        }
        match locked() {
            Ok(file) => Ok(Some(Self { _lock: file })),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(OpenError::Locked { folder: folder.to_owned() }.into())
            }
            Err(error) => {
                warn!(folder = %folder.display(), %error, "the data folder cannot be written");
                Ok(None)
            }
        }
    }
}

/// As with the log engine, so that neither of the two takes the folder of the other.
const LOCK_FILE: &str = "LOCK";
/// What a folder of the log engine has.
const CATALOG_FILE: &str = "CATALOG";
