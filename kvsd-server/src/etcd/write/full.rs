//! Deletes while the store is full.
//!
//! etcd then refuses every transaction that puts something, and so every group, which moves the slot.
//! Deletes alone it carries out. So a write that only deletes is sent by itself, bound to the records
//! that it deletes: that is done at most once as well, for no record ever gets its revision again.
//! What the slot gives beyond that is to know afterwards who has done it. Next file to read: `task`.

use bytes::Bytes;
use etcd_client::{Compare, CompareOp, Txn};
use kvsd::{TableName, UnixMillis};
use tokio::time::Instant;

use super::super::error::Fault;
use super::plan::{self, Place, Plan, Scope};
use super::prepare::Parts;
use super::txn::{Guard, Reply, Step, Stood, gets, told};
use crate::engine::{Action, EngineError, Freshness, Write, WriteResult};

/// Whether a write can do no more than delete.
pub(super) fn only_deletes(write: &Write) -> bool {
    write.changes.iter().all(|change| match change.action {
        Action::Delete | Action::Check => true,
        Action::Set { .. } | Action::Increment { .. } | Action::Expire { .. } => false,
    })
}

/// Carries out a write that only deletes.
pub(super) async fn delete(
    parts: &Parts,
    table: &TableName,
    write: &Write,
    until: Instant,
) -> WriteResult {
    let known = parts.directory.look(table.as_str(), Freshness::Latest).await;
    let known = known.map_err(|failed| failed.fault)?;
    let now = parts.config.clock.now();
    let Some(known) = known else {
        let plan = plan_of(parts, table, 0, write, &plan::nothing_seen(write), now);
        return plan.result(write, &[], 0);
    };
    let key = |change: &crate::engine::Change| parts.layout.record(known.id, &change.key).into();
    let keys: Vec<Bytes> = write.changes.iter().map(key).collect();
    let looked = parts.link.txn(until, &Txn::new().and_then(gets(&keys))).await;
    let seen = told(looked.map_err(|failed| failed.fault)?.0);
    let seen = seen.filter(|seen| seen.len() == keys.len()).ok_or_else(unreadable)?;
    let plan = plan_of(parts, table, known.id, write, &seen, now);
    let table_key = parts.layout.table(table.as_str());
    let is_same = Compare::create_revision(table_key, CompareOp::Equal, known.created);
    let compares = std::iter::once(is_same).chain(plan.nested.guards.iter().map(Guard::compare));
    let nested = plan.nested.txn_when(compares.collect());
    match parts.link.txn(until, &nested).await {
        Ok(response) => {
            let response = response.0;
            let revision = response.header.as_ref().map_or(0, |header| header.revision);
            match plan.nested.reply(response).ok_or_else(unreadable)? {
                Reply::Done(told) => plan.result(write, &told, revision),
                Reply::Else(now) => Err(moved(&plan, &now)),
            }
        }
        // Older versions of etcd delete, and then say that there is no room.
        Err(failed) if failed.in_doubt || failed.fault == Fault::SpaceAlarm => {
            Err(EngineError::UnknownOutcome { cause: failed.fault.to_string() })
        }
        Err(failed) => Err(failed.fault.into()),
    }
}

fn plan_of(
    parts: &Parts,
    table: &TableName,
    id: u64,
    write: &Write,
    seen: &plan::Seen,
    now: UnixMillis,
) -> Plan {
    let place = Place { layout: &parts.layout, table, id, now, hint: 0 };
    Plan::new(write, seen, Scope::All, &place)
}

/// Something else stands there. If all that was to be deleted still does, it was not deleted.
fn moved(plan: &Plan, now: &[Option<Stood>]) -> EngineError {
    let stands = |guard: &Guard, now: &Option<Stood>| {
        now.as_ref().is_some_and(|now| now.revision == guard.revision)
    };
    let deleted = |guard: &Guard| {
        let is_it = |step: &Step| matches!(step, Step::Delete { key, .. } if *key == guard.key);
        plan.nested.steps.iter().any(is_it)
    };
    let mut to_delete = plan.nested.guards.iter().zip(now).filter(|(guard, _)| deleted(guard));
    if to_delete.all(|(guard, now)| stands(guard, now)) {
        return EngineError::Unavailable { reason: "another write came in between".to_owned() };
    }
    EngineError::UnknownOutcome {
        cause: "while the store is full, it cannot be told who has deleted a record".to_owned(),
    }
}

fn unreadable() -> EngineError {
    EngineError::UnknownOutcome { cause: "etcd's answer is none to what was asked".to_owned() }
}
