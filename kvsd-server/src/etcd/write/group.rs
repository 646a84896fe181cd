//! Which writes go into one transaction, and that transaction. No I/O.
//!
//! The outer transaction is bound to the slot and to the tables; it moves the slot, makes tables, and
//! holds one transaction for each write, which may do nothing on its own. etcd takes so many
//! operations in a list, those of the list around it included.
//!
//! Writes of one task to one table keep their order. So each is bound to what those before it in the
//! group are bound to as well: if one of them has to be planned again, none of the later ones is
//! carried out before it. Next file to read: `slot`.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use etcd_client::proto::{PbTxnOpResponse, PbTxnResponse};
use etcd_client::{Compare, CompareOp, Txn, TxnOp};
use kvsd::TableName;

use super::super::directory::TableRef;
use super::super::layout::{Layout, TableEntry};
use super::plan::{self, Plan};
use super::queue::Pending;
use super::slot::GroupId;
use super::txn::{Guard, Reply, Snapshot, Stood};

/// Writes that are sent together.
pub(super) struct Group {
    pub(super) id: GroupId,
    pub(super) tables: Vec<GroupTable>,
    pub(super) members: Vec<Member>,
}

/// A table of a group's.
pub(super) struct GroupTable {
    pub(super) name: TableName,
    /// What it was when it was looked at; `None`: there was none.
    pub(super) known: Option<TableRef>,
    pub(super) id: u64,
    /// Whether the group makes it.
    pub(super) is_made: bool,
}

/// A write of a group's.
pub(super) struct Member {
    pub(super) pending: Pending,
    pub(super) plan: Plan,
}

/// What etcd has answered.
pub(super) enum Answer {
    /// The group was carried out.
    Applied { revision: i64, replies: Vec<Reply> },
    /// Nothing was done now: what stands in the slot, and at the tables' keys.
    Else { slot: Option<Stood>, tables: Vec<Option<TableRef>> },
}

/// Which of the writes that wait make the next group: as many as fit, at most `most`, each key once.
/// What does not fit now keeps its place before all that is handed in after it, and holds back what
/// its task wants of the table later.
pub(super) fn choose(waiting: &VecDeque<Pending>, most: usize) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::new();
    let mut held_back: Vec<&Pending> = Vec::new();
    let mut keys: HashSet<(&str, &[u8])> = HashSet::new();
    let mut tables: HashSet<&str> = HashSet::new();
    let (mut changes, mut bytes, mut operations) = (0, 0, 0);
    for (place, pending) in waiting.iter().enumerate().take(MOST_LOOKED_AT) {
        let table = pending.table.as_str();
        let own_keys = || pending.write.changes.iter().map(|change| (table, &*change.key));
        let size = pending.write.changes.len();
        if chosen.len() == most.min(MOST_WRITES) {
            break;
        }
        if !chosen.is_empty()
            && (changes + size > MOST_CHANGES || bytes + pending.bytes > MOST_BYTES)
        {
            break;
        }
        if held_back.iter().any(|held| pending.follows(held)) {
            continue;
        }
        let before = chosen.iter().filter_map(|place| waiting.get(*place));
        let bound = before.filter(|before| pending.follows(before)).map(guards).sum::<usize>();
        let is_bound = bound > 0;
        let nested = (bound + guards(pending)).max(size + 1);
        let tables_then = tables.len() + usize::from(!tables.contains(table));
        let lists = 2 + chosen.len() + 2 * tables_then;
        if (is_bound && bound + guards(pending) > MOST_GUARDS)
            || own_keys().any(|key| keys.contains(&key))
            || (!chosen.is_empty() && lists + nested.max(operations) > MOST_OPERATIONS)
        {
            held_back.push(pending);
            continue;
        }
        keys.extend(own_keys());
        tables.insert(table);
        (changes, bytes) = (changes + size, bytes + pending.bytes);
        operations = operations.max(nested);
        chosen.push(place);
    }
    chosen
}

/// How many of a write's keys it is bound to.
fn guards(pending: &Pending) -> usize {
    pending.write.changes.iter().filter(|change| plan::depends(change)).count()
}

/// Takes the chosen ones out.
pub(super) fn take(waiting: &mut VecDeque<Pending>, chosen: &[usize]) -> Vec<Pending> {
    let mut taken: Vec<_> =
        chosen.iter().rev().filter_map(|place| waiting.remove(*place)).collect();
    taken.reverse();
    taken
}

impl Group {
    /// Binds each write to what those that it follows are bound to.
    pub(super) fn keep_order(&mut self) {
        for at in 1..self.members.len() {
            let (before, rest) = self.members.split_at_mut(at);
            let Some(member) = rest.first_mut() else { break };
            let inherited = before.iter().filter(|one| member.pending.follows(&one.pending));
            let inherited: Vec<Guard> =
                inherited.flat_map(|one| one.plan.own_guards()).cloned().collect();
            member.plan.bind(inherited);
        }
    }

    /// How many of the first members fit into a request: at least one.
    pub(super) fn fitting(&self) -> usize {
        let mut bytes = 0;
        let fits = |member: &&Member| {
            bytes += member.plan.nested.bytes();
            bytes <= MOST_REQUEST_BYTES
        };
        self.members.iter().take_while(fits).count().max(1)
    }

    /// The transaction, bound to where the slot is.
    pub(super) fn txn(&self, layout: &Layout, slot: &Guard) -> Txn {
        let key = |table: &GroupTable| layout.table(table.name.as_str());
        let is_same = |table: &GroupTable| {
            let created = table.known.map_or(0, |known| known.created);
            Compare::create_revision(key(table), CompareOp::Equal, created)
        };
        let made = self
            .tables
            .iter()
            .filter(|table| table.is_made)
            .map(|table| TxnOp::put(key(table), TableEntry { id: table.id }.encode(), None));
        let writes = self.members.iter().map(|member| TxnOp::txn(member.plan.nested.txn()));
        // Whoever watches has to know whether what was deleted had ended.
        let times = self.tables.iter().filter_map(|table| {
            let is_of = |one: &&Member| one.pending.table == table.name;
            let mut members = self.members.iter().filter(is_of);
            let now = members.find(|one| one.plan.deletes_unseen())?.plan.now();
            Some(TxnOp::put(layout.sweep(table.id), now.get().to_be_bytes(), None))
        });
        let slot_key = || slot.key.to_vec();
        let compares = std::iter::once(slot.compare()).chain(self.tables.iter().map(is_same));
        let steps = std::iter::once(TxnOp::put(slot_key(), self.id, None)).chain(made).chain(times);
        let gets = std::iter::once(TxnOp::get(slot_key(), None))
            .chain(self.tables.iter().map(|table| TxnOp::get(key(table), None)));
        Txn::new()
            .when(compares.collect::<Vec<_>>())
            .and_then(steps.chain(writes).collect::<Vec<_>>())
            .or_else(gets.collect::<Vec<_>>())
    }

    /// Takes etcd's answer apart; `None` if it is no answer to this group.
    pub(super) fn answer(&self, response: PbTxnResponse) -> Option<Answer> {
        let revision = response.header.as_ref()?.revision;
        if !response.succeeded {
            let mut told = super::txn::told_kvs(response)?.into_iter();
            let slot = told.next()?.map(Stood::of);
            let tables = told.map(|kv| {
                kv.and_then(|kv| {
                    let entry = TableEntry::parse(&kv.value)?;
                    Some(TableRef { id: entry.id, created: kv.create_revision })
                })
            });
            return Some(Answer::Else { slot, tables: tables.collect() });
        }
        let others = response.responses.len().checked_sub(self.members.len())?;
        let nested = response.responses.into_iter().skip(others);
        let replies = self.members.iter().zip(nested).map(|(member, op)| match op.response? {
            PbTxnOpResponse::ResponseTxn(nested) => member.plan.nested.reply(nested),
            PbTxnOpResponse::ResponsePut(_)
            | PbTxnOpResponse::ResponseDeleteRange(_)
            | PbTxnOpResponse::ResponseRange(_) => None,
        });
        let replies = replies.collect::<Option<Vec<_>>>()?;
        (replies.len() == self.members.len()).then_some(Answer::Applied { revision, replies })
    }

    /// What etcd must have answered to each write if this is what stood before the group.
    pub(super) fn replay(&self, before: &Snapshot) -> Vec<Reply> {
        self.members.iter().map(|member| member.plan.nested.replay(before)).collect()
    }

    /// The keys that the replies depend on.
    pub(super) fn keys(&self) -> Vec<Bytes> {
        let keys = self.members.iter().flat_map(|member| member.plan.nested.keys()).cloned();
        keys.collect::<HashSet<_>>().into_iter().collect()
    }
}

/// How many writes a group has at most.
const MOST_WRITES: usize = 60;
/// How many changes: so many of the largest values may come back at once.
const MOST_CHANGES: usize = 100;
/// How many bytes of keys and values the writes bring; a lone write may have more.
const MOST_BYTES: usize = 1024 * 1024;
/// How many bytes the writes of a group take in a request; a lone write may have more.
const MOST_REQUEST_BYTES: usize = 1280 * 1024;
/// How many operations etcd takes in a list and the longest one in it, by its default.
const MOST_OPERATIONS: usize = 128;
/// How many keys a write is bound to on account of others.
const MOST_GUARDS: usize = 32;
/// How many of those that wait are looked at for a group.
const MOST_LOOKED_AT: usize = 512;

#[cfg(test)]
mod tests {
    use etcd_client::proto::{PbTxnOpRequest, PbTxnRequest};
    use kvsd::UnixMillis;
    use proptest::prelude::*;
    use tokio::sync::oneshot;
    use tokio::time::Instant;

    use super::super::plan::{Place, Scope, nothing_seen};
    use super::super::queue::Submission;
    use super::*;
    use crate::engine::{Action, BeforeDetail, Change, Condition, Write};

    /// A write of these keys, handed in by a task of this number: one of those that are running.
    fn pending(task: tokio::task::Id, table: &str, keys: &[String], action: &Action) -> Pending {
        let change = |key: &String| Change {
            key: key.clone().into(),
            condition: Condition::Any,
            action: action.clone(),
        };
        let changes = keys.iter().map(change).collect();
        let submission = Submission {
            task: Some(task),
            table: TableName::parse(table).unwrap(),
            writes: vec![Write { changes, before: BeforeDetail::Presence }],
            deadline: Instant::now(),
            answer: oneshot::channel().0,
        };
        submission.into_pending().next().unwrap()
    }

    fn set(bytes: usize) -> Action {
        Action::Set { value: vec![0; bytes].into(), expires_at: UnixMillis::new(1) }
    }

    fn keys(keys: impl IntoIterator<Item = usize>) -> Vec<String> {
        keys.into_iter().map(|key| key.to_string()).collect()
    }

    /// Ids of tasks, which only tasks have.
    fn tasks() -> [tokio::task::Id; 3] {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        [(); 3].map(|()| runtime.spawn(async {}).id())
    }

    #[test]
    fn what_does_not_fit_keeps_its_place_and_holds_back_what_its_task_does_later() {
        let [one, two, three] = tasks();
        let waiting = VecDeque::from([
            pending(one, "t", &keys([1]), &set(1)),
            pending(two, "t", &keys([2, 1]), &set(1)),
            pending(two, "t", &keys([3]), &set(1)),
            pending(two, "u", &keys([1]), &set(1)),
            pending(three, "t", &keys([2]), &set(1)),
            pending(one, "t", &keys([4]), &set(1)),
        ]);
        assert_eq!(choose(&waiting, usize::MAX), [0, 3, 4, 5]);
        assert_eq!(choose(&waiting, 2), [0, 3]);
        let mut waiting = waiting;
        let taken = take(&mut waiting, &[0, 3, 4, 5]);
        assert_eq!((taken.len(), waiting.len()), (4, 2));
        assert_eq!(choose(&waiting, usize::MAX), [0, 1]);
    }

    #[test]
    fn a_group_is_bounded_in_writes_changes_and_bytes_and_a_lone_write_is_not() {
        let [task, ..] = tasks();
        let singles = |count, bytes| -> VecDeque<_> {
            (0..count).map(|key| pending(task, "t", &keys([key]), &set(bytes))).collect()
        };
        assert_eq!(choose(&singles(200, 1), usize::MAX).len(), MOST_WRITES);
        assert_eq!(choose(&singles(9, MOST_BYTES / 4), usize::MAX).len(), 3);
        assert_eq!(choose(&singles(2, 2 * MOST_BYTES), usize::MAX).len(), 1);
        let batch = |from| pending(task, "t", &keys(from..from + 64), &set(1));
        assert_eq!(choose(&VecDeque::from([batch(0), batch(64)]), usize::MAX), [0]);
        // Each is bound to all those before it.
        let add = |key| pending(task, "t", &keys([key]), &Action::Increment { by: 1 });
        assert_eq!(choose(&(0..60).map(add).collect(), usize::MAX).len(), MOST_GUARDS);
    }

    fn operations(txn: &PbTxnRequest) -> usize {
        let nested = |op: &etcd_client::proto::PbTxnRequestOp| match &op.request {
            Some(PbTxnOpRequest::RequestTxn(nested)) => operations(nested),
            _ => 0,
        };
        let own = txn.compare.len().max(txn.success.len()).max(txn.failure.len());
        own + txn.success.iter().map(nested).max().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn etcd_takes_every_group(
            writes in prop::collection::vec(
                (0..3_usize, 0..70_usize, 1..65_usize, 0..3_u8, any::<bool>()), 1..100,
            ),
            there: bool,
        ) {
            let (tasks, layout) = (tasks(), Layout::new("kvsd"));
            let mut next = 0;
            let mut waiting: VecDeque<_> = writes.iter().map(|write| {
                let (task, table, size, kind, is_single) = *write;
                let size = if is_single { 1 } else { size };
                next += size;
                let action = match kind {
                    0 => Action::Increment { by: 1 },
                    1 => Action::Delete,
                    _ => set(1),
                };
                pending(tasks[task], &format!("t{table}"), &keys(next - size..next), &action)
            }).collect();
            while !waiting.is_empty() {
                let chosen = choose(&waiting, usize::MAX);
                let members = take(&mut waiting, &chosen);
                prop_assert!(!members.is_empty());
                let mut group = Group { id: [0; 16], tables: Vec::new(), members: Vec::new() };
                for pending in members {
                    if group.tables.iter().all(|table| table.name != pending.table) {
                        let (name, id) = (pending.table.clone(), 7);
                        let known = there.then_some(TableRef { id, created: 1 });
                        group.tables.push(GroupTable { name, known, id, is_made: !there });
                    }
                    let now = UnixMillis::new(1).unwrap();
                    let table = pending.table.clone();
                    let place = Place { layout: &layout, table: &table, id: 7, now, hint: 0 };
                    let scope = if there { Scope::Needed } else { Scope::All };
                    let plan =
                        Plan::new(&pending.write, &nothing_seen(&pending.write), scope, &place);
                    group.members.push(Member { pending, plan });
                }
                group.keep_order();
                let slot = Guard { key: Bytes::from_static(b"slot"), revision: 1 };
                prop_assert!(operations(&group.txn(&layout, &slot).into()) <= MOST_OPERATIONS);
            }
        }
    }
}
