//! Which files are open, and which one is closed when they are too many.
//!
//! Open files stand in a ring. When there are more than the limit, the first one of the ring is
//! closed, unless it was used since it was last looked at: then it goes to the end. A file with
//! unsynced changes is never closed, so that beside the limit there may be one open file for each
//! table that is being written. If it has not been changed for a while, the next caller that waits
//! for a sync anyway syncs it too, and then it can be closed.
//!
//! No lock here is held during a call to the system, but for `names`.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::time::{Duration, Instant};

use super::file::{Closing, PosixFile};
use super::identity::Identity;
use crate::log::storage::error::is_out_of_descriptors;

/// The files of a disk that somebody holds, and those among them that are open.
#[derive(Debug)]
pub(super) struct Descriptors {
    limit: usize,
    /// How long a file goes unchanged before it is synced to be closed.
    idle: Duration,
    ring: Mutex<VecDeque<Place>>,
    files: Mutex<HashMap<Identity, Vec<Weak<PosixFile>>>>,
    /// Shared while a file is opened by its name, held alone while names change.
    names: RwLock<()>,
}

/// An open file's place in the ring.
#[derive(Debug)]
struct Place {
    file: Weak<PosixFile>,
    /// How many changes were unsynced when it was looked at, and since when.
    unsynced: Option<(u64, Instant)>,
}

/// What may be done to have fewer open files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trim {
    /// Closing.
    CloseOnly,
    /// One sync as well: the caller waits for the disk anyway.
    MaySync,
}

impl Descriptors {
    pub(super) fn new(limit: usize) -> Self {
        Self::with_idle(limit, IDLE)
    }

    pub(super) fn with_idle(limit: usize, idle: Duration) -> Self {
        Self {
            limit,
            idle,
            ring: Mutex::default(),
            files: Mutex::default(),
            names: RwLock::default(),
        }
    }

    fn ring(&self) -> MutexGuard<'_, VecDeque<Place>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self) -> MutexGuard<'_, HashMap<Identity, Vec<Weak<PosixFile>>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many files are open that may be closed one day.
    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        self.ring().len()
    }

    /// While this is held no file loses its name.
    pub(super) fn names_standing(&self) -> RwLockReadGuard<'_, ()> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a file that somebody holds from now on.
    pub(super) fn register(&self, identity: Identity, file: &Weak<PosixFile>) {
        self.files().entry(identity).or_default().push(Weak::clone(file));
    }

    /// Takes note of a file that has just been opened.
    pub(super) fn admit(&self, file: &Weak<PosixFile>) {
        // First, lest it be the one that is closed: whoever opened it has not used it yet.
        self.trim_to(self.limit.saturating_sub(1), LOOKS, Trim::CloseOnly);
        self.ring().push_back(Place { file: Weak::clone(file), unsynced: None });
    }

    /// Takes note of a file that nobody holds any more.
    pub(super) fn forget(&self, identity: Identity, file: &Weak<PosixFile>) {
        let mut files = self.files();
        if let Some(same) = files.get_mut(&identity) {
            same.retain(|other| !other.ptr_eq(file));
            if same.is_empty() {
                files.remove(&identity);
            }
        }
        drop(files);
        self.ring().retain(|place| !place.file.ptr_eq(file));
    }

    /// Changes what has these names. Whoever holds a file keeps that one, open.
    pub(super) fn with_names_changing(
        &self,
        paths: &[&Path],
        change: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let _names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        for path in paths {
            // What has no name is held by nobody under it; the change says whether that is wrong.
            let Ok(identity) = Identity::at(path) else {
                continue;
            };
            let held: Vec<Arc<PosixFile>> = match self.files().get(&identity) {
                Some(same) => same.iter().filter_map(Weak::upgrade).collect(),
                None => Vec::new(),
            };
            // The same file under another name, in a backup say, is still found there.
            for file in held.iter().filter(|file| file.path() == *path) {
                file.keep()?;
            }
        }
        change()
    }

    /// Opens something. Where descriptors have run out, files are closed for it.
    pub(super) fn with_room<T>(&self, open: impl Fn() -> io::Result<T>) -> io::Result<T> {
        // The first look at a file only takes note that it was used.
        let mut looks = 2 * self.ring().len();
        loop {
            match open() {
                // No more than need be: others want theirs again.
                Err(error) if is_out_of_descriptors(&error) && looks > 0 => {
                    let now = looks.min(LOOKS);
                    self.trim_to(0, now, Trim::CloseOnly);
                    looks -= now;
                }
                result => return result,
            }
        }
    }

    /// Closes files, as far as a short look finds some, until no more than the limit are open.
    pub(super) fn trim(&self, trim: Trim) {
        self.trim_to(self.limit, LOOKS, trim);
    }

    fn trim_to(&self, most: usize, looks: usize, mut trim: Trim) {
        for _ in 0..looks {
            let Some(mut place) = self.first_beyond(most) else {
                return;
            };
            let Some(file) = place.file.upgrade() else {
                continue;
            };
            let mut closing = file.try_close();
            if let Closing::Unsynced(changes) = closing
                && trim == Trim::MaySync
                && place.is_idle_for(self.idle, changes)
            {
                closing = file.sync_and_close();
                trim = Trim::CloseOnly;
            }
            match closing {
                Closing::Closed | Closing::Kept => continue,
                Closing::Used => {}
                Closing::Unsynced(changes) => place.note(changes),
            }
            // Before the file is let go of: were this its last holder, it leaves the ring by that.
            self.ring().push_back(place);
        }
    }

    fn first_beyond(&self, most: usize) -> Option<Place> {
        let mut ring = self.ring();
        if ring.len() > most { ring.pop_front() } else { None }
    }
}

impl Place {
    fn note(&mut self, changes: u64) {
        if self.unsynced.is_none_or(|(before, _)| before != changes) {
            self.unsynced = Some((changes, Instant::now()));
        }
    }

    fn is_idle_for(&self, idle: Duration, changes: u64) -> bool {
        let unchanged = self.unsynced.filter(|(before, _)| *before == changes);
        unchanged.is_some_and(|(_, since)| since.elapsed() >= idle)
    }
}

/// A table that is written more often than this need not be synced for the sake of a descriptor.
const IDLE: Duration = Duration::from_secs(1);
/// How many files are looked at before the limit may be exceeded by one more.
const LOOKS: usize = 16;
