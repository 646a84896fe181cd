//! The one task that writes: group after group, one under way.
//!
//! While a group is under way, what is handed in waits and makes the next one; nothing waits for
//! more to come. What goes wrong is told apart here: nothing was done, it was done, or nobody knows.
//! Next file to read: `full`.

use std::sync::Arc;

use etcd_client::{GetOptions, Txn, TxnOp};
use tokio::time::Instant;

use super::super::directory::TableRef;
use super::super::error::Fault;
use super::super::link::{Failed, Link};
use super::full;
use super::group::{self, Answer, Group};
use super::plan::{Place, Plan};
use super::prepare::{Parts, prepare};
use super::queue::{Pending, Queue};
use super::slot::{Fate, Slot};
use super::txn::{Guard, Reply, Snapshot, told};
use crate::engine::{EngineError, WriteResult};

pub(super) struct Task {
    parts: Arc<Parts>,
    queue: Queue,
    slot: Slot,
    /// How many writes the next group may have.
    most: usize,
}

impl Task {
    pub(super) fn new(parts: Arc<Parts>, queue: Queue) -> Self {
        let slot = Slot::new(&parts.layout, parts.config.front_end);
        Self { parts, queue, slot, most: usize::MAX }
    }

    /// Writes until nobody can hand in any more, and all that was is answered.
    pub(super) async fn run(mut self) {
        while self.queue.fill().await {
            match self.slot.guard() {
                Some(guard) => self.write_group(&guard).await,
                None => self.settle().await,
            }
        }
    }

    /// Makes sure that no earlier group can be carried out any more.
    async fn settle(&mut self) {
        let link = Arc::clone(&self.parts.link);
        let until = link.deadline();
        let fence = self.slot.fence().raise(link, until);
        match self.queue.tend(fence).await {
            Ok(at) => {
                self.slot.fenced(&at, None);
                self.queue.trouble = None;
            }
            Err(Failed { fault: Fault::SpaceAlarm, .. }) => {
                let members = self.take();
                self.write_into_full(members, until).await;
            }
            Err(failed) => {
                self.queue.trouble = Some(failed.fault.to_string());
                if !failed.fault.may_pass() {
                    answer_all(self.take(), &failed.fault.into());
                }
            }
        }
    }

    fn take(&mut self) -> Vec<Pending> {
        let chosen = group::choose(&self.queue.waiting, self.most);
        group::take(&mut self.queue.waiting, &chosen)
    }

    async fn write_group(&mut self, slot: &Guard) {
        let members = self.take();
        let now = Instant::now();
        // One that has waited long does not take the others' time with it.
        let least = now + self.parts.config.timeout / 2;
        let until =
            members.iter().map(|one| one.deadline).min().map_or(least, |one| one.max(least));
        let parts = Arc::clone(&self.parts);
        let id = self.slot.next_group();
        match self.queue.tend(prepare(&parts, members, id, until)).await {
            Ok((group, rest)) => {
                self.queue.put_back(rest.into_iter());
                self.send(group, slot, until).await;
            }
            Err(unready) => answer_all(unready.members, &unready.error),
        }
    }

    async fn send(&mut self, group: Group, slot: &Guard, until: Instant) {
        let parts = Arc::clone(&self.parts);
        let txn = group.txn(&parts.layout, slot);
        let response = match self.queue.tend(parts.link.txn(until, &txn)).await {
            Ok(response) => response.0,
            Err(failed) => return self.fail(group, slot, failed, until).await,
        };
        match group.answer(response) {
            Some(Answer::Applied { revision, replies }) => {
                self.slot.moved(revision);
                self.finish(group, revision, replies);
            }
            Some(Answer::Else { slot: at, tables }) => {
                match Fate::of(group.id, slot, at.as_ref()) {
                    Some(Fate::Applied(revision)) => self.rebuild(group, revision, until).await,
                    Some(Fate::Void) => {
                        for (table, now) in group.tables.iter().zip(tables) {
                            parts.directory.learn(table.name.as_str(), now);
                        }
                        self.try_again(group, until).await;
                    }
                    None => self.give_up(group, TAKEN),
                }
            }
            None => self.give_up(group, "etcd's answer is none to what was asked"),
        }
    }

    /// A table is not what it was. The group was not carried out, but the same may be under way once
    /// more, and the table may become again what it was.
    async fn try_again(&mut self, group: Group, until: Instant) {
        self.slot.doubt();
        let fence = self.slot.fence().raise(Arc::clone(&self.parts.link), until);
        match self.queue.tend(fence).await {
            Ok(at) => match self.slot.fenced(&at, Some(group.id)) {
                Fate::Applied(revision) => self.rebuild(group, revision, until).await,
                Fate::Void => self.put_back(group),
            },
            Err(failed) => self.give_up(group, &failed.fault.to_string()),
        }
    }

    /// The group was carried out at a revision, and its answer is lost: makes the answer again.
    async fn rebuild(&mut self, group: Group, revision: i64, until: Instant) {
        self.slot.moved(revision);
        let link = Arc::clone(&self.parts.link);
        match self.queue.tend(snapshot(&link, &group, revision - 1, until)).await {
            Ok(before) => {
                let replies = group.replay(&before);
                self.finish(group, revision, replies);
            }
            Err(cause) => answer_unknown(group, &cause),
        }
    }

    /// Answers the writes of a group that was carried out; those that met other records than they
    /// were planned on are planned again.
    fn finish(&mut self, group: Group, revision: i64, replies: Vec<Reply>) {
        self.most = usize::MAX;
        self.queue.trouble = None;
        for table in group.tables.iter().filter(|table| table.is_made) {
            let made = Some(TableRef { id: table.id, created: revision });
            self.parts.directory.learn(table.name.as_str(), made);
        }
        let mut again: Vec<Pending> = Vec::new();
        for (member, reply) in group.members.into_iter().zip(replies) {
            let (mut pending, plan) = (member.pending, member.plan);
            let told = match reply {
                Reply::Done(told) => {
                    let result = plan.result(&pending.write, &told, revision);
                    pending.answer(result);
                    continue;
                }
                Reply::Else(told) => told,
            };
            let seen = plan.seen(&pending.write, told);
            let id = group.tables.iter().find(|table| table.name == pending.table);
            let id = id.map_or(0, |table| table.id);
            let place = Place {
                layout: &self.parts.layout,
                table: &pending.table,
                id,
                now: plan.now(),
                hint: 0,
            };
            let replanned = Plan::new(&pending.write, &seen, plan.scope(), &place);
            let follows = again.iter().any(|before| pending.follows(before));
            match replanned.settled().filter(|_| !follows) {
                Some(result) => pending.answer(result.clone()),
                None => {
                    pending.seen = Some((id, seen));
                    again.push(pending);
                }
            }
        }
        self.queue.put_back(again.into_iter());
    }

    async fn fail(&mut self, group: Group, slot: &Guard, failed: Failed, until: Instant) {
        if failed.in_doubt {
            return self.give_up(group, &failed.fault.to_string());
        }
        match failed.fault {
            Fault::TooLarge { .. } if group.members.len() > 1 => {
                self.most = group.members.len() / 2;
                self.put_back(group);
            }
            Fault::SpaceAlarm => self.refused(group, slot, until).await,
            fault => {
                self.queue.trouble = Some(fault.to_string());
                answer_all(pending(group), &fault.into());
            }
        }
    }

    /// etcd says that there is no room: it does so before it carries a transaction out, and, when that
    /// is what filled the store, also afterwards.
    async fn refused(&mut self, group: Group, slot: &Guard, until: Instant) {
        let link = Arc::clone(&self.parts.link);
        let look = Txn::new().and_then([TxnOp::get(slot.key.to_vec(), None)]);
        let at = match self.queue.tend(link.txn(until, &look)).await {
            Ok(answer) => told(answer.0).and_then(|told| told.into_iter().next()).flatten(),
            Err(failed) => return self.give_up(group, &failed.fault.to_string()),
        };
        match Fate::of(group.id, slot, at.as_ref()) {
            Some(Fate::Applied(revision)) => self.rebuild(group, revision, until).await,
            Some(Fate::Void) => self.write_into_full(pending(group), until).await,
            None => self.give_up(group, TAKEN),
        }
    }

    /// The store takes no more: what frees room is carried out all the same, unless an earlier group
    /// may be under way, which cannot be told now.
    async fn write_into_full(&mut self, members: Vec<Pending>, until: Instant) {
        let parts = Arc::clone(&self.parts);
        for member in members {
            let result: WriteResult =
                if full::only_deletes(&member.write) && !self.slot.is_doubtful() {
                    let delete = full::delete(&parts, &member.table, &member.write, until);
                    self.queue.tend(delete).await
                } else {
                    Err(Fault::SpaceAlarm.into())
                };
            member.answer(result);
        }
    }

    /// Nobody knows whether the group was carried out, or will be.
    fn give_up(&mut self, group: Group, cause: &str) {
        self.slot.doubt();
        self.queue.trouble = Some(cause.to_owned());
        answer_unknown(group, cause);
    }

    fn put_back(&mut self, group: Group) {
        self.queue.put_back(pending(group).into_iter());
    }
}

/// What stood at a revision at the keys that a group's answers depend on.
async fn snapshot(
    link: &Link,
    group: &Group,
    revision: i64,
    until: Instant,
) -> Result<Snapshot, String> {
    let keys = group.keys();
    let get = |key: &bytes::Bytes| {
        TxnOp::get(key.to_vec(), Some(GetOptions::new().with_revision(revision)))
    };
    let txn = Txn::new().and_then(keys.iter().map(get).collect::<Vec<_>>());
    let response = link.txn(until, &txn).await.map_err(|failed| failed.fault.to_string())?;
    let told = told(response.0).filter(|told| told.len() == keys.len());
    let told = told.ok_or("etcd's answer is none to what was asked")?;
    Ok(keys.into_iter().zip(told).filter_map(|(key, stood)| Some((key, stood?))).collect())
}

fn pending(group: Group) -> Vec<Pending> {
    group.members.into_iter().map(|member| member.pending).collect()
}

/// A write that would have come to nothing has come to nothing.
fn answer_unknown(group: Group, cause: &str) {
    tracing::warn!(writes = group.members.len(), cause, "the outcome of writes is unknown");
    let nothing = EngineError::Unavailable { reason: cause.to_owned() };
    let cause = format!("it was sent to etcd, and no answer came: {cause}");
    let unknown = EngineError::UnknownOutcome { cause };
    for member in group.members {
        let error = if member.plan.settled().is_some() { &nothing } else { &unknown };
        member.pending.answer(Err(error.clone()));
    }
}

const TAKEN: &str = "the front end's slot in etcd holds what it has not written";

fn answer_all(writes: Vec<Pending>, error: &EngineError) {
    for write in writes {
        write.answer(Err(error.clone()));
    }
}
