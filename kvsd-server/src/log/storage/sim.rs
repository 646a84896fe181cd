//! A disk in memory that keeps what is synced, and on a crash nothing else for sure.
//!
//! On a crash each thing that was not synced goes its own way: each block of a file has any number
//! of the writes to it, or zeros or garbage where they would be; a file has any length on the way;
//! each entry of a folder is old or new. A killed process, in contrast, loses nothing that the
//! system has taken.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::disk::{CachedRead, Disk, DiskFile, Lock};

/// A small generator of random numbers: the same seed, the same numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Yes, in so many of a hundred cases.
    pub(crate) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

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
    is_shut: Mutex<bool>,
    opened: Condvar,
}

#[derive(Debug, Clone)]
struct State {
    random: Random,
    files: Vec<SimInode>,
    folders: BTreeMap<PathBuf, SimFolder>,
    locked: HashSet<PathBuf>,
    /// Handles of an earlier process are dead.
    process: u64,
    calls: u64,
    crash_at: Option<u64>,
    crashed: bool,
    fault: Option<(u64, Fault)>,
    failed: bool,
    capacity: u64,
    uncached_percent: usize,
    forgets_syncs: bool,
    syncs: u64,
}

#[derive(Debug, Clone, Default)]
struct SimInode {
    durable: Vec<u8>,
    current: Vec<u8>,
    pending: Vec<FileChange>,
}

#[derive(Debug, Clone)]
enum FileChange {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Debug, Clone, Default)]
struct SimFolder {
    durable: BTreeMap<String, Node>,
    current: BTreeMap<String, Node>,
    pending: Vec<EntryChange>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    File(usize),
    Folder,
}

#[derive(Debug, Clone)]
struct EntryChange {
    removed: Option<String>,
    set: Option<(String, Node)>,
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

const BLOCK: usize = 512;

impl FileChange {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(offset, bytes) => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
            Self::Length(length) => content.resize(*length, 0),
        }
    }

    fn length(&self, before: usize) -> usize {
        match self {
            Self::Write(offset, bytes) => before.max(offset + bytes.len()),
            Self::Length(length) => *length,
        }
    }

    /// Applies the part that falls into one block.
    fn apply_to_block(&self, start: usize, block: &mut [u8]) {
        for (at, byte) in (start..).zip(block) {
            match self {
                Self::Write(offset, bytes) if (*offset..offset + bytes.len()).contains(&at) => {
                    *byte = bytes[at - offset];
                }
                Self::Length(length) if at >= *length => *byte = 0,
                _ => {}
            }
        }
    }

    fn covers(&self, at: usize) -> bool {
        match self {
            Self::Write(offset, bytes) => (*offset..offset + bytes.len()).contains(&at),
            Self::Length(_) => false,
        }
    }
}

impl EntryChange {
    fn apply(&self, entries: &mut BTreeMap<String, Node>) {
        if let Some(name) = &self.removed {
            entries.remove(name);
        }
        if let Some((name, node)) = &self.set {
            entries.insert(name.clone(), *node);
        }
    }
}

impl SimInode {
    fn change(&mut self, change: FileChange) {
        change.apply(&mut self.current);
        self.pending.push(change);
    }

    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    fn crash(&mut self, random: &mut Random) {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() && self.durable.len() == self.current.len() {
            self.current.clone_from(&self.durable);
            return;
        }
        let mut lengths = vec![self.durable.len()];
        for change in &pending {
            lengths.push(change.length(lengths[lengths.len() - 1]));
        }
        let longest = *lengths.iter().max().unwrap();
        let length = match random.percent(60) {
            true => lengths[lengths.len() - 1],
            false => lengths[random.below(lengths.len())],
        };
        let mut content = self.durable.clone();
        content.resize(longest, 0);
        let touched: BTreeSet<usize> = pending.iter().flat_map(|c| touched_blocks(c)).collect();
        for start in touched.into_iter().map(|block| block * BLOCK) {
            let end = (start + BLOCK).min(longest);
            let Some(block) = content.get_mut(start..end) else {
                continue;
            };
            let applied = match random.below(4) {
                0 => 0,
                1 => random.below(pending.len() + 1),
                _ => pending.len(),
            };
            pending[..applied].iter().for_each(|change| change.apply_to_block(start, block));
            let spoil = random.below(20);
            for (at, byte) in (start..).zip(block) {
                if spoil < 2 && pending.iter().any(|change| change.covers(at)) {
                    *byte = if spoil == 0 { 0 } else { random.next() as u8 };
                }
            }
        }
        content.truncate(length);
        content.resize(length, 0);
        self.durable = content.clone();
        self.current = content;
    }
}

fn touched_blocks(change: &FileChange) -> std::ops::Range<usize> {
    match change {
        FileChange::Write(offset, bytes) => offset / BLOCK..(offset + bytes.len()).div_ceil(BLOCK),
        FileChange::Length(length) => length / BLOCK..length / BLOCK + 1,
    }
}

impl SimFolder {
    fn change(&mut self, removed: Option<String>, set: Option<(String, Node)>) {
        let change = EntryChange { removed, set };
        change.apply(&mut self.current);
        self.pending.push(change);
    }

    fn crash(&mut self, random: &mut Random) {
        for change in std::mem::take(&mut self.pending) {
            if random.percent(50) {
                change.apply(&mut self.durable);
            }
        }
        self.current = self.durable.clone();
    }
}

impl SimDisk {
    pub(crate) fn new(seed: u64) -> Self {
        let root = (PathBuf::from("/"), SimFolder::default());
        let state = State {
            random: Random::new(seed),
            files: Vec::new(),
            folders: BTreeMap::from([root]),
            locked: HashSet::new(),
            process: 0,
            calls: 0,
            crash_at: None,
            crashed: false,
            fault: None,
            failed: false,
            capacity: u64::MAX,
            uncached_percent: 0,
            forgets_syncs: false,
            syncs: 0,
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
        *self.gate.is_shut.lock().unwrap() = true;
    }

    /// Lets the syncs go on that wait.
    pub(crate) fn release_syncs(&self) {
        *self.gate.is_shut.lock().unwrap() = false;
        self.gate.opened.notify_all();
    }

    /// How many syncs of files have begun.
    pub(crate) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Power fails, at once.
    pub(crate) fn crash(&self) {
        let mut state = self.state();
        let State { random, files, folders, .. } = &mut *state;
        files.iter_mut().for_each(|file| file.crash(random));
        folders.values_mut().for_each(|folder| folder.crash(random));
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
        self.state().failed
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
        self.failed = false;
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
        self.failed = true;
        match fault {
            Fault::Io if call != Call::Sync => Err(io::Error::from_raw_os_error(5)),
            Fault::Full if call == Call::Grow => Err(io::ErrorKind::StorageFull.into()),
            fault => Ok(Some(fault)),
        }
    }

    fn used(&self) -> u64 {
        let nodes = self.folders.values().flat_map(|folder| folder.current.values());
        let bytes = nodes.map(|node| match node {
            Node::File(file) => self.files[*file].current.len() as u64,
            Node::Folder => 0,
        });
        bytes.sum()
    }

    fn folder(&mut self, path: &Path) -> io::Result<&mut SimFolder> {
        self.folders.get_mut(path).ok_or_else(|| io::ErrorKind::NotFound.into())
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

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.enter(Call::Grow)?;
        if state.file(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.files.push(SimInode::default());
        let file = state.files.len() - 1;
        let entry = (name_of(path), Node::File(file));
        state.folder(path.parent().unwrap())?.change(None, Some(entry));
        Ok(state.handle(self, file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.enter(Call::Read)?;
        let file = state.file(path)?;
        Ok(state.handle(self, file))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Call::Grow)?;
        if !state.folders.contains_key(path) {
            let entry = (name_of(path), Node::Folder);
            state.folder(path.parent().unwrap())?.change(None, Some(entry));
            state.folders.insert(path.to_owned(), SimFolder::default());
        }
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.enter(Call::Read)?;
        Ok(state.folder(folder)?.current.keys().cloned().collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Call::Change)?;
        let file = state.file(from)?;
        let entry = (name_of(to), Node::File(file));
        state.folder(to.parent().unwrap())?.change(Some(name_of(from)), Some(entry));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Call::Change)?;
        state.file(path)?;
        state.folder(path.parent().unwrap())?.change(Some(name_of(path)), None);
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Call::Change)?;
        if !state.folder(path)?.current.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        state.folders.remove(path);
        state.folder(path.parent().unwrap())?.change(Some(name_of(path)), None);
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.enter(Call::Sync)?.is_some() {
            return Err(io::Error::from_raw_os_error(5));
        }
        let forgets = state.forgets_syncs;
        let folder = state.folder(folder)?;
        if !forgets {
            folder.durable = folder.current.clone();
            folder.pending.clear();
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Arc<dyn Lock>> {
        let mut state = self.state();
        state.enter(Call::Change)?;
        if !state.locked.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let lock = SimLock {
            disk: Arc::clone(&self.state),
            path: path.to_owned(),
            process: state.process,
        };
        Ok(Arc::new(lock))
    }
}

#[derive(Debug)]
struct SimLock {
    disk: Arc<Mutex<State>>,
    path: PathBuf,
    process: u64,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.lock().unwrap();
        if state.process == self.process {
            state.locked.remove(&self.path);
        }
    }
}

#[derive(Debug)]
struct SimFile {
    disk: Arc<Mutex<State>>,
    gate: Arc<Gate>,
    file: usize,
    process: u64,
}

impl SimFile {
    fn enter(&self, call: Call) -> io::Result<(MutexGuard<'_, State>, Option<Fault>)> {
        let mut state = self.disk.lock().unwrap();
        if state.process != self.process {
            return Err(io::Error::other("the process is gone"));
        }
        let fault = state.enter(call)?;
        Ok((state, fault))
    }

    fn read(&self, state: &State, buffer: &mut [u8], offset: u64) -> usize {
        let content = &state.files[self.file].current;
        let rest = content.get(offset as usize..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        length
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let (state, _) = self.enter(Call::Read)?;
        Ok(self.read(&state, buffer, offset))
    }

    fn read_at_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<CachedRead> {
        let (mut state, _) = self.enter(Call::Read)?;
        let percent = state.uncached_percent;
        if state.random.percent(percent) {
            // A page of several may be at hand.
            let part = state.random.below(buffer.len() + 1);
            return match part {
                0 => Ok(CachedRead::NotCached),
                part => Ok(CachedRead::Read(self.read(&state, &mut buffer[..part], offset))),
            };
        }
        Ok(CachedRead::Read(self.read(&state, buffer, offset)))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let (mut state, fault) = self.enter(Call::Write)?;
        let length = state.files[self.file].current.len() as u64;
        let free = state.capacity.saturating_sub(state.used());
        let room = (length + free).saturating_sub(offset).min(bytes.len() as u64) as usize;
        let written = match fault {
            Some(Fault::Full) => return Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::ShortWrite) => room / 2,
            _ => room,
        };
        if written == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let change = FileChange::Write(offset as usize, bytes[..written].to_vec());
        state.files[self.file].change(change);
        Ok(written)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.lock().unwrap().syncs += 1;
        let is_shut = self.gate.is_shut.lock().unwrap();
        drop(self.gate.opened.wait_while(is_shut, |is_shut| *is_shut).unwrap());
        let (mut state, fault) = self.enter(Call::Sync)?;
        let forgets = state.forgets_syncs;
        let file = &mut state.files[self.file];
        match fault {
            Some(fault) => {
                // The cache calls it clean, and no later sync writes it.
                file.pending.clear();
                match fault {
                    Fault::Full => Err(io::ErrorKind::StorageFull.into()),
                    _ => Err(io::Error::from_raw_os_error(5)),
                }
            }
            None if forgets => Ok(()),
            None => {
                file.sync();
                Ok(())
            }
        }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let (mut state, _) = self.enter(Call::Change)?;
        state.files[self.file].change(FileChange::Length(length as usize));
        Ok(())
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let (mut state, _) = self.enter(Call::Grow)?;
        let current = state.files[self.file].current.len() as u64;
        if length > current {
            if state.used() + (length - current) > state.capacity {
                return Err(io::ErrorKind::StorageFull.into());
            }
            state.files[self.file].change(FileChange::Length(length as usize));
        }
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        let (state, _) = self.enter(Call::Read)?;
        Ok(state.files[self.file].current.len() as u64)
    }
}
