//! What will be asked, in bytes of its own: a request that outlives the call that made it, to be
//! encoded when there is a connection, and again when there is another.
//!
//! Next file to read: `call`.

use std::ops::{Bound, Range};
use std::sync::Arc;

use bytes::Bytes;

use crate::protocol::v2::{
    Action, Change, Condition, Detail, Expiry, Freshness, Order, Position, Previous, Request, Scan,
    Select, Watch,
};
use crate::types::Version;

/// A request that owns its bytes and does not say of which table.
pub(crate) enum Draft {
    Ping,
    Get {
        key: Bytes,
        freshness: Freshness,
    },
    Exists {
        key: Bytes,
        freshness: Freshness,
    },
    Lifetime {
        key: Bytes,
        freshness: Freshness,
    },
    Set {
        key: Bytes,
        value: Bytes,
        condition: Condition,
        expiry: Option<Expiry>,
        previous: Previous,
    },
    Delete {
        key: Bytes,
        condition: Condition,
        previous: Previous,
    },
    Increment {
        key: Bytes,
        by: i64,
        condition: Condition,
    },
    Expire {
        key: Bytes,
        expiry: Option<Expiry>,
        condition: Condition,
    },
    Batch(Vec<ChangeDraft>),
    /// Some of these, in their order.
    Pipeline {
        items: Arc<Vec<Item>>,
        range: Range<usize>,
    },
    Scan(ScanDraft),
    Watch(WatchDraft),
    CreateTable,
    DropTable,
    /// Behind which name to begin.
    Tables {
        after: Option<Box<str>>,
    },
    Statistics,
}

/// A request in a pipeline: Get, Exists, Lifetime, Set, Delete, Increment or Expire.
pub(crate) struct Item {
    /// The operation's name, for errors.
    pub(crate) name: &'static str,
    /// The table, if it is not that of the pipeline.
    pub(crate) table: Option<Box<str>>,
    pub(crate) draft: Draft,
}

/// One key's part of a batch.
pub(crate) struct ChangeDraft {
    pub(crate) key: Bytes,
    pub(crate) condition: Condition,
    pub(crate) action: ActionDraft,
}

/// What happens to a key of a batch.
pub(crate) enum ActionDraft {
    Set { value: Bytes, expiry: Option<Expiry> },
    Delete,
    Increment { by: i64 },
    Expire { expiry: Option<Expiry> },
    Check,
}

/// Which records to read.
#[derive(Clone)]
pub(crate) struct ScanDraft {
    pub(crate) from: Bound<Bytes>,
    pub(crate) to: Bound<Bytes>,
    pub(crate) order: Order,
    pub(crate) detail: Detail,
    pub(crate) limit: Option<u64>,
    pub(crate) freshness: Freshness,
    /// The moment at which the pages before stand.
    pub(crate) at: Option<Version>,
}

/// Which changes to tell.
#[derive(Clone)]
pub(crate) struct WatchDraft {
    pub(crate) since: Option<Position>,
    pub(crate) wait_millis: u64,
    pub(crate) select: Selection,
}

/// Which keys a watch is about.
#[derive(Clone)]
pub(crate) enum Selection {
    All,
    Key(Bytes),
    Prefix(Bytes),
}

impl Draft {
    pub(crate) fn get(key: Bytes) -> Self {
        Draft::Get { key, freshness: Freshness::Latest }
    }

    pub(crate) fn exists(key: Bytes) -> Self {
        Draft::Exists { key, freshness: Freshness::Latest }
    }

    pub(crate) fn lifetime(key: Bytes) -> Self {
        Draft::Lifetime { key, freshness: Freshness::Latest }
    }

    /// The request, of the table with this name.
    pub(crate) fn request<'a>(&'a self, table: &'a str) -> Request<'a> {
        match *self {
            Draft::Ping => Request::Ping,
            Draft::Get { ref key, freshness } => Request::Get { table, key, freshness },
            Draft::Exists { ref key, freshness } => Request::Exists { table, key, freshness },
            Draft::Lifetime { ref key, freshness } => Request::Lifetime { table, key, freshness },
            Draft::Set { ref key, ref value, condition, expiry, previous } => {
                Request::Set { table, key, value, condition, expiry, previous }
            }
            Draft::Delete { ref key, condition, previous } => {
                Request::Delete { table, key, condition, previous }
            }
            Draft::Increment { ref key, by, condition } => {
                Request::Increment { table, key, by, condition }
            }
            Draft::Expire { ref key, expiry, condition } => {
                Request::Expire { table, key, expiry, condition }
            }
            Draft::Batch(ref changes) => {
                Request::Batch { table, changes: changes.iter().map(ChangeDraft::change).collect() }
            }
            Draft::Pipeline { ref items, ref range } => {
                let items = items.get(range.clone()).unwrap_or_default();
                Request::Pipeline(items.iter().map(|item| item.request(table)).collect())
            }
            Draft::Scan(ref scan) => Request::Scan(scan.scan(table)),
            Draft::Watch(ref watch) => Request::Watch(watch.watch(table)),
            Draft::CreateTable => Request::CreateTable { table },
            Draft::DropTable => Request::DropTable { table },
            Draft::Tables { ref after } => Request::Tables { after: after.as_deref() },
            Draft::Statistics => Request::Statistics { table },
        }
    }

    /// The bytes of the key and the value, if the draft has one of each.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Draft::Set { key, value, .. } => key.len() + value.len(),
            Draft::Get { key, .. }
            | Draft::Exists { key, .. }
            | Draft::Lifetime { key, .. }
            | Draft::Delete { key, .. }
            | Draft::Increment { key, .. }
            | Draft::Expire { key, .. } => key.len(),
            _ => 0,
        }
    }

    /// Ends the record that is set at this time; `None` for never.
    pub(crate) fn set_expiry(&mut self, to: Option<Expiry>) {
        if let Draft::Set { expiry, .. } = self {
            *expiry = to;
        }
    }

    /// Reads what is had most cheaply, if it is a read of one record.
    pub(crate) fn set_stale(&mut self) {
        if let Draft::Get { freshness, .. }
        | Draft::Exists { freshness, .. }
        | Draft::Lifetime { freshness, .. } = self
        {
            *freshness = Freshness::Stale;
        }
    }

    /// What must hold for the write, if it is one that knows conditions.
    pub(crate) fn condition_mut(&mut self) -> Option<&mut Condition> {
        match self {
            Draft::Set { condition, .. }
            | Draft::Delete { condition, .. }
            | Draft::Increment { condition, .. }
            | Draft::Expire { condition, .. } => Some(condition),
            _ => None,
        }
    }
}

impl Item {
    pub(crate) fn request<'a>(&'a self, table: &'a str) -> Request<'a> {
        self.draft.request(self.table.as_deref().unwrap_or(table))
    }
}

impl ChangeDraft {
    fn change(&self) -> Change<'_> {
        let action = match self.action {
            ActionDraft::Set { ref value, expiry } => Action::Set { value, expiry },
            ActionDraft::Delete => Action::Delete,
            ActionDraft::Increment { by } => Action::Increment { by },
            ActionDraft::Expire { expiry } => Action::Expire { expiry },
            ActionDraft::Check => Action::Check,
        };
        Change { key: &self.key, condition: self.condition, action }
    }
}

impl ScanDraft {
    fn scan<'a>(&'a self, table: &'a str) -> Scan<'a> {
        let Self { ref from, ref to, order, detail, limit, freshness, at } = *self;
        let bytes = |bound: &'a Bound<Bytes>| bound.as_ref().map(AsRef::as_ref);
        Scan { table, from: bytes(from), to: bytes(to), order, detail, limit, freshness, at }
    }
}

impl WatchDraft {
    fn watch<'a>(&'a self, table: &'a str) -> Watch<'a> {
        let select = match &self.select {
            Selection::All => Select::All,
            Selection::Key(key) => Select::Key(key),
            Selection::Prefix(prefix) => Select::Prefix(prefix),
        };
        Watch { table, since: self.since, wait_millis: self.wait_millis, select }
    }
}
