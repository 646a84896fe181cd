//! Which segments of a table there are to read, and how far each goes.
//!
//! Next file to read: [`super::readable`].

use super::survey::Survey;
use super::{Damage, DataFolder, TableFolder};
use crate::log::storage::error::StorageError;
use crate::log::storage::manifest::{Left, Manifest, path_in};
use crate::log::storage::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentIdentity};

/// A segment that is to be read.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) identity: SegmentIdentity,
    pub(super) extent: Extent,
}

/// How far a segment goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Extent {
    /// It ends here, all of it durable, with no version above this one.
    Fixed { length: u64, last_version: u64 },
    /// It may go on behind what is known to be durable.
    Open { durable: u64 },
}

impl DataFolder {
    /// The segments by the manifest, or by their own headers if it is damaged.
    pub(super) fn plan(
        &self,
        table: &TableFolder,
        survey: &mut Survey,
    ) -> Result<Vec<Planned>, StorageError> {
        let manifest = match Manifest::read(&*self.disk, &table.path) {
            Ok(manifest) => manifest,
            Err(error) => {
                survey.damages.push(Damage::from_error(error)?);
                return self.plan_by_headers(table, survey);
            }
        };
        let is_ours = table.incarnation.is_none_or(|known| known == manifest.incarnation);
        if manifest.table != table.id || !is_ours {
            let what = "this is the manifest of another table";
            let error = StorageError::corrupt(&path_in(&table.path), 0, what);
            survey.damages.push(Damage::from_error(error)?);
            return self.plan_by_headers(table, survey);
        }
        survey.version = manifest.version_floor;
        survey.time = manifest.time_floor;
        let last = manifest.segments.len().saturating_sub(1);
        let planned = manifest.segments.iter().enumerate().map(|(place, entry)| {
            survey.version = survey.version.max(entry.last_version);
            survey.time = survey.time.max(entry.time);
            let extent = match manifest.left {
                Left::InUse if place == last => Extent::Open { durable: entry.length },
                Left::InUse | Left::Clean => {
                    Extent::Fixed { length: entry.length, last_version: entry.last_version }
                }
            };
            Planned { identity: manifest.identity(entry), extent }
        });
        Ok(planned.collect())
    }

    fn plan_by_headers(
        &self,
        table: &TableFolder,
        survey: &mut Survey,
    ) -> Result<Vec<Planned>, StorageError> {
        let mut planned = Vec::new();
        for name in self.disk.list(&table.path).unwrap_or_default() {
            if !name.ends_with(".seg") {
                continue;
            }
            match Segment::identify(&*self.disk, &table.path.join(name)) {
                // Another incarnation's data must not come back.
                Ok(identity) if table.incarnation.is_none_or(|i| i == identity.incarnation) => {
                    let extent = Extent::Open { durable: SEGMENT_HEADER_BYTES };
                    planned.push(Planned { identity, extent });
                }
                Ok(_) => {}
                Err(error) => survey.damages.push(Damage::from_error(error)?),
            }
        }
        Ok(planned)
    }
}
