//! How far the past is kept.
//!
//! Each minute the caretaker writes down how far the store is: a revision that was reached by that
//! time. What is older than the limit is compacted away, and nothing that is younger.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use etcd_client::{DeleteOptions, GetOptions, SortOrder, SortTarget, TxnOp};
use kvsd::UnixMillis;
use tracing::debug;

use super::super::error::Fault;
use super::super::layout::number;
use super::super::link::{Ask, Door};
use super::term::{Halt, Term};

impl Term {
    /// Writes down how far the store is now, and forgets what is known of long ago.
    pub(super) async fn note_moment(&self) -> Result<(), Halt> {
        let layout = &self.parts.layout;
        let reached = self.txn(vec![TxnOp::get(layout.election(), None)]).await?;
        let revision = reached.header().map_or(0, etcd_client::ResponseHeader::revision);
        // Read after the answer: all up to the revision was written before.
        let now = self.parts.clock.now();
        let revision = u64::try_from(revision).unwrap_or_default();
        let put = TxnOp::put(layout.moment(now), revision.to_be_bytes(), None);
        let mut ops = vec![put];
        let kept = self.parts.history.unwrap_or_default().max(MOMENT_LIFE);
        if let Some(before) = earlier(now, kept) {
            let until = DeleteOptions::new().with_range(layout.moment(before));
            ops.push(TxnOp::delete(layout.moments().start, Some(until)));
        }
        self.txn(ops).await?;
        Ok(())
    }

    /// Compacts what is older than the limit.
    pub(super) async fn compact(&mut self) -> Result<(), Halt> {
        let Some(history) = self.parts.history else { return Ok(()) };
        let Some(revision) = self.revision_before(history).await? else { return Ok(()) };
        if revision <= self.compacted {
            return Ok(());
        }
        self.check()?;
        let compact = |door: Arc<Door>| async move { door.kv().compact(revision, None).await };
        match self.parts.link.call(self.deadline(), Ask::Led, compact).await {
            Ok(_) => {
                self.counts.compactions.fetch_add(1, Ordering::Relaxed);
                debug!(revision, "history is compacted");
            }
            // By an attempt whose answer was lost, or by etcd's own settings.
            Err(failed) if failed.fault == Fault::Compacted => {}
            Err(failed) => return Err(failed.into()),
        }
        self.compacted = revision;
        Ok(())
    }

    /// The last revision that is known to be older than this.
    pub(super) async fn revision_before(&self, age: Duration) -> Result<Option<i64>, Halt> {
        let layout = &self.parts.layout;
        let Some(then) = earlier(self.parts.clock.now(), age) else { return Ok(None) };
        let behind = [layout.moment(then), vec![0]].concat();
        let newest = GetOptions::new()
            .with_range(behind)
            .with_sort(SortTarget::Key, SortOrder::Descend)
            .with_limit(1);
        let found = self.read(vec![TxnOp::get(layout.moments().start, Some(newest))]).await?;
        let revision = found.into_iter().flatten().next().and_then(|kv| number(kv.value()));
        Ok(revision.and_then(|revision| i64::try_from(revision).ok()))
    }
}

fn earlier(now: UnixMillis, age: Duration) -> Option<UnixMillis> {
    let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    now.get().checked_sub(age).and_then(UnixMillis::new)
}

/// How long moments are kept at least: slots of front ends go by them.
const MOMENT_LIFE: Duration = Duration::from_secs(25 * 3600);
