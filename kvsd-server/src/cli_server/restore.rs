//! `kvsd-server restore`: a new data folder from a backup.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use indicatif::ProgressDrawTarget;

use super::exit::Failure;
use super::folder::bar;
use crate::log::LogConfig;
use crate::log::offline::{BackupFolder, PosixDisk, ReadOnlyDisk, Restored};

/// Makes the data folder.
pub(super) fn run(backup: &Path, to: &Path) -> Result<(), Failure> {
    // What is built beside it is named after it, which `.` has not.
    let to = &std::path::absolute(to).map_err(Failure::other)?;
    let disk = Arc::new(ReadOnlyDisk::new(LogConfig::DEFAULT_OPEN_FILES));
    let backup = BackupFolder::open(disk, backup).map_err(Failure::other)?;
    let bar = bar(backup.size(), ProgressDrawTarget::stderr());
    bar.set_message("restoring");
    let disk = PosixDisk::new(LogConfig::DEFAULT_OPEN_FILES);
    let restored =
        backup.restore(&disk, to, &mut |bytes| bar.inc(bytes)).map_err(Failure::other)?;
    bar.finish_and_clear();
    let Restored { tables, bytes } = restored;
    writeln!(
        io::stdout(),
        "restored {tables} tables, {bytes} bytes, in {}; users, certificates and configuration are \
         no part of a backup",
        to.display()
    )
    .map_err(Failure::other)
}
