//! A thread that tells tasks when something is due.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::Error;

/// Sends the times that are due, one every `gap`, to the receivers in turn, until the time has
/// passed or it is over. Blocks meanwhile. What is due is fixed beforehand: a receiver that is late
/// finds the time at which it should have been there.
pub(crate) fn tick(
    dues: &[mpsc::Sender<Instant>],
    gap: Duration,
    time: Duration,
    is_over: &AtomicBool,
) -> Result<(), Error> {
    // Else the kernel adds 50 us to every wait.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let start = Instant::now();
    let end = start + time;
    let (mut next, mut turns) = (start, dues.iter().cycle());
    while next < end && !is_over.load(Ordering::Relaxed) {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        let now = Instant::now();
        while next <= now && next < end {
            let Some(due) = turns.next() else { return Ok(()) };
            if due.blocking_send(next).is_err() {
                // The receiver has failed, and tells why.
                return Ok(());
            }
            next += gap;
        }
        // Waking for each of a hundred thousand a second would be most of the work.
        std::thread::sleep(STEP.saturating_sub(now.elapsed()));
    }
    Ok(())
}

/// How much may be due at a time: half a minute for a reader of 2,000 times a second.
pub(crate) const MOST_DUE: usize = 1 << 16;
/// The least time between two looks at what is due.
const STEP: Duration = Duration::from_micros(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_due_is_told_in_turn_and_at_its_own_time() {
        let (gap, time) = (Duration::from_micros(10), Duration::from_millis(5));
        let (dues, mut receivers): (Vec<_>, Vec<_>) =
            (0..3).map(|_| mpsc::channel(MOST_DUE)).unzip();
        tick(&dues, gap, time, &AtomicBool::new(false)).unwrap();
        drop(dues);
        let mut told: Vec<_> = receivers
            .iter_mut()
            .flat_map(|due| std::iter::from_fn(|| due.blocking_recv()).collect::<Vec<_>>())
            .collect();
        told.sort_unstable();
        assert_eq!(told.len(), 500);
        assert!(told.windows(2).all(|pair| pair[1] - pair[0] == gap));
    }
}
