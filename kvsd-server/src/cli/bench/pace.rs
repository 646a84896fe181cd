//! When operations begin, and when none begins any more.
//!
//! In a closed loop a task begins the next operation when its last has ended. In an open loop
//! operations come due at a rate, whatever becomes of them; the first task that is free begins the
//! one that is due first. A thread of its own tells of each: the runtime's timers tick only a
//! thousand times a second. Next file to read: `tally`.

use std::io;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// When operations begin.
#[derive(Debug)]
pub(super) struct Pace {
    rhythm: Rhythm,
    /// So many may begin.
    most: u64,
    begun: AtomicU64,
    is_over: AtomicBool,
}

#[derive(Debug)]
enum Rhythm {
    Closed,
    Open {
        start: Instant,
        per_second: NonZeroU64,
        /// A permit for each operation that is due and has not begun.
        due: Semaphore,
        ended: OnceLock<Instant>,
    },
}

impl Pace {
    /// A closed loop, until so many operations have begun.
    pub(super) fn closed(most: u64) -> Arc<Self> {
        Arc::new(Self::new(Rhythm::Closed, most))
    }

    /// An open loop from now on, until so many operations have begun.
    ///
    /// # Errors
    ///
    /// The thread that tells when operations are due cannot be started.
    pub(super) fn open(per_second: NonZeroU64, most: u64) -> io::Result<Arc<Self>> {
        let (start, due, ended) = (Instant::now(), Semaphore::new(0), OnceLock::new());
        let pace = Arc::new(Self::new(Rhythm::Open { start, per_second, due, ended }, most));
        let told = Arc::clone(&pace);
        // It ends soon after the pace.
        thread::Builder::new().name("kvsd-bench-pace".to_owned()).spawn(move || told.tell())?;
        Ok(pace)
    }

    fn new(rhythm: Rhythm, most: u64) -> Self {
        Self { rhythm, most, begun: AtomicU64::new(0), is_over: AtomicBool::new(false) }
    }

    /// Waits until an operation is due and tells since when it is; `None` if there are no more.
    pub(super) async fn next(&self) -> Option<Instant> {
        if let Rhythm::Open { due, .. } = &self.rhythm {
            due.acquire().await.ok()?.forget();
        }
        if self.is_over.load(Ordering::Relaxed) {
            return None;
        }
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        if number.saturating_add(1) >= self.most {
            self.end();
        }
        match &self.rhythm {
            _ if number >= self.most => None,
            Rhythm::Closed => Some(Instant::now()),
            Rhythm::Open { start, per_second, .. } => Some(*start + time_of(number, *per_second)),
        }
    }

    /// Lets no more operations begin.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Rhythm::Open { due, ended, .. } = &self.rhythm {
            ended.get_or_init(Instant::now);
            due.close();
        }
    }

    /// How many operations of an open loop were due when it ended and had not begun.
    pub(super) fn missed(&self) -> u64 {
        match &self.rhythm {
            Rhythm::Closed => 0,
            Rhythm::Open { start, per_second, ended, .. } => {
                let ended = ended.get().copied().unwrap_or_else(Instant::now);
                let due = due_within(ended.duration_since(*start), *per_second).min(self.most);
                due.saturating_sub(self.begun.load(Ordering::Relaxed))
            }
        }
    }

    /// Tells of each operation when it comes due, until the end.
    fn tell(&self) {
        let Rhythm::Open { start, per_second, due, .. } = &self.rhythm else { return };
        let mut told = 0;
        while told < self.most && !due.is_closed() {
            let now = due_within(start.elapsed(), *per_second).min(self.most);
            due.add_permits(usize::try_from(now - told).unwrap_or_default());
            told = now;
            let next = time_of(told, *per_second);
            thread::sleep(next.saturating_sub(start.elapsed()).min(MOST_SLEEP));
        }
    }
}

/// When the operation with this number comes due, from the start.
fn time_of(number: u64, per_second: NonZeroU64) -> Duration {
    let nanos = u128::from(number) * NANOS / u128::from(per_second.get());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// How many operations have come due so long after the start, the first of them at once.
fn due_within(time: Duration, per_second: NonZeroU64) -> u64 {
    let before = time.as_nanos() * u128::from(per_second.get()) / NANOS;
    u64::try_from(before).unwrap_or(u64::MAX).saturating_add(1)
}

const NANOS: u128 = 1_000_000_000;
/// So soon the thread sees that it is over.
const MOST_SLEEP: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    fn per_second(rate: u64) -> NonZeroU64 {
        NonZeroU64::new(rate).unwrap()
    }

    #[tokio::test]
    async fn as_many_operations_begin_as_are_asked_for() {
        for pace in [Pace::closed(3), Pace::open(per_second(1_000_000), 3).unwrap()] {
            for _ in 0..3 {
                assert!(pace.next().await.is_some());
            }
            assert!(pace.next().await.is_none());
            assert_eq!(pace.missed(), 0);
        }
    }

    #[tokio::test]
    async fn operations_of_an_open_loop_are_due_at_equal_distances_whenever_they_begin() {
        let pace = Pace::open(per_second(1000), u64::MAX).unwrap();
        let first = pace.next().await.unwrap();
        for number in 1..20 {
            let due = pace.next().await.unwrap();
            assert_eq!(due - first, Duration::from_millis(number));
            assert!(due <= Instant::now(), "none begins before it is due");
        }
    }

    #[tokio::test]
    async fn who_waits_for_an_operation_learns_that_there_are_no_more() {
        let pace = Pace::open(per_second(1), u64::MAX).unwrap();
        assert!(pace.next().await.is_some());
        let waiting = {
            tokio::spawn({
                let pace = Arc::clone(&pace);
                async move { pace.next().await }
            })
        };
        tokio::task::yield_now().await;
        pace.end();
        assert!(waiting.await.unwrap().is_none());
    }

    #[tokio::test]
    async fn operations_that_nobody_was_free_for_are_missed() {
        let pace = Pace::open(per_second(1_000_000), 1_000).unwrap();
        assert!(pace.next().await.is_some());
        // Until all of them are due.
        while due_within(pace_start(&pace).elapsed(), per_second(1_000_000)) < 1_000 {
            tokio::task::yield_now().await;
        }
        pace.end();
        assert_eq!(pace.missed(), 999);
    }

    fn pace_start(pace: &Pace) -> Instant {
        match &pace.rhythm {
            Rhythm::Open { start, .. } => *start,
            Rhythm::Closed => panic!("it is closed"),
        }
    }
}
