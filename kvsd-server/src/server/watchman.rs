//! Looks after what no session sees: who has been silent for too long, what all connections hold
//! together, and how much room the disk has.
//!
//! Tells connections to go and sessions to refuse; never waits for either. Next file to read:
//! [`super::roster`].

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use super::roster::Roster;
use super::seldom::Seldom;
use crate::limits::InForce;

#[derive(Debug)]
pub(super) struct Watchman {
    pub(super) roster: Arc<Roster>,
    pub(super) limits: Arc<InForce>,
    pub(super) data: PathBuf,
    /// Whether the disk has too little room for writes.
    pub(super) disk_is_low: Arc<AtomicBool>,
}

impl Watchman {
    /// Keeps watch for as long as it is polled.
    pub(super) async fn watch(&self) -> Infallible {
        tokio::select! {
            never = self.watch_idle() => never,
            never = self.watch_memory() => never,
            never = self.watch_disk() => never,
        }
    }

    async fn watch_idle(&self) -> Infallible {
        loop {
            let longest = self.limits.get().idle_timeout;
            sleep(longest.map_or(PERIOD, |longest| PERIOD.min(longest / 4))).await;
            if let Some(longest) = longest {
                self.roster.evict_idle(longest);
            }
        }
    }

    async fn watch_memory(&self) -> Infallible {
        let told = Seldom::default();
        loop {
            self.roster.crowded().await;
            let limits = self.limits.get();
            if self.roster.memory() <= limits.connection_memory {
                continue;
            }
            let count = self.roster.shed(limits.busy_memory());
            if count > 0
                && let Some(left_out) = told.may_tell()
            {
                let limit = limits.connection_memory;
                warn!(
                    count,
                    limit,
                    left_out,
                    "the connections that held most were closed: together they held more than \
                     connection_memory"
                );
            }
        }
    }

    async fn watch_disk(&self) -> Infallible {
        let mut told = false;
        loop {
            let least = self.limits.get().min_free_disk;
            if least == 0 {
                self.disk_is_low.store(false, Ordering::Relaxed);
            } else {
                let data = self.data.clone();
                let free = tokio::task::spawn_blocking(move || free_bytes(&data)).await;
                match free {
                    Ok(Ok(free)) => self.note_disk(free, least),
                    // A disk that is full says so itself when it is written to.
                    Ok(Err(error)) if !told => {
                        told = true;
                        warn!(%error, "cannot tell how much room the disk has");
                    }
                    Ok(Err(_)) | Err(_) => {}
                }
            }
            sleep(PERIOD).await;
        }
    }

    /// A disk that was low has to have some more before writes go on, lest they come and go.
    fn note_disk(&self, free: u64, least: u64) {
        let was_low = self.disk_is_low.load(Ordering::Relaxed);
        let is_low = free < if was_low { least.saturating_add(least / 8) } else { least };
        self.disk_is_low.store(is_low, Ordering::Relaxed);
        match (was_low, is_low) {
            (false, true) => warn!(
                free,
                min_free_disk = least,
                "the disk has little room: writes are refused, deletes excepted, until it has more"
            ),
            (true, false) => info!(free, "the disk has room again: writes are taken"),
            (false, false) | (true, true) => {}
        }
    }
}

/// What this process may still write to the file system of this folder, in bytes.
pub(super) fn free_bytes(folder: &Path) -> io::Result<u64> {
    let system = rustix::fs::statvfs(folder)?;
    Ok(system.f_bavail.saturating_mul(system.f_frsize))
}

/// How often each is looked at.
const PERIOD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[test]
    fn a_disk_that_was_low_needs_an_eighth_more() {
        let limits = Config { dev: true, ..Config::default() }.check().unwrap().limits;
        let folder = tempfile::tempdir().unwrap();
        assert!(free_bytes(folder.path()).unwrap() > 0);
        let watchman = Watchman {
            roster: Arc::default(),
            limits: Arc::new(InForce::new(limits)),
            data: folder.path().to_owned(),
            disk_is_low: Arc::default(),
        };
        for (free, is_low) in
            [(80, false), (79, true), (80, true), (89, true), (90, false), (80, false), (0, true)]
        {
            watchman.note_disk(free, 80);
            assert_eq!(watchman.disk_is_low.load(Ordering::Relaxed), is_low, "{free} bytes");
        }
    }
}
