//! The writes of one read, gathered by table, so that the engine is woken once for all of them.
//!
//! Keeps their order within each table; never carries one out. Next file to read: `batches`.

use kvsd::TableName;
use kvsd::protocol::v2::RequestId;

use super::in_flight::Held;
use crate::engine::Write;

/// Writes that wait to be handed to the engine.
#[derive(Debug, Default)]
pub(super) struct Writes {
    groups: Vec<Group>,
}

/// The writes to one table, and who asked for them.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) table: TableName,
    pub(super) ids: Vec<RequestId>,
    pub(super) writes: Vec<Write>,
    /// What they are counted with in `in_flight`.
    pub(super) held: Held,
}

impl Writes {
    /// Adds a write. The table's name is checked already.
    pub(super) fn add(&mut self, id: RequestId, table: &str, write: Write, held: &Held) {
        let group = self.group(table);
        group.ids.push(id);
        group.writes.push(write);
        group.held.add(held);
    }

    /// Takes all groups.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Group> {
        self.groups.drain(..)
    }

    /// The group of a table. There are few tables in one read, and the last one found is the
    /// likeliest.
    fn group(&mut self, table: &str) -> &mut Group {
        let known = self.groups.iter().rposition(|group| group.table.as_str() == table);
        let place = known.unwrap_or_else(|| {
            let table = TableName::parse(table).expect("the request's table was checked");
            let held = Held::default();
            self.groups.push(Group { table, ids: Vec::new(), writes: Vec::new(), held });
            self.groups.len() - 1
        });
        &mut self.groups[place]
    }
}
