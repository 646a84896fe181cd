//! The writes of one read, gathered by table, so that the engine is woken once for all of them.
//!
//! Keeps their order within each table; never carries one out. Next file to read: `batches`.

use kvsd::TableName;

use super::in_flight::{Asked, Held};
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
    pub(super) asked: Vec<Asked>,
    pub(super) writes: Vec<Write>,
    /// What they are counted with in `in_flight`.
    pub(super) held: Held,
}

impl Writes {
    /// Adds a write. The table's name is checked already.
    pub(super) fn add(&mut self, asked: Asked, table: &str, write: Write, held: &Held) {
        let group = self.group(table);
        group.asked.push(asked);
        group.writes.push(write);
        group.held.add(held);
    }

    /// Whether the groups are to be handed on before there are more.
    pub(super) fn are_full(&self) -> bool {
        self.groups.len() >= MAX_GROUPS
    }

    /// Takes all groups.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Group> {
        self.groups.drain(..)
    }

    /// The group of a table. There are [`MAX_GROUPS`] to look through at most.
    fn group(&mut self, table: &str) -> &mut Group {
        let known = self.groups.iter().rposition(|group| group.table.as_str() == table);
        let place = known.unwrap_or_else(|| {
            let table = TableName::parse(table).expect("the request's table was checked");
            let held = Held::default();
            self.groups.push(Group { table, asked: Vec::new(), writes: Vec::new(), held });
            self.groups.len() - 1
        });
        &mut self.groups[place]
    }

    /// Gives back what an idle session need not hold.
    pub(super) fn tidy(&mut self) {
        if self.groups.is_empty() {
            self.groups.shrink_to(KEPT_GROUPS);
        }
    }
}

/// The most tables whose writes are gathered.
const MAX_GROUPS: usize = 64;
/// The tables that an idle session has room for.
const KEPT_GROUPS: usize = 4;

#[cfg(test)]
mod tests {
    use kvsd::protocol::v2::RequestId;

    use super::*;
    use crate::engine::{BeforeDetail, Few};
    use crate::metrics::Operation;

    fn add(writes: &mut Writes, number: u64, table: &str) {
        let write = Write { changes: Few::new(), before: BeforeDetail::Presence };
        let id = RequestId::new(number).unwrap();
        let asked = Asked { id, operation: Operation::Set, bytes: 1 };
        writes.add(asked, table, write, &Held::of_bytes(1));
    }

    #[test]
    fn an_idle_session_keeps_no_room_for_the_tables_of_a_busy_one() {
        let mut writes = Writes::default();
        for round in 0..3 {
            let mut number = 0;
            while !writes.are_full() {
                add(&mut writes, number, &format!("t{number}"));
                number += 1;
            }
            assert_eq!(number, 64, "tables in round {round}");
            writes.tidy();
            assert_eq!(writes.drain().count(), 64, "what is not handed on yet is kept");
            writes.tidy();
            assert!(writes.groups.capacity() <= 4, "room for {}", writes.groups.capacity());
        }
    }
}
