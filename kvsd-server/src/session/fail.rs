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
        EngineError::ReadOnly { .. } => FailCode::ReadOnly,
        EngineError::UnknownOutcome { .. } => FailCode::Unknown,
        EngineError::Closed => FailCode::Closing,
        EngineError::NotAnInteger { .. }
        | EngineError::Overflow { .. }
        | EngineError::UnknownTable { .. } => FailCode::Invalid,
        // More tables than the server allows are nothing that waiting would change.
        EngineError::TooManyTables { .. } => FailCode::Invalid,
        EngineError::Io { .. } => FailCode::Internal,
    }
}

/// The start of a text, short enough for the line of a Fail.
pub(super) fn line(text: &str) -> &str {
    let mut end = text.len().min(MAX_LINE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Below the 1,024 bytes that a line may have, and enough for a reason and a path.
const MAX_LINE_BYTES: usize = 480;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(line("short"), "short");
        let text = "\u{20ac}".repeat(200);
        assert_eq!(line(&text), "\u{20ac}".repeat(160));
        let text = format!("a{text}");
        assert_eq!(line(&text).len(), 1 + 3 * 159);
    }
}
