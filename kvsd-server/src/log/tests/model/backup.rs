//! A backup beside writes, restored elsewhere and compared with what stood when it was asked for.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::reads::records_of;
use super::run::{Run, name};
use crate::log::offline::BackupFolder;
use crate::log::storage::backup::Building;
use crate::log::storage::disk::Disk;
use crate::log::storage::error::StorageError;
use crate::log::storage::store::{Store, StoreError};
use crate::log::tests::history::{Checked, ModelRecord, Snapshot};

const BACKUPS: &str = "/backups";

impl Run {
    /// Makes a backup, writes while the files are being gathered, and restores it.
    pub(super) fn back_up(&mut self) -> Checked<bool> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let as_name = format!("b{:016x}", self.random.next());
        let Some((store, turn, reader)) = &mut self.table else {
            return Ok(false);
        };
        let (floor, incarnation) = (store.version_floor(), reader.incarnation());
        let Ok(mut building) = Building::begin(Arc::clone(&disk), Path::new(BACKUPS), &as_name)
        else {
            return self.may_fail("a backup does not begin");
        };
        let Ok(pinned) = turn.pin() else {
            building.abandon();
            return self.may_fail("the table is not pinned");
        };
        let mut expected = self.history.shown.clone();
        let batch = self.batch();
        let goes_on = self.write(&batch)?;
        if building.add(&name(), &pinned, &mut |_| ControlFlow::Continue(())).is_err() {
            building.abandon();
            return self.may_fail("the table is not added").map(|_| goes_on);
        }
        if building.finish(floor).is_err() {
            return self.may_fail("the backup is not finished").map(|_| goes_on);
        }

        let to = format!("/restored-{as_name}");
        let from = Path::new(BACKUPS).join(&as_name);
        let restored = BackupFolder::open(Arc::clone(&disk), &from)
            .and_then(|backup| backup.restore(&*disk, Path::new(&to), &mut |_| {}));
        if let Err(error) = restored {
            return self.may_fail(&format!("not restored: {error:?}")).map(|_| goes_on);
        }
        match self.read_restored(disk, Path::new(&to), incarnation) {
            Ok(mut found) => {
                let lives = |record: &ModelRecord| !self.history.has_expired(record.expires);
                found.retain(|_, record| lives(record));
                expected.retain(|_, record| lives(record));
                match found == expected {
                    true => Ok(goes_on),
                    false => Err(format!("restored {found:?}, not {expected:?}")),
                }
            }
            Err(error) => self.may_fail(&error).map(|_| goes_on),
        }
    }

    /// All records of a restored folder.
    fn read_restored(
        &self,
        disk: Arc<dyn Disk>,
        data: &Path,
        incarnation: u64,
    ) -> Result<Snapshot, String> {
        let in_words = |error: StorageError| format!("{error:?}");
        let store = Store::open(disk, data, self.options.clone())
            .map_err(|error: StoreError| format!("the restored folder does not open: {error:?}"))?;
        let entry = store.tables().first().ok_or("the restored folder has no table")?;
        let (writer, _) = store.open_table(entry).map_err(in_words)?;
        let reader = writer.reader();
        if reader.incarnation() == incarnation {
            return Err("the restored table is taken for the old one".into());
        }
        records_of(reader).map_err(|error| format!("{error:?}"))
    }

    /// Something did not work: that is a violation, unless the disk is the reason.
    fn may_fail(&self, what: &str) -> Checked<bool> {
        match self.is_failing() {
            true => Ok(!self.disk.has_crashed()),
            false => Err(what.into()),
        }
    }
}
