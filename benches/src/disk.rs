//! The disk below the servers: how fast it syncs, and how to let it come to rest.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::Error;

/// How many small appends a second the disk takes, each of them synced before the next.
pub(crate) fn syncs_per_second(folder: &Path) -> Result<f64, Error> {
    let path = folder.join("sync-rate");
    let mut file = File::create(&path)?;
    let (start, mut syncs) = (Instant::now(), 0_u32);
    while start.elapsed() < SYNC_TIME {
        file.write_all(&[b'.'; APPEND_BYTES])?;
        file.sync_data()?;
        syncs += 1;
    }
    let rate = f64::from(syncs) / start.elapsed().as_secs_f64();
    std::fs::remove_file(&path)?;
    Ok(rate)
}

/// Has everything written to disk that waits for it, so that no run pays for the one before.
pub(crate) fn settle(folder: &Path) -> Result<(), Error> {
    rustix::fs::syncfs(File::open(folder)?)?;
    Ok(())
}

/// All files below a folder.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => files.extend(self::files(&entry.path())?),
            false => files.push(entry.path()),
        }
    }
    Ok(files)
}

/// The bytes that the disk has set aside for all files below a folder.
pub(crate) fn allocated_bytes(folder: &Path) -> Result<u64, Error> {
    let mut blocks = 0;
    for file in files(folder)? {
        match std::fs::metadata(file) {
            Ok(metadata) => blocks += metadata.blocks(),
            // Removed since it was listed.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(blocks * BLOCK_BYTES)
}

/// The unit in which a file's room is told.
const BLOCK_BYTES: u64 = 512;
/// As much as a record of the benchmark takes in a log.
const APPEND_BYTES: usize = 160;
const SYNC_TIME: Duration = Duration::from_millis(200);
