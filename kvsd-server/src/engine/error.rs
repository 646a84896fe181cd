//! Why an engine did not do what was asked.

use thiserror::Error;

/// Why an engine did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Stored bytes are damaged. Never read as "not found".
    #[error("table {table}: stored data is damaged at {place}; run `kvsd-server verify`")]
    Corrupt {
        /// The table.
        table: String,
        /// File and offset.
        place: String,
    },
    /// No room; nothing was written. Deletes still work.
    #[error("the disk is full; nothing was written; free some space or delete keys")]
    DiskFull,
    /// The value is not an integer as it is stored: canonical decimal text of an `i64`. Nothing was
    /// written.
    #[error("table {table}: the value is not an integer")]
    NotAnInteger {
        /// The table.
        table: String,
    },
    /// The integer would leave the range of an `i64`. Nothing was written.
    #[error("table {table}: the integer would overflow")]
    Overflow {
        /// The table.
        table: String,
    },
    /// A failed sync or write has stopped all writing to the table; reads go on.
    #[error("table {table} takes no writes since an I/O error ({cause}); restart the server")]
    ReadOnly {
        /// The table.
        table: String,
        /// The error that stopped it.
        cause: String,
    },
    /// The write was sent to the disk and its sync failed: it may or may not survive.
    #[error("the write's outcome is unknown: {cause}")]
    UnknownOutcome {
        /// What failed.
        cause: String,
    },
    /// There is no such table, and writing does not make one. Nothing was written.
    #[error("there is no table {table}, and a write makes none here; create it first")]
    UnknownTable {
        /// The table.
        table: String,
    },
    /// There is no room for another table; nothing was written.
    #[error(
        "there are {limit} tables already, and no more are allowed; drop one or raise max_tables"
    )]
    TooManyTables {
        /// The most tables there may be.
        limit: usize,
    },
    /// The write breaks a rule of the engine's: it names a key twice, or asks for more than one
    /// write may read or hold. Nothing was written.
    #[error("the write is refused: {reason}")]
    Refused {
        /// The rule.
        reason: String,
    },
    /// Whoever keeps the data cannot be reached or does not serve now; nothing was done, and the same
    /// may be tried again.
    #[error("the store is not available now, nothing was done: {reason}")]
    Unavailable {
        /// What is wrong.
        reason: String,
    },
    /// Whoever keeps the data takes no more; nothing was written.
    #[error("the store is full; nothing was written: {reason}")]
    StoreFull {
        /// What is full, and what to do about it.
        reason: String,
    },
    /// The moment at which a scan stands cannot be read any more.
    #[error("what stood when the scan began is not kept any more; begin the scan again")]
    ScanExpired,
    /// The engine is closed or closing; nothing was done.
    #[error("the server is shutting down")]
    Closed,
    /// Another I/O error; nothing was written.
    #[error("{context}: {cause}")]
    Io {
        /// What was being done.
        context: String,
        /// The system's error.
        cause: String,
    },
}
