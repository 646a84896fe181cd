//! The calls to the system that std does not have, and their differences between systems.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{Mode as Permissions, OFlags};
use rustix::io::Errno;

use crate::log::storage::disk::CachedRead;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// A new one, for reading and writing.
    Create,
    /// One that may be there, for reading and writing.
    CreateOrOpen,
    /// One that is there, for reading and writing.
    ReadWrite,
    /// One that is there, for reading.
    #[cfg(feature = "cli")]
    Read,
}

/// Opens a file, never the one that a symbolic link of this name points at.
pub(super) fn open(path: &Path, mode: Mode) -> io::Result<File> {
    let how = match mode {
        Mode::Create => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        Mode::CreateOrOpen => OFlags::RDWR | OFlags::CREATE,
        Mode::ReadWrite => OFlags::RDWR,
        #[cfg(feature = "cli")]
        Mode::Read => OFlags::RDONLY,
    };
    let how = how | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let owner_only = Permissions::RUSR | Permissions::WUSR;
    match rustix::fs::open(path, how, owner_only) {
        Ok(file) => Ok(File::from(file)),
        Err(Errno::LOOP) => Err(io::Error::other("it is a symbolic link, which is not followed")),
        Err(error) => Err(error.into()),
    }
}

#[cfg(target_os = "linux")]
pub(super) fn read_without_waiting(
    file: &File,
    buffer: &mut [u8],
    offset: u64,
) -> io::Result<CachedRead> {
    use rustix::io::{ReadWriteFlags, preadv2};

    let mut buffers = [io::IoSliceMut::new(buffer)];
    match preadv2(file, &mut buffers, offset, ReadWriteFlags::NOWAIT) {
        Ok(read) => Ok(CachedRead::Read(read)),
        // Refused, not at hand, or a file system that cannot say: the pool reads it.
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR | Errno::NOSYS) => {
            Ok(CachedRead::NotCached)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn read_without_waiting(_: &File, _: &mut [u8], _: u64) -> io::Result<CachedRead> {
    Ok(CachedRead::NotCached)
}

#[cfg(target_os = "linux")]
pub(super) fn reserve(file: &File, length: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};

    fallocate(file, FallocateFlags::empty(), 0, length).map_err(|error| match error {
        Errno::OPNOTSUPP | Errno::NOSYS => io::ErrorKind::Unsupported.into(),
        error => error.into(),
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn reserve(_: &File, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether the file system has no device below it, so that no read waits.
#[cfg(target_os = "linux")]
pub(super) fn is_in_memory(file: &File) -> bool {
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    const RAMFS_MAGIC: u64 = 0x8584_58f6;
    // The width of the field differs between machines.
    let kind = rustix::fs::fstatfs(file).map(|stat| stat.f_type as u64);
    matches!(kind, Ok(TMPFS_MAGIC | RAMFS_MAGIC))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_in_memory(_: &File) -> bool {
    false
}
