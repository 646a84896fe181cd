//! From writes to a group: which tables they go to, and a look at the records that they depend on.
//!
//! It only reads. What it sees may be old when the group is sent; the group is bound to it. Next file
//! to read: `task`.

use std::sync::Arc;

use bytes::Bytes;
use etcd_client::{GetOptions, Txn, TxnOp};
use tokio::time::{Instant, timeout_at};

use super::super::directory::Directory;
use super::super::layout::Layout;
use super::super::link::Link;
use super::WriterConfig;
use super::group::{Group, GroupTable, Member};
use super::plan::{self, Place, Plan, Scope};
use super::queue::Pending;
use super::slot::GroupId;
use super::txn::{Stood, gets, told_kvs};
use crate::engine::{EngineError, Freshness};

/// What the writer works with.
pub(super) struct Parts {
    pub(super) link: Arc<Link>,
    pub(super) layout: Layout,
    pub(super) directory: Arc<Directory>,
    pub(super) config: WriterConfig,
}

/// Writes that did not become a group: nothing was done.
pub(super) struct Unready {
    pub(super) members: Vec<Pending>,
    pub(super) error: EngineError,
}

/// Makes a group of these writes, or of the first of them: those that do not fit come back.
pub(super) async fn prepare(
    parts: &Parts,
    mut members: Vec<Pending>,
    id: GroupId,
    until: Instant,
) -> Result<(Group, Vec<Pending>), Unready> {
    let looked = async {
        let tables = tables(parts, &members).await?;
        let count = look(parts, &tables, &mut members, until).await?;
        Ok((tables, count))
    };
    match timeout_at(until, looked).await.unwrap_or_else(|_| Err(in_time())) {
        Ok((tables, count)) => {
            Ok(plan(parts, Group { id, tables, members: Vec::new() }, members, count))
        }
        Err(error) => Err(Unready { members, error }),
    }
}

/// The tables that the writes go to.
async fn tables(parts: &Parts, members: &[Pending]) -> Result<Vec<GroupTable>, EngineError> {
    let mut tables: Vec<GroupTable> = Vec::new();
    for member in members {
        if tables.iter().any(|table| table.name == member.table) {
            continue;
        }
        let known = parts.directory.find(member.table.as_str(), Freshness::Latest).await;
        let known = known.map_err(|failed| EngineError::from(failed.fault))?;
        let id = match known {
            Some(known) => known.id,
            None => getrandom::u64().map_err(|error| EngineError::Unavailable {
                reason: format!("the system has no random number for a new table: {error}"),
            })?,
        };
        tables.push(GroupTable { name: member.table.clone(), known, id, is_made: false });
    }
    Ok(tables)
}

/// Looks at the records that the writes depend on, all at one revision, and counts the tables if
/// there may be one more.
async fn look(
    parts: &Parts,
    tables: &[GroupTable],
    members: &mut [Pending],
    until: Instant,
) -> Result<usize, EngineError> {
    let mut keys: Vec<Bytes> = Vec::new();
    let mut lookers = Vec::new();
    for member in members.iter_mut() {
        let Some(known) = table_of(tables, member).and_then(|table| table.known) else { continue };
        if member.seen.as_ref().is_some_and(|(id, _)| *id == known.id) {
            continue;
        }
        member.seen = None;
        if plan::needs_look(&member.write) {
            let needed = member.write.changes.iter().filter(|change| plan::depends(change));
            keys.extend(needed.map(|one| Bytes::from(parts.layout.record(known.id, &one.key))));
            lookers.push((known.id, member));
        }
    }
    let counts = tables.iter().any(|table| table.known.is_none());
    if keys.is_empty() && !counts {
        return Ok(0);
    }
    let mut gets = gets(&keys);
    if counts {
        let all = parts.layout.tables();
        let options = GetOptions::new().with_range(all.end).with_count_only();
        gets.push(TxnOp::get(all.start, Some(options)));
    }
    let answer = parts.link.txn(until, &Txn::new().and_then(gets)).await;
    let mut response = answer.map_err(|failed| EngineError::from(failed.fault))?.0;
    let count = match response.responses.pop_if(|_| counts).and_then(|last| last.response) {
        Some(etcd_client::proto::PbTxnOpResponse::ResponseRange(range)) => range.count,
        Some(_) | None => 0,
    };
    let told = told_kvs(response).filter(|told| told.len() == keys.len());
    let mut told = told.ok_or_else(unreadable)?.into_iter().map(|kv| kv.map(Stood::of));
    for (id, member) in lookers {
        let mut next = |change| if plan::depends(change) { told.next().flatten() } else { None };
        let seen = member.write.changes.iter().map(&mut next).collect();
        member.seen = Some((id, seen));
    }
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// Plans each write, on what was seen.
fn plan(
    parts: &Parts,
    mut group: Group,
    members: Vec<Pending>,
    tables_there: usize,
) -> (Group, Vec<Pending>) {
    let now = parts.config.clock.now();
    let limit = parts.config.max_tables;
    let mut made = 0;
    for (number, pending) in (0..).zip(members) {
        let Some(table) = group.tables.iter_mut().find(|table| table.name == pending.table) else {
            continue;
        };
        let place = Place {
            layout: &parts.layout,
            table: &pending.table,
            id: table.id,
            now,
            hint: hint(group.id, number),
        };
        let seen = pending.seen.as_ref().filter(|_| table.known.is_some());
        let nothing = plan::nothing_seen(&pending.write);
        let scope = if table.known.is_some() { Scope::Needed } else { Scope::All };
        let seen = seen.map_or(&nothing, |(_, seen)| seen);
        let mut plan = Plan::new(&pending.write, seen, scope, &place);
        if table.known.is_none() && !table.is_made && plan.puts() {
            if tables_there.saturating_add(made) < limit {
                (table.is_made, made) = (true, made + 1);
            } else {
                plan.refuse(EngineError::TooManyTables { limit });
            }
        }
        group.members.push(Member { pending, plan });
    }
    let rest = group.members.split_off(group.fitting());
    for table in &mut group.tables {
        let makes = |one: &Member| one.pending.table == table.name && one.plan.puts();
        table.is_made &= group.members.iter().any(makes);
    }
    group.keep_order();
    (group, rest.into_iter().map(|member| member.pending).collect())
}

fn table_of<'t>(tables: &'t [GroupTable], member: &Pending) -> Option<&'t GroupTable> {
    tables.iter().find(|table| table.name == member.table)
}

/// What no other hint is called; a group has fewer than 64 members.
fn hint(group: GroupId, member: u64) -> u64 {
    let (count, random) = group.split_at(8);
    let number = |half: &[u8]| half.try_into().map_or(0, u64::from_be_bytes);
    (number(count) ^ number(random)).wrapping_mul(64).wrapping_add(member)
}

fn in_time() -> EngineError {
    EngineError::Unavailable { reason: "etcd did not answer in time".to_owned() }
}

fn unreadable() -> EngineError {
    EngineError::Unavailable { reason: "etcd's answer is none to what was asked".to_owned() }
}
