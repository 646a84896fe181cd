//! A fresh data folder from what still verifies of a damaged one.
//!
//! For each key its newest record that verifies is copied, with its version and expiry, unless it
//! is a delete. The source is only read. In the new folder versions go on 2^32 above the highest
//! that the old one shows, as after a crash.

use std::io;
use std::path::Path;
use std::sync::Arc;

use kvsd::TableName;

use super::survey::{Newest, Survey};
use crate::log::storage::disk::Disk;
use crate::log::storage::error::StorageError;
use crate::log::storage::group::Content;
use crate::log::storage::load::TableOptions;
use crate::log::storage::record::Kind;
use crate::log::storage::repair::VERSION_JUMP;
use crate::log::storage::rotation::Demand;
use crate::log::storage::store::{Store, StoreError};
use crate::log::storage::writer::{Reserve, WriteError, Writer};

/// A data folder that is filled with what was saved.
#[derive(Debug)]
pub(crate) struct NewFolder {
    store: Store,
}

impl NewFolder {
    /// Makes a data folder where there is none, or an empty folder.
    pub(crate) fn create(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, StoreError> {
        match disk.list(path) {
            Ok(names) if names.is_empty() => {}
            Ok(_) => {
                let error = io::Error::new(io::ErrorKind::AlreadyExists, "it is not empty");
                return Err(StorageError::io("fill the folder", path)(error).into());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StorageError::io("list", path)(error).into()),
        }
        Ok(Self { store: Store::open(disk, path, TableOptions::default())? })
    }

    /// Makes a table of what was found of another one, durably; how many records it has.
    pub(crate) fn add(&mut self, name: &TableName, found: &Survey) -> Result<u64, StorageError> {
        let mut writer = self.store.create_table(name)?;
        writer.advance_time(found.time);
        let sets = found.newest.iter().filter(|(_, newest)| newest.kind == Kind::Set);
        let mut sets: Vec<(&[u8], &Newest)> = sets.map(|(key, at)| (&**key, at)).collect();
        sets.sort_unstable_by_key(|(_, newest)| newest.version);

        let mut buffer = Vec::new();
        let mut rest = sets.as_slice();
        while let Some((group, behind)) = next_group(rest) {
            write_group(&mut writer, found, group, &mut buffer)?;
            rest = behind;
        }
        writer.version = found.version.saturating_add(VERSION_JUMP);
        writer.close().map_err(|error| in_storage(&writer, error))?;
        Ok(sets.len() as u64)
    }
}

type Found<'a> = (&'a [u8], &'a Newest);

/// As many records as one group should have.
fn next_group<'r, 'a>(rest: &'r [Found<'a>]) -> Option<(&'r [Found<'a>], &'r [Found<'a>])> {
    if rest.is_empty() {
        return None;
    }
    let mut bytes = 0;
    let fits = |(_, newest): &&Found<'_>| {
        let fits = bytes < GROUP_BYTES;
        bytes += newest.bytes;
        fits
    };
    let count = rest.iter().take(GROUP_RECORDS).take_while(fits).count();
    rest.split_at_checked(count.max(1))
}

fn write_group(
    writer: &mut Writer,
    found: &Survey,
    group: &[Found<'_>],
    buffer: &mut Vec<u8>,
) -> Result<(), StorageError> {
    let mut demand = Demand::default();
    for (key, newest) in group {
        demand.add(key.len(), newest.bytes);
    }
    writer.prepare(&demand).map_err(|error| in_storage(writer, error))?;
    writer.begin();
    let mut last = writer.version();
    for (key, newest) in group {
        let live = found.read(key, newest, buffer)?;
        let content = Content::Set { value: live.value, expires: live.expires };
        let hash = writer.hash(key);
        writer.append((hash, key), content, live.version, None)?;
        last = last.max(live.version);
    }
    writer.write(last, Reserve::Use).map_err(|error| in_storage(writer, error))?;
    writer.publish();
    Ok(())
}

fn in_storage(writer: &Writer, error: WriteError) -> StorageError {
    match error {
        WriteError::Full => {
            StorageError::io("write to", &writer.folder)(io::ErrorKind::StorageFull.into())
        }
        WriteError::Refused(error) | WriteError::Broken(error) => error,
    }
}

/// A group is closed once it has so many bytes, or records.
const GROUP_BYTES: usize = 1 << 20;
const GROUP_RECORDS: usize = 4096;
