//! Merging what several segments say of their keys, in the order of the keys and within memory that
//! does not grow with them.
//!
//! Next file to read: [`super::names`].

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::hint::{HintEntry, HintReader};

/// What one segment says of its keys.
#[derive(Debug)]
pub(super) enum Source {
    /// From its hint.
    Hint(Box<HintReader>),
    /// From the segment itself, all of it at hand.
    Digest(std::vec::IntoIter<HintEntry>),
}

/// The source at this place has a damaged hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadSource(pub(super) usize);

/// The sources' entries, key by key.
#[derive(Debug)]
pub(super) struct Merge {
    sources: Vec<Source>,
    heads: BinaryHeap<Reverse<Head>>,
}

/// A source's next entry.
#[derive(Debug)]
struct Head {
    entry: HintEntry,
    source: usize,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = self.entry.key.cmp(&other.entry.key);
        key.then(self.entry.version.cmp(&other.entry.version).reverse())
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

impl Merge {
    pub(super) fn new(sources: Vec<Source>) -> Result<Self, BadSource> {
        let mut merge = Self { heads: BinaryHeap::with_capacity(sources.len()), sources };
        for source in 0..merge.sources.len() {
            merge.refill(source)?;
        }
        Ok(merge)
    }

    /// What all sources say of the next key, the highest version first, each with its source's
    /// place; nothing at the end.
    pub(super) fn next(&mut self, entries: &mut Vec<(usize, HintEntry)>) -> Result<(), BadSource> {
        entries.clear();
        while let Some(Reverse(head)) = self.heads.peek()
            && entries.first().is_none_or(|(_, first)| first.key == head.entry.key)
        {
            let Some(Reverse(Head { entry, source })) = self.heads.pop() else {
                break;
            };
            entries.push((source, entry));
            self.refill(source)?;
        }
        Ok(())
    }

    fn refill(&mut self, source: usize) -> Result<(), BadSource> {
        let next = match self.sources.get_mut(source) {
            Some(Source::Hint(hint)) => hint.next().map_err(|_| BadSource(source))?,
            Some(Source::Digest(entries)) => entries.next(),
            None => None,
        };
        self.heads.extend(next.map(|entry| Reverse(Head { entry, source })));
        Ok(())
    }
}
