//! fjall 3, with the settings that serve it best here.

use std::path::Path;
use std::time::Instant;

use ::fjall::config::CompressionPolicy;
use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::store::{Store, Take, get_loop, set_loops};
use super::{CACHE_BYTES, Detail};
use crate::Error;
use crate::data::{Data, key};

/// What the report says of it.
pub(super) const SETTINGS: &str = "cache 1 GiB, no compression (there is nothing to gain here), \
    `expect_point_read_hits`, compacted after loading; a durable set is a batch of one with \
    `PersistMode::SyncData`; a thread for each writer (its batches hold the journal while they \
    sync, so that writers take turns).";

/// A database with one keyspace.
pub(super) struct Fjall {
    database: Database,
    keyspace: Keyspace,
}

impl Fjall {
    /// Opens a new database.
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let database = Database::builder(folder).cache_size(CACHE_BYTES as u64).open()?;
        let options = || {
            KeyspaceCreateOptions::default()
                .data_block_compression_policy(CompressionPolicy::disabled())
                .expect_point_read_hits(true)
        };
        let keyspace = database.keyspace("bench", options)?;
        Ok(Self { database, keyspace })
    }
}

impl Store for Fjall {
    fn name(&self) -> &'static str {
        "fjall"
    }

    fn load(&self, data: &Data) -> Result<(), Error> {
        for at in data.loading_order() {
            self.keyspace.insert(key(at), data.value(at, 0))?;
        }
        self.database.persist(PersistMode::SyncAll)?;
        self.keyspace.rotate_memtable_and_wait()?;
        Ok(self.keyspace.major_compact()?)
    }

    fn get_until(&self, data: &Data, end: Instant) -> Result<u64, Error> {
        get_loop(data, end, |key, check| {
            let found = self.keyspace.get(key)?;
            Ok(found.map(|value| check(&value)).transpose()?.is_some())
        })
    }

    fn set_until(
        &self,
        data: &Data,
        writers: usize,
        revision: u32,
        end: Instant,
    ) -> Result<u64, Error> {
        set_loops(data, writers, revision, end, |key, value| {
            let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
            batch.insert(&self.keyspace, *key, value);
            Ok(batch.commit()?)
        })
    }

    fn scan(&self, detail: Detail, take: &mut Take<'_>) -> Result<(), Error> {
        self.keyspace.iter().try_for_each(|guard| match detail {
            Detail::Keys => take(&guard.key()?, &[]),
            Detail::Values => guard.into_inner().map(|(key, value)| take(&key, &value))?,
        })
    }
}
