//! What the network does wrong, how much of it was done, and the handle that decides it.
//!
//! Next file to read: `line`.

use std::fmt;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::FaultyTransport;
use super::line::{Flow, Line};
use super::random::Random;
use crate::transport::Transport;

/// A network that misbehaves as it is told, at any time: a cheap handle, its clones are the same.
///
/// A new one does nothing wrong. What is random follows from the seed: a connection's number
/// decides how its bytes are cut into pieces and when it ends, so that a failing run can be run
/// again with the same seed. (What the threads of a program do in between is not in its hands.)
///
/// It takes effect above the encryption: what is split, delayed and lost are pieces of messages.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// use kvsd::Client;
/// use kvsd::testing::Faults;
///
/// let faults = Faults::seeded(7);
/// let client =
///     Client::builder().transport(server.transport()).faults(&faults).connect().await?;
/// // Bytes come one by one, and nobody notices.
/// faults.split(1);
/// client.set("k", "v").await?;
/// assert_eq!(client.get::<String>("k").await?.as_deref(), Some("v"));
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Faults {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    seed: u64,
    settings: Mutex<Settings>,
    /// Swallowed attempts to connect have another chance.
    changed: Notify,
    lines: Mutex<Vec<Weak<Line>>>,
    pub(super) tally: Tally,
}

#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The longest piece, in bytes.
    pub(super) split: usize,
    /// One piece in so many waits; none for 0.
    pub(super) delay_one_in: u32,
    pub(super) delay_at_most: Duration,
    pub(super) connects: Connects,
    pub(super) cut_after: Option<RangeInclusive<u64>>,
    pub(super) half_open_after: Option<RangeInclusive<u64>>,
}

const CALM: Settings = Settings {
    split: usize::MAX,
    delay_one_in: 0,
    delay_at_most: Duration::ZERO,
    connects: Connects::Pass,
    cut_after: None,
    half_open_after: None,
};

/// What becomes of attempts to connect.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// use kvsd::testing::{Connects, Faults};
/// use kvsd::{Client, ErrorKind};
///
/// let faults = Faults::seeded(7);
/// faults.connects(Connects::Refuse);
/// let builder = Client::builder().transport(server.transport()).faults(&faults);
/// assert_eq!(builder.connect().await.unwrap_err().kind(), ErrorKind::Connect);
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Connects {
    /// They go through. The default.
    Pass,
    /// They are refused at once, as by a port where nothing listens.
    Refuse,
    /// So many of them, on average, have one that is refused. Of 0 none is.
    RefuseOneIn(u32),
    /// Nothing answers them until this changes; the client gives each up after
    /// [`CONNECT_TIMEOUT`](crate::CONNECT_TIMEOUT).
    Swallow,
}

/// What was done since [`Faults::seeded`], in numbers that only grow, except `open`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// use kvsd::testing::{FaultCounts, Faults};
///
/// let faults = Faults::seeded(7);
/// let builder = kvsd::Client::builder().transport(server.transport()).faults(&faults);
/// let client = builder.pool_size(1).connect().await?;
/// faults.cut_all();
/// client.exists("k").await?; // over a second connection
/// let counts: FaultCounts = faults.counts();
/// assert_eq!((counts.connects, counts.cuts, counts.open), (2, 1, 1));
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultCounts {
    /// Attempts to connect.
    pub connects: u64,
    /// Those of them that were refused or swallowed.
    pub refused: u64,
    /// Connections that are neither cut nor half-open now.
    pub open: u64,
    /// Connections that were cut.
    pub cuts: u64,
    /// Connections that became half-open.
    pub half_opens: u64,
    /// Pieces that went through, both ways.
    pub pieces: u64,
    /// Those of them that were held up.
    pub delays: u64,
    /// Bytes that went through, both ways.
    pub bytes: u64,
    /// Bytes that half-open connections swallowed, both ways.
    pub swallowed: u64,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) connects: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) cuts: AtomicU64,
    pub(super) half_opens: AtomicU64,
    pub(super) pieces: AtomicU64,
    pub(super) delays: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) swallowed: AtomicU64,
}

impl Faults {
    /// A network without faults yet, whose choices will follow from `seed`.
    ///
    /// ```
    /// use kvsd::testing::Faults;
    ///
    /// // The seed of a run that failed makes the same choices again.
    /// let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    /// assert_eq!(Faults::seeded(seed).counts().connects, 0);
    /// ```
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            shared: Arc::new(Shared {
                seed,
                settings: Mutex::new(CALM),
                changed: Notify::new(),
                lines: Mutex::default(),
                tally: Tally::default(),
            }),
        }
    }

    /// Puts this network between a client and `transport`.
    ///
    /// [`ClientBuilder::faults`](crate::ClientBuilder::faults) does it for whatever transport a
    /// client uses.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// use kvsd::testing::Faults;
    ///
    /// let faults = Faults::seeded(7);
    /// let transport = faults.wrap(server.transport());
    /// let client = kvsd::Client::builder().transport(transport).connect().await?;
    /// assert!(client.ping().await.is_ok() && faults.counts().bytes > 0);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn wrap(&self, transport: impl Transport) -> FaultyTransport {
        self.wrap_box(Box::new(transport))
    }

    pub(crate) fn wrap_box(&self, inner: Box<dyn Transport>) -> FaultyTransport {
        FaultyTransport { inner, faults: self.clone() }
    }

    /// Passes bytes on in pieces of 1 to `at_most` bytes, short ones as often as long ones; with 1
    /// each byte alone. Less than 1 counts as 1. Default: as they come, at most 64 KiB at once.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # use kvsd::testing::Faults;
    /// # let faults = Faults::seeded(7);
    /// # let builder = kvsd::Client::builder().transport(server.transport()).faults(&faults);
    /// faults.split(1);
    /// let client = builder.connect().await?;
    /// client.ping().await?;
    /// let counts = faults.counts();
    /// assert_eq!(counts.pieces, counts.bytes);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn split(&self, at_most: usize) {
        self.settings().split = at_most.max(1);
    }

    /// Holds up one piece in `one_in`, on average, for up to `at_most`, each way by itself: answers
    /// overtake one another between connections. 0 holds up none. Default: 0.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// use std::time::Duration;
    /// # use kvsd::testing::Faults;
    /// # let faults = Faults::seeded(7);
    /// # let builder = kvsd::Client::builder().transport(server.transport()).faults(&faults);
    ///
    /// faults.delay(1, Duration::from_millis(2)); // every piece, for up to 2 ms
    /// let client = builder.connect().await?;
    /// client.ping().await?;
    /// assert!(faults.counts().delays > 0);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn delay(&self, one_in: u32, at_most: Duration) {
        let mut settings = self.settings();
        settings.delay_one_in = one_in;
        settings.delay_at_most = at_most;
    }

    /// Cuts each connection that is opened from now on after a number of bytes drawn from `bytes`,
    /// both ways together. What is under way is lost.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # use kvsd::testing::Faults;
    /// # let faults = Faults::seeded(7);
    /// # let builder = kvsd::Client::builder().transport(server.transport()).faults(&faults);
    /// faults.cut_after(10_000..=20_000);
    /// let client = builder.pool_size(1).connect().await?;
    /// let written = client.set("k", vec![0; 50_000]).await;
    /// assert!(written.is_err(), "it was cut in the middle of the value");
    /// assert!(faults.counts().cuts > 0);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn cut_after(&self, bytes: RangeInclusive<u64>) {
        self.settings().cut_after = Some(bytes);
    }

    /// Makes each connection that is opened from now on half-open after a number of bytes drawn
    /// from `bytes`, both ways together.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// use std::time::Duration;
    /// use kvsd::ErrorKind;
    /// # use kvsd::testing::Faults;
    /// # let faults = Faults::seeded(7);
    /// # let builder = kvsd::Client::builder().transport(server.transport()).faults(&faults);
    ///
    /// faults.half_open_after(10_000..=20_000);
    /// let client = builder.pool_size(1).connect().await?;
    /// let write = client.set("k", vec![0; 50_000]).timeout(Duration::from_millis(50));
    /// assert_eq!(write.await.unwrap_err().kind(), ErrorKind::Timeout);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn half_open_after(&self, bytes: RangeInclusive<u64>) {
        self.settings().half_open_after = Some(bytes);
    }

    /// Decides what becomes of attempts to connect, those included that are being swallowed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// use kvsd::testing::Connects;
    /// # use kvsd::testing::Faults;
    /// # let faults = Faults::seeded(7);
    /// # let builder = kvsd::Client::builder().transport(server.transport()).faults(&faults);
    /// # let client = builder.pool_size(1).connect().await?;
    ///
    /// faults.connects(Connects::Refuse);
    /// faults.cut_all();
    /// assert!(client.exists("k").await.is_err(), "there is no way to the server");
    /// faults.connects(Connects::Pass);
    /// assert!(!client.exists("k").await?, "and now there is");
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn connects(&self, connects: Connects) {
        self.settings().connects = connects;
        self.shared.changed.notify_waiters();
    }

    /// Takes every setting back to its default. Connections that were opened before keep the end
    /// that was drawn for them, and a half-open one stays so.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// use kvsd::testing::Connects;
    /// # use kvsd::testing::Faults;
    /// # let faults = Faults::seeded(7);
    /// # let builder = kvsd::Client::builder().transport(server.transport()).faults(&faults);
    ///
    /// faults.connects(Connects::Refuse);
    /// faults.calm();
    /// assert!(builder.connect().await.is_ok());
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn calm(&self) {
        *self.settings() = CALM;
        self.shared.changed.notify_waiters();
    }

    /// Cuts every connection, the half-open ones too: each side sees a reset or an end of the
    /// stream.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # use kvsd::testing::Faults;
    /// # let faults = Faults::seeded(7);
    /// # let builder = kvsd::Client::builder().transport(server.transport()).faults(&faults);
    /// # let client = builder.pool_size(1).connect().await?;
    /// faults.cut_all();
    /// assert!(!client.exists("k").await?, "what only reads goes over another connection");
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn cut_all(&self) {
        self.turn_all(Flow::Cut);
    }

    /// Makes every connection half-open: it takes what is sent and gives nothing, without a word,
    /// as if the other machine had lost its power. It stays so until somebody gives it up.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// use std::time::Duration;
    /// use kvsd::Outcome;
    /// # use kvsd::testing::Faults;
    /// # let faults = Faults::seeded(7);
    /// # let builder = kvsd::Client::builder().transport(server.transport()).faults(&faults);
    /// # let client = builder.pool_size(1).connect().await?;
    ///
    /// faults.half_open_all();
    /// let write = client.set("k", "v").timeout(Duration::from_millis(20));
    /// assert_eq!(write.await.unwrap_err().outcome(), Outcome::Unknown);
    /// # faults.cut_all();
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn half_open_all(&self) {
        self.turn_all(Flow::HalfOpen);
    }

    /// What was done so far.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # use kvsd::testing::Faults;
    /// # let faults = Faults::seeded(7);
    /// # let builder = kvsd::Client::builder().transport(server.transport()).faults(&faults);
    /// let client = builder.pool_size(1).connect().await?;
    /// assert_eq!((faults.counts().connects, faults.counts().open), (1, 1));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn counts(&self) -> FaultCounts {
        let Tally { connects, refused, cuts, half_opens, pieces, delays, bytes, swallowed } =
            &self.shared.tally;
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let open = self.lines().iter().filter(|line| line.flow() == Flow::Open).count();
        FaultCounts {
            connects: read(connects),
            refused: read(refused),
            open: open as u64,
            cuts: read(cuts),
            half_opens: read(half_opens),
            pieces: read(pieces),
            delays: read(delays),
            bytes: read(bytes),
            swallowed: read(swallowed),
        }
    }

    /// The number of the next attempt to connect.
    pub(super) fn number(&self) -> u64 {
        self.shared.tally.connects.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether attempt `number` goes through. One that is swallowed waits until that changes.
    pub(super) async fn admit(&self, number: u64) -> bool {
        let tally = &self.shared.tally;
        let mut is_swallowed = false;
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            // Before the settings are looked at, so that no change is missed.
            changed.as_mut().enable();
            let connects = self.settings().connects;
            let passes = match connects {
                Connects::Pass => true,
                Connects::Refuse => false,
                Connects::RefuseOneIn(0) => true,
                Connects::RefuseOneIn(many) => {
                    self.random(number, Purpose::Connect).below(many.into()) != 0
                }
                Connects::Swallow => {
                    if !is_swallowed {
                        is_swallowed = true;
                        tally.refused.fetch_add(1, Ordering::Relaxed);
                    }
                    changed.await;
                    continue;
                }
            };
            if !passes && !is_swallowed {
                tally.refused.fetch_add(1, Ordering::Relaxed);
            }
            return passes;
        }
    }

    /// A new connection with the number of its attempt.
    pub(super) fn line(&self, number: u64) -> Arc<Line> {
        let mut random = self.random(number, Purpose::End);
        let mut draw = |range: Option<RangeInclusive<u64>>| {
            let (from, to) = range?.into_inner();
            Some(from + random.below(to.saturating_sub(from).saturating_add(1)))
        };
        let settings = self.settings().clone();
        let (cut_after, half_open_after) =
            (draw(settings.cut_after), draw(settings.half_open_after));
        let line = Arc::new(Line::new(Arc::clone(&self.shared), cut_after, half_open_after));
        let mut lines = self.shared.lock_lines();
        lines.retain(|line| line.strong_count() > 0);
        lines.push(Arc::downgrade(&line));
        line
    }

    pub(super) fn random(&self, number: u64, purpose: Purpose) -> Random {
        Random::new(self.shared.seed, number.wrapping_mul(4).wrapping_add(purpose as u64))
    }

    fn turn_all(&self, flow: Flow) {
        // Not under the lock: this wakes tasks.
        self.lines().iter().for_each(|line| line.turn(flow));
    }

    fn lines(&self) -> Vec<Arc<Line>> {
        self.shared.lock_lines().iter().filter_map(Weak::upgrade).collect()
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.shared.settings()
    }
}

/// What a connection's random numbers are for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Connect,
    End,
    Read,
    Write,
}

impl Shared {
    pub(super) fn settings(&self) -> MutexGuard<'_, Settings> {
        // Nothing panics while it holds a lock here; if it did, the settings would still be whole.
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_lines(&self) -> MutexGuard<'_, Vec<Weak<Line>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { seed, settings: _, changed: _, lines: _, tally: _ } = &*self.shared;
        f.debug_struct("Faults")
            .field("seed", seed)
            .field("settings", &*self.settings())
            .finish_non_exhaustive()
    }
}
