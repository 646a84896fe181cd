//! What time it is, as the formats of the two dialects want it.
//!
//! Reads the system's clock and clamps what it says to what can be written down; never sleeps and
//! never decides what a time means. Next file to read: [`crate::session`].

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kvsd::UnixMillis;

/// The time in milliseconds. A clock that stands before 1970 reads as 1970.
pub(crate) fn now() -> UnixMillis {
    let millis = u64::try_from(since_epoch().as_millis()).unwrap_or(LATEST_MILLIS);
    UnixMillis::new(millis.min(LATEST_MILLIS)).expect("the year 9999 is below 2^63 milliseconds")
}

/// The time as RFC 3339 text with milliseconds, UTC.
pub(crate) fn now_rfc3339() -> String {
    rfc3339(since_epoch())
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Years of more than four digits have no RFC 3339 form.
fn rfc3339(since_epoch: Duration) -> String {
    let within = since_epoch.min(Duration::from_millis(LATEST_MILLIS));
    humantime::format_rfc3339_millis(UNIX_EPOCH + within).to_string()
}

/// 9999-12-31T23:59:59.999Z.
const LATEST_MILLIS: u64 = 253_402_300_799_999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_time_can_be_written() {
        assert_eq!(rfc3339(Duration::ZERO), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Duration::MAX), "9999-12-31T23:59:59.999Z");
    }
}
