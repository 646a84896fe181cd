//! The front end's slot: a key that every group of writes moves.
//!
//! A group is bound to the slot's revision, and leaves its own id there. So it is carried out at most
//! once, however often it is sent; its id tells afterwards that it was; and once the slot has moved,
//! it never will be. Nobody else moves the slot. After a group whose outcome is not known, the slot
//! is moved before anything else is sent: a late group can never come behind a later one.
//!
//! Next file to read: `task`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use etcd_client::{Compare, CompareOp, Txn, TxnOp};
use tokio::time::Instant;

use super::super::layout::Layout;
use super::super::link::{Failed, Link};
use super::txn::{Guard, Stood, told};

/// What a group leaves in the slot.
pub(super) type GroupId = [u8; 16];

/// The slot as it is known here.
pub(super) struct Slot {
    key: Bytes,
    front_end: u64,
    groups: u64,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// It was never there.
    New,
    /// A revision moved it, and nothing is under way that may move it.
    Known { revision: i64, since: Instant },
    /// Something that is bound to this revision may still move it.
    Doubtful { revision: i64 },
}

/// What became of a group that is bound to the slot's revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was not carried out, and never will be.
    Void,
    /// It was carried out at this revision.
    Applied(i64),
}

impl Fate {
    /// What became of a group that nothing is under way of any more, by what stands in the slot that
    /// it was bound to; `None` if somebody else has moved it.
    pub(super) fn of(group: GroupId, slot: &Guard, at: Option<&Stood>) -> Option<Self> {
        match at {
            Some(at) if at.value == group[..] => Some(Self::Applied(at.revision)),
            Some(at) if at.revision == slot.revision => Some(Self::Void),
            Some(_) | None => None,
        }
    }
}

impl Slot {
    pub(super) fn new(layout: &Layout, front_end: u64) -> Self {
        let key = layout.slot(front_end).into();
        Self { key, front_end, groups: 0, state: State::New }
    }

    /// An id that no group has had; half of it is random, for two copies of a machine's memory count
    /// alike.
    pub(super) fn next_group(&mut self) -> GroupId {
        self.groups += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.front_end.wrapping_add(self.groups).to_be_bytes());
        id[8..].copy_from_slice(&getrandom::u64().unwrap_or_default().to_be_bytes());
        id
    }

    /// What a group has to be bound to; `None`: [`Slot::fence`] first. A slot that has not moved for
    /// long may be cleared away any time.
    pub(super) fn guard(&self) -> Option<Guard> {
        match self.state {
            State::Known { revision, since } if since.elapsed() < FRESH => {
                Some(Guard { key: self.key.clone(), revision })
            }
            State::New | State::Known { .. } | State::Doubtful { .. } => None,
        }
    }

    /// Whether a group may be under way still.
    pub(super) fn is_doubtful(&self) -> bool {
        matches!(self.state, State::Doubtful { .. })
    }

    /// Takes note of what has moved the slot.
    pub(super) fn moved(&mut self, revision: i64) {
        self.state = State::Known { revision, since: Instant::now() };
    }

    /// Takes note that a group may be under way still.
    pub(super) fn doubt(&mut self) {
        if let State::Known { revision, .. } = self.state {
            self.state = State::Doubtful { revision };
        }
    }

    /// What must be done before the next group.
    pub(super) fn fence(&mut self) -> Fence {
        let expected = match self.state {
            State::New => 0,
            State::Known { revision, .. } | State::Doubtful { revision } => revision,
        };
        Fence { key: self.key.clone(), expected, id: self.next_group() }
    }

    /// Takes note of a fence, and tells what became of a group.
    pub(super) fn fenced(&mut self, at: &Stood, group: Option<GroupId>) -> Fate {
        self.moved(at.revision);
        match group {
            Some(group) if at.value == group[..] => Fate::Applied(at.revision),
            Some(_) | None => Fate::Void,
        }
    }
}

/// Moves the slot, so that nothing that is bound to where it was can be carried out any more.
pub(super) struct Fence {
    key: Bytes,
    expected: i64,
    id: GroupId,
}

impl Fence {
    /// Answers what then stands in the slot.
    ///
    /// # Cancel safety
    ///
    /// The slot may move even if the future is dropped: make another fence from where it was.
    pub(super) async fn raise(self, link: Arc<Link>, until: Instant) -> Result<Stood, Failed> {
        let mut expected = self.expected;
        loop {
            // Also in a full store: as long as a group is in doubt, nothing could be deleted there.
            let mut answer = link.txn_into_full(until, self.txn(expected)).await?;
            if answer.succeeded() {
                let revision = answer.take_header().map_or(0, |header| header.revision());
                return Ok(Stood { revision, value: Bytes::copy_from_slice(&self.id) });
            }
            let stood = told(answer.0).and_then(|told| told.into_iter().next()).flatten();
            match stood {
                Some(stood) => return Ok(stood),
                // It was cleared away.
                None => expected = 0,
            }
        }
    }

    fn txn(&self, expected: i64) -> Txn {
        let is_there = Compare::mod_revision(self.key.to_vec(), CompareOp::Equal, expected);
        Txn::new()
            .when([is_there])
            .and_then([TxnOp::put(self.key.to_vec(), self.id, None)])
            .or_else([TxnOp::get(self.key.to_vec(), None)])
    }
}

/// How long the slot may rest before it is looked at again. It is cleared away after a day.
const FRESH: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_in_doubt_is_settled_before_the_next() {
        let mut slot = Slot::new(&Layout::new("kvsd"), 7);
        assert!(slot.guard().is_none() && !slot.is_doubtful());
        let (one, other) = (slot.next_group(), slot.next_group());
        assert_ne!(one, other);
        assert_ne!(one, Slot::new(&Layout::new("kvsd"), 7).next_group(), "a copy of the memory");
        let at = |revision, id: GroupId| Stood { revision, value: Bytes::copy_from_slice(&id) };
        assert_eq!(slot.fenced(&at(3, other), None), Fate::Void);
        assert_eq!(slot.guard().map(|guard| guard.revision), Some(3));
        slot.doubt();
        assert!(slot.guard().is_none() && slot.is_doubtful());
        assert_eq!(slot.fence().expected, 3);
        assert_eq!(slot.fenced(&at(4, other), Some(one)), Fate::Void);
        slot.doubt();
        assert_eq!(slot.fenced(&at(5, one), Some(one)), Fate::Applied(5));
        assert_eq!(slot.guard().map(|guard| guard.revision), Some(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_that_has_rested_is_looked_at_again() {
        let mut slot = Slot::new(&Layout::new("kvsd"), 7);
        slot.moved(3);
        tokio::time::advance(FRESH).await;
        assert!(slot.guard().is_none() && !slot.is_doubtful());
        assert_eq!(slot.fence().expected, 3);
    }
}
