//! Tests of the log engine as a whole.
//!
//! [`model`] runs random histories against an ordered map, on a disk that crashes and fails;
//! [`crash`] crashes at every single call, [`drops`] at those of a drop, and [`rotation`] has a fault
//! at each of its calls; [`compaction`] frees room; [`damage`] flips and cuts every byte; [`scan`]
//! and [`changes`] read in order; [`engine`] and [`many`] go through the async engine, and [`files`]
//! counts its descriptors. Cases of the project's list of pitfalls that cannot occur here:
//!
//! - A recycled file yields old records: segments are new files, and a record is valid only with
//!   its segment's salt, id and offset.
//! - A lock file left behind blocks the start: the lock is the kernel's and ends with the process.
//! - The clock goes back and old values win: order is by version, times only expire.
//! - A failed sync is retried, or its error reset: the first one stops the table.

mod changes;
mod compaction;
mod crash;
mod damage;
mod drops;
mod engine;
#[cfg(target_os = "linux")]
mod files;
mod fixtures;
mod history;
mod many;
mod model;
#[cfg(feature = "cli")]
mod offline;
mod rotation;
mod scan;

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use kvsd::UnixMillis;

use super::clock::Clock;
use crate::engine::{Action, BeforeDetail, Change, Condition, Write};

/// A clock that a test sets.
#[derive(Debug)]
struct ManualClock(AtomicU64);

impl ManualClock {
    fn at(millis: u64) -> Self {
        Self(AtomicU64::new(millis))
    }

    fn set(&self, millis: u64) {
        self.0.store(millis, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis::new(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

fn set(key: &[u8], value: &[u8]) -> Write {
    one(key, Condition::Any, Action::Set { value: Bytes::copy_from_slice(value), expires_at: None })
}

fn delete(key: &[u8]) -> Write {
    one(key, Condition::Any, Action::Delete)
}

fn one(key: &[u8], condition: Condition, action: Action) -> Write {
    let change = Change { key: Bytes::copy_from_slice(key), condition, action };
    Write { changes: vec![change], before: BeforeDetail::Record }
}
