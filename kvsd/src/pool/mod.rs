//! The pool: bb8 keeps the lives of a few multiplexed connections, callers share their handles.
//!
//! A handle is taken, never kept out: any number of callers send over one connection, so the hot
//! path picks the next handle from a snapshot and bb8 is asked only when none of them is open. bb8
//! notices a broken connection when it comes back, so [`Core::heal`] takes each one out and puts it
//! back. Its settings and why: ARCHITECTURE.md. A pool has one address or several, and what is known
//! of each stands in `servers`. Next file to read: `servers`, then `connection`.

mod attempt;
pub(crate) mod backoff;
mod balance;
pub(crate) mod budget;
mod opener;
mod servers;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use bb8::{QueueStrategy, RunError};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use self::budget::Budget;
use self::opener::{Failures, Opener};
use self::servers::{Place, Servers};
use crate::connection::{Connection, Credentials, ServerInfo};
use crate::error::{Error, ErrorKind, Outcome};
use crate::transport::Transport;

/// What a pool is made with.
#[derive(Debug)]
pub(crate) struct PoolConfig {
    pub(crate) credentials: Option<Credentials>,
    pub(crate) size: u32,
    /// From the first byte of a connection to its welcome.
    pub(crate) connect_timeout: Duration,
    /// How long a server may be silent before it is asked whether it is there; `None` for ever.
    pub(crate) keep_alive: Option<Duration>,
}

/// The connections to the servers of one store. They close when it is dropped.
#[derive(Debug)]
pub(crate) struct Pool {
    core: Arc<Core>,
    budget: Budget,
}

struct Core {
    config: PoolConfig,
    servers: Arc<Servers>,
    /// Made when it is first needed, and anew when it has lost a slot.
    bb8: Mutex<Option<bb8::Pool<Opener>>>,
    /// An attempt to connect was dropped with its runtime: bb8 waits for it for ever.
    lost_slot: AtomicBool,
    /// How many attempts to connect are under way.
    opening: AtomicUsize,
    /// Handles of the connections that were open when last seen. Another list after each change, so
    /// that who takes one writes nothing that others read.
    live: ArcSwap<Vec<Connection>>,
    /// Held while `live` changes.
    changing: Mutex<()>,
    next: AtomicUsize,
    max_value_bytes: AtomicUsize,
    /// What the server said of itself at the latest welcome; `None` before the first.
    info: Mutex<Option<ServerInfo>>,
    closed: AtomicBool,
    /// Ends the attempts to connect when the pool closes.
    closing: Notify,
    /// What those who wait for a connection are told: the latest failure to open one, or, by
    /// `None`, to ask anew.
    news: watch::Sender<Option<Error>>,
    /// Held while a connection of one address gives way to one of another.
    relieving: tokio::sync::Mutex<()>,
    /// Open connections that wait for bb8 to have room.
    successors: Mutex<Vec<(Connection, Place)>>,
    me: Weak<Core>,
}

/// As long as for ever, for clocks that would overflow.
pub(crate) const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// An attempt to connect that has not begun so long after it was asked for never will.
const UNBEGUN: Duration = Duration::from_secs(1);

impl Pool {
    /// Makes the pool, of whose transports there is at least one, and waits for its first connection; the others follow in the background.
    ///
    /// # Errors
    ///
    /// The first connection's failure, as it happens.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was opened.
    pub(crate) async fn connect(
        transports: Vec<Box<dyn Transport>>,
        config: PoolConfig,
    ) -> Result<Self, Error> {
        let core = Arc::new_cyclic(|me| Core {
            config,
            servers: Servers::new(transports),
            bb8: Mutex::new(None),
            lost_slot: AtomicBool::new(false),
            opening: AtomicUsize::new(0),
            live: ArcSwap::default(),
            changing: Mutex::new(()),
            next: AtomicUsize::new(0),
            max_value_bytes: AtomicUsize::new(0),
            info: Mutex::new(None),
            closed: AtomicBool::new(false),
            closing: Notify::new(),
            news: watch::Sender::new(None),
            relieving: tokio::sync::Mutex::new(()),
            successors: Mutex::new(Vec::new()),
            me: Weak::clone(me),
        });
        let pool = Self { core, budget: Budget::default() };
        pool.handle().await?;
        Ok(pool)
    }

    /// A handle, if one can be had without waiting.
    ///
    /// # Errors
    ///
    /// The pool is closed.
    pub(crate) fn handle_now(&self) -> Result<Option<Connection>, Error> {
        self.core.check_closed()?;
        Ok(self.core.open_handle())
    }

    /// A handle, waiting for a connection if there is none.
    ///
    /// # Errors
    ///
    /// The latest attempt's failure, as soon as it happens.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost; an attempt that has begun goes on.
    pub(crate) async fn handle(&self) -> Result<Connection, Error> {
        self.core.check_out().await
    }

    /// What operations may spend on being sent again.
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The address; of several all of them, with commas.
    pub(crate) fn address(&self) -> &Arc<str> {
        self.core.servers.name()
    }

    /// The address, if there are no others.
    pub(crate) fn only_address(&self) -> Option<&Arc<str>> {
        (!self.core.servers.are_several()).then(|| self.address())
    }

    /// The largest value that the server takes, in bytes.
    pub(crate) fn max_value_bytes(&self) -> usize {
        self.core.max_value_bytes.load(Ordering::Relaxed)
    }

    /// What the server said of itself.
    pub(crate) fn server_info(&self) -> ServerInfo {
        let info = self.core.info.lock().unwrap_or_else(PoisonError::into_inner);
        info.clone().unwrap_or_else(|| unreachable!("a pool is made with its first connection"))
    }

    /// Takes no new work, and ends every connection once what is in flight is answered.
    ///
    /// # Cancel safety
    ///
    /// The pool is closed all the same; only the wait ends.
    pub(crate) async fn close(&self) {
        for connection in self.core.shut() {
            connection.life().ended().await;
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.core.shut();
    }
}

impl Core {
    /// Takes no new work; the connections, which end once what is in flight is answered.
    fn shut(&self) -> Vec<Connection> {
        let live = self.change_live(|live| {
            self.closed.store(true, Ordering::Relaxed);
            live.clone()
        });
        self.successors().clear();
        live.iter().for_each(Connection::drain);
        self.closing.notify_waiters();
        self.news.send_replace(Some(self.closed_error()));
        live
    }

    /// A handle on the next open connection.
    fn open_handle(&self) -> Option<Connection> {
        let live = self.live.load();
        let from = |first: usize| {
            let (end, start) = live.split_at(first.checked_rem(live.len()).unwrap_or_default());
            start.iter().chain(end).filter(|connection| connection.is_open())
        };
        // What one thread sends goes into few writes, and into no lock that others hold.
        let uncrowded = from(seat()).find(|connection| !connection.is_crowded());
        // Where all have much to do they take turns.
        uncrowded.or_else(|| from(self.next.fetch_add(1, Ordering::Relaxed)).next()).cloned()
    }

    async fn check_out(&self) -> Result<Connection, Error> {
        // Before anything is looked at, so that nothing is missed.
        let mut news = self.news.subscribe();
        // A dead connection goes back and its successor is asked for, until all were seen.
        let mut dead = 0;
        while dead <= self.config.size {
            self.check_closed()?;
            // bb8 wakes one who waits for each connection, who may be one that nobody polls. The
            // news wake all, and here each finds what is open.
            if let Some(open) = self.open_handle() {
                return Ok(open);
            }
            let bb8 = self.bb8();
            let taken = tokio::select! {
                biased;
                taken = bb8.get() => taken,
                told = next(&mut news) => match told {
                    Some(failure) => return Err(failure),
                    None => continue,
                },
                () = tokio::time::sleep(UNBEGUN) => {
                    self.look_for_a_lost_slot();
                    continue;
                }
            };
            match taken {
                Ok(pooled) if pooled.is_open() => return Ok(pooled.clone()),
                Ok(_) | Err(RunError::TimedOut) => dead += 1,
                Err(RunError::User(error)) => return Err(error),
            }
        }
        let lost = "every connection was lost as soon as it was open";
        Err(Error::new(ErrorKind::Connect, Outcome::NotSent, lost).at(self.servers.name()))
    }

    /// To be asked while somebody waits. bb8 has begun an attempt for them then, in a task: if
    /// there is none, the task was dropped with its runtime, or its runtime stands still.
    fn look_for_a_lost_slot(&self) {
        // In this order: an attempt that succeeds is over only when its connection is there.
        if self.opening.load(Ordering::Acquire) == 0 && self.open_handle().is_none() {
            self.lost_slot.store(true, Ordering::Relaxed);
        }
    }

    /// bb8's pool. One that has lost a slot is replaced: it would never fill that slot again.
    fn bb8(&self) -> bb8::Pool<Opener> {
        let mut bb8 = self.bb8.lock().unwrap_or_else(PoisonError::into_inner);
        if self.lost_slot.swap(false, Ordering::Relaxed) {
            *bb8 = None;
            // What is in flight on them goes on; the new pool opens its own.
            self.change_live(Vec::clear);
        }
        let make = || {
            bb8::Pool::builder()
                .max_size(self.config.size)
                .min_idle(self.config.size)
                .test_on_check_out(false)
                .queue_strategy(QueueStrategy::Fifo)
                .retry_connection(false)
                .idle_timeout(None)
                .max_lifetime(None)
                // bb8 ends no wait of ours: each operation has its own deadline.
                .connection_timeout(YEAR)
                .error_sink(Box::new(Failures { core: Weak::clone(&self.me) }))
                .build_unchecked(Opener { core: Weak::clone(&self.me) })
        };
        bb8.get_or_insert_with(make).clone()
    }

    /// Has bb8 look at every connection and replace those that are gone; if none is left it opens
    /// one, whose success opens the others.
    async fn heal(&self) {
        if self.check_closed().is_err() {
            return;
        }
        // One that is retired is still waited for when the pool closes.
        self.change_live(|live| live.retain(|connection| !connection.has_ended()));
        for _ in 0..=self.config.size {
            // Without a wait: this is for the others' sake.
            if tokio::time::timeout(Duration::ZERO, self.bb8().get()).await.is_err() {
                return;
            }
        }
    }

    /// Heals the pool at `time`, if it still exists then.
    fn heal_at(&self, time: Instant) {
        let core = Weak::clone(&self.me);
        tokio::spawn(async move {
            tokio::time::sleep_until(time).await;
            if let Some(core) = core.upgrade() {
                core.heal().await;
            }
        });
    }

    /// Opens a connection, unless one waits for its turn already.
    async fn open(&self) -> Result<(Connection, Place), Error> {
        let closing = self.closing.notified();
        self.check_closed()?;
        let (connection, place) = match self.take_successor() {
            Some(successor) => successor,
            None => tokio::select! {
                biased;
                result = self.attempt() => result?,
                () = closing => return Err(self.closed_error()),
            },
        };
        self.max_value_bytes.store(connection.max_value_bytes(), Ordering::Relaxed);
        *self.info.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.info().clone());
        self.change_live(|live| {
            // Under the lock, so that a pool that closes finds every connection.
            self.check_closed()?;
            live.push(connection.clone());
            Ok::<(), Error>(())
        })?;
        self.news.send_replace(None);
        Ok((connection, place))
    }

    fn check_closed(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Relaxed) { Err(self.closed_error()) } else { Ok(()) }
    }

    fn closed_error(&self) -> Error {
        Error::new(ErrorKind::Closed, Outcome::NotSent, "").at(self.servers.name())
    }

    fn change_live<T>(&self, change: impl FnOnce(&mut Vec<Connection>) -> T) -> T {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut live = Vec::clone(&self.live.load());
        let result = change(&mut live);
        self.live.store(Arc::new(live));
        result
    }
}

/// The number of this thread, from which on it looks for a connection.
fn seat() -> usize {
    static SEATS: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static SEAT: usize = SEATS.fetch_add(1, Ordering::Relaxed));
    // A thread that ends may still drop what sends something.
    SEAT.try_with(|seat| *seat).unwrap_or_default()
}

async fn next(news: &mut watch::Receiver<Option<Error>>) -> Option<Error> {
    if news.changed().await.is_err() {
        // The sender lives as long as the pool, and whoever waits here holds the pool.
        std::future::pending::<()>().await;
    }
    news.borrow_and_update().clone()
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, up to {} connections", self.servers.name(), self.config.size)
    }
}
