//! Which tables there are: their names, their ids, and what a write to one is bound to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::error::Fault;
use super::layout::{Layout, TableEntry};
use super::link::{Ask, Failed, Link};

/// A table as it was when it was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableRef {
    /// Which of the tables that have had the name it is.
    pub(crate) id: u64,
    /// The revision that made it: as long as the table's key has this one, it is the same table.
    pub(crate) created: i64,
}

/// What is known of the tables. Never the truth, which is in etcd: whoever writes binds the write to
/// what it was told here.
#[derive(Debug)]
pub(crate) struct Directory {
    link: Arc<Link>,
    layout: Layout,
    known: Mutex<HashMap<String, TableRef>>,
}

impl Directory {
    pub(crate) fn new(link: Arc<Link>, layout: Layout) -> Self {
        Self { link, layout, known: Mutex::default() }
    }

    /// The table of a name, as it was last seen, or else as it is. `None` if there is none now.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<TableRef>, Failed> {
        let known = self.known().get(name).copied();
        if known.is_some() { Ok(known) } else { self.look(name).await }
    }

    /// The table of a name, as it is.
    pub(crate) async fn look(&self, name: &str) -> Result<Option<TableRef>, Failed> {
        let key = self.layout.table(name);
        let get = |door: Arc<super::link::Door>| {
            let key = key.clone();
            async move { door.kv().get(key, None).await }
        };
        let found = self.link.call(self.link.deadline(), Ask::Led, get).await?;
        let Some(kv) = found.kvs().first() else {
            self.known().remove(name);
            return Ok(None);
        };
        let entry = TableEntry::parse(kv.value()).ok_or_else(|| Failed {
            fault: Fault::Other {
                endpoint: "etcd".to_owned(),
                cause: format!("what stands at the table {name} was not written by this version"),
            },
            in_doubt: false,
        })?;
        let table = TableRef { id: entry.id, created: kv.create_revision() };
        self.known().insert(name.to_owned(), table);
        Ok(Some(table))
    }

    /// Learns of a table that was just made, or looked at.
    pub(crate) fn learn(&self, name: &str, table: TableRef) {
        self.known().insert(name.to_owned(), table);
    }

    /// Forgets a table that is not what it was.
    pub(crate) fn forget(&self, name: &str) {
        self.known().remove(name);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, TableRef>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
