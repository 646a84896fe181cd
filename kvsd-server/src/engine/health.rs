//! Whether an engine can serve.

/// How an engine stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Health {
    /// It serves.
    #[default]
    Ready,
    /// It serves, and somebody should look.
    Degraded {
        /// What is wrong, and what to do about it.
        reason: String,
    },
    /// It cannot serve now.
    NotReady {
        /// What is wrong, and what to do about it.
        reason: String,
    },
}
