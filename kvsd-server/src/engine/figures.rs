//! What an engine tells of itself as a whole, for whoever watches over it.

use kvsd::TableName;

use super::TableStatistics;
pub use crate::metrics::Distribution;

/// How an engine stands, and what it has done since it was opened. What an engine does not know is
/// zero or empty.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Figures {
    /// All tables, in the order of their names.
    pub tables: Vec<TableFigures>,
    /// Bytes of memory that say where records are.
    pub index_bytes: u64,
    /// How many writes were committed together, group by group.
    pub groups: Distribution,
    /// How long syncs took, in nanoseconds.
    pub syncs: Distribution,
    /// What is kept at hand of the records.
    pub cache: CacheFigures,
    /// What was done to free room.
    pub compaction: CompactionFigures,
}

/// How a table stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFigures {
    /// Its name.
    pub name: TableName,
    /// How much it holds.
    pub statistics: TableStatistics,
    /// How many submissions of writes wait for it.
    pub queued: u64,
}

/// What the cache of records has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheFigures {
    /// Records that were found in it.
    pub hits: u64,
    /// Records that were looked for in vain.
    pub misses: u64,
    /// Bytes of memory that its records take.
    pub bytes: u64,
}

/// What compactions have done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CompactionFigures {
    /// How many have made a table smaller.
    pub completed: u64,
    /// How many have failed, and will be tried again.
    pub failed: u64,
    /// How many run now.
    pub running: u64,
    /// How long all of them took, in nanoseconds.
    pub nanos: u64,
    /// Bytes of the files that were replaced.
    pub read_bytes: u64,
    /// Bytes of the files that were written for them.
    pub written_bytes: u64,
}
