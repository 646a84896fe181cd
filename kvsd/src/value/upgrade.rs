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
///
/// ```
/// use kvsd::value::{Envelope, encode_to_bytes};
/// use kvsd::{Decode, DecodeError, Value};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Value)]
/// #[kvsd(name = "Age", version = 1)]
/// struct AgeV1(i32);
///
/// #[derive(Debug, Serialize, Deserialize, Value)]
/// #[kvsd(name = "Age", version = 2, try_from = "AgeV1")]
/// struct Age(u8);
///
/// impl TryFrom<AgeV1> for Age {
///     type Error = std::num::TryFromIntError;
///
///     fn try_from(old: AgeV1) -> Result<Self, Self::Error> {
///         u8::try_from(old.0).map(Age)
///     }
/// }
///
/// let stored = encode_to_bytes(&AgeV1(-1), 100)?;
/// let Err(DecodeError::Upgrade { from: 1, to: 2, cause, .. }) = Age::decode(&stored) else {
///     panic!("nobody is -1 years old")
/// };
/// assert!(cause.get_ref().is::<std::num::TryFromIntError>());
/// # Ok::<(), kvsd::EncodeError>(())
/// ```
#[derive(Clone)]
pub struct UpgradeError(Arc<dyn Error + Send + Sync>);

impl UpgradeError {
    /// Keeps the cause.
    ///
    /// ```
    /// use kvsd::value::UpgradeError;
    ///
    /// let error = UpgradeError::new("no such country");
    /// assert_eq!(error.to_string(), "no such country");
    /// assert!(!format!("{error:?}").contains("country"), "it may quote the value");
    /// ```
    #[must_use]
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::from(cause.into()))
    }

    /// The error that the type's `TryFrom` returned, to be downcast.
    ///
    /// ```
    /// use std::num::ParseIntError;
    /// use kvsd::value::UpgradeError;
    ///
    /// let cause = "seven".parse::<u8>().unwrap_err();
    /// let error = UpgradeError::new(cause.clone());
    /// assert_eq!(error.get_ref().downcast_ref::<ParseIntError>(), Some(&cause));
    /// ```
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
