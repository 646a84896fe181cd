//! That this front end is there, for the others; and what their clocks show.
//!
//! Expiry goes by the clock of whoever looks, so clocks that differ much make front ends disagree.
//! Each one writes its time every few seconds, and the others compare it with theirs as it comes.
//! Next file to read: `health`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use etcd_client::{PutOptions, TxnOp, WatchOptions};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep, timeout_at};
use tracing::{debug, warn};

use super::error::Fault;
use super::layout::Layout;
use super::lease::Lease;
use super::link::{Failed, Link};
use crate::log::Clock;

/// What presence needs.
pub(crate) struct Parts {
    pub(crate) link: Arc<Link>,
    pub(crate) layout: Layout,
    pub(crate) clock: Arc<dyn Clock>,
    /// This front end.
    pub(crate) front_end: u64,
    /// Where clients reach it.
    pub(crate) address: String,
}

/// Tells the others that this front end is there, and watches their clocks.
pub(crate) struct Presence {
    others: Arc<Others>,
    closed: watch::Sender<bool>,
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

/// What a front end tells.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    address: String,
    version: String,
    unix_ms: u64,
}

/// What the others' clocks have shown.
#[derive(Debug, Default)]
pub(crate) struct Others(Mutex<HashMap<u64, Seen>>);

/// A front end that was seen.
#[derive(Debug, Clone)]
struct Seen {
    address: String,
    /// How far its clock was ahead of ours, in milliseconds, when it was read last.
    ahead_millis: i64,
    /// How often in a row that was too far.
    far: u32,
    at: Instant,
}

/// A clock that differs too much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skew {
    /// Where clients reach the front end.
    pub(crate) address: String,
    /// How far its clock is ahead of ours, in milliseconds.
    pub(crate) ahead_millis: i64,
}

impl Others {
    /// Takes a reading; the skew if it is news.
    fn saw(&self, front_end: u64, address: String, ahead_millis: i64) -> Option<Skew> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = Instant::now();
        all.retain(|_, seen| at.saturating_duration_since(seen.at) < FORGOTTEN);
        let far = all.get(&front_end).map_or(0, |seen| seen.far);
        let is_far = ahead_millis.unsigned_abs() > MOST_SKEW_MILLIS;
        let far = if is_far { far.saturating_add(1) } else { 0 };
        let seen = Seen { address: address.clone(), ahead_millis, far, at };
        if all.len() < MOST_OTHERS || all.contains_key(&front_end) {
            all.insert(front_end, seen);
        }
        (far == FAR_IN_A_ROW).then_some(Skew { address, ahead_millis })
    }

    fn forget(&self, front_end: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&front_end);
    }

    /// The clock that differs most, if one differs too much.
    pub(crate) fn skew(&self) -> Option<Skew> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let far = all.values().filter(|seen| seen.far >= FAR_IN_A_ROW);
        let farthest = far.max_by_key(|seen| seen.ahead_millis.unsigned_abs())?;
        Some(Skew { address: farthest.address.clone(), ahead_millis: farthest.ahead_millis })
    }

    /// How many others there are.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How far the clock is away that differs most, in milliseconds.
    pub(crate) fn farthest_millis(&self) -> u64 {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().map(|seen| seen.ahead_millis.unsigned_abs()).max().unwrap_or_default()
    }
}

impl Presence {
    /// Starts on the runtime that this is called in.
    pub(crate) fn start(parts: Parts) -> Self {
        let others = Arc::new(Others::default());
        let closed = watch::Sender::new(false);
        let task = tokio::spawn(run(parts, Arc::clone(&others), closed.subscribe()));
        Self { others, closed, task: tokio::sync::Mutex::new(Some(task)) }
    }

    pub(crate) fn others(&self) -> &Arc<Others> {
        &self.others
    }

    /// Ends it; the others see at once that this front end is gone. Calling it again does nothing.
    pub(crate) async fn close(&self) {
        self.closed.send_replace(true);
        if let Some(task) = self.task.lock().await.take() {
            // It has panicked, or the runtime is going: the lease ends by itself.
            let _ = task.await;
        }
    }
}

/// The task ends with the engine, closed or not.
impl Drop for Presence {
    fn drop(&mut self) {
        self.closed.send_replace(true);
    }
}

impl std::fmt::Debug for Presence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presence").field("others", &self.others.count()).finish_non_exhaustive()
    }
}

async fn run(parts: Parts, others: Arc<Others>, mut closed: watch::Receiver<bool>) {
    let mut lease = None;
    tokio::select! {
        _ = closed.wait_for(|closed| *closed) => {}
        () = tell(&parts, &mut lease) => {}
        () = listen(&parts, &others) => {}
    }
    if let Some(lease) = lease {
        lease.revoke(&parts.link).await;
    }
}

/// Tells what time it is here, again and again.
async fn tell(parts: &Parts, held: &mut Option<Lease>) {
    let mut every = interval(TELL_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if let Err(failed) = tell_once(parts, held).await {
            debug!(fault = %failed.fault, "cannot tell the others that this front end is there");
        }
    }
}

async fn tell_once(parts: &Parts, held: &mut Option<Lease>) -> Result<(), Failed> {
    let mut lease = match *held {
        Some(lease) => lease,
        None => Lease::grant(&parts.link, LEASE_SECONDS).await?,
    };
    *held = Some(lease);
    if !lease.keep(&parts.link).await? {
        *held = None;
        return Ok(());
    }
    *held = Some(lease);
    let told = Told {
        address: parts.address.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        unix_ms: parts.clock.now().get(),
    };
    let told = serde_json::to_vec(&told).unwrap_or_default();
    let under = PutOptions::new().with_lease(lease.id());
    let put = TxnOp::put(parts.layout.presence(parts.front_end), told, Some(under));
    // Once, soon or not at all: an old time would be taken for a clock that is late.
    let deadline = Instant::now() + TELL_TIME;
    parts.link.txn(deadline, &etcd_client::Txn::new().and_then([put])).await?;
    Ok(())
}

/// Compares the others' clocks with ours as they tell. What is missed does not matter.
async fn listen(parts: &Parts, others: &Others) {
    loop {
        if let Err(fault) = listen_once(parts, others).await {
            debug!(%fault, "the watch of the other front ends has ended");
        }
        sleep(AGAIN).await;
    }
}

async fn listen_once(parts: &Parts, others: &Others) -> Result<(), Fault> {
    let deadline = Instant::now() + TELL_TIME;
    let (member, door) = parts.link.door(deadline).await?;
    let endpoint = parts.link.endpoint(member);
    let range = parts.layout.presences();
    let options = WatchOptions::new().with_range(range.end);
    let fault = |error| {
        parts.link.leave(member);
        Fault::of(error, endpoint)
    };
    let silent = |_| {
        parts.link.leave(member);
        Fault::NoAnswer { endpoint: endpoint.to_owned(), cause: "no watch in time".to_owned() }
    };
    let mut client = door.watch();
    let opened = timeout_at(deadline, client.watch(range.start, Some(options))).await;
    let mut stream = opened.map_err(silent)?.map_err(fault)?;
    while let Some(response) = stream.message().await.map_err(fault)? {
        for kv in response.events().iter().filter_map(etcd_client::Event::kv) {
            let front_end = parts.layout.presence_of(kv.key());
            let Some(front_end) = front_end.filter(|it| *it != parts.front_end) else { continue };
            let Ok(told) = serde_json::from_slice::<Told>(kv.value()) else {
                // It has gone.
                others.forget(front_end);
                continue;
            };
            let now = parts.clock.now().get();
            let ahead_millis = i64::try_from(told.unix_ms).unwrap_or(i64::MAX)
                - i64::try_from(now).unwrap_or(i64::MAX);
            if let Some(skew) = others.saw(front_end, told.address, ahead_millis) {
                let Skew { address, ahead_millis } = skew;
                warn!(%address, ahead_millis, "the clock of another front end differs; records end \
                    at other times there: set the clocks of both machines by NTP");
            }
        }
        if response.canceled() {
            break;
        }
    }
    Ok(())
}

const LEASE_SECONDS: u32 = 15;
const TELL_EVERY: Duration = Duration::from_secs(5);
const TELL_TIME: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_secs(1);
/// What two clocks may differ by, in milliseconds, the way of the message included.
const MOST_SKEW_MILLIS: u64 = 1000;
/// How often in a row it has to be more before somebody is told.
const FAR_IN_A_ROW: u32 = 3;
/// Who is silent for so long is gone.
const FORGOTTEN: Duration = Duration::from_secs(60);
const MOST_OTHERS: usize = 1024;

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::etcd::changes::tests::fixture::{PATIENCE, Store, TestClock};

    #[test]
    fn a_skew_is_told_after_three_in_a_row_and_once() {
        let others = Others::default();
        let tell = |ahead| others.saw(1, "a:1".to_owned(), ahead);
        for ahead in [-5_000, 5_000, 0, 1_001, -1_001] {
            assert_eq!(tell(ahead), None);
        }
        let skew = Skew { address: "a:1".to_owned(), ahead_millis: -2_000 };
        assert_eq!(tell(-2_000), Some(skew.clone()));
        assert_eq!(tell(-2_000), None, "once");
        assert_eq!(others.skew(), Some(skew));
        assert_eq!(others.farthest_millis(), 2_000);
        assert_eq!(others.saw(1, "a:1".to_owned(), 1_000), None);
        assert_eq!(others.skew(), None, "it was set right");
        others.forget(1);
        assert_eq!(others.count(), 0);
    }

    #[tokio::test]
    async fn front_ends_see_each_others_clocks_and_that_one_goes() {
        let Some(store) = Store::start().await else { return };
        let start = async |front_end: u64, clock: Arc<TestClock>| {
            let (link, layout) = (store.link().await, store.layout.clone());
            let address = format!("host:{front_end}");
            Presence::start(Parts { link, layout, clock, front_end, address })
        };
        let one = start(1, store.clock.clone()).await;
        let ahead = start(2, TestClock::at(1_000_000 + 60_000)).await;
        let until = async |so: &dyn Fn() -> bool| {
            let waiting = async {
                while !so() {
                    sleep(Duration::from_millis(10)).await;
                }
            };
            timeout(PATIENCE, waiting).await.unwrap();
        };
        until(&|| one.others.farthest_millis() == 60_000 && ahead.others.count() == 1).await;
        ahead.close().await;
        until(&|| one.others.count() == 0).await;
        one.close().await;
    }
}
