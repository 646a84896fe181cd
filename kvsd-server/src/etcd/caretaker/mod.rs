//! What no request does: ended records, dropped tables, history. One front end at a time does it.
//!
//! Who that is says a key under a lease. Whoever holds it works only while it knows that its lease
//! lives, and binds each transaction to that very key: one who was paused, and wakes up when another
//! one has taken over, changes nothing.
//!
//! | file | owns |
//! |---|---|
//! | `term` | the time of one caretaker |
//! | `sweep` | records that have ended |
//! | `garbage` | what dropped tables and front ends that are gone have left |
//! | `history` | how far the past is kept |
//!
//! Next file to read: `term`.

mod garbage;
mod history;
mod sweep;
mod term;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::layout::Layout;
use super::link::Link;
use crate::log::Clock;
use term::{Stop, Term};

/// What the caretaker needs.
pub(crate) struct Parts {
    pub(crate) link: Arc<Link>,
    pub(crate) layout: Layout,
    pub(crate) clock: Arc<dyn Clock>,
    /// This front end.
    pub(crate) front_end: u64,
    /// How long the past is kept; `None` leaves that to etcd.
    pub(crate) history: Option<Duration>,
}

/// What was done by this front end.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Whether it is the caretaker.
    pub(crate) is_caretaker: AtomicBool,
    /// Records that had ended and were removed.
    pub(crate) swept: AtomicU64,
    /// Records of dropped tables that were removed.
    pub(crate) cleared: AtomicU64,
    /// How often history was compacted.
    pub(crate) compactions: AtomicU64,
}

/// The task that becomes the caretaker when there is none.
pub(crate) struct Caretaker {
    counts: Arc<Counts>,
    closed: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Caretaker {
    /// Starts the task on the runtime that this is called in.
    pub(crate) fn start(parts: Parts) -> Self {
        let counts = Arc::new(Counts::default());
        let closed = watch::Sender::new(false);
        let task = tokio::spawn(run(parts, Arc::clone(&counts), closed.subscribe()));
        Self { counts, closed, task: Mutex::new(Some(task)) }
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Ends the task, and lets another front end take over at once. Calling it again does nothing.
    pub(crate) async fn close(&self) {
        self.closed.send_replace(true);
        if let Some(task) = self.task.lock().await.take() {
            // It has panicked, or the runtime is going: the lease ends by itself.
            let _ = task.await;
        }
    }
}

/// The task ends with the engine, closed or not.
impl Drop for Caretaker {
    fn drop(&mut self) {
        self.closed.send_replace(true);
    }
}

impl std::fmt::Debug for Caretaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caretaker").field("counts", &self.counts).finish_non_exhaustive()
    }
}

async fn run(parts: Parts, counts: Arc<Counts>, mut closed: watch::Receiver<bool>) {
    let parts = Arc::new(parts);
    while !*closed.borrow() {
        match Term::begin(&parts, &counts).await {
            Ok(Some(mut term)) => {
                info!("this front end takes care of expiry, dropped tables and history now");
                let stop = term.serve(&mut closed).await;
                match stop {
                    Stop::Closed => {}
                    Stop::Lost => warn!("another front end may take care now: the lease has ended"),
                }
                term.end().await;
            }
            Ok(None) => {}
            Err(failed) => debug!(fault = %failed.fault, "cannot ask who the caretaker is"),
        }
        // Woken early by the end.
        let _ = timeout(ASK_EVERY, closed.wait_for(|closed| *closed)).await;
    }
}

/// A pause that the end cuts short.
async fn rest(closed: &mut watch::Receiver<bool>, time: Duration) {
    tokio::select! {
        _ = closed.wait_for(|closed| *closed) => {}
        () = sleep(time) => {}
    }
}

/// How often a front end looks whether there is a caretaker.
const ASK_EVERY: Duration = Duration::from_secs(1);
