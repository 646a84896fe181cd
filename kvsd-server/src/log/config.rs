//! How the log engine is set up.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kvsd::types::DEFAULT_MAX_VALUE_BYTES;

use super::clock::{Clock, SystemClock};
use super::opening::OpenProgress;
use super::storage::rotation::Retention;

/// How the log engine is set up.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// The folder that holds everything; it is made if there is none.
    pub data_dir: PathBuf,
    /// When a write is acknowledged. Default: [`SyncPolicy::Always`].
    pub sync: SyncPolicy,
    /// How a table comes into being. Default: [`TableCreation::OnWrite`].
    pub table_creation: TableCreation,
    /// The most tables there may be, from 1. Default: 1,024.
    pub max_tables: usize,
    /// The most threads that wait for syncs at a time, from 1. Default: 64. They are started when
    /// they are needed, and end when they are not.
    pub sync_threads: usize,
    /// The most threads that read what is not in memory, from 1. Default: 16.
    pub read_threads: usize,
    /// The most files that stay open though nobody uses them, from 1. Default:
    /// [`LogConfig::DEFAULT_OPEN_FILES`]. Beside them each table that is being written has one open
    /// file, and each read, sync or compaction under way some; the others are opened when they are
    /// needed.
    pub open_files: usize,
    /// The largest value that is written as a rule, in bytes. Default:
    /// [`kvsd::types::DEFAULT_MAX_VALUE_BYTES`]. A larger one is taken all the same; but a write of
    /// several changes has at most so many bytes of keys and values and 1.5 MiB more, those included
    /// that it only reads or writes again, and is refused with
    /// [`EngineError::Refused`](crate::engine::EngineError::Refused) above that. So whoever is told of changes
    /// has room for any write.
    pub max_value_bytes: usize,
    /// How much memory all tables together use to keep records at hand that are up to 8 KiB long and
    /// were read or replaced not long ago, in bytes; 0 for none. It is taken as it is used. Default:
    /// [`LogConfig::DEFAULT_CACHE_BYTES`].
    pub cache_bytes: usize,
    /// How much of each table's latest changes is kept for who asks for them, in bytes of the log.
    /// What has more behind it, or is older than [`LogConfig::history_time`], may be compacted away.
    /// Default: [`LogConfig::DEFAULT_HISTORY_BYTES`].
    pub history_bytes: u64,
    /// How long the changes within [`LogConfig::history_bytes`] are kept, in whole milliseconds.
    /// Default: [`LogConfig::DEFAULT_HISTORY_TIME`].
    pub history_time: Duration,
    /// The folder that backups go to, each of them a folder of its own; it is made if there is none.
    /// On the data folder's file system a backup takes little room of its own: it shares files with
    /// the server. Default: none, and no backups.
    pub backups: Option<PathBuf>,
    /// How far the opening is, for whoever else holds it. Default: for nobody.
    pub progress: Arc<OpenProgress>,
    /// The clock that expiry goes by. Default: [`SystemClock`].
    pub clock: Arc<dyn Clock>,
}

impl LogConfig {
    /// [`LogConfig::open_files`] where nobody says otherwise: 512.
    pub const DEFAULT_OPEN_FILES: usize = 512;
    /// [`LogConfig::cache_bytes`] where nobody says otherwise: 32 MiB.
    pub const DEFAULT_CACHE_BYTES: usize = 32 << 20;
    /// [`LogConfig::history_bytes`] where nobody says otherwise: 64 MiB.
    pub const DEFAULT_HISTORY_BYTES: u64 = 64 << 20;
    /// [`LogConfig::history_time`] where nobody says otherwise: ten minutes.
    pub const DEFAULT_HISTORY_TIME: Duration = Duration::from_secs(600);

    /// The defaults, on a folder.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            sync: SyncPolicy::default(),
            table_creation: TableCreation::default(),
            max_tables: 1024,
            sync_threads: 64,
            read_threads: 16,
            open_files: Self::DEFAULT_OPEN_FILES,
            max_value_bytes: DEFAULT_MAX_VALUE_BYTES,
            cache_bytes: Self::DEFAULT_CACHE_BYTES,
            history_bytes: Self::DEFAULT_HISTORY_BYTES,
            history_time: Self::DEFAULT_HISTORY_TIME,
            backups: None,
            progress: Arc::default(),
            clock: Arc::new(SystemClock),
        }
    }

    /// How much of its past a table keeps.
    pub(super) fn retention(&self) -> Retention {
        let millis = u64::try_from(self.history_time.as_millis()).unwrap_or(u64::MAX);
        Retention { bytes: self.history_bytes, millis }
    }

    /// The most bytes of keys and values of a write of several changes.
    pub(super) fn most_write_bytes(&self) -> usize {
        self.max_value_bytes.saturating_add(BESIDE_VALUE_BYTES)
    }
}

/// How a table comes into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TableCreation {
    /// With its first write that writes something, or when it is asked for.
    #[default]
    OnWrite,
    /// Only when it is asked for: a write to a table that is not there is refused.
    OnRequest,
}

/// When a write is acknowledged, and so what a power failure may take back. The end of the process
/// alone takes back nothing that was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncPolicy {
    /// Once it is on the disk. A power failure takes back nothing that was acknowledged.
    #[default]
    Always,
    /// Once the operating system has it; a sync follows within this time. A power failure takes
    /// back at most this much time, and the time that one sync takes. A sync that takes longer than
    /// the interval holds back acknowledgements until it is done.
    Interval(Duration),
    /// Once the operating system has it. When it reaches the disk is left to the system.
    Never,
}

impl SyncPolicy {
    /// The interval of [`SyncPolicy::Interval`] where nobody names one: a second.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);

    /// `always`, `interval` or `never`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Interval(_) => "interval",
            Self::Never => "never",
        }
    }
}

/// What a write of several changes may have beside a value: more than the megabyte that a session
/// lets it bring, for it may count, and less than the two that a message has beside a value.
const BESIDE_VALUE_BYTES: usize = 3 << 19;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_keeps_as_much_of_its_past_as_it_is_told_to() {
        let told = |config: LogConfig| (config.retention().bytes, config.retention().millis);
        let default = Retention::default();
        assert_eq!(told(LogConfig::new("/data")), (default.bytes, default.millis));
        let history_time = Duration::from_secs(90);
        let config = LogConfig { history_bytes: 7, history_time, ..LogConfig::new("/data") };
        assert_eq!(told(config), (7, 90_000));
        let config = LogConfig { history_time: Duration::MAX, ..LogConfig::new("/data") };
        assert_eq!(told(config), (default.bytes, u64::MAX));
    }
}
