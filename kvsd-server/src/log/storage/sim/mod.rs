//! A disk in memory that keeps what is synced, and on a crash nothing else for sure.
//!
//! On a crash each thing that was not synced goes its own way: each block of a file has any number
//! of the writes to it, or zeros or garbage where they would be; a file has any length on the way;
//! each entry of a folder is old or new. A killed process, in contrast, loses nothing that the
//! system has taken.

mod calls;
mod content;
mod random;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::log::storage::disk::DiskFile;
use calls::SimFile;
use content::{Node, SimFolder, SimInode};
pub(crate) use random::Random;

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// EIO; if the call is a sync, what it should have kept is forgotten without a word later.
    Io,
    /// ENOSPC, at the next call that needs room.
    Full,
    /// The next write is cut in half.
    ShortWrite,
    /// EIO at the next sync of a file.
    Sync,
}

/// The disk; a clone is the same disk.
#[derive(Debug, Clone)]
pub(crate) struct SimDisk {
    state: Arc<Mutex<State>>,
    gate: Arc<Gate>,
}

/// Where syncs of files wait while they are held.
#[derive(Debug, Default)]
struct Gate {
    held: Mutex<Held>,
    released: Condvar,
}

/// Which syncs of files wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Held {
    #[default]
    None,
    All,
    /// All but those of one file.
    AllBut(usize),
}

#[derive(Debug, Clone)]
struct State {
    random: Random,
    files: Vec<SimInode>,
    folders: BTreeMap<PathBuf, SimFolder>,
    /// Folders that have another name, which a crash may take back.
    moves: Vec<(PathBuf, PathBuf)>,
    locked: HashSet<PathBuf>,
    /// Handles of an earlier process are dead.
    process: u64,
    calls: u64,
    crash_at: Option<u64>,
    crashed: bool,
    fault: Option<(u64, Fault)>,
    /// The call that a fault has hit.
    failed: Option<u64>,
    capacity: u64,
    uncached_percent: usize,
    forgets_syncs: bool,
    syncs: u64,
    largest_read: usize,
    /// Bytes of a file that no read gets.
    unreadable: Option<(usize, Range<u64>)>,
}

/// What a call does, as far as faults go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Read,
    Change,
    Grow,
    Write,
    Sync,
}

impl SimDisk {
    pub(crate) fn new(seed: u64) -> Self {
        let root = (PathBuf::from("/"), SimFolder::default());
        let state = State {
            random: Random::new(seed),
            files: Vec::new(),
            folders: BTreeMap::from([root]),
            moves: Vec::new(),
            locked: HashSet::new(),
            process: 0,
            calls: 0,
            crash_at: None,
            crashed: false,
            fault: None,
            failed: None,
            capacity: u64::MAX,
            uncached_percent: 0,
            forgets_syncs: false,
            syncs: 0,
            largest_read: 0,
            unreadable: None,
        };
        Self { state: Arc::new(Mutex::new(state)), gate: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Another disk with the same content, whose crashes go other ways.
    pub(crate) fn fork(&self, seed: u64) -> Self {
        let mut state = self.state().clone();
        state.random = Random::new(seed);
        state.restart();
        Self { state: Arc::new(Mutex::new(state)), gate: Arc::default() }
    }

    /// Lets syncs of files wait until [`SimDisk::release_syncs`].
    pub(crate) fn hold_syncs(&self) {
        *self.gate.held.lock().unwrap() = Held::All;
    }

    /// The same, but syncs of this file go on.
    pub(crate) fn hold_syncs_but(&self, path: &Path) {
        let file = self.state().file(path).unwrap();
        *self.gate.held.lock().unwrap() = Held::AllBut(file);
    }

    /// Lets the syncs go on that wait.
    pub(crate) fn release_syncs(&self) {
        *self.gate.held.lock().unwrap() = Held::None;
        self.gate.released.notify_all();
    }

    /// How many syncs of files have begun.
    pub(crate) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// How long the longest buffer was that somebody wanted to have filled.
    pub(crate) fn largest_read(&self) -> usize {
        self.state().largest_read
    }

    /// Power fails, at once.
    pub(crate) fn crash(&self) {
        let mut state = self.state();
        let State { random, files, folders, .. } = &mut *state;
        files.iter_mut().for_each(|file| file.crash(random));
        folders.values_mut().for_each(|folder| folder.crash(random));
        for (from, to) in std::mem::take(&mut state.moves).into_iter().rev() {
            let entries = &state.folders[from.parent().unwrap()].current;
            let is_there = |path: &Path| entries.contains_key(&name_of(path));
            if is_there(&from) && !is_there(&to) {
                state.rekey(&to, &from);
            }
        }
        let State { files, folders, .. } = &mut *state;
        // A folder whose entry is gone is gone with all that is in it; parents come first.
        for (path, folder) in std::mem::take(folders) {
            let entry = path.parent().map(|parent| (folders.get(parent), name_of(&path)));
            let is_there = entry.is_none_or(|(parent, name)| {
                parent.is_some_and(|parent| parent.current.get(&name) == Some(&Node::Folder))
            });
            if is_there {
                folders.insert(path, folder);
            }
        }
        // An entry that a crash brings back has its folder again.
        let entries = folders.iter().flat_map(|(path, folder)| {
            let names = folder.current.iter().filter(|(_, node)| **node == Node::Folder);
            names.map(|(name, _)| path.join(name))
        });
        for path in entries.collect::<Vec<_>>() {
            folders.entry(path).or_default();
        }
        let nodes = folders.values().flat_map(|folder| folder.current.values());
        let named: BTreeSet<Node> = nodes.copied().collect();
        for (file, inode) in files.iter_mut().enumerate() {
            if !named.contains(&Node::File(file)) {
                *inode = SimInode::default();
            }
        }
        state.restart();
    }

    /// The process is killed; the system and its caches go on.
    pub(crate) fn kill(&self) {
        self.state().restart();
    }

    /// From the n-th call on, counted from now, nothing works until the next restart.
    pub(crate) fn crash_at_call(&self, call: u64) {
        let mut state = self.state();
        state.crash_at = Some(state.calls + call);
    }

    pub(crate) fn has_crashed(&self) -> bool {
        self.state().crashed
    }

    /// Something goes wrong at the n-th call, counted from now.
    pub(crate) fn fail_at_call(&self, call: u64, fault: Fault) {
        let mut state = self.state();
        state.fault = Some((state.calls + call, fault));
    }

    /// Whether a fault has hit since the last restart.
    pub(crate) fn has_failed(&self) -> bool {
        self.state().failed.is_some()
    }

    /// The call that a fault has hit since the last restart, counted from the disk's first.
    pub(crate) fn failed_at(&self) -> Option<u64> {
        self.state().failed
    }

    /// How many calls there were.
    pub(crate) fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Whether a fault is still to come.
    pub(crate) fn has_fault_to_come(&self) -> bool {
        self.state().fault.is_some()
    }

    /// All files together may have so many bytes.
    pub(crate) fn set_capacity(&self, bytes: u64) {
        self.state().capacity = bytes;
    }

    /// How many bytes all files have together.
    pub(crate) fn used(&self) -> u64 {
        self.state().used()
    }

    /// In so many of a hundred cases a read that must not wait finds nothing.
    pub(crate) fn set_uncached_percent(&self, percent: usize) {
        self.state().uncached_percent = percent;
    }

    /// A planted fault: syncs succeed and keep nothing.
    pub(crate) fn forget_syncs(&self) {
        self.state().forgets_syncs = true;
    }

    /// From now on every read of these bytes of a file fails.
    #[cfg(feature = "cli")]
    pub(crate) fn spoil(&self, path: &Path, bytes: Range<u64>) {
        let mut state = self.state();
        state.unreadable = Some((state.file(path).unwrap(), bytes));
    }

    /// What a file holds.
    pub(crate) fn content(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        state.files[state.file(path).unwrap()].current.clone()
    }

    /// Puts a file there, durably.
    pub(crate) fn put(&self, path: &Path, content: &[u8]) {
        let mut state = self.state();
        let file = state.file(path).unwrap_or_else(|_| {
            state.files.push(SimInode::default());
            let (file, name) = (state.files.len() - 1, name_of(path));
            let folder = state.folder(path.parent().unwrap()).unwrap();
            folder.change(None, Some((name, Node::File(file))));
            folder.durable = folder.current.clone();
            file
        });
        state.files[file] =
            SimInode { durable: content.to_vec(), current: content.to_vec(), pending: Vec::new() };
    }

    /// The paths of all files.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let state = self.state();
        let in_folder = |(path, folder): (&PathBuf, &SimFolder)| {
            let files = folder.current.iter().filter(|(_, node)| **node != Node::Folder);
            files.map(|(name, _)| path.join(name)).collect::<Vec<_>>()
        };
        state.folders.iter().flat_map(in_folder).collect()
    }
}

impl State {
    fn restart(&mut self) {
        self.process += 1;
        self.locked.clear();
        self.crash_at = None;
        self.crashed = false;
        self.fault = None;
        self.failed = None;
    }

    fn enter(&mut self, call: Call) -> io::Result<Option<Fault>> {
        self.calls += 1;
        if self.crash_at.is_some_and(|at| self.calls >= at) {
            self.crashed = true;
        }
        if self.crashed {
            return Err(io::Error::other("the machine is down"));
        }
        let Some((at, fault)) = self.fault else {
            return Ok(None);
        };
        let hits = match fault {
            Fault::Io => true,
            Fault::Full => matches!(call, Call::Grow | Call::Write | Call::Sync),
            Fault::ShortWrite => call == Call::Write,
            Fault::Sync => call == Call::Sync,
        };
        if self.calls < at || !hits {
            return Ok(None);
        }
        self.fault = None;
        self.failed = Some(self.calls);
        match fault {
            Fault::Io if call != Call::Sync => Err(io::Error::from_raw_os_error(5)),
            Fault::Full if call == Call::Grow => Err(io::ErrorKind::StorageFull.into()),
            fault => Ok(Some(fault)),
        }
    }

    fn used(&self) -> u64 {
        let nodes = self.folders.values().flat_map(|folder| folder.current.values());
        // A file may have several names.
        let nodes: BTreeSet<Node> = nodes.copied().collect();
        let bytes = nodes.iter().map(|node| match node {
            Node::File(file) => self.files[*file].current.len() as u64,
            Node::Folder => 0,
        });
        bytes.sum()
    }

    fn folder(&mut self, path: &Path) -> io::Result<&mut SimFolder> {
        self.folders.get_mut(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Gives a folder another name in the folder it is in.
    fn move_folder(&mut self, from: &Path, to: &Path) -> io::Result<Node> {
        assert_eq!(from.parent(), to.parent());
        if self.folders.get(to).is_some_and(|folder| !folder.current.is_empty()) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.folders.remove(to);
        self.rekey(from, to);
        self.moves.push((from.to_owned(), to.to_owned()));
        Ok(Node::Folder)
    }

    /// Has a folder, and all that is in it, found under another path.
    fn rekey(&mut self, from: &Path, to: &Path) {
        let folders = std::mem::take(&mut self.folders);
        let moved = |path: PathBuf| match path.strip_prefix(from) {
            Ok(rest) if rest.as_os_str().is_empty() => to.to_owned(),
            Ok(rest) => to.join(rest),
            Err(_) => path,
        };
        self.folders = folders.into_iter().map(|(path, folder)| (moved(path), folder)).collect();
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        let folder = self.folders.get(path.parent().unwrap());
        match folder.and_then(|folder| folder.current.get(&name_of(path))) {
            Some(Node::File(file)) => Ok(*file),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn handle(&self, disk: &SimDisk, file: usize) -> Arc<dyn DiskFile> {
        Arc::new(SimFile {
            disk: Arc::clone(&disk.state),
            gate: Arc::clone(&disk.gate),
            file,
            process: self.process,
        })
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}
