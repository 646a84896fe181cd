//! One write's part of a transaction: what must stand, what is then done, and what is told else.
//!
//! The same part is sent to etcd, and carried out here on what stood before, when the answer of etcd
//! was lost: both come to the same [`Reply`]. No I/O. Next file to read: `plan`.

use std::collections::HashMap;

use bytes::Bytes;
use etcd_client::proto::{PbKeyValue, PbTxnOpResponse, PbTxnResponse};
use etcd_client::{Compare, CompareOp, DeleteOptions, PutOptions, Txn, TxnOp};

/// What stands at a key in etcd.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Stood {
    /// The revision that wrote it.
    pub(super) revision: i64,
    /// The stored bytes.
    pub(super) value: Bytes,
}

/// What stands at each of some keys.
pub(super) type Snapshot = HashMap<Bytes, Stood>;

/// That a key was last written by a revision; 0: that there is none.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Guard {
    pub(super) key: Bytes,
    pub(super) revision: i64,
}

/// One thing that is done.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Step {
    Put { key: Bytes, value: Bytes, tells: Tells },
    Delete { key: Bytes, tells: Tells },
    Get { key: Bytes },
}

/// Whether a step tells what stood before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tells {
    Nothing,
    Before,
}

/// If all guards hold, all steps are done; else these keys are told.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Nested {
    pub(super) guards: Vec<Guard>,
    pub(super) steps: Vec<Step>,
    pub(super) otherwise: Vec<Bytes>,
}

/// What came of it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// The guards held: what each step tells.
    Done(Vec<Option<Stood>>),
    /// They did not: what stands at the keys.
    Else(Vec<Option<Stood>>),
}

impl Stood {
    pub(super) fn of(kv: PbKeyValue) -> Self {
        Self { revision: kv.mod_revision, value: kv.value.into() }
    }
}

impl Guard {
    pub(super) fn compare(&self) -> Compare {
        Compare::mod_revision(self.key.to_vec(), CompareOp::Equal, self.revision)
    }

    fn holds(&self, snapshot: &Snapshot) -> bool {
        snapshot.get(&self.key).map_or(0, |stood| stood.revision) == self.revision
    }
}

impl Step {
    fn op(&self) -> TxnOp {
        match self {
            Self::Put { key, value, tells } => {
                let options = match tells {
                    Tells::Nothing => PutOptions::new(),
                    Tells::Before => PutOptions::new().with_prev_key(),
                };
                TxnOp::put(key.to_vec(), value.to_vec(), Some(options))
            }
            Self::Delete { key, tells } => {
                let options = match tells {
                    Tells::Nothing => DeleteOptions::new(),
                    Tells::Before => DeleteOptions::new().with_prev_key(),
                };
                TxnOp::delete(key.to_vec(), Some(options))
            }
            Self::Get { key } => TxnOp::get(key.to_vec(), None),
        }
    }

    fn key(&self) -> &Bytes {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } | Self::Get { key } => key,
        }
    }

    fn tells(&self) -> Tells {
        match self {
            Self::Put { tells, .. } | Self::Delete { tells, .. } => *tells,
            Self::Get { .. } => Tells::Before,
        }
    }
}

impl Nested {
    pub(super) fn txn(&self) -> Txn {
        self.txn_when(self.guards.iter().map(Guard::compare).collect())
    }

    /// The same, on these conditions.
    pub(super) fn txn_when(&self, compares: Vec<Compare>) -> Txn {
        Txn::new()
            .when(compares)
            .and_then(self.steps.iter().map(Step::op).collect::<Vec<_>>())
            .or_else(gets(&self.otherwise))
    }

    /// Takes etcd's answer apart; `None` if it is no answer to this.
    pub(super) fn reply(&self, response: PbTxnResponse) -> Option<Reply> {
        let (succeeded, told) = (response.succeeded, told(response)?);
        let asked = if succeeded { self.steps.len() } else { self.otherwise.len() };
        if told.len() != asked {
            return None;
        }
        Some(if succeeded { Reply::Done(told) } else { Reply::Else(told) })
    }

    /// What etcd must have answered if this is what stood before.
    pub(super) fn replay(&self, before: &Snapshot) -> Reply {
        let at = |key: &Bytes| before.get(key).cloned();
        if !self.guards.iter().all(|guard| guard.holds(before)) {
            return Reply::Else(self.otherwise.iter().map(at).collect());
        }
        let told = |step: &Step| match step.tells() {
            Tells::Nothing => None,
            Tells::Before => at(step.key()),
        };
        Reply::Done(self.steps.iter().map(told).collect())
    }

    /// The keys that the reply depends on.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Bytes> {
        let told = self.steps.iter().filter(|step| step.tells() == Tells::Before).map(Step::key);
        self.guards.iter().map(|guard| &guard.key).chain(told).chain(&self.otherwise)
    }

    /// About how many bytes it takes in a request.
    pub(super) fn bytes(&self) -> usize {
        let guards = self.guards.iter().map(|guard| guard.key.len() + ENTRY_BYTES);
        let steps = self.steps.iter().map(|step| {
            let value = if let Step::Put { value, .. } = step { value.len() } else { 0 };
            step.key().len() + value + ENTRY_BYTES
        });
        let otherwise = self.otherwise.iter().map(|key| key.len() + ENTRY_BYTES);
        guards.chain(steps).chain(otherwise).sum()
    }
}

pub(super) fn gets(keys: &[Bytes]) -> Vec<TxnOp> {
    keys.iter().map(|key| TxnOp::get(key.to_vec(), None)).collect()
}

/// What each operation of a list has told, at most one key each; `None` if one is a transaction.
pub(super) fn told(response: PbTxnResponse) -> Option<Vec<Option<Stood>>> {
    Some(told_kvs(response)?.into_iter().map(|kv| kv.map(Stood::of)).collect())
}

/// As [`told`], with all that etcd tells of a key.
pub(super) fn told_kvs(response: PbTxnResponse) -> Option<Vec<Option<PbKeyValue>>> {
    let told = |operation: PbTxnOpResponse| match operation {
        PbTxnOpResponse::ResponsePut(put) => Some(put.prev_kv),
        PbTxnOpResponse::ResponseDeleteRange(delete) => Some(delete.prev_kvs.into_iter().next()),
        PbTxnOpResponse::ResponseRange(get) => Some(get.kvs.into_iter().next()),
        PbTxnOpResponse::ResponseTxn(_) => None,
    };
    response.responses.into_iter().map(|one| told(one.response?)).collect()
}

/// What an entry of a list takes besides its key and value.
const ENTRY_BYTES: usize = 24;
