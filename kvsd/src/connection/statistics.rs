//! What a server says of a table.

use crate::protocol::v2::Statistics;
use crate::types::Version;

/// How much a table holds.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// let version = client.set("k", "v").await?;
/// let table = client.statistics().await?.ok_or("no table")?;
/// assert_eq!((table.keys, table.last_version), (1, Some(version)));
/// assert!(table.live_bytes > 0 && table.disk_bytes >= table.live_bytes);
/// assert_eq!(table.stopped, None);
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableStatistics {
    /// Keys with a record, those included that have expired and are not cleared away yet.
    pub keys: u64,
    /// Bytes of the records that keys have now, keys included.
    pub live_bytes: u64,
    /// Bytes of everything else that was written and is not cleared away yet.
    pub dead_bytes: u64,
    /// Files that hold records.
    pub segments: u64,
    /// Bytes that these files take on the disk.
    pub disk_bytes: u64,
    /// The highest version of a write; `None` before the first.
    pub last_version: Option<Version>,
    /// Which of the tables that have had this name it is: another one is another number.
    pub incarnation: u64,
    /// Why the table takes no more writes, if it does not.
    pub stopped: Option<String>,
}

impl From<Statistics<'_>> for TableStatistics {
    fn from(statistics: Statistics<'_>) -> Self {
        let Statistics {
            keys,
            live_bytes,
            dead_bytes,
            segments,
            disk_bytes,
            last_version,
            incarnation,
            stopped,
        } = statistics;
        let stopped = stopped.map(String::from);
        Self {
            keys,
            live_bytes,
            dead_bytes,
            segments,
            disk_bytes,
            last_version,
            incarnation,
            stopped,
        }
    }
}
