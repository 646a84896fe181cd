//! Removes records that have ended.
//!
//! Hints say where to look; what stands there says whether it has ended. Each write that gives a
//! record an end files a hint of its own, so one whose records end later, or are gone, is forgotten.
//! A record is removed only as it was seen; if it was written to meanwhile, its hint stays and is
//! looked at again. Next file to read: [`super::garbage`].

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, Txn, TxnOp, TxnOpResponse};
use tracing::warn;

use super::super::layout::{Hint, StoredRecord};
use super::term::{Halt, Left, Term};

/// A hint and where it stands.
struct Due {
    key: Vec<u8>,
    hint: Hint,
}

impl Term {
    /// Looks at the hints that are due, at most some of them.
    pub(super) async fn sweep(&self) -> Result<Left, Halt> {
        let layout = &self.parts.layout;
        let now = self.parts.clock.now();
        let range = layout.hints_until(now);
        let options = GetOptions::new().with_range(range.end).with_limit(MOST_HINTS);
        let found = self.read(vec![TxnOp::get(range.start, Some(options))]).await?;
        let Some(found) = found.into_iter().next() else { return Ok(Left::None) };
        if found.is_empty() {
            return Ok(Left::None);
        }
        let (mut due, mut foreign, mut records) = (Vec::new(), Vec::new(), 0);
        for kv in found {
            let (key, value) = kv.into_key_value();
            match Hint::parse(&value).filter(|hint| hint.keys.len() <= MOST_RECORDS) {
                Some(hint) if records + hint.keys.len() > MOST_RECORDS => break,
                Some(hint) => {
                    records += hint.keys.len();
                    due.push(Due { key, hint });
                }
                None => {
                    warn!("a hint of expiry was not written by this version, and is removed");
                    foreign.push(TxnOp::delete(key, None));
                }
            }
        }
        let gets = due.iter().flat_map(|due| {
            due.hint.keys.iter().map(|key| TxnOp::get(layout.record(due.hint.id, key), None))
        });
        let gets: Vec<_> = gets.collect();
        let seen = if gets.is_empty() { Vec::new() } else { self.read(gets).await? };
        let mut seen = seen.into_iter().map(|mut found| found.pop());

        let mut ops = foreign;
        let (mut marks, mut removed) = (BTreeSet::new(), Vec::new());
        for Due { key, hint } in due {
            let records = seen.by_ref().take(hint.keys.len()).flatten();
            let ended: Vec<KeyValue> = records
                .filter(|kv| {
                    let record = StoredRecord::parse(kv.value().to_vec());
                    record.is_some_and(|record| record.has_ended(now))
                })
                .collect();
            if !ended.is_empty() {
                marks.insert(hint.id);
            }
            let as_seen = ended
                .iter()
                .map(|kv| Compare::mod_revision(kv.key(), CompareOp::Equal, kv.mod_revision()));
            let deletes = ended.iter().map(|kv| TxnOp::delete(kv.key(), None));
            let done = deletes.chain([TxnOp::delete(key, None)]);
            let txn =
                Txn::new().when(as_seen.collect::<Vec<_>>()).and_then(done.collect::<Vec<_>>());
            ops.push(TxnOp::txn(txn));
            removed.push((ended.len() as u64, ops.len() - 1));
        }
        ops.extend(marks.into_iter().map(|id| TxnOp::put(layout.sweep(id), "", None)));
        let done: Vec<_> = self.txn(ops).await?.op_responses();
        let count = removed.into_iter().filter(
            |(_, at)| matches!(done.get(*at), Some(TxnOpResponse::Txn(txn)) if txn.succeeded()),
        );
        self.counts.swept.fetch_add(count.map(|(records, _)| records).sum(), Ordering::Relaxed);
        Ok(Left::Some)
    }

    /// What some gets find.
    pub(super) async fn read(&self, gets: Vec<TxnOp>) -> Result<Vec<Vec<KeyValue>>, Halt> {
        let txn = Txn::new().and_then(gets);
        let answer = self.parts.link.txn(self.deadline(), &txn).await?;
        let found = answer.op_responses().into_iter().filter_map(|response| match response {
            TxnOpResponse::Get(mut get) => Some(get.take_kvs()),
            TxnOpResponse::Put(_) | TxnOpResponse::Delete(_) | TxnOpResponse::Txn(_) => None,
        });
        Ok(found.collect())
    }
}

/// The most records that are looked at together: those of one write, at least.
const MOST_RECORDS: usize = 64;
/// The most hints: etcd takes 128 operations in both lists of a nested transaction together.
const MOST_HINTS: i64 = 24;
