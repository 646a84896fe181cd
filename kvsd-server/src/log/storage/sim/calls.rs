//! The file layer on the simulated disk: every call, with its faults.

#![expect(clippy::cast_possible_truncation, reason = "sizes and numbers of a test are small")]

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::content::{FileChange, Node, SimFolder, SimInode};
use super::{Call, Fault, Gate, Held, SimDisk, State, name_of};
use crate::log::storage::disk::{CachedRead, Disk, DiskFile, Lock};

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

    fn is_folder(&self, path: &Path) -> io::Result<bool> {
        let mut state = self.state();
        state.enter(Call::Read)?;
        Ok(state.folders.contains_key(path))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.enter(Call::Read)?;
        Ok(state.folder(folder)?.current.keys().cloned().collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Call::Change)?;
        let node = match state.folders.contains_key(from) {
            true => state.move_folder(from, to)?,
            false => Node::File(state.file(from)?),
        };
        let entry = (name_of(to), node);
        state.folder(to.parent().unwrap())?.change(Some(name_of(from)), Some(entry));
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Call::Grow)?;
        let file = state.file(from)?;
        if state.file(to).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let entry = (name_of(to), Node::File(file));
        state.folder(to.parent().unwrap())?.change(None, Some(entry));
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
        let entries = state.folder(folder)?;
        if !forgets {
            entries.durable = entries.current.clone();
            entries.pending.clear();
            state.moves.retain(|(from, _)| from.parent() != Some(folder));
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
pub(super) struct SimFile {
    pub(super) disk: Arc<Mutex<State>>,
    pub(super) gate: Arc<Gate>,
    pub(super) file: usize,
    pub(super) process: u64,
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
        let (mut state, _) = self.enter(Call::Read)?;
        state.largest_read = state.largest_read.max(buffer.len());
        let end = offset + buffer.len() as u64;
        let is_hit = |bytes: &Range<u64>| bytes.start < end && offset < bytes.end;
        match &state.unreadable {
            Some((file, bytes)) if *file == self.file && is_hit(bytes) => {
                Err(io::Error::from_raw_os_error(5))
            }
            _ => Ok(self.read(&state, buffer, offset)),
        }
    }

    fn read_at_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<CachedRead> {
        let (mut state, _) = self.enter(Call::Read)?;
        state.largest_read = state.largest_read.max(buffer.len());
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
        let held = self.gate.held.lock().unwrap();
        let is_held = |held: &mut Held| match *held {
            Held::None => false,
            Held::All => true,
            Held::AllBut(file) => file != self.file,
        };
        drop(self.gate.released.wait_while(held, is_held).unwrap());
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
