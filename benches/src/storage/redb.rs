//! redb 4, with a transaction for each get, as its users have it, and with a table that is held.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ::redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::store::{Store, Take, get_loop, set_loops};
use super::{CACHE_BYTES, Detail};
use crate::Error;
use crate::data::{Data, KEY_BYTES, key};

/// What the report says of it.
pub(super) const SETTINGS: &str = "cache 1 GiB, keys of a fixed width; a durable set is a \
    transaction with `Durability::Immediate` and one-phase commit, both its defaults; a thread for \
    each writer (there is one write transaction at a time); a get has a transaction of its own, \
    or, where it says so, all gets of a run share one open table.";

/// A database with one table.
pub(super) struct Redb {
    database: Arc<Database>,
    hold: Hold,
}

/// What is open from one get to the next.
#[derive(Debug, Clone, Copy)]
enum Hold {
    Nothing,
    Table,
}

impl Redb {
    /// Makes a new database, whose gets have a transaction each.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(path)?;
        Ok(Self { database: Arc::new(database), hold: Hold::Nothing })
    }

    /// The same database, whose gets share a table.
    pub(super) fn held(&self) -> Self {
        Self { database: Arc::clone(&self.database), hold: Hold::Table }
    }
}

impl Store for Redb {
    fn name(&self) -> &'static str {
        match self.hold {
            Hold::Nothing => "redb",
            Hold::Table => "redb with a held table",
        }
    }

    fn load(&self, data: &Data) -> Result<(), Error> {
        for part in data.loading_order().chunks(LOADED_AT_ONCE) {
            let transaction = self.database.begin_write()?;
            {
                let mut table = transaction.open_table(TABLE)?;
                for at in part {
                    table.insert(&key(*at), data.value(*at, 0).as_slice())?;
                }
            }
            transaction.commit()?;
        }
        Ok(())
    }

    fn get_until(&self, data: &Data, end: Instant) -> Result<u64, Error> {
        match self.hold {
            Hold::Nothing => get_loop(data, end, |key, check| {
                let table = self.database.begin_read()?.open_table(TABLE)?;
                let found = table.get(key)?;
                Ok(found.map(|value| check(value.value())).transpose()?.is_some())
            }),
            Hold::Table => {
                let table = self.database.begin_read()?.open_table(TABLE)?;
                get_loop(data, end, |key, check| {
                    let found = table.get(key)?;
                    Ok(found.map(|value| check(value.value())).transpose()?.is_some())
                })
            }
        }
    }

    fn set_until(
        &self,
        data: &Data,
        writers: usize,
        revision: u32,
        end: Instant,
    ) -> Result<u64, Error> {
        set_loops(data, writers, revision, end, |key, value| {
            let mut transaction = self.database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            transaction.open_table(TABLE)?.insert(key, value)?;
            Ok(transaction.commit()?)
        })
    }

    fn scan(&self, detail: Detail, take: &mut Take<'_>) -> Result<(), Error> {
        let table = self.database.begin_read()?.open_table(TABLE)?;
        for record in table.iter()? {
            let (key, value) = record?;
            match detail {
                Detail::Keys => take(key.value(), &[])?,
                Detail::Values => take(key.value(), value.value())?,
            }
        }
        Ok(())
    }
}

const TABLE: TableDefinition<'_, &[u8; KEY_BYTES], &[u8]> = TableDefinition::new("bench");
const LOADED_AT_ONCE: usize = 100_000;
