//! Watches: what has changed in tables, as far as somebody asks.
//!
//! One follower per table that is watched keeps the latest changes in memory; what is older is read
//! from etcd's history when it is asked for. A version is a revision of etcd.
//!
//! | file | owns |
//! |---|---|
//! | `step` | what one revision has changed, from the events of a watch |
//! | `ring` | the latest changes, and what they answer |
//! | `feed` | a watch of etcd |
//! | `follower` | what is known of one table name, and who waits for it |
//! | `task` | keeps a follower up to date |
//! | `catch_up` | what is older than a ring |
//! | `sure` | makes sure that nothing is missing |
//!
//! Next file to read: `step`.

mod catch_up;
mod feed;
mod follower;
mod ring;
mod step;
mod sure;
mod task;
#[cfg(test)]
pub(in crate::etcd) mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::ResponseHeader;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use super::directory::TableRef;
use super::error::Fault;
use super::layout::Layout;
use super::link::{Failed, Link};
use crate::engine::{ChangePage, Changes, EngineError, PageLimits, Position};
use catch_up::{Marked, Past};
use follower::{Follower, Known};
use ring::{Answer, News, Room};

/// Tells what has changed in tables.
pub(crate) struct Followers {
    shared: Arc<Shared>,
}

/// What followers share.
struct Shared {
    link: Arc<Link>,
    layout: Layout,
    runtime: Handle,
    limits: FollowerLimits,
    room: Arc<Room>,
    /// How many may read the past at once.
    pasts: Semaphore,
    followers: Mutex<HashMap<String, Arc<Follower>>>,
    closed: watch::Sender<bool>,
}

/// How much followers may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FollowerLimits {
    /// The most memory of one, in bytes.
    pub(crate) ring_bytes: usize,
    /// The most memory of all, in bytes.
    pub(crate) all_bytes: usize,
    /// How many there may be.
    pub(crate) count: usize,
    /// How long one lives that nobody asks.
    pub(crate) idle: Duration,
}

impl Default for FollowerLimits {
    fn default() -> Self {
        Self {
            ring_bytes: 8 * 1024 * 1024,
            all_bytes: 64 * 1024 * 1024,
            count: 8192,
            idle: Duration::from_secs(60),
        }
    }
}

impl Followers {
    /// Followers on a cluster. Their tasks belong to the runtime that this is called in.
    pub(crate) fn new(link: Arc<Link>, layout: Layout, limits: FollowerLimits) -> Self {
        let shared = Shared {
            link,
            layout,
            runtime: Handle::current(),
            limits,
            room: Arc::new(Room::new(limits.ring_bytes, limits.all_bytes)),
            pasts: Semaphore::new(PASTS),
            followers: Mutex::default(),
            closed: watch::Sender::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// As [`crate::engine::Engine::changes`]. What was answered before, here or by another front
    /// end, is told.
    pub(crate) async fn changes(
        &self,
        table: &str,
        since: Position,
        limits: PageLimits,
    ) -> Result<Changes, EngineError> {
        let mut closed = self.shared.closed.subscribe();
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => Err(EngineError::Closed),
            changes = self.shared.changes(table, since, limits) => changes,
        }
    }

    /// As [`crate::engine::Engine::changed`].
    pub(crate) async fn changed(&self, table: &str, since: Position) {
        let mut closed = self.shared.closed.subscribe();
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => {}
            () = self.shared.changed(table, since) => {}
        }
    }

    /// Ends everything, and wakes all who wait. Calling it again does nothing.
    pub(crate) fn close(&self) {
        self.shared.closed.send_replace(true);
        self.shared.all().clear();
    }
}

/// Tasks end with the engine, closed or not.
impl Drop for Followers {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Followers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Followers")
            .field("tables", &self.shared.all().len())
            .finish_non_exhaustive()
    }
}

impl Shared {
    async fn changes(
        self: &Arc<Self>,
        table: &str,
        mut since: Position,
        limits: PageLimits,
    ) -> Result<Changes, EngineError> {
        let deadline = self.link.deadline();
        let follower = self.follower(table)?;
        let _waits = follower.waits();
        let mut is_sure = false;
        loop {
            let known = follower.when(|state| state.known(since, limits));
            let Ok(known) = timeout_at(deadline, known).await else {
                let why = follower.failure();
                let reason = why.unwrap_or_else(|| "etcd gave no answer in time".to_owned());
                return Err(EngineError::Unavailable { reason });
            };
            match known {
                Known::Table(_, Answer::Page(page)) => return Ok(Changes::Page(page)),
                Known::Table(table, Answer::Behind { since: from, end }) => {
                    match self.catch_up(&follower, table, (from, end), limits, deadline).await? {
                        CaughtUp::Answer(answer) => return Ok(answer),
                        // That, or the ring, says the rest.
                        CaughtUp::Until(version) => {
                            since = Position { incarnation: Some(table.id), version };
                        }
                        CaughtUp::Moved => self.make_sure(&follower, deadline).await?,
                    }
                }
                // Nothing is told of only once that is sure.
                Known::Absent | Known::Table(_, _) if !is_sure => {
                    self.make_sure(&follower, deadline).await?;
                    is_sure = true;
                }
                Known::Table(_, Answer::Nothing(page)) => return Ok(Changes::Page(page)),
                Known::Table(_, Answer::Gap(now)) => return Ok(Changes::Gap { now }),
                Known::Table(..) => return Ok(Changes::Gap { now: follower.now() }),
                // Nothing is where every table begins.
                Known::Absent if since == NOTHING => {
                    return Ok(Changes::Page(ChangePage::empty(NOTHING)));
                }
                Known::Absent => return Ok(Changes::Gap { now: NOTHING }),
            }
        }
    }

    async fn changed(self: &Arc<Self>, table: &str, since: Position) {
        let Ok(follower) = self.follower(table) else {
            // Whoever asks again is told why.
            return tokio::time::sleep(FULL_PAUSE).await;
        };
        let _waits = follower.waits();
        let news = follower.when(|state| match state.news(since) {
            News::None => None,
            news => Some(news),
        });
        if news.await == News::Some {
            return;
        }
        // Another front end may have been there, or nobody.
        let _ = self.make_sure(&follower, self.link.deadline()).await;
        let is_ahead = follower.state().news(since) == News::Ahead;
        if !is_ahead {
            follower.when(|state| (state.news(since) != News::None).then_some(())).await;
        }
    }

    /// The follower of a name.
    fn follower(self: &Arc<Self>, name: &str) -> Result<Arc<Follower>, EngineError> {
        let mut followers = self.all();
        if *self.closed.borrow() {
            return Err(EngineError::Closed);
        }
        if let Some(follower) = followers.get(name) {
            follower.touch();
            return Ok(Arc::clone(follower));
        }
        let most = self.limits.count;
        if followers.len() >= most {
            let reason = format!("{most} tables are watched here already, and no more can be");
            return Err(EngineError::Unavailable { reason });
        }
        let follower = Arc::new(Follower::new(name));
        followers.insert(name.to_owned(), Arc::clone(&follower));
        self.runtime.spawn(task::run(Arc::clone(self), Arc::clone(&follower)));
        Ok(follower)
    }

    /// Reads a table's past behind a revision, up to its follower's ring.
    async fn catch_up(
        &self,
        follower: &Follower,
        table: TableRef,
        (since, end): (u64, u64),
        limits: PageLimits,
        deadline: Instant,
    ) -> Result<CaughtUp, EngineError> {
        let late = |_| {
            let reason = "too many read the past of tables".to_owned();
            EngineError::Unavailable { reason }
        };
        let _turn = timeout_at(deadline, follower.past.lock()).await.map_err(late)?;
        if follower.begin(table).is_none_or(|begin| begin != end) {
            // Somebody else has read it meanwhile, or it has to be read further.
            return Ok(CaughtUp::Until(since));
        }
        let place = timeout_at(deadline, self.pasts.acquire()).await.map_err(late)?;
        let mut until = deadline;
        if !follower.has_event_from(table, end) {
            match self.mark(&follower.name, table, deadline).await {
                Ok(Marked::At(_)) => {}
                Ok(Marked::Moved) => return Ok(CaughtUp::Moved),
                // Without a mark, what has come by then has to do.
                Err(Failed { fault: Fault::SpaceAlarm, .. }) => until = Instant::now() + UNMARKED,
                Err(Failed { fault, .. }) => return Err(fault.into()),
            }
        }
        let past = self.past(table, (since, end), until).await;
        drop(place);
        let position = |version| Position { incarnation: Some(table.id), version };
        let older = match past {
            Ok(Past::Known(older)) => older,
            Ok(Past::Gone) => {
                return Ok(CaughtUp::Answer(Changes::Gap { now: follower.now() }));
            }
            Ok(Past::Foreign(revision)) => {
                return Err(EngineError::Corrupt {
                    table: follower.name.clone(),
                    place: format!("revision {revision} of etcd"),
                });
            }
            Err(_) if until < deadline => {
                let page = ChangePage::empty(position(since));
                return Ok(CaughtUp::Answer(Changes::Page(page)));
            }
            Err(fault) => return Err(fault.into()),
        };
        let answer = older.look(position(since), limits);
        let read_until = older.seen();
        if read_until >= end {
            follower.update(table, |ring| ring.extend_back(older));
        }
        Ok(match answer {
            Answer::Page(page) => CaughtUp::Answer(Changes::Page(page)),
            Answer::Nothing(_) | Answer::Gap(_) | Answer::Behind { .. } | Answer::Ahead => {
                CaughtUp::Until(read_until)
            }
        })
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Follower>>> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What reading the past came to.
enum CaughtUp {
    Answer(Changes),
    /// Nothing has changed up to a revision.
    Until(u64),
    /// The table is another, or gone.
    Moved,
}

/// The revision that a header tells.
fn revision_of(header: Option<&ResponseHeader>) -> u64 {
    header.and_then(|header| u64::try_from(header.revision()).ok()).unwrap_or_default()
}

/// Where a table is that does not exist.
const NOTHING: Position = Position { incarnation: None, version: 0 };
/// How many may read the past at once.
const PASTS: usize = 8;
/// How long the past is read whose end is not known.
const UNMARKED: Duration = Duration::from_millis(500);
const FULL_PAUSE: Duration = Duration::from_secs(1);
