//! The error of a user's own `TryFrom`, kept as the cause of a [`DecodeError`](super::DecodeError).
//!
//! Next file to read: `layout.rs`.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Why a type's own `TryFrom` refused an older value.
///
/// It is displayed as that error and has its sources; its debug text shows nothing of it, because
/// it may quote the value.
#[derive(Clone)]
pub struct UpgradeError(Arc<dyn Error + Send + Sync>);

impl UpgradeError {
    /// Keeps the cause.
    #[must_use]
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::from(cause.into()))
    }

    /// The error that the type's `TryFrom` returned, to be downcast.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeError").finish_non_exhaustive()
    }
}

impl Error for UpgradeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// Equal only to its own clones: any two errors can be compared by nothing else.
impl PartialEq for UpgradeError {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for UpgradeError {}
