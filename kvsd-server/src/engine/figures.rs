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
    /// How whoever keeps the data is, if that is not this server.
    pub remote: Option<RemoteFigures>,
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

/// How a store is that others keep, as it is seen from here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoteFigures {
    /// How many members it has that are known here.
    pub members: u64,
    /// How many of them have answered when they were asked last.
    pub reachable: u64,
    /// Whether one of them knows a leader.
    pub knows_leader: bool,
    /// Bytes of the largest member's database.
    pub bytes: u64,
    /// Calls that were answered.
    pub calls_answered: u64,
    /// Calls that have failed for good.
    pub calls_failed: u64,
    /// Attempts beyond the first of a call.
    pub calls_retried: u64,
    /// Front ends that are there, this one included.
    pub front_ends: u64,
    /// How far the clock is away from ours that differs most, in milliseconds.
    pub skew_millis: u64,
    /// Whether this front end takes care of expiry and history.
    pub is_caretaker: bool,
    /// Records that had ended and were removed from here.
    pub swept: u64,
    /// Records of dropped tables that were removed from here.
    pub cleared: u64,
    /// How often history was compacted from here.
    pub compactions: u64,
}
