//! Requests that took long: the last of them, and which go into the log.
//!
//! Keeps a table's name and a user's, a peer and numbers; never a key or a value.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Operation;

/// The requests that took long.
#[derive(Debug)]
pub(crate) struct Slow {
    /// None: there are no slow ones.
    threshold: Option<Duration>,
    count: AtomicU64,
    state: Mutex<State>,
}

/// A request that took long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlowRequest {
    /// Since 1970, in milliseconds.
    pub(crate) at: u64,
    pub(crate) operation: Operation,
    /// The first table that it named; empty if it named none.
    pub(crate) table: Box<str>,
    /// What came and what was answered, in bytes.
    pub(crate) bytes: u64,
    pub(crate) took: Duration,
    /// How many requests were answered together, this one being the first.
    pub(crate) requests: u64,
    /// None for a client in this process.
    pub(crate) peer: Option<SocketAddr>,
    /// None for a client that need not say who it is.
    pub(crate) user: Option<Arc<str>>,
}

#[derive(Debug, Default)]
struct State {
    last: VecDeque<SlowRequest>,
    /// When the second began in which lines are counted, and how many it has had.
    second: Option<(Instant, u32)>,
    left_out: u64,
}

/// What the log says of a slow request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub(crate) struct SlowLine {
    pub(crate) request: SlowRequest,
    /// How many before it have no line.
    pub(crate) left_out: u64,
}

impl Slow {
    pub(super) fn new(threshold: Duration) -> Self {
        let threshold = Some(threshold).filter(|threshold| !threshold.is_zero());
        Self { threshold, count: AtomicU64::new(0), state: Mutex::default() }
    }

    /// Whether slow requests are noted at all.
    pub(super) fn is_on(&self) -> bool {
        self.threshold.is_some()
    }

    /// Whether a request is slow that took so long.
    pub(super) fn includes(&self, took: Duration) -> bool {
        self.threshold.is_some_and(|threshold| took >= threshold)
    }

    /// From when on a request is slow; `None` if none ever is.
    pub(crate) fn threshold(&self) -> Option<Duration> {
        self.threshold
    }

    /// Takes note of a slow request. The answer is its line in the log: at most [`MOST_LINES`] a
    /// second have one.
    pub(super) fn note(&self, request: SlowRequest, now: Instant) -> Option<SlowLine> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut state = self.lock();
        if state.last.len() == MOST_KEPT {
            state.last.pop_front();
        }
        state.last.push_back(request.clone());
        let lines = match state.second {
            Some((began, lines)) if now.saturating_duration_since(began) < SECOND => {
                state.second = Some((began, lines.saturating_add(1)));
                lines
            }
            _ => {
                state.second = Some((now, 1));
                0
            }
        };
        if lines >= MOST_LINES {
            state.left_out += 1;
            return None;
        }
        Some(SlowLine { request, left_out: std::mem::take(&mut state.left_out) })
    }

    /// How many there were since the start.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The last ones, the latest first.
    pub(crate) fn last(&self) -> Vec<SlowRequest> {
        self.lock().last.iter().rev().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many requests are kept.
const MOST_KEPT: usize = 64;
/// How many get a line in the log in each second.
const MOST_LINES: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn request(bytes: u64) -> SlowRequest {
        SlowRequest {
            at: 0,
            operation: Operation::Scan,
            table: "default".into(),
            bytes,
            took: SECOND,
            requests: 1,
            peer: None,
            user: None,
        }
    }

    #[test]
    fn ten_lines_a_second_and_the_next_one_tells_how_many_were_left_out() {
        let slow = Slow::new(SECOND);
        let now = Instant::now();
        let lines = (0..25).filter(|bytes| slow.note(request(*bytes), now).is_some());
        assert_eq!(lines.count(), 10);
        let left_out = |bytes| slow.note(request(bytes), now + SECOND).unwrap().left_out;
        assert_eq!((left_out(25), left_out(26)), (15, 0));
        assert_eq!(slow.count(), 27);
    }

    #[test]
    fn the_last_ones_are_kept_and_no_more_of_them_than_there_is_room_for() {
        let slow = Slow::new(SECOND);
        (0..1000).for_each(|bytes| drop(slow.note(request(bytes), Instant::now())));
        let kept: Vec<_> = slow.last().into_iter().map(|request| request.bytes).collect();
        assert_eq!(kept, (936..1000).rev().collect::<Vec<_>>());
    }

    #[test]
    fn nothing_is_slow_without_a_threshold() {
        assert!(!Slow::new(Duration::ZERO).includes(Duration::MAX));
        assert!(Slow::new(SECOND).includes(SECOND));
    }
}
