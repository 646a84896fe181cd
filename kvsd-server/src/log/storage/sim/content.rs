//! What the files and folders of the simulated disk hold, durably and not, and what a crash makes
//! of that.

#![expect(clippy::cast_possible_truncation, reason = "sizes and numbers of a test are small")]

use std::collections::{BTreeMap, BTreeSet};

use super::random::Random;

#[derive(Debug, Clone, Default)]
pub(super) struct SimInode {
    pub(super) durable: Vec<u8>,
    pub(super) current: Vec<u8>,
    pub(super) pending: Vec<FileChange>,
}

#[derive(Debug, Clone)]
pub(super) enum FileChange {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Debug, Clone, Default)]
pub(super) struct SimFolder {
    pub(super) durable: BTreeMap<String, Node>,
    pub(super) current: BTreeMap<String, Node>,
    pub(super) pending: Vec<EntryChange>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    File(usize),
    Folder,
}

#[derive(Debug, Clone)]
pub(super) struct EntryChange {
    pub(super) removed: Option<String>,
    pub(super) set: Option<(String, Node)>,
}

pub(super) const BLOCK: usize = 512;

impl FileChange {
    pub(super) fn apply(&self, content: &mut Vec<u8>) {
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

    pub(super) fn length(&self, before: usize) -> usize {
        match self {
            Self::Write(offset, bytes) => before.max(offset + bytes.len()),
            Self::Length(length) => *length,
        }
    }

    /// Applies the part that falls into one block.
    pub(super) fn apply_to_block(&self, start: usize, block: &mut [u8]) {
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

    pub(super) fn covers(&self, at: usize) -> bool {
        match self {
            Self::Write(offset, bytes) => (*offset..offset + bytes.len()).contains(&at),
            Self::Length(_) => false,
        }
    }
}

impl EntryChange {
    pub(super) fn apply(&self, entries: &mut BTreeMap<String, Node>) {
        if let Some(name) = &self.removed {
            entries.remove(name);
        }
        if let Some((name, node)) = &self.set {
            entries.insert(name.clone(), *node);
        }
    }
}

impl SimInode {
    pub(super) fn change(&mut self, change: FileChange) {
        change.apply(&mut self.current);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    pub(super) fn crash(&mut self, random: &mut Random) {
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
        let touched: BTreeSet<usize> = pending.iter().flat_map(touched_blocks).collect();
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

pub(super) fn touched_blocks(change: &FileChange) -> std::ops::Range<usize> {
    match change {
        FileChange::Write(offset, bytes) => offset / BLOCK..(offset + bytes.len()).div_ceil(BLOCK),
        FileChange::Length(length) => length / BLOCK..length / BLOCK + 1,
    }
}

impl SimFolder {
    pub(super) fn change(&mut self, removed: Option<String>, set: Option<(String, Node)>) {
        let change = EntryChange { removed, set };
        change.apply(&mut self.current);
        self.pending.push(change);
    }

    pub(super) fn crash(&mut self, random: &mut Random) {
        for change in std::mem::take(&mut self.pending) {
            if random.percent(50) {
                change.apply(&mut self.durable);
            }
        }
        self.current = self.durable.clone();
    }
}
