//! The clock that expiry goes by.

use std::fmt::Debug;
use std::time::{SystemTime, UNIX_EPOCH};

use kvsd::UnixMillis;

/// Tells the time of day.
///
/// It may jump: a table never goes back behind a time that it has recorded with a write.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> UnixMillis;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // 63 bits of milliseconds last for 292 million years.
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX).min(i64::MAX as u64);
        UnixMillis::new(millis).expect("63 bits were kept")
    }
}
