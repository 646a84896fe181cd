//! The time of one caretaker: from its election until its lease ends or the engine closes.
//!
//! Next file to read: [`super::sweep`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp, TxnResponse};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::warn;

use super::super::error::Fault;
use super::super::lease::Lease;
use super::super::link::{Ask, Door, Failed};
use super::garbage::KEPT;
use super::{Counts, Parts, rest};

/// A caretaker's time.
pub(super) struct Term {
    pub(super) parts: Arc<Parts>,
    pub(super) counts: Arc<Counts>,
    lease: Lease,
    /// The revision that made the election's key: what all transactions are bound to.
    created: i64,
    /// The last revision that history was compacted to.
    pub(super) compacted: i64,
    /// Where the next sweep begins: what is due before stays, for want of room.
    pub(super) sweep_from: Option<Vec<u8>>,
    /// The last revision whose receipts nobody can ask for any more, while there may be some.
    pub(super) receipts_until: Option<i64>,
}

/// Why a term has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Closed,
    /// The lease has ended, or may have.
    Lost,
}

/// Why a step was not done.
#[derive(Debug)]
pub(super) enum Halt {
    /// Somebody else is the caretaker.
    Lost,
    /// etcd did not answer, or refused.
    Failed(Failed),
}

impl From<Failed> for Halt {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

/// Whether there is more to do of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    Some,
    None,
}

/// Whether etcd takes more than deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Some,
    None,
}

impl Term {
    /// Becomes the caretaker if there is none.
    pub(super) async fn begin(
        parts: &Arc<Parts>,
        counts: &Arc<Counts>,
    ) -> Result<Option<Self>, Failed> {
        let (link, key) = (&parts.link, parts.layout.election());
        let get = |door: Arc<Door>| {
            let key = key.clone();
            async move { door.kv().get(key, None).await }
        };
        if link.call(link.deadline(), Ask::Led, get).await?.count() > 0 {
            return Ok(None);
        }
        let lease = Lease::grant(link, LEASE_SECONDS).await?;
        let is_free = Compare::create_revision(key.clone(), CompareOp::Equal, 0);
        let under = PutOptions::new().with_lease(lease.id());
        let put = TxnOp::put(key.clone(), parts.front_end.to_be_bytes(), Some(under));
        // If an attempt was done and its answer lost, the next one finds the key under our lease.
        let txn = Txn::new().when([is_free]).and_then([put]).or_else([TxnOp::get(key, None)]);
        let elected = link.txn(link.deadline(), &txn).await;
        let created = elected.map(|answer| {
            if answer.succeeded() {
                return answer.header().map(etcd_client::ResponseHeader::revision);
            }
            let found = answer.op_responses().into_iter().find_map(|response| match response {
                etcd_client::TxnOpResponse::Get(mut get) => get.take_kvs().pop(),
                _ => None,
            });
            found.filter(|kv| kv.lease() == lease.id()).map(|kv| kv.create_revision())
        });
        match created {
            Ok(Some(created)) => {
                counts.is_caretaker.store(true, Ordering::Relaxed);
                let (parts, counts) = (Arc::clone(parts), Arc::clone(counts));
                let (sweep_from, receipts_until) = (None, None);
                Ok(Some(Self {
                    parts,
                    counts,
                    lease,
                    created,
                    compacted: 0,
                    sweep_from,
                    receipts_until,
                }))
            }
            Ok(None) => {
                lease.revoke(link).await;
                Ok(None)
            }
            Err(failed) => {
                lease.revoke(link).await;
                Err(failed)
            }
        }
    }

    /// Works until the lease has ended or the engine closes.
    pub(super) async fn serve(&mut self, closed: &mut watch::Receiver<bool>) -> Stop {
        let mut next_minute = Instant::now();
        let mut is_failing = false;
        loop {
            if *closed.borrow() {
                return Stop::Closed;
            }
            if self.lease.is_due() && !matches!(self.lease.keep(&self.parts.link).await, Ok(true)) {
                // What failed may pass while the lease still lives; an ended one does not.
                if !self.lease.lives() {
                    return Stop::Lost;
                }
            }
            if !self.lease.lives() {
                return Stop::Lost;
            }
            let is_minute = Instant::now() >= next_minute;
            let done = self.step(is_minute.then_some(())).await;
            if is_minute && done.is_ok() {
                next_minute = Instant::now() + MINUTE;
            }
            match done {
                Ok(Left::Some) => is_failing = false,
                Ok(Left::None) => {
                    is_failing = false;
                    rest(closed, EVERY).await;
                }
                Err(Halt::Lost) => return Stop::Lost,
                Err(Halt::Failed(failed)) => {
                    if !is_failing {
                        warn!(fault = %failed.fault, "expiry and history are not taken care of");
                    }
                    is_failing = true;
                    rest(closed, EVERY).await;
                }
            }
        }
    }

    /// Some of everything that is to be done now.
    pub(super) async fn step(&mut self, minute: Option<()>) -> Result<Left, Halt> {
        if minute.is_some() {
            self.sweep_all_again();
            self.compact().await?;
            self.receipts_until = self.revision_before(KEPT).await?;
            if let Some(then) = self.receipts_until {
                self.forget_front_ends(then).await?;
            }
            match self.note_moment().await {
                // What frees room is done all the same.
                Err(Halt::Failed(Failed { fault: Fault::SpaceAlarm, .. })) => {}
                noted => noted?,
            }
        }
        let swept = self.sweep().await?;
        let cleared = self.clear().await?;
        let forgotten = self.forget_receipts().await?;
        let left = [swept, cleared, forgotten].contains(&Left::Some);
        Ok(if left { Left::Some } else { Left::None })
    }

    /// Gives the place up.
    pub(super) async fn end(self) {
        self.counts.is_caretaker.store(false, Ordering::Relaxed);
        self.lease.revoke(&self.parts.link).await;
    }

    #[cfg(test)]
    pub(super) fn lease(&self) -> i64 {
        self.lease.id()
    }

    /// Whether this front end may act: it is the caretaker, and will be for a moment.
    pub(super) fn check(&self) -> Result<(), Halt> {
        if self.lease.lives() { Ok(()) } else { Err(Halt::Lost) }
    }

    /// Carries out operations, if this is still the caretaker. They may be carried out twice.
    pub(super) async fn txn(&self, ops: Vec<TxnOp>) -> Result<TxnResponse, Halt> {
        self.check()?;
        let key = self.parts.layout.election();
        let is_us = Compare::create_revision(key, CompareOp::Equal, self.created);
        let txn = Txn::new().when([is_us]).and_then(ops);
        let answer = self.parts.link.txn(self.deadline(), &txn).await?;
        if answer.succeeded() { Ok(answer) } else { Err(Halt::Lost) }
    }

    /// Carries out operations that free room; if etcd takes no more than deletes, those alone.
    pub(super) async fn free(
        &self,
        ops: impl Fn(Room) -> Vec<TxnOp>,
    ) -> Result<(TxnResponse, Room), Halt> {
        match self.txn(ops(Room::Some)).await {
            Err(Halt::Failed(Failed { fault: Fault::SpaceAlarm, .. })) => {
                Ok((self.txn(ops(Room::None)).await?, Room::None))
            }
            done => Ok((done?, Room::Some)),
        }
    }

    /// A step that takes longer would cost the lease.
    pub(super) fn deadline(&self) -> Instant {
        self.parts.link.deadline().min(Instant::now() + STEP_TIME)
    }
}

const LEASE_SECONDS: u32 = 10;
const STEP_TIME: Duration = Duration::from_secs(2);
const EVERY: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
