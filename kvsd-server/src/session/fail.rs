//! What the engine's failures are called on the wire, and what is said of them.
//!
//! Maps; never decides whether something failed. No client learns where the server keeps its files,
//! or what the system said of them: that is for the log. Next file to read: `v2`.

use kvsd::protocol::v2::FailCode;

use crate::engine::EngineError;
use crate::metrics::Outcome;

/// The code that tells a client of version 2 what an engine's error means for it.
pub(super) fn code(error: &EngineError) -> FailCode {
    match error {
        EngineError::Corrupt { .. } => FailCode::Corrupt,
        EngineError::DiskFull | EngineError::StoreFull { .. } => FailCode::DiskFull,
        EngineError::NotAnInteger { .. } => FailCode::NotAnInteger,
        EngineError::Overflow { .. } => FailCode::Overflow,
        EngineError::ReadOnly { .. } => FailCode::ReadOnly,
        EngineError::UnknownOutcome { .. } => FailCode::Unknown,
        EngineError::UnknownTable { .. } => FailCode::NoTable,
        EngineError::TooManyTables { .. } => FailCode::TooManyTables,
        EngineError::Refused { .. } => FailCode::Invalid,
        EngineError::Unavailable { .. } => FailCode::Unavailable,
        EngineError::ScanExpired => FailCode::ScanExpired,
        EngineError::Closed => FailCode::Closing,
        EngineError::Io { .. } => FailCode::Internal,
    }
}

/// What a request counts as that is answered with this code.
pub(super) fn outcome(code: FailCode) -> Outcome {
    match code {
        FailCode::Unavailable
        | FailCode::DiskFull
        | FailCode::ReadOnly
        | FailCode::Corrupt
        | FailCode::Unknown
        | FailCode::Closing
        | FailCode::Internal => Outcome::Failed,
        // What cannot be, or what this client may not.
        _ => Outcome::Refused,
    }
}

/// What a client is told of an engine's error.
pub(super) fn message(error: &EngineError) -> String {
    match error {
        EngineError::Corrupt { table, .. } => {
            tracing::error!(%error, "a client was refused");
            format!("table {table}: stored data is damaged; the server's log says where")
        }
        EngineError::Io { .. } => {
            tracing::error!(%error, "a client was refused");
            "the server has failed; its log says how".to_owned()
        }
        // The log has it since the table stopped.
        EngineError::ReadOnly { table, .. } => {
            format!("table {table} takes no writes since an I/O error; restart the server")
        }
        EngineError::UnknownOutcome { .. } => "the write's outcome is unknown".to_owned(),
        // Where the store is, and what it said, the server's health tells.
        EngineError::Unavailable { .. } => UNAVAILABLE.to_owned(),
        EngineError::DiskFull
        | EngineError::StoreFull { .. }
        | EngineError::ScanExpired
        | EngineError::NotAnInteger { .. }
        | EngineError::Overflow { .. }
        | EngineError::UnknownTable { .. }
        | EngineError::TooManyTables { .. }
        | EngineError::Refused { .. }
        | EngineError::Closed => error.to_string(),
    }
}

/// What a client is told while the store behind the server does not serve.
const UNAVAILABLE: &str =
    "the store behind this server is not available now; nothing was done; try again";

/// What a client is told of why a table takes no writes.
pub(super) const STOPPED: &str = "a failure that the server's log tells of; restart the server";
