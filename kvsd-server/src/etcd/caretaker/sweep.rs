//! Removes records that have ended.
//!
//! Hints say where to look; what stands there says whether it has ended. Each write that gives a
//! record an end files a hint of its own, so one whose records end later, or are gone, is forgotten;
//! those of its records whose turn comes later are filed anew. A record is removed only as it was
//! seen; if it was written to meanwhile, its hint stays and is looked at again. Next file to read:
//! [`super::garbage`].

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, Txn, TxnOp, TxnOpResponse};
use kvsd::UnixMillis;
use tracing::warn;

use super::super::layout::{Hint, Layout, StoredRecord};
use super::term::{Halt, Left, Room, Term};

/// A hint whose time has come.
struct Due {
    /// Where it stands.
    key: Vec<u8>,
    id: u64,
    /// The users' keys that are to be looked at.
    keys: Vec<Bytes>,
    /// The others, and where they are filed anew.
    later: Option<(Vec<u8>, Hint)>,
    /// What has ended.
    ended: Vec<KeyValue>,
}

impl Due {
    fn of(layout: &Layout, key: Vec<u8>, hint: Hint, now: UnixMillis) -> Self {
        let (due, later): (Vec<_>, Vec<_>) =
            hint.keys.into_iter().partition(|(end, _)| *end <= now);
        let later = Hint { id: hint.id, keys: later };
        let place = layout.hint_of(&key).zip(later.first_bucket());
        let later = place.map(|(random, bucket)| (layout.hint(bucket, random), later));
        let keys = due.into_iter().map(|(_, key)| key).collect();
        Self { key, id: hint.id, keys, later, ended: Vec::new() }
    }

    /// Removes what has ended as it was seen, and the hint.
    fn txn(&self, room: Room) -> Txn {
        let as_seen = self
            .ended
            .iter()
            .map(|kv| Compare::mod_revision(kv.key(), CompareOp::Equal, kv.mod_revision()));
        let mut done: Vec<_> = self.ended.iter().map(|kv| TxnOp::delete(kv.key(), None)).collect();
        match (&self.later, room) {
            (Some(_), Room::None) => {}
            (Some((key, hint)), Room::Some) => {
                done.push(TxnOp::put(key.as_slice(), hint.encode(), None));
                done.push(TxnOp::delete(self.key.as_slice(), None));
            }
            (None, _) => done.push(TxnOp::delete(self.key.as_slice(), None)),
        }
        Txn::new().when(as_seen.collect::<Vec<_>>()).and_then(done)
    }
}

impl Term {
    /// Looks at the hints that are due, at most some of them. While etcd takes no more than deletes,
    /// each is looked at once until [`Term::sweep_all_again`] is called: those that would have to be
    /// filed anew stay, and must not hold up the others.
    pub(super) async fn sweep(&mut self) -> Result<Left, Halt> {
        let layout = &self.parts.layout;
        let now = self.parts.clock.now();
        let range = layout.hints_until(now);
        let options = GetOptions::new().with_range(range.end).with_limit(MOST_HINTS);
        let start = self.sweep_from.clone().unwrap_or(range.start);
        let found = self.read(vec![TxnOp::get(start, Some(options))]).await?;
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
                    due.push(Due::of(layout, key, hint, now));
                }
                None => {
                    warn!("a hint of expiry was not written by this version, and is removed");
                    foreign.push(key);
                }
            }
        }
        let gets = due.iter().flat_map(|due| {
            due.keys.iter().map(|key| TxnOp::get(layout.record(due.id, key), None))
        });
        let gets: Vec<_> = gets.collect();
        let seen = if gets.is_empty() { Vec::new() } else { self.read(gets).await? };
        let mut seen = seen.into_iter().map(|mut found| found.pop());
        let has_ended = |kv: &KeyValue| {
            let record = StoredRecord::parse(kv.value().to_vec());
            record.is_some_and(|record| record.has_ended(now))
        };
        for due in &mut due {
            due.ended = seen.by_ref().take(due.keys.len()).flatten().filter(has_ended).collect();
        }
        let marks: BTreeSet<_> =
            due.iter().filter(|due| !due.ended.is_empty()).map(|due| due.id).collect();
        let ops = |room| {
            let foreign = foreign.iter().map(|key| TxnOp::delete(key.as_slice(), None));
            let marks = marks.iter().filter(|_| room == Room::Some);
            let marks = marks.map(|id| TxnOp::put(layout.sweep(*id), "", None));
            foreign.chain(due.iter().map(|due| TxnOp::txn(due.txn(room)))).chain(marks).collect()
        };
        let (done, room) = self.free(ops).await?;
        let done = done.op_responses().into_iter().skip(foreign.len());
        let count = due.iter().zip(done).filter_map(|(due, done)| match done {
            TxnOpResponse::Txn(txn) if txn.succeeded() => Some(due.ended.len() as u64),
            _ => None,
        });
        self.counts.swept.fetch_add(count.sum(), Ordering::Relaxed);
        if room == Room::None {
            let last = due.iter().map(|due| &due.key).chain(&foreign).max();
            self.sweep_from = last.map(|key| [key.as_slice(), &[0]].concat());
        }
        Ok(Left::Some)
    }

    /// Looks at all hints again that are due.
    pub(super) fn sweep_all_again(&mut self) {
        self.sweep_from = None;
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
