//! Making sure that a follower has seen everything that was answered before.
//!
//! A watch that is silent may be late. Each group of writes, of whichever front end, moves that
//! front end's slot: if no slot has moved behind what the follower has seen, nothing is missing.
//! Else some table was written to, perhaps this one, and a mark tells once it comes. Next file to
//! read: `task`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use etcd_client::{GetOptions, GetResponse, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse};
use tokio::time::{Instant, timeout, timeout_at};

use super::super::directory::TableRef;
use super::super::error::Fault;
use super::super::layout::TableEntry;
use super::super::link::Failed;
use super::catch_up::Marked;
use super::follower::Follower;
use super::{Shared, revision_of};
use crate::engine::EngineError;

/// How a table's name stands in etcd.
pub(super) struct Now {
    pub(super) found: Option<TableRef>,
    /// When that was.
    pub(super) revision: u64,
    /// No table was written to later.
    written: u64,
}

impl Shared {
    /// Waits until the follower has seen all that was answered before this was called. Those who
    /// call it together ask etcd once.
    pub(super) async fn make_sure(
        &self,
        follower: &Follower,
        deadline: Instant,
    ) -> Result<(), EngineError> {
        let begun = follower.begun.load(Ordering::SeqCst);
        let turn = timeout_at(deadline, follower.making_sure.lock()).await;
        let _turn = turn.map_err(|_| late(follower))?;
        // It was begun after the call, and it has ended.
        if follower.sure.load(Ordering::SeqCst) > begun {
            return Ok(());
        }
        let mine = follower.begun.fetch_add(1, Ordering::SeqCst) + 1;
        self.see_all(follower, deadline).await?;
        follower.sure.store(mine, Ordering::SeqCst);
        Ok(())
    }

    async fn see_all(&self, follower: &Follower, deadline: Instant) -> Result<(), EngineError> {
        loop {
            let Now { found, revision, written } =
                self.now(&follower.name, deadline).await.map_err(|failed| failed.fault)?;
            follower.reached(revision);
            let knows = |table| follower.when(move |state| state.is(table).then_some(()));
            let sees = |until| {
                follower
                    .when(move |state| (!state.is(found) || state.seen() >= until).then_some(()))
            };
            if timeout(Duration::ZERO, knows(found)).await.is_err() {
                follower.look.notify_one();
                // It may be another again by then.
                let seen = follower
                    .when(|state| (state.is(found) || state.seen() >= revision).then_some(()));
                timeout_at(deadline, seen).await.map_err(|_| late(follower))?;
                continue;
            }
            let Some(table) = found else { return Ok(()) };
            // What was just written is usually on its way.
            if timeout(ON_ITS_WAY, sees(written)).await.is_ok() {
                if follower.state().is(found) {
                    return Ok(());
                }
                continue;
            }
            match self.mark(&follower.name, table, deadline).await {
                Ok(Marked::At(mark)) => {
                    timeout_at(deadline, sees(mark)).await.map_err(|_| late(follower))?;
                }
                Ok(Marked::Moved) => {}
                // It takes no marks: what has not come by then is told when it comes.
                Err(Failed { fault: Fault::SpaceAlarm, .. }) => {
                    let _ = timeout(NO_MARK, sees(written)).await;
                    return Ok(());
                }
                Err(Failed { fault, .. }) => return Err(fault.into()),
            }
        }
    }

    /// How a name stands now.
    pub(super) async fn now(&self, name: &str, deadline: Instant) -> Result<Now, Failed> {
        let slots = self.layout.slots();
        let newest = GetOptions::new()
            .with_range(slots.end)
            .with_keys_only()
            .with_sort(SortTarget::Mod, SortOrder::Descend)
            .with_limit(1);
        let table = TxnOp::get(self.layout.table(name), None);
        let txn = Txn::new().and_then([table, TxnOp::get(slots.start, Some(newest))]);
        let answer = self.link.txn(deadline, &txn).await?;
        let mut gets = answer.op_responses().into_iter().filter_map(|response| match response {
            TxnOpResponse::Get(get) => Some(get),
            TxnOpResponse::Put(_) | TxnOpResponse::Delete(_) | TxnOpResponse::Txn(_) => None,
        });
        let first = |get: Option<GetResponse>| get.and_then(|mut get| get.take_kvs().pop());
        let (table, slot) = (first(gets.next()), first(gets.next()));
        let found = match table {
            None => None,
            Some(kv) => {
                let entry = TableEntry::parse(kv.value()).ok_or_else(|| Failed {
                    fault: Fault::Other {
                        endpoint: "etcd".to_owned(),
                        cause: format!("what stands at the table {name} is of another version"),
                    },
                    in_doubt: false,
                })?;
                Some(TableRef { id: entry.id, created: kv.create_revision() })
            }
        };
        let written = slot.and_then(|slot| u64::try_from(slot.mod_revision()).ok());
        let revision = revision_of(answer.header());
        Ok(Now { found, revision, written: written.unwrap_or_default() })
    }
}

fn late(follower: &Follower) -> EngineError {
    let reason = follower.failure().unwrap_or_else(|| "a watch of etcd is late".to_owned());
    EngineError::Unavailable { reason }
}

const ON_ITS_WAY: Duration = Duration::from_millis(10);
const NO_MARK: Duration = Duration::from_millis(200);
