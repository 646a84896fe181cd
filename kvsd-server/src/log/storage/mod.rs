//! Tables as bytes and files: synchronous, and the only part that touches a disk.
//!
//! Storage owns the formats, the index, the writing of groups and their recovery. It knows nothing
//! of tokio, of connections or of the protocol, decides no condition and no policy, and starts no
//! thread but to share the work of opening a table. A data folder looks like this:
//!
//! ```text
//! LOCK                        locked while the folder is in use
//! CATALOG                     which tables there are                 (catalog)
//! tables/00000001/MANIFEST    which segments the table has           (manifest, envelope)
//! tables/00000001/00000001.seg  groups of records                    (segment, record)
//! tables/00000001/00000001.hint  what a segment says of its keys       (hint)
//! tables/00000001/00000001.seg-000000004711.cut   what a recovery has cut off
//! ```
//!
//! Reading order: [`disk`] (the file layer) and [`posix`]; the formats [`record`], [`segment`],
//! [`envelope`], [`manifest`], [`catalog`]; then [`index`], [`buckets`], [`cache`], [`reader`],
//! [`group`], [`writer`], [`figures`], [`rotation`]; what stands in order: [`entry`], [`chunk`],
//! [`hint`], [`merge`], [`view`], [`page`], [`history`]; what tidies up: [`chore`], [`compact`],
//! [`adopt`], [`space`]; then [`groups`], [`repair`], [`names`], [`load`] and [`store`]; then
//! [`backup`], and `offline`, which reads a folder that no server has open.

#![warn(clippy::indexing_slicing)]

mod adopt;
pub(crate) mod backup;
mod buckets;
pub(crate) mod cache;
pub(crate) mod catalog;
pub(crate) mod chore;
mod chunk;
pub(crate) mod clear;
mod compact;
pub(crate) mod disk;
pub(crate) mod entry;
mod envelope;
pub(crate) mod error;
mod fields;
mod figures;
pub(crate) mod group;
mod groups;
mod hint;
pub(crate) mod history;
pub(crate) mod index;
pub(crate) mod load;
mod manifest;
mod merge;
mod names;
#[cfg(feature = "cli")]
pub(crate) mod offline;
pub(crate) mod page;
pub(crate) mod posix;
pub(crate) mod reader;
pub(crate) mod record;
pub(crate) mod repair;
pub(crate) mod rotation;
mod segment;
#[cfg(test)]
pub(crate) mod sim;
mod slots;
mod space;
pub(crate) mod store;
mod usage;
mod view;
pub(crate) mod writer;

use std::path::Path;

use error::StorageError;

/// A random number that nobody can guess.
fn random_u64() -> Result<u64, StorageError> {
    getrandom::u64().map_err(|error| {
        let error = std::io::Error::other(error.to_string());
        StorageError::io("take random bytes from", Path::new("the system"))(error)
    })
}
