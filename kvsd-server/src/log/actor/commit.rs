//! Groups committed one after the other on a thread that may wait for the disk, where each write is
//! synced before it is acknowledged.
//!
//! The actor goes to a thread of the pool as a whole, carries out a batch there, syncs it and answers
//! it, and stays for what comes next: from a session to this thread and back is one wake-up each way.
//! It goes back to the runtime when nothing comes, when something else than writes does, and when it
//! was away for a while. Where it has waited in vain it waits no more, until writes come that soon
//! again.
//!
//! A group takes what is there, and waits for nobody: while it is synced the next one collects, and
//! clients and sessions have the processors.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::super::storage::reader::Access;
use super::super::storage::rotation::Demand;
use super::super::turn::{Taken, Turn};
use super::{Actor, Leftover, QUEUE_SUBMISSIONS, Submissions};

impl Actor {
    /// Carries out a batch and those that follow it. Tells what is left of the last one.
    pub(super) fn commit(
        &mut self,
        turn: &mut Turn,
        (mut batch, mut demand): (Submissions, Demand),
    ) -> Leftover {
        let came = Instant::now();
        let back_at = came + STAY;
        self.lingers |= came < self.left_at + LINGER;
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            let mut taken = Taken::Answered;
            let prepared = match turn.needs_preparation(&demand) {
                true => turn.prepare(&batch, &demand),
                false => Ok(()),
            };
            if prepared.is_ok() {
                taken = turn.take(&batch, Access::Wait);
            }
            if taken == Taken::Written {
                let sync = turn.sync();
                let result = self.shared.counts.sync(|| sync.run());
                turn.synced(&sync, result);
                turn.settle();
            }
            let left = self.answer(batch, turn, taken);
            let stays = left.is_empty()
                && !turn.has_more_to_do()
                && Instant::now() < back_at
                && !self.shared.sync_pool.is_short();
            if !stays || self.is_asked_for_more_than_writes() {
                return left;
            }
            if self.queue.is_empty() {
                let now = Instant::now();
                if !self.receive(&mut context, if self.lingers { now + LINGER } else { now }) {
                    self.lingers = false;
                    self.left_at = Instant::now();
                    return left;
                }
                self.sort_received();
                if self.queue.is_empty() || self.is_asked_for_more_than_writes() {
                    return left;
                }
            }
            (batch, demand) = self.next_batch();
        }
    }

    /// Takes what is there, or waits for it. False if it is time, or nobody is left to send more.
    fn receive(&mut self, context: &mut Context<'_>, until: Instant) -> bool {
        loop {
            match self.inbox.poll_recv_many(context, &mut self.received, QUEUE_SUBMISSIONS) {
                Poll::Ready(count) => return count > 0,
                Poll::Pending => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            thread::park_timeout(left);
        }
    }
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// How long the actor stays away from the runtime, where chores and alarms may wait for it.
const STAY: Duration = Duration::from_millis(2);
/// How long it waits for the next write before it goes back: some round trips of a client.
const LINGER: Duration = Duration::from_micros(500);
