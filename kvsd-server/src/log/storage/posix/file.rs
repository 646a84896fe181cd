//! A file of the real disk, which has a descriptor while it needs one.
//!
//! Its descriptor is never closed while something written to it is not known to be on the disk: an
//! error of the system's own writing back is told to the descriptors that are open, and to nobody
//! later. After a failed sync it stays open for good, and every later sync fails as well.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use super::descriptors::{Descriptors, Trim};
use super::identity::Identity;
use super::system::{self, Mode};
use crate::log::storage::disk::{CachedRead, DiskFile};

/// A file that may be open.
#[derive(Debug)]
pub(super) struct PosixFile {
    /// Readers share it while they read; whoever opens or closes has it alone.
    state: RwLock<State>,
    /// Used since somebody last looked for a descriptor to close.
    used: AtomicBool,
    /// The file system has no device below it, so that no read waits.
    in_memory: bool,
    /// Grows before and after each change, so that a change beside a sync is not taken for synced.
    changes: AtomicU64,
    /// What `changes` was before the last sync that succeeded.
    durable: AtomicU64,
    /// Held during a sync. True once one has failed.
    sync_failed: Mutex<bool>,
    pub(super) identity: Identity,
    path: PathBuf,
    /// How it is opened again.
    mode: Mode,
    descriptors: Arc<Descriptors>,
    itself: Weak<Self>,
}

#[derive(Debug)]
struct State {
    file: Option<File>,
    keep: Keep,
}

/// Whether the descriptor may be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    WhileUsed,
    /// It may not: nobody could open it again.
    ForGood,
}

/// What came of trying to close a file's descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    Closed,
    /// It is in use, or was a moment ago.
    Used,
    /// After this many changes it is not synced.
    Unsynced(u64),
    /// It will never be closed.
    Kept,
}

impl PosixFile {
    /// Opens a file by its name.
    pub(super) fn open(
        descriptors: &Arc<Descriptors>,
        path: &Path,
        mode: Mode,
    ) -> io::Result<Arc<Self>> {
        let names = descriptors.names_standing();
        let file = descriptors.with_room(|| system::open(path, mode))?;
        let identity = Identity::of(&file)?;
        let (mode, changes) = match mode {
            // Its being there is the first change.
            Mode::Create | Mode::CreateOrOpen => (Mode::ReadWrite, 1),
            mode => (mode, 0),
        };
        let file = Arc::new_cyclic(|itself| Self {
            in_memory: system::is_in_memory(&file),
            state: RwLock::new(State { file: Some(file), keep: Keep::WhileUsed }),
            used: AtomicBool::new(true),
            changes: AtomicU64::new(changes),
            durable: AtomicU64::new(0),
            sync_failed: Mutex::new(false),
            identity,
            path: path.to_owned(),
            mode,
            descriptors: Arc::clone(descriptors),
            itself: Weak::clone(itself),
        });
        descriptors.register(identity, &file.itself);
        drop(names);
        descriptors.admit(&file.itself);
        Ok(file)
    }

    fn read_state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_state(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the open file, which is opened for it if need be.
    fn with<T>(&self, work: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        loop {
            let state = self.read_state();
            if let Some(file) = &state.file {
                self.mark_used();
                return work(file);
            }
            drop(state);
            self.open_again()?;
        }
    }

    /// Changes the open file.
    fn change<T>(&self, work: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        self.with(|file| {
            self.changes.fetch_add(1, Ordering::SeqCst);
            let result = work(file);
            // Even a change that failed may have changed something.
            self.changes.fetch_add(1, Ordering::SeqCst);
            result
        })
    }

    fn mark_used(&self) {
        // Readers of one file on many cores need not fight for a line that says so already.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    fn open_again(&self) -> io::Result<()> {
        let mut state = self.write_state();
        if state.file.is_some() {
            return Ok(());
        }
        state.file = Some(self.reopened()?);
        drop(state);
        self.mark_used();
        self.descriptors.admit(&self.itself);
        Ok(())
    }

    /// The same file as before under its name, and no other.
    fn reopened(&self) -> io::Result<File> {
        let file = self.descriptors.with_room(|| system::open(&self.path, self.mode))?;
        if Identity::of(&file)? != self.identity {
            return Err(io::Error::other("another file has taken its place"));
        }
        Ok(file)
    }

    /// Keeps the file readable for whoever holds it, whatever becomes of its name.
    pub(super) fn keep(&self) -> io::Result<()> {
        let mut state = self.write_state();
        if state.file.is_none() {
            state.file = Some(self.reopened()?);
        }
        state.keep = Keep::ForGood;
        Ok(())
    }

    /// Gives the descriptor back, unless somebody needs it.
    pub(super) fn try_close(&self) -> Closing {
        if self.used.swap(false, Ordering::Relaxed) {
            return Closing::Used;
        }
        let Ok(mut state) = self.state.try_write() else {
            return Closing::Used;
        };
        match self.sync_failed.try_lock() {
            Ok(failed) if !*failed => {}
            Ok(_) => return Closing::Kept,
            Err(_) => return Closing::Used,
        }
        let changes = self.changes.load(Ordering::SeqCst);
        match state.keep {
            Keep::ForGood => Closing::Kept,
            Keep::WhileUsed if changes != self.durable.load(Ordering::SeqCst) => {
                Closing::Unsynced(changes)
            }
            Keep::WhileUsed => {
                let file = state.file.take();
                // Closing may take a moment that no reader has to wait for.
                drop(state);
                drop(file);
                Closing::Closed
            }
        }
    }

    /// Syncs a file that has not been changed for long, so that it can be closed.
    pub(super) fn sync_and_close(&self) -> Closing {
        // An error is told to whoever syncs it next.
        let _ = self.make_durable();
        self.used.store(false, Ordering::Relaxed);
        self.try_close()
    }

    /// The name that it was opened under.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn make_durable(&self) -> io::Result<()> {
        // One at a time: an error is told to one sync only, and all later ones must know of it.
        let mut failed = self.sync_failed.lock().unwrap_or_else(PoisonError::into_inner);
        if *failed {
            return Err(io::Error::other("an earlier sync of this file has failed"));
        }
        let changes = self.changes.load(Ordering::SeqCst);
        if self.durable.load(Ordering::SeqCst) == changes {
            return Ok(());
        }
        let mut result = Ok(());
        self.with(|file| {
            result = file.sync_data();
            Ok(())
        })?;
        match result {
            Ok(()) => self.durable.store(changes, Ordering::SeqCst),
            Err(_) => *failed = true,
        }
        result
    }
}

impl DiskFile for PosixFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|file| file.read_at(buffer, offset))
    }

    fn read_at_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<CachedRead> {
        // Opening it again may wait for a device, and so may whoever does that just now.
        let Ok(state) = self.state.try_read() else {
            return Ok(CachedRead::NotCached);
        };
        let Some(file) = &state.file else {
            return Ok(CachedRead::NotCached);
        };
        self.mark_used();
        if self.in_memory {
            return file.read_at(buffer, offset).map(CachedRead::Read);
        }
        system::read_without_waiting(file, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.change(|file| file.write_at(bytes, offset))
    }

    fn sync_data(&self) -> io::Result<()> {
        let result = self.make_durable();
        self.descriptors.trim(Trim::MaySync);
        result
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.change(|file| file.set_len(length))
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.change(|file| system::reserve(file, length))
    }

    fn length(&self) -> io::Result<u64> {
        self.with(|file| Ok(file.metadata()?.len()))
    }
}

impl Drop for PosixFile {
    fn drop(&mut self) {
        self.descriptors.forget(self.identity, &self.itself);
    }
}
