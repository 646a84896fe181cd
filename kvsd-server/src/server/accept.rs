//! Taking the next connection, whatever the system says in between.
//!
//! An error of accept concerns one connection (it was gone before it was taken) or the moment (no
//! descriptor is free); it never ends the server. Next file to read: `connections`.

use std::io;
use std::time::Duration;

use tracing::warn;

/// Calls `accept` until it brings a connection, with a pause after each failure.
///
/// # Cancel safety
///
/// As safe as `accept`.
pub(super) async fn next<T, F>(mut accept: impl FnMut() -> F) -> T
where
    F: Future<Output = io::Result<T>>,
{
    let mut pause = MIN_PAUSE;
    loop {
        match accept().await {
            Ok(connection) => return connection,
            Err(error) => warn!(%error, ?pause, "cannot take a connection; trying again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

const MIN_PAUSE: Duration = Duration::from_millis(5);
const MAX_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn errors_of_accept_delay_the_next_connection_and_end_nothing() {
        let started = Instant::now();
        let mut calls = 0;
        let taken = next(|| {
            calls += 1;
            let result = match calls {
                1 => Err(io::ErrorKind::ConnectionAborted.into()),
                // EMFILE.
                2..20 => Err(io::Error::from_raw_os_error(24)),
                call => Ok(call),
            };
            std::future::ready(result)
        });
        assert_eq!(taken.await, 20);
        let doubling = MIN_PAUSE * 255;
        assert_eq!(started.elapsed(), doubling + 11 * MAX_PAUSE, "pauses grow, up to a bound");
    }
}
