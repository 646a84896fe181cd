//! Counters: no increment is lost, none is applied twice. One counter for each task, and one that
//! all share.

use std::sync::atomic::Ordering;

use kvsd::Change;

use crate::ledger::Fate;
use crate::worker::{End, Worker};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Count {
    Increment,
    IncrementShared,
    Update,
    UpdateShared,
    Read,
}

/// The counter that all tasks share.
pub(crate) const SHARED_COUNTER: &str = "count/all";

/// A counter that one task alone increments.
pub(crate) struct OwnCounter {
    pub(crate) name: String,
    /// What stood there when it was last heard of, with all that was acknowledged.
    least: i64,
    /// Increments since of unknown outcome: each may come once, at any time, or never.
    lingering: i64,
}

impl OwnCounter {
    pub(crate) fn new(name: String) -> Self {
        Self { name, least: 0, lingering: 0 }
    }

    /// Checks what was read, and learns from it.
    pub(crate) fn saw(&mut self, read: i64) {
        let Self { name, least, lingering } = self;
        let most = *least + *lingering;
        assert!((*least..=most).contains(&read), "{name}: {read} is not in {least}..={most}");
        *lingering -= read - *least;
        *least = read;
    }

    fn was_incremented(&mut self, result: i64) {
        self.least += 1;
        self.saw(result);
    }
}

impl Worker {
    pub(crate) async fn count(&mut self, arm: Count) {
        let (client, own) = (self.client.clone(), self.counter.name.clone());
        match arm {
            Count::Increment => {
                let end =
                    self.run("increment", None, |t| client.increment(&own, 1).timeout(t)).await;
                self.own_counted(end);
            }
            Count::Update => {
                let update = |t| client.update(&own, one_more).timeout(t);
                let end = self.run("update", None, update).await;
                self.own_counted(match end {
                    End::Done(value) => End::Done(value.unwrap()),
                    End::Failed(fate) => End::Failed(fate),
                    End::Dropped => End::Dropped,
                });
            }
            Count::Read => {
                let end = self.run("get", None, |t| client.get::<i64>(&own).timeout(t)).await;
                if let End::Done(read) = end {
                    self.counter.saw(read.unwrap_or(0));
                }
            }
            Count::IncrementShared => {
                let increment = |t| client.increment(SHARED_COUNTER, 1).timeout(t);
                let end = self.run("increment", None, increment).await;
                self.all_counted(&end);
            }
            Count::UpdateShared => {
                let update = |t| client.update(SHARED_COUNTER, one_more).timeout(t);
                let end = self.run("update", None, update).await;
                self.all_counted(&end);
            }
        }
    }

    fn own_counted(&mut self, end: End<i64>) {
        match end {
            End::Done(result) => self.counter.was_incremented(result),
            End::Failed(Fate::Perhaps) | End::Dropped => self.counter.lingering += 1,
            End::Failed(Fate::Never | Fate::Conflict) => {}
        }
    }

    fn all_counted<T>(&self, end: &End<T>) {
        let count = match end {
            End::Done(_) => &self.ledger.counted,
            End::Failed(Fate::Perhaps) | End::Dropped => &self.ledger.perhaps_counted,
            End::Failed(Fate::Never | Fate::Conflict) => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn one_more(count: Option<i64>) -> Change<i64> {
    Change::Set(count.unwrap_or(0) + 1)
}
