//! The past that a ring does not reach back to, read by a watch of its own.
//!
//! A watch of the past does not say where it ends: etcd tells what there is, and then waits for what
//! will be. So it is read up to a revision of the table that is known to come: one that the
//! follower has seen, or else the mark of a sweep that sweeps nothing, which is written for that.
//! Next file to read: [`super`].

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Compare, CompareOp, Txn, TxnOp};
use tokio::time::{Instant, timeout_at};

use super::super::directory::TableRef;
use super::super::error::Fault;
use super::super::link::Failed;
use super::Shared;
use super::feed::{Feed, Message, Rest, Subject};
use super::ring::{Ring, Room};
use super::step::{Gatherer, StepKind};

/// What a table's past came to.
pub(super) enum Past {
    /// What was behind the revision, up to the end that was asked for, or part of it.
    Known(Ring),
    /// It is not kept any more.
    Gone,
    /// Something stands in it that nobody here has written.
    Foreign(u64),
}

/// Whether the mark was written.
pub(super) enum Marked {
    /// At a revision.
    At(u64),
    /// The table is another, or gone.
    Moved,
}

impl Shared {
    /// Reads what has changed in a table behind the revision `since`, up to a revision of the
    /// table's that is `end` or later, or until there are some bytes of it.
    pub(super) async fn past(
        &self,
        table: TableRef,
        (since, end): (u64, u64),
        deadline: Instant,
    ) -> Result<Past, Fault> {
        let room = Arc::new(Room::new(usize::MAX, usize::MAX));
        let mut ring = Ring::new(table, since, since, room);
        let mut bytes = 0;
        loop {
            let fault = match self.read_past(&mut ring, &mut bytes, end, deadline).await {
                Ok(None) => return Ok(Past::Known(ring)),
                Ok(Some(past)) => return Ok(past),
                // What was read is true.
                Err(_) if ring.seen() > since && Instant::now() >= deadline => {
                    return Ok(Past::Known(ring));
                }
                Err(fault) => fault,
            };
            if !fault.may_pass() || Instant::now() + AGAIN >= deadline {
                return Err(fault);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Reads until the end, or until the stream breaks.
    async fn read_past(
        &self,
        ring: &mut Ring,
        bytes: &mut usize,
        end: u64,
        deadline: Instant,
    ) -> Result<Option<Past>, Fault> {
        let table = ring.table;
        let data = Some((self.layout.data(table.id), ring.seen() + 1));
        let mut feed = Feed::open(&self.link, Subject { data, name: None }).await?;
        let mut gatherer = Gatherer::new(self.layout.clone(), table.id);
        loop {
            let late = |_| Fault::NoAnswer {
                endpoint: "etcd".to_owned(),
                cause: "a table's past did not come in time".to_owned(),
            };
            let next = timeout_at(deadline, feed.next(&self.link)).await.map_err(late)??;
            let (events, rest) = match next {
                Message::Events(events, rest) => (events, rest),
                Message::Compacted if ring.seen() > ring.begin() => return Ok(None),
                Message::Compacted => return Ok(Some(Past::Gone)),
                Message::Progress(_) | Message::Name | Message::Other => continue,
            };
            let mut steps: Vec<_> =
                events.into_iter().filter_map(|event| gatherer.push(event)).collect();
            if rest == Rest::IsNone {
                steps.extend(gatherer.end());
            }
            for step in steps {
                if step.kind == StepKind::Foreign {
                    let is_first = ring.seen() == ring.begin();
                    return Ok(is_first.then_some(Past::Foreign(step.version)));
                }
                *bytes += step.bytes();
                ring.push(step);
                if ring.seen() >= end || *bytes >= MOST_BYTES {
                    return Ok(None);
                }
            }
        }
    }

    /// Writes the mark of a sweep that sweeps nothing: whoever watches the table has seen all that
    /// was before it when it sees the mark.
    pub(super) async fn mark(
        &self,
        name: &str,
        table: TableRef,
        deadline: Instant,
    ) -> Result<Marked, Failed> {
        let key = self.layout.table(name);
        let is_there = Compare::create_revision(key, CompareOp::Equal, table.created);
        let put = TxnOp::put(self.layout.sweep(table.id), "", None);
        let txn = Txn::new().when([is_there]).and_then([put]);
        let answer = self.link.txn(deadline, &txn).await?;
        let revision = super::revision_of(answer.header());
        Ok(if answer.succeeded() { Marked::At(revision) } else { Marked::Moved })
    }
}

/// How much of the past is read at once, in bytes of keys and values.
const MOST_BYTES: usize = 4 * 1024 * 1024;
const AGAIN: Duration = Duration::from_millis(50);
