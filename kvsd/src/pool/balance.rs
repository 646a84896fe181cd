//! How an address that was away gets its share of the connections back.
//!
//! Each connection asks now and then whether another address has fewer. If so its successor is
//! opened there first, and only then is it retired: it takes no new requests, and ends once those
//! in flight are answered. One at a time, so that a pool never stands without connections. Next
//! file to read: `opener`.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use super::Core;
use super::opener::{RARE_RETRY, passes};
use super::servers::Place;
use crate::connection::Connection;

/// How often a connection asks.
pub(super) const LOOK: Duration = Duration::from_secs(5);

impl Core {
    /// Opens a successor for the connection of `place` where one is needed more; false if it should
    /// stay. The successor is the next that bb8 gets.
    pub(super) async fn relieve(&self, place: &Place) -> bool {
        let Ok(_only) = self.relieving.try_lock() else {
            return false;
        };
        let closing = self.closing.notified();
        let Some(emptier) = self.servers.take_emptier(place) else {
            return false;
        };
        if self.check_closed().is_err() {
            return false;
        }
        let result = tokio::select! {
            biased;
            result = self.ask(self.servers.at(&emptier), None) => result,
            () = closing => return false,
        };
        match result {
            Ok(connection) => {
                let mut successors = self.successors();
                // Under the lock, so that a pool that closes finds it.
                if self.check_closed().is_err() {
                    return false;
                }
                successors.push((connection, emptier));
                true
            }
            Err(error) => {
                emptier.put_off(if passes(&error) { None } else { Some(RARE_RETRY) });
                emptier.fail(error);
                false
            }
        }
    }

    /// A successor that is still open.
    pub(super) fn take_successor(&self) -> Option<(Connection, Place)> {
        let mut successors = self.successors();
        while let Some((connection, place)) = successors.pop() {
            if connection.is_open() {
                return Some((connection, place));
            }
        }
        None
    }

    pub(super) fn successors(&self) -> MutexGuard<'_, Vec<(Connection, Place)>> {
        self.successors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
