//! What the engine's failures are called on the wire.
//!
//! Maps; never decides whether something failed. Next file to read: `v2`.

use kvsd::protocol::v2::FailCode;

use crate::engine::EngineError;

/// The code that tells a client of version 2 what an engine's error means for it.
pub(super) fn code(error: &EngineError) -> FailCode {
    match error {
        EngineError::Corrupt { .. } => FailCode::Corrupt,
        EngineError::DiskFull => FailCode::DiskFull,
        EngineError::NotAnInteger { .. } => FailCode::NotAnInteger,
        EngineError::Overflow { .. } => FailCode::Overflow,
        EngineError::ReadOnly { .. } => FailCode::ReadOnly,
        EngineError::UnknownOutcome { .. } => FailCode::Unknown,
        EngineError::UnknownTable { .. } => FailCode::NoTable,
        EngineError::TooManyTables { .. } => FailCode::TooManyTables,
        EngineError::Closed => FailCode::Closing,
        EngineError::Io { .. } => FailCode::Internal,
    }
}
