//! Removes what dropped tables and front ends that are gone have left.
//!
//! Next file to read: [`super::history`].

use std::ops::Bound;
use std::sync::atomic::Ordering;
use std::time::Duration;

use etcd_client::{Compare, CompareOp, DeleteOptions, GetOptions, Txn, TxnOp};
use tracing::{info, warn};

use super::term::{Halt, Left, Room, Term};

impl Term {
    /// Removes some records of a table that was dropped.
    pub(super) async fn clear(&self) -> Result<Left, Halt> {
        let layout = &self.parts.layout;
        let garbages = layout.garbages();
        let options = GetOptions::new().with_range(garbages.end).with_keys_only().with_limit(1);
        let found = self.read(vec![TxnOp::get(garbages.start, Some(options))]).await?;
        let Some(kv) = found.into_iter().flatten().next() else { return Ok(Left::None) };
        let Some(id) = layout.garbage_of(kv.key()) else {
            warn!("what names a dropped table was not written by this version, and is removed");
            self.txn(vec![TxnOp::delete(kv.key(), None)]).await?;
            return Ok(Left::Some);
        };

        let records = layout.records(id, Bound::Unbounded, Bound::Unbounded);
        let options = GetOptions::new().with_range(records.end).with_keys_only().with_limit(PAGE);
        let page = self.read(vec![TxnOp::get(records.start.clone(), Some(options))]).await?;
        let page: Vec<_> = page.into_iter().flatten().collect();
        let Some(last) = page.last() else {
            let data = layout.data(id);
            let all = DeleteOptions::new().with_range(data.end);
            let ops = [TxnOp::delete(data.start, Some(all)), TxnOp::delete(kv.key(), None)];
            self.txn(ops.into()).await?;
            info!("the records of a dropped table are removed");
            return Ok(Left::Some);
        };
        let behind = [last.key(), &[0]].concat();
        let ops = |room| {
            let page = DeleteOptions::new().with_range(behind.as_slice());
            let deletes = TxnOp::delete(records.start.as_slice(), Some(page));
            // For whoever watched the table and has not seen yet that it is gone: these are no changes.
            let mark = (room == Room::Some).then(|| TxnOp::put(layout.sweep(id), "", None));
            std::iter::once(deletes).chain(mark).collect()
        };
        self.free(ops).await?;
        self.counts.cleared.fetch_add(page.len() as u64, Ordering::Relaxed);
        Ok(Left::Some)
    }

    /// Removes the slots of front ends that are gone, and have written nothing since a revision.
    pub(super) async fn forget_front_ends(&self, then: i64) -> Result<(), Halt> {
        let layout = &self.parts.layout;
        let slots = layout.slots();
        let options = GetOptions::new().with_range(slots.end).with_keys_only();
        let found = self.read(vec![TxnOp::get(slots.start, Some(options))]).await?;
        let old = found.into_iter().flatten().filter(|kv| kv.mod_revision() <= then);
        let ops = old.filter_map(|kv| {
            let presence = layout.presence(layout.slot_of(kv.key())?);
            let is_old = Compare::mod_revision(kv.key(), CompareOp::Equal, kv.mod_revision());
            let is_gone = Compare::create_revision(presence, CompareOp::Equal, 0);
            let delete = TxnOp::delete(kv.key(), None);
            Some(TxnOp::txn(Txn::new().when([is_old, is_gone]).and_then([delete])))
        });
        let ops: Vec<_> = ops.take(MOST_SLOTS).collect();
        if !ops.is_empty() {
            self.txn(ops).await?;
        }
        Ok(())
    }

    /// Removes some receipts that nobody can ask for any more.
    pub(super) async fn forget_receipts(&mut self) -> Result<Left, Halt> {
        let Some(then) = self.receipts_until else { return Ok(Left::None) };
        let receipts = self.parts.layout.receipts_until(then);
        let options = GetOptions::new().with_range(receipts.end).with_keys_only().with_limit(PAGE);
        let page = self.read(vec![TxnOp::get(receipts.start.clone(), Some(options))]).await?;
        let Some(last) = page.into_iter().flatten().last() else {
            self.receipts_until = None;
            return Ok(Left::None);
        };
        let page = DeleteOptions::new().with_range([last.key(), &[0]].concat());
        self.txn(vec![TxnOp::delete(receipts.start, Some(page))]).await?;
        Ok(Left::Some)
    }
}

/// Records of a dropped table, or receipts, that are removed at once.
const PAGE: i64 = 512;
const MOST_SLOTS: usize = 64;
/// How long slots of front ends that are gone, and receipts, are kept.
pub(super) const KEPT: Duration = Duration::from_secs(24 * 3600);
