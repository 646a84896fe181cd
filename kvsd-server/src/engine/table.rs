//! What an engine tells of one table.

use kvsd::Version;

/// How much a table holds, and how it is. The figures are those of its last published write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStatistics {
    /// Keys with a record, those included that have expired and are not cleared away yet.
    pub keys: u64,
    /// Bytes of the records that keys have now, keys included; within a hundredth.
    pub live_bytes: u64,
    /// Bytes of everything else that was written and is not cleared away yet: records that were
    /// replaced, deletes, and what holds the writes together.
    pub dead_bytes: u64,
    /// Files that hold records.
    pub segments: u64,
    /// Bytes that these files take on the disk, room that is reserved ahead included.
    pub disk_bytes: u64,
    /// No write of the table has a higher version; the next one gets one above.
    pub last_version: Option<Version>,
    /// Which of the tables that have had this name it is: random, and never the same again.
    pub incarnation: u64,
    /// Why the table takes no more writes, if it does not.
    pub stopped: Option<String>,
}
