//! The checked settings, and the check.
//!
//! Holding a [`Settings`] means: every number is within its bounds, the certificate and the users
//! are read and sound, and whoever can reach the address is either made to log in over TLS or is
//! on this machine by the operator's explicit choice. Next file to read: [`crate::server`].

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kvsd::protocol::v2;
use kvsd::types::LARGEST_MAX_VALUE_BYTES;
use tokio_rustls::rustls;

use super::sources::{Sources, Watch};
use super::{
    Config, ConfigError, EngineKind, EtcdSettings, Layers, LogFilter, StatusHost, SyncMode, memory,
};
use crate::auth::Authenticator;
use crate::limits::Limits;
use crate::log::LogConfig;
pub use crate::log::SyncPolicy;
use crate::tls::{ClientAuth, Clients, TlsFiles};
use crate::units;
use crate::users::Users;

/// What a server starts from. Made by [`Config::check`].
#[derive(Clone)]
pub struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) data_dir: PathBuf,
    /// None with the log engine.
    pub(crate) etcd: Option<EtcdSettings>,
    pub(crate) backups: Option<PathBuf>,
    pub(crate) sync: SyncPolicy,
    pub(crate) max_connections: usize,
    pub(crate) limits: Limits,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) max_value_bytes: usize,
    pub(crate) max_tables: usize,
    pub(crate) cache_bytes: usize,
    pub(crate) history_bytes: u64,
    pub(crate) history_time: Duration,
    pub(crate) status: Option<StatusSettings>,
    pub(crate) metrics: bool,
    pub(crate) slow_request: Duration,
    pub(crate) open_files: usize,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    pub(crate) authenticator: Authenticator,
    pub(crate) sources: Sources,
    pub(crate) log_filter: Option<Arc<dyn LogFilter>>,
}

/// Where the status page is served.
#[derive(Debug, Clone)]
pub(crate) struct StatusSettings {
    pub(crate) listen: SocketAddr,
    pub(crate) hosts: Vec<StatusHost>,
}

impl Settings {
    /// The address to serve on, as configured: its port may be 0.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where the data is kept.
    #[must_use]
    pub fn engine(&self) -> EngineKind {
        if self.etcd.is_some() { EngineKind::Etcd } else { EngineKind::Log }
    }

    /// The folder that holds the data, or with another engine what the server needs beside it.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Lets administrators of the server see and change what the program logs.
    #[must_use]
    pub fn with_log_filter(mut self, filter: Arc<dyn LogFilter>) -> Self {
        self.log_filter = Some(filter);
        self
    }

    /// Lets the server read the configuration file of these layers again, when it is told to:
    /// what [`Reload`](super::keys::Reload) says of each setting is done with it.
    #[must_use]
    pub fn with_layers(mut self, layers: Layers) -> Self {
        self.sources.layers = Some(layers);
        self
    }

    /// What was given to [`Settings::with_log_filter`].
    #[must_use]
    pub fn log_filter(&self) -> Option<&Arc<dyn LogFilter>> {
        self.log_filter.as_ref()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("listen", &self.listen)
            .field("data_dir", &self.data_dir)
            .field("etcd", &self.etcd)
            .field("backups", &self.backups)
            .field("sync", &self.sync)
            .field("max_connections", &self.max_connections)
            .field("limits", &self.limits)
            .field("shutdown_timeout", &self.shutdown_timeout)
            .field("max_value_bytes", &self.max_value_bytes)
            .field("max_tables", &self.max_tables)
            .field("cache_bytes", &self.cache_bytes)
            .field("history_bytes", &self.history_bytes)
            .field("history_time", &self.history_time)
            .field("status", &self.status)
            .field("metrics", &self.metrics)
            .field("slow_request", &self.slow_request)
            .field("open_files", &self.open_files)
            .field("tls", &self.tls.is_some())
            .field("authenticator", &self.authenticator)
            .field("audit_log", &self.sources.audit_log)
            .field("log_filter", &self.log_filter)
            .finish()
    }
}

impl Config {
    /// Checks the settings against their bounds and each other, and reads the certificate, its key
    /// and the users. Blocks on those files; changes nothing.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says which setting is to blame and what to do.
    pub fn check(&self) -> Result<Settings, ConfigError> {
        self.check_bounds()?;
        let etcd = self.check_engine()?;
        let limits = self.check_limits()?;
        self.check_backups()?;
        let status = self.check_status()?;
        let sources = self.sources()?;
        let tls = sources.tls.as_ref().map(|(files, _)| files.load()).transpose()?;
        let authenticator = if self.dev { self.check_dev() } else { self.check_strict() }?;
        Ok(Settings {
            listen: self.listen,
            data_dir: self.data_dir.clone(),
            etcd,
            backups: self.backups.clone(),
            sync: match self.sync {
                SyncMode::Always => SyncPolicy::Always,
                SyncMode::Interval => SyncPolicy::Interval(self.sync_interval),
                SyncMode::Never => SyncPolicy::Never,
            },
            max_connections: self.max_connections,
            limits,
            shutdown_timeout: self.shutdown_timeout,
            max_value_bytes: self.max_value_bytes(),
            max_tables: self.max_tables,
            cache_bytes: self.cache_bytes.unwrap_or_else(memory::default_cache_bytes),
            history_bytes: self.history_bytes,
            history_time: self.history_time,
            status,
            metrics: self.metrics,
            slow_request: self.slow_request,
            open_files: LogConfig::DEFAULT_OPEN_FILES,
            tls,
            authenticator,
            sources,
            log_filter: None,
        })
    }

    /// What is wrong with the settings, of each kind that [`Config::check`] looks for: bounds,
    /// folders, TLS, who may log in. Blocks on the same files; changes nothing.
    #[must_use]
    pub fn problems(&self) -> Vec<ConfigError> {
        let tls = || self.tls_files()?.map(|files| files.load()).transpose().map_err(Into::into);
        let users = || if self.dev { self.check_dev() } else { self.check_strict() };
        let parts = [
            self.check_bounds().err(),
            self.check_engine().err(),
            self.check_limits().err(),
            self.check_status().err(),
            self.check_backups().err(),
            tls().err(),
            users().err(),
        ];
        let problems: Vec<_> = parts.into_iter().flatten().collect();
        if problems.is_empty() { self.check().err().into_iter().collect() } else { problems }
    }

    pub(super) fn check_bounds(&self) -> Result<(), ConfigError> {
        let count = usize::to_string;
        let size = |bytes: &usize| units::show_size(*bytes);
        let long_size = |bytes: &u64| size(&usize::try_from(*bytes).unwrap_or(usize::MAX));
        let time = |time: &Duration| humantime::format_duration(*time).to_string();
        let ms = Duration::from_millis;
        let s = Duration::from_secs;
        within("max_connections", self.max_connections, (1, 1_000_000), count)?;
        within("max_tables", self.max_tables, (1, 65_536), count)?;
        let values = (1 << 10, LARGEST_MAX_VALUE_BYTES);
        within("max_value_bytes", self.max_value_bytes(), values, size)?;
        within("cache_bytes", self.cache_bytes.unwrap_or(0), (0, LARGEST_CACHE_BYTES), size)?;
        within("history_bytes", self.history_bytes, (0, 1 << 40), long_size)?;
        within("history_time", self.history_time, (ms(0), s(365 * 24 * 3600)), time)?;
        within("shutdown_timeout", self.shutdown_timeout, (ms(0), s(3600)), time)?;
        within("slow_request", self.slow_request, (ms(0), s(3600)), time)?;
        within("etcd_timeout", self.etcd_timeout, (ms(100), s(60)), time)?;
        if !self.etcd_history.is_zero() {
            within("etcd_history", self.etcd_history, (s(1), s(365 * 24 * 3600)), time)?;
        }
        within("sync_interval", self.sync_interval, (ms(1), s(60)), time)
    }

    /// The limits that can change while the server runs.
    fn check_limits(&self) -> Result<Limits, ConfigError> {
        let count = usize::to_string;
        let size = |bytes: &usize| units::show_size(*bytes);
        let long_size = |bytes: &u64| size(&usize::try_from(*bytes).unwrap_or(usize::MAX));
        let time = |time: &Duration| humantime::format_duration(*time).to_string();
        let ms = Duration::from_millis;
        let s = Duration::from_secs;
        let largest = v2::limits(self.max_value_bytes()).message_bytes;
        let least_memory = 4 * largest;
        let connection_memory = self
            .connection_memory
            .unwrap_or_else(|| memory::default_connection_memory().max(least_memory));
        let many = (1, 1_000_000);
        let (soft, hard) = (self.max_output_bytes, self.max_output_bytes_hard);
        within("max_connections_per_address", self.max_connections_per_address, many, count)?;
        within("max_unauthenticated", self.max_unauthenticated, many, count)?;
        within("handshake_timeout", self.handshake_timeout, (ms(100), s(600)), time)?;
        let idle_timeout = Some(self.idle_timeout).filter(|idle| !idle.is_zero());
        if let Some(idle) = idle_timeout {
            within("idle_timeout", idle, (ms(100), s(365 * 24 * 3600)), time)?;
        }
        within("max_in_flight", self.max_in_flight, (1, 65_536), count)?;
        within("max_output_bytes", soft, (64 << 10, 1 << 30), size)?;
        within("max_output_bytes_hard", hard, (soft + largest, 4 << 30), size)?;
        within("connection_memory", connection_memory, (least_memory, 1 << 40), size)?;
        within("min_free_disk", self.min_free_disk, (0, 1 << 40), long_size)?;
        Ok(Limits {
            max_connections_per_address: self.max_connections_per_address,
            max_unauthenticated: self.max_unauthenticated,
            handshake_timeout: self.handshake_timeout,
            idle_timeout,
            max_in_flight: self.max_in_flight,
            max_output_bytes: soft,
            max_output_bytes_hard: hard,
            connection_memory,
            // Where there is no data, room is not needed.
            min_free_disk: match self.engine {
                EngineKind::Log => self.min_free_disk,
                EngineKind::Etcd => 0,
            },
        })
    }

    /// The rules of the status page: this machine only, or others by choice.
    fn check_status(&self) -> Result<Option<StatusSettings>, ConfigError> {
        let host = |name: &String| {
            StatusHost::parse(name).ok_or_else(|| ConfigError::StatusHost { name: name.clone() })
        };
        let hosts = self.status_hosts.iter().map(host).collect::<Result<_, _>>()?;
        match self.status_listen {
            Some(listen) if !self.status_public && !listen.ip().to_canonical().is_loopback() => {
                Err(ConfigError::StatusBeyondLoopback { listen })
            }
            Some(listen) => Ok(Some(StatusSettings { listen, hosts })),
            None => Ok(None),
        }
    }

    /// What is found among the tables and is none of them may be taken for the remains of one.
    fn check_backups(&self) -> Result<(), ConfigError> {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let data = absolute(&self.data_dir);
        let is_among = |path: &Path| path == data || path.starts_with(data.join("tables"));
        match &self.backups {
            Some(path) if is_among(&absolute(path)) => {
                Err(ConfigError::BackupsAmongTables { path: path.clone() })
            }
            _ => Ok(()),
        }
    }

    /// The files as they are now, before they are read.
    fn sources(&self) -> Result<Sources, ConfigError> {
        let tls = self.tls_files()?.map(|files| (files.clone(), Watch::new(files.paths())));
        let users = self.users.clone().map(|file| (file.clone(), Watch::new([file])));
        Ok(Sources { tls, users, audit_log: self.audit_log.clone(), layers: None })
    }

    fn tls_files(&self) -> Result<Option<TlsFiles>, ConfigError> {
        let clients = self.clients()?;
        match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Ok(Some(TlsFiles {
                cert: cert.clone(),
                key: key.clone(),
                min_version: self.tls_min_version,
                clients,
            })),
            (None, None) if !matches!(clients, Clients::Unasked) => {
                Err(ConfigError::ClientAuthWithoutTls)
            }
            (None, None) => Ok(None),
            (Some(_), None) => {
                Err(ConfigError::TlsHalf { given: "--tls-cert", missing: "--tls-key" })
            }
            (None, Some(_)) => {
                Err(ConfigError::TlsHalf { given: "--tls-key", missing: "--tls-cert" })
            }
        }
    }

    fn clients(&self) -> Result<Clients, ConfigError> {
        let half = |given, missing| Err(ConfigError::ClientAuthHalf { given, missing });
        match (self.tls_client_auth, self.tls_client_ca.clone()) {
            (ClientAuth::None, None) => Ok(Clients::Unasked),
            (ClientAuth::None, Some(_)) => half("--tls-client-ca", "--tls-client-auth"),
            (ClientAuth::Optional | ClientAuth::Required, None) => {
                half("--tls-client-auth", "--tls-client-ca")
            }
            (ClientAuth::Optional, Some(ca)) => Ok(Clients::Optional(ca)),
            (ClientAuth::Required, Some(ca)) => Ok(Clients::Required(ca)),
        }
    }

    /// The rules of `dev`: this machine only, and no users that would be ignored.
    fn check_dev(&self) -> Result<Authenticator, ConfigError> {
        if !self.on_loopback() {
            return Err(ConfigError::DevBeyondLoopback { listen: self.listen });
        }
        if let Some(path) = &self.users {
            return Err(ConfigError::DevWithUsers { path: path.clone() });
        }
        Ok(Authenticator::accept_anyone())
    }

    /// The rules without `dev`: TLS, or plain TCP on this machine by choice; users in any case, who
    /// with the etcd engine are found when that is opened.
    fn check_strict(&self) -> Result<Authenticator, ConfigError> {
        match (self.tls_cert.is_some(), self.insecure) {
            (true, false) => {}
            (true, true) => return Err(ConfigError::InsecureWithTls),
            (false, false) => return Err(ConfigError::NoTls),
            (false, true) if self.on_loopback() => {}
            (false, true) => {
                return Err(ConfigError::InsecureBeyondLoopback { listen: self.listen });
            }
        }
        if self.engine == EngineKind::Etcd {
            return Ok(Authenticator::of_nobody());
        }
        let path = self.users.as_ref().ok_or(ConfigError::NoUsersFile)?;
        let users = Users::load(path)?;
        Authenticator::from_users(&users).ok_or_else(|| ConfigError::NoUsers { path: path.clone() })
    }

    fn on_loopback(&self) -> bool {
        self.listen.ip().to_canonical().is_loopback()
    }
}

/// Checks one bound.
pub(super) fn within<T: PartialOrd>(
    key: &'static str,
    given: T,
    (least, most): (T, T),
    show: impl Fn(&T) -> String,
) -> Result<(), ConfigError> {
    if given < least || given > most {
        return Err(ConfigError::OutOfRange {
            key,
            given: show(&given),
            least: show(&least),
            most: show(&most),
        });
    }
    Ok(())
}

/// More than any machine has.
const LARGEST_CACHE_BYTES: usize = 1 << 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::{Grants, Password, StoredHash, UserName};

    #[test]
    fn backups_do_not_go_among_the_tables() {
        let with = |backups: &str| Config { backups: Some(backups.into()), ..dev() };
        for path in
            ["kvsd-data", "./kvsd-data/", "./kvsd-data/tables", "./kvsd-data/tables/00000009"]
        {
            let refusal = refusal(&with(path));
            assert!(matches!(refusal, ConfigError::BackupsAmongTables { .. }), "{path}");
        }
        for path in ["./kvsd-data/backups", "./backups", "/elsewhere"] {
            assert!(with(path).check().is_ok(), "{path}");
        }
    }

    fn dev() -> Config {
        Config { dev: true, ..Config::default() }
    }

    fn insecure_with_users(folder: &Path) -> Config {
        let users = folder.join("users");
        let hash = StoredHash::of(&Password::new(b"secret".to_vec()).unwrap()).unwrap();
        Users::edit(&users, |users| {
            users.add(UserName::parse("app").unwrap(), hash, Grants::all())
        })
        .unwrap();
        Config { insecure: true, users: Some(users), ..Config::default() }
    }

    fn refusal(config: &Config) -> ConfigError {
        config.check().unwrap_err()
    }

    #[test]
    fn dev_serves_loopback_only() {
        for listen in ["127.0.0.1:0", "127.8.9.1:7379", "[::1]:0", "[::ffff:127.0.0.1]:0"] {
            let listen = listen.parse().unwrap();
            assert!(Config { listen, ..dev() }.check().is_ok(), "{listen}");
        }
        for listen in ["0.0.0.0:0", "192.0.2.1:7379", "[::]:0", "[::ffff:192.0.2.1]:0"] {
            let error = refusal(&Config { listen: listen.parse().unwrap(), ..dev() });
            assert!(matches!(error, ConfigError::DevBeyondLoopback { .. }), "{listen}: {error}");
        }
    }

    #[test]
    fn dev_refuses_a_users_file_that_it_would_ignore() {
        let error = refusal(&Config { users: Some("users".into()), ..dev() });
        assert!(matches!(error, ConfigError::DevWithUsers { .. }), "{error}");
    }

    #[test]
    fn nothing_configured_is_refused_and_the_message_leads_on() {
        let error = refusal(&Config::default());
        assert!(matches!(error, ConfigError::NoTls), "{error}");
        for way in ["kvsd-server init", "--tls-cert", "--insecure", "--dev"] {
            assert!(error.to_string().contains(way), "{error}");
        }
    }

    #[test]
    fn insecure_serves_loopback_only_and_not_beside_tls() {
        let folder = tempfile::tempdir().unwrap();
        let config = insecure_with_users(folder.path());
        assert!(config.check().is_ok());
        let listen = "0.0.0.0:7379".parse().unwrap();
        let error = refusal(&Config { listen, ..config });
        assert!(matches!(error, ConfigError::InsecureBeyondLoopback { .. }), "{error}");
    }

    #[test]
    fn without_users_nothing_starts() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config { insecure: true, ..Config::default() };
        assert!(matches!(refusal(&config), ConfigError::NoUsersFile));

        let path = folder.path().join("users");
        Users::edit(&path, |_| Ok(())).unwrap();
        config.users = Some(path);
        assert!(matches!(refusal(&config), ConfigError::NoUsers { .. }));

        config.users = Some(folder.path().join("absent"));
        assert!(matches!(refusal(&config), ConfigError::Users(_)));
    }

    #[test]
    fn half_of_a_tls_pair_names_the_other_half() {
        let error = refusal(&Config { tls_cert: Some("c".into()), ..dev() });
        assert_eq!(error.to_string(), "--tls-cert is given without --tls-key; TLS needs both");
        let error = refusal(&Config { tls_key: Some("k".into()), ..dev() });
        assert_eq!(error.to_string(), "--tls-key is given without --tls-cert; TLS needs both");
    }

    #[test]
    fn client_certificates_need_tls_a_ca_and_the_choice_to_ask() {
        let asked = |tls_client_auth, ca: Option<&str>| {
            refusal(&Config { tls_client_auth, tls_client_ca: ca.map(Into::into), ..dev() })
        };
        let error = asked(ClientAuth::Required, None).to_string();
        assert!(error.contains("--tls-client-auth is given without --tls-client-ca"), "{error}");
        let error = asked(ClientAuth::None, Some("ca")).to_string();
        assert!(error.contains("--tls-client-ca is given without --tls-client-auth"), "{error}");
        let error = asked(ClientAuth::Optional, Some("ca"));
        assert!(matches!(error, ConfigError::ClientAuthWithoutTls), "{error}");
    }

    #[test]
    fn numbers_out_of_bounds_are_refused_by_name() {
        let too_long = Duration::from_secs(3601);
        for (config, key) in [
            (Config { max_connections: 0, ..dev() }, "max_connections"),
            (Config { max_connections: 1_000_001, ..dev() }, "max_connections"),
            (Config { max_tables: 0, ..dev() }, "max_tables"),
            (Config { max_value_bytes: Some(1023), ..dev() }, "max_value_bytes"),
            (Config { max_value_bytes: Some((64 << 20) + 1), ..dev() }, "max_value_bytes"),
            (Config { cache_bytes: Some(LARGEST_CACHE_BYTES + 1), ..dev() }, "cache_bytes"),
            (Config { history_bytes: (1 << 40) + 1, ..dev() }, "history_bytes"),
            (Config { history_time: Duration::MAX, ..dev() }, "history_time"),
            (Config { handshake_timeout: Duration::ZERO, ..dev() }, "handshake_timeout"),
            (Config { max_connections_per_address: 0, ..dev() }, "max_connections_per_address"),
            (Config { max_unauthenticated: 0, ..dev() }, "max_unauthenticated"),
            (Config { idle_timeout: Duration::from_millis(99), ..dev() }, "idle_timeout"),
            (Config { max_in_flight: 0, ..dev() }, "max_in_flight"),
            (Config { max_in_flight: 65_537, ..dev() }, "max_in_flight"),
            (Config { max_output_bytes: (64 << 10) - 1, ..dev() }, "max_output_bytes"),
            // Room for the largest answer: 10 MiB and what stands beside it.
            (Config { max_output_bytes_hard: (44 << 20) - 1, ..dev() }, "max_output_bytes_hard"),
            (Config { connection_memory: Some((48 << 20) - 1), ..dev() }, "connection_memory"),
            (Config { min_free_disk: (1 << 40) + 1, ..dev() }, "min_free_disk"),
            (Config { shutdown_timeout: too_long, ..dev() }, "shutdown_timeout"),
            (Config { sync_interval: Duration::ZERO, ..dev() }, "sync_interval"),
            (Config { slow_request: too_long, ..dev() }, "slow_request"),
            (Config { etcd_timeout: Duration::from_secs(61), ..dev() }, "etcd_timeout"),
            (Config { etcd_history: Duration::from_millis(999), ..dev() }, "etcd_history"),
        ] {
            let error = refusal(&config).to_string();
            assert!(error.starts_with(&format!("{key} must be between ")), "{error}");
        }
        assert!(Config { shutdown_timeout: Duration::ZERO, ..dev() }.check().is_ok());
        let never = Config { idle_timeout: Duration::ZERO, ..dev() }.check().unwrap();
        assert_eq!(never.limits.idle_timeout, None);
        // What is computed fits whatever else is chosen.
        let large =
            Config { max_value_bytes: Some(64 << 20), max_output_bytes_hard: 1 << 30, ..dev() }
                .check();
        assert!(large.unwrap().limits.connection_memory >= 4 * (66 << 20));
    }

    #[test]
    fn the_status_page_leaves_this_machine_by_explicit_choice_only() {
        let on = |listen: &str| Config { status_listen: Some(listen.parse().unwrap()), ..dev() };
        for listen in ["127.0.0.1:7380", "[::1]:0", "[::ffff:127.0.0.1]:0"] {
            assert!(on(listen).check().is_ok(), "{listen}");
        }
        for listen in ["0.0.0.0:7380", "192.0.2.1:7380", "[::]:0", "[::ffff:192.0.2.1]:0"] {
            let error = refusal(&on(listen)).to_string();
            assert!(error.contains("--status-public"), "{listen}: {error}");
            let config = Config { status_public: true, ..on(listen) };
            assert!(config.check().unwrap().status.is_some(), "{listen}");
        }
        assert!(dev().check().unwrap().status.is_none());
        let error = refusal(&Config { status_hosts: vec!["a:80".to_owned()], ..dev() }).to_string();
        assert!(error.contains("status_hosts") && error.contains("a:80"), "{error}");
    }

    #[test]
    fn settings_never_show_a_hash() {
        let folder = tempfile::tempdir().unwrap();
        let settings = insecure_with_users(folder.path()).check().unwrap();
        assert!(!format!("{settings:?}").contains("argon2"), "{settings:?}");
    }
}
