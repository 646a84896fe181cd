//! The pool: bb8 keeps the lives of a few multiplexed connections, callers share their handles.
//!
//! A handle is taken, never kept out: any number of callers send over one connection, so the hot
//! path picks the next handle from a snapshot and bb8 is asked only when none of them is open. bb8
//! notices a broken connection when it comes back, so [`PoolCore::heal`] takes each one out and puts
//! it back. Its settings and why: ARCHITECTURE.md. Next file to read: `connection`.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use bb8::{ManageConnection, QueueStrategy, RunError};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::connection::{self, Connection, Credentials};
use crate::error::{Error, ErrorKind, Outcome};
use crate::transport::Transport;

/// What a pool is made with.
#[derive(Debug)]
pub(crate) struct PoolConfig {
    pub(crate) transport: Box<dyn Transport>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) size: u32,
    /// From the first byte of a connection to its welcome.
    pub(crate) connect_timeout: Duration,
}

/// The connections to one server.
#[derive(Debug)]
pub(crate) struct Pool {
    core: Arc<PoolCore>,
}

struct PoolCore {
    bb8: bb8::Pool<Manager>,
    shared: Arc<PoolShared>,
}

/// What the pool and its manager, which lives inside bb8, both need.
struct PoolShared {
    config: PoolConfig,
    address: Arc<str>,
    /// Handles of the connections that were open when last seen.
    live: RwLock<Vec<Connection>>,
    next: AtomicUsize,
    max_value_bytes: AtomicUsize,
    closed: AtomicBool,
    /// The end of the latest attempt to connect: `None` if it went well.
    attempt: watch::Sender<Option<Error>>,
    backoff: Mutex<Backoff>,
    core: OnceLock<Weak<PoolCore>>,
}

#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
    not_before: Option<Instant>,
}

/// The wait after the first failed attempt; it doubles with each one that follows.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// bb8 ends no wait of ours: each operation has its own deadline.
const BB8_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

impl Pool {
    /// Makes the pool and waits for its first connection; the others follow in the background.
    ///
    /// # Errors
    ///
    /// The first connection's failure, as it happens.
    pub(crate) async fn connect(config: PoolConfig) -> Result<Self, Error> {
        let size = config.size;
        let shared = Arc::new(PoolShared {
            address: config.transport.address().into(),
            config,
            live: RwLock::new(Vec::new()),
            next: AtomicUsize::new(0),
            max_value_bytes: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            attempt: watch::Sender::new(None),
            backoff: Mutex::new(Backoff::default()),
            core: OnceLock::new(),
        });
        // Seen from now on: the first attempts begin with the pool.
        let attempts = shared.attempt.subscribe();
        let bb8 = bb8::Pool::builder()
            .max_size(size)
            .min_idle(size)
            .test_on_check_out(false)
            .queue_strategy(QueueStrategy::Fifo)
            .retry_connection(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connection_timeout(BB8_TIMEOUT)
            .build_unchecked(Manager { shared: Arc::clone(&shared) });
        let core = Arc::new(PoolCore { bb8, shared });
        // The cell is new, so nobody has filled it.
        let _ = core.shared.core.set(Arc::downgrade(&core));
        let pool = Self { core };
        pool.core.check_out(attempts).await?;
        Ok(pool)
    }

    /// A handle, if one can be had without waiting.
    ///
    /// # Errors
    ///
    /// The pool is closed.
    pub(crate) fn handle_now(&self) -> Result<Option<Connection>, Error> {
        let shared = &self.core.shared;
        shared.check_closed()?;
        let live = shared.live.read().unwrap_or_else(PoisonError::into_inner);
        let first = shared.next.fetch_add(1, Ordering::Relaxed);
        let open = (0..live.len())
            .filter_map(|step| live.get(first.wrapping_add(step) % live.len()))
            .find(|connection| connection.is_open());
        Ok(open.cloned())
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
        self.core.shared.check_closed()?;
        let attempts = self.core.shared.attempt.subscribe();
        self.core.check_out(attempts).await
    }

    pub(crate) fn address(&self) -> &Arc<str> {
        &self.core.shared.address
    }

    /// The largest value that the server takes, in bytes.
    pub(crate) fn max_value_bytes(&self) -> usize {
        self.core.shared.max_value_bytes.load(Ordering::Relaxed)
    }

    /// Takes no new work, and ends every connection once what is in flight is answered.
    pub(crate) async fn close(&self) {
        let shared = &self.core.shared;
        let live = {
            let mut live = shared.live_mut();
            shared.closed.store(true, Ordering::Relaxed);
            std::mem::take(&mut *live)
        };
        for connection in &live {
            connection.drain().await;
        }
    }
}

impl PoolCore {
    async fn check_out(
        &self,
        mut attempts: watch::Receiver<Option<Error>>,
    ) -> Result<Connection, Error> {
        // A dead connection goes back and its successor is asked for, until all were seen.
        for _ in 0..=self.shared.config.size {
            let taken = tokio::select! {
                biased;
                taken = self.bb8.get() => taken,
                failure = failed(&mut attempts) => return Err(failure),
            };
            match taken {
                Ok(pooled) if pooled.is_open() => return Ok(pooled.clone()),
                Ok(_) | Err(RunError::TimedOut) => {}
                Err(RunError::User(error)) => return Err(error),
            }
        }
        let lost = "every connection was lost as soon as it was open";
        Err(Error::new(ErrorKind::Connect, Outcome::NotSent, lost).at(&self.shared.address))
    }

    /// Has bb8 look at every connection, replace those that are gone, and open those that it never
    /// got.
    async fn heal(&self) {
        if self.shared.check_closed().is_err() {
            return;
        }
        self.shared.live_mut().retain(Connection::is_open);
        for _ in 0..=self.shared.config.size {
            // Without a wait: this is for the others' sake.
            let _ = tokio::time::timeout(Duration::ZERO, self.bb8.get()).await;
        }
    }
}

/// Resolves with the next attempt that fails.
async fn failed(attempts: &mut watch::Receiver<Option<Error>>) -> Error {
    loop {
        if attempts.changed().await.is_err() {
            // The sender lives as long as the pool, and whoever waits here holds the pool.
            std::future::pending::<()>().await;
        }
        if let Some(failure) = attempts.borrow_and_update().clone() {
            return failure;
        }
    }
}

impl PoolShared {
    fn live_mut(&self) -> std::sync::RwLockWriteGuard<'_, Vec<Connection>> {
        self.live.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_closed(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Closed, Outcome::NotSent, "").at(&self.address));
        }
        Ok(())
    }

    fn backoff(&self) -> std::sync::MutexGuard<'_, Backoff> {
        self.backoff.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Heals the pool once `event` has come, if it still exists then and is not closed.
    fn heal_after(&self, event: impl Future<Output = ()> + Send + 'static) {
        let Some(core) = self.core.get().cloned() else {
            return;
        };
        tokio::spawn(async move {
            event.await;
            if let Some(core) = core.upgrade() {
                core.heal().await;
            }
        });
    }

    async fn open(&self) -> Result<Connection, Error> {
        self.check_closed()?;
        let limit = self.config.connect_timeout;
        let opening = connection::open(
            &*self.config.transport,
            &self.address,
            self.config.credentials.as_ref(),
        );
        tokio::time::timeout(limit, opening).await.unwrap_or_else(|_| {
            let detail = format!("no connection and welcome within {limit:?}");
            Err(Error::new(ErrorKind::Connect, Outcome::NotSent, detail).at(&self.address))
        })
    }
}

impl Backoff {
    fn fail(&mut self) -> Duration {
        let doubled = FIRST_BACKOFF.saturating_mul(1 << self.failures.min(10)).min(MAX_BACKOFF);
        self.failures = self.failures.saturating_add(1);
        let wait = jitter(doubled);
        self.not_before = Some(Instant::now() + wait);
        wait
    }

    fn succeed(&mut self) {
        *self = Self::default();
    }
}

/// Between half of `wait` and all of it, so that clients of one server do not march in step.
fn jitter(wait: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or_default();
    wait / 2 + wait.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
}

/// Opens connections for bb8.
struct Manager {
    shared: Arc<PoolShared>,
}

impl ManageConnection for Manager {
    type Connection = Connection;
    type Error = Error;

    async fn connect(&self) -> Result<Connection, Error> {
        let shared = &self.shared;
        let not_before = shared.backoff().not_before;
        if let Some(time) = not_before {
            tokio::time::sleep_until(time).await;
        }
        match shared.open().await {
            Ok(connection) => {
                shared.backoff().succeed();
                shared.max_value_bytes.store(connection.max_value_bytes(), Ordering::Relaxed);
                {
                    let mut live = shared.live_mut();
                    // Under the lock, so that a client that is closing finds every connection.
                    shared.check_closed()?;
                    live.push(connection.clone());
                }
                shared.attempt.send_replace(None);
                shared.heal_after(connection.ended());
                Ok(connection)
            }
            Err(error) => {
                tracing::debug!(%error, "an attempt to connect failed");
                let wait = shared.backoff().fail();
                shared.attempt.send_replace(Some(error.clone()));
                // What waiting does not mend is tried again only when somebody asks.
                if matches!(error.kind(), ErrorKind::Connect | ErrorKind::Server(_)) {
                    shared.heal_after(tokio::time::sleep(wait));
                }
                Err(error)
            }
        }
    }

    /// Never asked: the check on check-out is off, because it would cost a round trip per call.
    async fn is_valid(&self, _: &mut Connection) -> Result<(), Error> {
        Ok(())
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        !connection.is_open()
    }
}

impl fmt::Debug for PoolCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolCore({:?}, {:?})", self.shared.address, self.bb8.state())
    }
}
