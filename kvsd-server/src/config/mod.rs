//! Every setting of the server: its name, its default, where it may be given, and the checked
//! result.
//!
//! Text from flags, environment and file meets in [`Layers`], which makes a typed [`Config`];
//! [`Config::check`] reads the files that it names, applies the rules of safety and returns
//! [`Settings`], the only thing that a server starts from. A program that embeds the server fills
//! a [`Config`] itself. Nothing here knows a command-line parser, and nothing below asks a second
//! time whether a setting makes sense. Next file to read: [`keys`], the table of settings.

mod error;
mod etcd;
pub mod keys;
mod layers;
mod log_filter;
mod memory;
mod reference;
mod reread;
mod settings;
mod sources;
mod status_host;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::log::LogConfig;

pub use error::ConfigError;
pub(crate) use etcd::EtcdSettings;
pub use layers::Layers;
pub use log_filter::LogFilter;
pub use reference::reference;
pub(crate) use reread::Reread;
pub use settings::{Settings, SyncPolicy};
pub(crate) use sources::{Sources, Watch};
pub(crate) use status_host::StatusHost;

pub use crate::tls::{ClientAuth, MinVersion};

/// All settings, typed but not yet checked against each other.
///
/// ```
/// use kvsd_server::config::Config;
///
/// let mut config = Config::default();
/// config.dev = true;
/// config.listen = "127.0.0.1:0".parse()?;
/// let settings = config.check()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The address to serve on; port 0 takes a free one. Default `127.0.0.1:7379`.
    pub listen: SocketAddr,
    /// Where the data is kept. Default [`EngineKind::Log`].
    pub engine: EngineKind,
    /// The folder that holds the data, and the administrators' socket; with [`EngineKind::Etcd`] the
    /// socket alone. Default `./kvsd-data`.
    pub data_dir: PathBuf,
    /// The folder that backups go to. Default none, and no backups.
    pub backups: Option<PathBuf>,
    /// When a write is acknowledged. Default [`SyncMode::Always`].
    pub sync: SyncMode,
    /// How long a write may stay unsynced with [`SyncMode::Interval`], 1 ms to 1 minute. Default
    /// 1 s.
    pub sync_interval: Duration,
    /// How many connections are served at once, 1 to 1,000,000; more of them wait. Default 1,024.
    pub max_connections: usize,
    /// How many connections one address may have, 1 to 1,000,000; further ones are told so and
    /// closed. Addresses of IPv6 count as one where their first 64 bits are the same. Default 512.
    pub max_connections_per_address: usize,
    /// How many connections there may be that have not said who they are, 1 to 1,000,000. When one
    /// more comes, the one that has been silent longest gives way: of the address that has most of
    /// them. Default 256.
    pub max_unauthenticated: usize,
    /// The time from accepting a connection to its authentication, TLS included, 100 ms to 10
    /// minutes. Default 10 s.
    pub handshake_timeout: Duration,
    /// How long a connection may be silent in both directions, 100 ms to 1 year; 0 for as long as it
    /// likes. The client of this crate's kind says something every 10 s. Default 10 minutes.
    pub idle_timeout: Duration,
    /// How many requests of one connection are carried out at a time, 1 to 65,536; what a client
    /// sends beyond them is not read before one is answered. Default 4,096.
    pub max_in_flight: usize,
    /// How many bytes of answers may wait for a client before nothing more is read from it, 64 KiB
    /// to 1 GiB; of answers that go whole, not in parts, at most 1 MiB. Default 32 MiB.
    pub max_output_bytes: usize,
    /// How many bytes of answers may wait for a client before it is cut off: what was under way when
    /// it reached [`Config::max_output_bytes`] is answered too. At most 4 GiB, and at least room for
    /// the largest answer above that. Default 256 MiB.
    pub max_output_bytes_hard: usize,
    /// How many bytes all connections together may hold for requests and answers, up to 1 TiB, and
    /// at least what four of the largest requests take. From seven eighths of it on requests are
    /// refused as `BUSY`, and beyond it the connections that hold most are cut off. What a
    /// connection holds below 16 KiB does not count. Default: an eighth of the memory that the
    /// machine has, or that its control group may have, 64 MiB to 4 GiB.
    pub connection_memory: Option<usize>,
    /// The time that sessions have to finish when the server stops, at most 1 hour. Default 10 s.
    pub shutdown_timeout: Duration,
    /// The largest value, 1 KiB to 64 MiB, with [`EngineKind::Etcd`] to 1 MiB. Default 10 MiB, with
    /// [`EngineKind::Etcd`] 1 MiB.
    pub max_value_bytes: Option<usize>,
    /// How many tables there may be, 1 to 65,536. Default 1,024.
    pub max_tables: usize,
    /// How many bytes must be free where the data is, up to 1 TiB; 0 to use up the disk. With less,
    /// writes are refused as `DISK_FULL`; what frees room goes on: deletes, and compaction. Default
    /// 256 MiB.
    pub min_free_disk: u64,
    /// How much memory keeps records of up to 8 KiB at hand that were read or replaced last, in bytes,
    /// up to 1 TiB; 0 for none. It is taken as it is used. Default: a sixteenth of the memory that
    /// the machine has, or that its control group may have, 32 MiB to 1 GiB.
    pub cache_bytes: Option<usize>,
    /// How much of each table's latest changes is kept for watches, in bytes of the log, up to 1 TiB:
    /// what has more behind it, or is older than [`Config::history_time`], may be compacted away.
    /// Default 64 MiB.
    pub history_bytes: u64,
    /// How long the changes within [`Config::history_bytes`] are kept, up to 1 year. Default 10
    /// minutes.
    pub history_time: Duration,
    /// The members of the etcd cluster that are asked, 1 to 64: `http://HOST:PORT`,
    /// `https://HOST:PORT`, or `HOST:PORT`, which is the latter if there is an [`Config::etcd_ca`] or
    /// [`Config::etcd_cert`]. Default none.
    pub etcd_endpoints: Vec<String>,
    /// What all keys in etcd begin with, 1 to 64 letters, digits, `-`, `_` and `.`; a `/` follows it.
    /// Servers with one prefix are front ends of one store. Default `kvsd`.
    pub etcd_prefix: String,
    /// The file with the CAs that vouch for the members, PEM. Default none.
    pub etcd_ca: Option<PathBuf>,
    /// The file with the certificate that the members are shown, PEM. Default none.
    pub etcd_cert: Option<PathBuf>,
    /// The file with that certificate's private key, PEM, mode 0600. Default none.
    pub etcd_key: Option<PathBuf>,
    /// The user of etcd's own access control. Default none.
    pub etcd_user: Option<String>,
    /// The file with that user's password in one line, mode 0600. Default none.
    pub etcd_password_file: Option<PathBuf>,
    /// How long an operation may take, whatever the cluster does, 100 ms to 1 minute. Default 5 s.
    pub etcd_timeout: Duration,
    /// How long the past of the whole cluster is kept for watches and scans, 1 s to 1 year; 0 leaves
    /// it to the cluster's own settings. Default 1 hour.
    pub etcd_history: Duration,
    /// The file with the certificate chain, PEM, the server's own first. Default none.
    pub tls_cert: Option<PathBuf>,
    /// The file with the certificate's private key, PEM, mode 0600. Default none.
    pub tls_key: Option<PathBuf>,
    /// The oldest version of TLS that is spoken. Default [`MinVersion::Tls13`].
    pub tls_min_version: MinVersion,
    /// The file with the CAs that vouch for clients, PEM. Default none.
    pub tls_client_ca: Option<PathBuf>,
    /// Whether clients show a certificate that one of these CAs signed; whose name it has needs no
    /// password. The name is the only DNS name among the certificate's alternative names, or where
    /// there is none of those the common name of its subject. Default [`ClientAuth::None`].
    pub tls_client_auth: ClientAuth,
    /// The file with the users, see [`crate::users`]. Default none.
    pub users: Option<PathBuf>,
    /// Serve plain TCP, on a loopback address only. Default false.
    pub insecure: bool,
    /// For development: accept any credentials, on a loopback address only, over plain TCP unless
    /// a certificate is given. Default false.
    pub dev: bool,
    /// The address of the status page, of `/metrics`, `/healthz` and `/readyz`: plain HTTP, for
    /// whoever reaches it; port 0 takes a free one. Default none.
    pub status_listen: Option<SocketAddr>,
    /// Let that address be one that other machines reach. Default false.
    pub status_public: bool,
    /// The names that the status page is asked for by, beside `localhost` and the addresses of the
    /// machine, without a port. Default none.
    pub status_hosts: Vec<String>,
    /// Count and time what clients do. Default true.
    pub metrics: bool,
    /// A request that takes as long or longer is logged and shown on the status page, up to 1 hour;
    /// 0 for none. Needs [`Config::metrics`]. Default 100 ms.
    pub slow_request: Duration,
    /// What the binary logs, as a filter of `tracing-subscriber`. Default `info`.
    pub log: String,
    /// How the binary writes its log. Default [`LogFormat::Text`].
    pub log_format: LogFormat,
    /// The file that logins, refusals and what administrators do are written to, one JSON object a
    /// line; made with mode 0600. Default none.
    pub audit_log: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
            engine: EngineKind::Log,
            data_dir: PathBuf::from("./kvsd-data"),
            backups: None,
            sync: SyncMode::Always,
            sync_interval: Duration::from_secs(1),
            max_connections: 1024,
            max_connections_per_address: 512,
            max_unauthenticated: 256,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(600),
            max_in_flight: 4096,
            max_output_bytes: 32 << 20,
            max_output_bytes_hard: 256 << 20,
            connection_memory: None,
            shutdown_timeout: Duration::from_secs(10),
            max_value_bytes: None,
            max_tables: 1024,
            min_free_disk: 256 << 20,
            cache_bytes: None,
            history_bytes: LogConfig::DEFAULT_HISTORY_BYTES,
            history_time: LogConfig::DEFAULT_HISTORY_TIME,
            etcd_endpoints: Vec::new(),
            etcd_prefix: "kvsd".to_owned(),
            etcd_ca: None,
            etcd_cert: None,
            etcd_key: None,
            etcd_user: None,
            etcd_password_file: None,
            etcd_timeout: Duration::from_secs(5),
            etcd_history: Duration::from_secs(3600),
            tls_cert: None,
            tls_key: None,
            tls_min_version: MinVersion::Tls13,
            tls_client_ca: None,
            tls_client_auth: ClientAuth::None,
            users: None,
            insecure: false,
            dev: false,
            status_listen: None,
            status_public: false,
            status_hosts: Vec::new(),
            metrics: true,
            slow_request: Duration::from_millis(100),
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            audit_log: None,
        }
    }
}

/// What the cache has on a small machine, and in a program that has the server inside it, in bytes.
pub(crate) const LEAST_CACHE_BYTES: usize = LogConfig::DEFAULT_CACHE_BYTES;

/// Where the data is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// In the data folder.
    Log,
    /// In an etcd cluster, with any number of servers in front of it. Only where this crate is built
    /// with its feature `etcd`.
    Etcd,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => "log",
            Self::Etcd => "etcd",
        })
    }
}

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// Once it is on disk.
    Always,
    /// Once it is written; the disk follows within [`Config::sync_interval`].
    Interval,
    /// Once it is written; the disk follows when the system likes.
    Never,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people, in colours where standard error is a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// The port of a server that nobody gave another.
pub const DEFAULT_PORT: u16 = 7379;
