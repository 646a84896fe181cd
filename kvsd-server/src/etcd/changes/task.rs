//! Keeps a follower up to date, until nobody asks it any more or the engine closes.
//!
//! Next file to read: [`super::catch_up`].

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, interval, sleep};
use tracing::debug;

use super::super::directory::TableRef;
use super::super::error::Fault;
use super::Shared;
use super::feed::{Feed, Message, Rest, Subject};
use super::follower::Follower;
use super::step::Gatherer;

/// Why a watch has ended without a fault.
enum Ended {
    /// There is something else to watch.
    Moved,
    /// Nobody asks any more.
    Idle,
}

pub(super) async fn run(shared: Arc<Shared>, follower: Arc<Follower>) {
    let mut closed = shared.closed.subscribe();
    tokio::select! {
        _ = closed.wait_for(|closed| *closed) => {}
        () = shared.keep(&follower) => {}
    }
}

impl Shared {
    async fn keep(&self, follower: &Arc<Follower>) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.follow(follower, &mut pause).await {
                Ok(Ended::Idle) => return,
                Ok(Ended::Moved) => {}
                Err(fault) => {
                    debug!(%fault, table = follower.name, "the watch of a table has ended");
                    follower.failed(fault.to_string());
                    if self.retire(follower) {
                        return;
                    }
                    sleep(pause).await;
                    pause = (2 * pause).min(LAST_PAUSE);
                }
            }
        }
    }

    /// Follows what a name stands for now.
    async fn follow(&self, follower: &Arc<Follower>, pause: &mut Duration) -> Result<Ended, Fault> {
        let now = self.now(&follower.name, self.link.deadline()).await;
        let now = now.map_err(|failed| failed.fault)?;
        let from = follower.looked(now.found, now.revision, &self.room);
        let data = now.found.zip(from).map(|(table, from)| (self.layout.data(table.id), from));
        let name = Some((self.layout.table(&follower.name), now.revision + 1));
        let mut feed = Feed::open(&self.link, Subject { data, name }).await?;
        let mut gatherer = now.found.map(|table| Gatherer::new(self.layout.clone(), table.id));
        let mut tick = interval(self.limits.idle / 4);
        loop {
            tokio::select! {
                message = feed.next(&self.link) => {
                    let message = message?;
                    *pause = FIRST_PAUSE;
                    match (message, now.found.zip(gatherer.as_mut())) {
                        (Message::Name, _) => return Ok(Ended::Moved),
                        (Message::Compacted, _) => {
                            follower.forget();
                            return Ok(Ended::Moved);
                        }
                        (Message::Events(events, rest), Some((table, gatherer))) => {
                            self.take(follower, table, gatherer, events, rest);
                        }
                        (Message::Progress(revision), Some((table, _))) => {
                            follower.update(table, |ring| ring.saw(revision));
                        }
                        (Message::Events(..) | Message::Progress(_) | Message::Other, _) => {}
                    }
                }
                () = follower.look.notified() => {
                    let again = self.now(&follower.name, self.link.deadline()).await;
                    if again.map_err(|failed| failed.fault)?.found != now.found {
                        return Ok(Ended::Moved);
                    }
                }
                _ = tick.tick() => {
                    if self.retire(follower) {
                        return Ok(Ended::Idle);
                    }
                }
            }
        }
    }

    fn take(
        &self,
        follower: &Follower,
        table: TableRef,
        gatherer: &mut Gatherer,
        events: Vec<super::step::Event>,
        rest: Rest,
    ) {
        let mut steps: Vec<_> =
            events.into_iter().filter_map(|event| gatherer.push(event)).collect();
        if rest == Rest::IsNone {
            steps.extend(gatherer.end());
        }
        follower.update(table, |ring| steps.into_iter().for_each(|step| ring.push(step)));
    }

    /// Lets go of a follower that nobody has asked for long; whether that was so.
    fn retire(&self, follower: &Arc<Follower>) -> bool {
        // Held to the end, so that nobody comes upon it in between.
        let mut followers = self.all();
        let is_idle = follower.idle_since().is_some_and(|since| {
            Instant::now().saturating_duration_since(since) >= self.limits.idle
        });
        if is_idle && followers.get(&follower.name).is_some_and(|it| Arc::ptr_eq(it, follower)) {
            followers.remove(&follower.name);
        }
        is_idle
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(1);
