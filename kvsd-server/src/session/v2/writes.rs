//! The writes of one read, gathered by table, so that the engine is woken once for all of them.
//!
//! Keeps their order within each table; never carries one out. Next file to read: `in_flight`.

use kvsd::TableName;
use kvsd::protocol::v2::RequestId;

use super::in_flight::Held;
use crate::engine::Write;

/// Writes that wait to be handed to the engine.
#[derive(Debug, Default)]
pub(super) struct Writes {
    batches: Vec<Batch>,
}

/// The writes to one table, and who asked for them.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) table: TableName,
    pub(super) ids: Vec<RequestId>,
    pub(super) writes: Vec<Write>,
    /// What they are counted with in `in_flight`.
    pub(super) held: Held,
}

impl Writes {
    /// Adds a write. The table's name is checked already.
    pub(super) fn add(&mut self, id: RequestId, table: &str, write: Write, held: &Held) {
        let batch = self.batch(table);
        batch.ids.push(id);
        batch.writes.push(write);
        batch.held.add(held);
    }

    /// Takes all batches.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Batch> {
        self.batches.drain(..)
    }

    /// The batch of a table. There are few tables in one read, and the last one found is the
    /// likeliest.
    fn batch(&mut self, table: &str) -> &mut Batch {
        let known = self.batches.iter().rposition(|batch| batch.table.as_str() == table);
        let place = known.unwrap_or_else(|| {
            let table = TableName::parse(table).expect("the request's table was checked");
            let held = Held::default();
            self.batches.push(Batch { table, ids: Vec::new(), writes: Vec::new(), held });
            self.batches.len() - 1
        });
        &mut self.batches[place]
    }
}
