//! What several segments say of their keys, merged in the order of the keys, in memory that does
//! not grow with them.
//!
//! Next file to read: [`super::view`].

use super::chunk::ChunkCursor;
use super::entry::{Entry, Order, prefix_of};
use super::hint::HintCursor;

/// Entries in the order of their keys.
#[derive(Debug)]
pub(super) enum Source {
    /// From a hint.
    Hint(Box<HintCursor>),
    /// From memory.
    Chunk(ChunkCursor),
}

impl Source {
    fn entry(&self) -> Option<Entry<'_>> {
        match self {
            Self::Hint(cursor) => cursor.entry(),
            Self::Chunk(cursor) => cursor.entry(),
        }
    }
}

/// The hint of this owner's is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadSource(pub(super) usize);

/// The sources' entries, key by key.
///
/// A heap holds each source at its next entry: the first of them by key, and of one key the one
/// with the highest version, is on top.
#[derive(Debug)]
pub(super) struct Merge {
    sources: Vec<(usize, Source)>,
    order: Order,
    heap: Vec<Head>,
    /// The sources that have the current key, the highest version first.
    told: Vec<usize>,
    /// Whether the first of them is still on top of the heap.
    on_top: bool,
}

/// A source's next entry: enough of its key to tell most keys apart.
#[derive(Debug, Clone, Copy)]
struct Head {
    /// The lower comes first, whatever the order.
    prefix: u128,
    source: usize,
}

impl Merge {
    /// Merges sources that stand at the start of the same range in this order. Each has an owner's
    /// number, which need not be its alone.
    pub(super) fn new(sources: Vec<(usize, Source)>, order: Order) -> Self {
        let heap = Vec::with_capacity(sources.len());
        let mut merge = Self { sources, order, heap, told: Vec::new(), on_top: false };
        for source in 0..merge.sources.len() {
            merge.enter(source);
        }
        merge
    }

    /// Goes on to the next key. `false` at the end.
    pub(super) fn next(&mut self) -> Result<bool, BadSource> {
        let on_top = std::mem::take(&mut self.on_top);
        for place in 0..self.told.len() {
            let Some(source) = self.told.get(place).copied() else {
                break;
            };
            self.step(source)?;
            match (on_top, self.head_of(source)) {
                (true, Some(head)) => {
                    if let Some(top) = self.heap.first_mut() {
                        *top = head;
                    }
                    self.sink();
                }
                (true, None) => drop(self.leave()),
                (false, _) => self.enter(source),
            }
        }
        self.told.clear();
        let Some(top) = self.heap.first().copied() else {
            return Ok(false);
        };
        self.told.push(top.source);
        // Another source with the same key would be right below the top.
        let shares = |place| self.heap.get(place).is_some_and(|head| self.is_same_key(head, &top));
        if !shares(1) && !shares(2) {
            self.on_top = true;
            return Ok(true);
        }
        self.leave();
        while let Some(next) = self.heap.first().copied()
            && self.is_same_key(&next, &top)
        {
            self.told.push(next.source);
            self.leave();
        }
        Ok(true)
    }

    /// The current key's entry with the highest version, and its owner.
    pub(super) fn newest(&self) -> Option<(usize, Entry<'_>)> {
        self.entries().next()
    }

    /// All entries of the current key with their owners, the highest version first.
    fn entries(&self) -> impl Iterator<Item = (usize, Entry<'_>)> {
        self.told.iter().filter_map(|source| {
            let (owner, source) = self.sources.get(*source)?;
            Some((*owner, source.entry()?))
        })
    }

    fn step(&mut self, source: usize) -> Result<(), BadSource> {
        let order = self.order;
        match self.sources.get_mut(source) {
            Some((owner, Source::Hint(cursor))) => {
                cursor.step(order).map_err(|_| BadSource(*owner))
            }
            Some((_, Source::Chunk(cursor))) => {
                cursor.step(order);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn entry(&self, head: &Head) -> Option<Entry<'_>> {
        self.sources.get(head.source).and_then(|(_, source)| source.entry())
    }

    fn head_of(&self, source: usize) -> Option<Head> {
        let prefix = prefix_of(self.sources.get(source)?.1.entry()?.key);
        let prefix = match self.order {
            Order::Ascending => prefix,
            Order::Descending => !prefix,
        };
        Some(Head { prefix, source })
    }

    fn is_same_key(&self, a: &Head, b: &Head) -> bool {
        let key = |head| self.entry(head).map(|entry| entry.key);
        a.prefix == b.prefix && key(a) == key(b)
    }

    /// Whether `a` comes before `b`.
    #[inline]
    fn is_before(&self, a: &Head, b: &Head) -> bool {
        match a.prefix == b.prefix {
            true => self.is_before_in_full(a, b),
            false => a.prefix < b.prefix,
        }
    }

    #[cold]
    fn is_before_in_full(&self, a: &Head, b: &Head) -> bool {
        let (Some(a), Some(b)) = (self.entry(a), self.entry(b)) else {
            return false;
        };
        let by_key = match self.order {
            Order::Ascending => a.key.cmp(b.key),
            Order::Descending => b.key.cmp(a.key),
        };
        by_key.then(b.version.cmp(&a.version)).is_lt()
    }

    /// Puts a source into the heap, unless it is at its end.
    fn enter(&mut self, source: usize) {
        let Some(head) = self.head_of(source) else {
            return;
        };
        self.heap.push(head);
        self.rise(self.heap.len() - 1);
    }

    /// Takes the top off the heap.
    fn leave(&mut self) -> Option<Head> {
        if self.heap.is_empty() {
            return None;
        }
        let top = self.heap.swap_remove(0);
        self.sink();
        Some(top)
    }

    /// Lets the top of the heap sink to its place: down to the end along the first of two children,
    /// which takes no branch that a processor could guess wrong, and up again from there.
    fn sink(&mut self) {
        let mut place = 0;
        while 2 * place + 1 < self.heap.len() {
            let left = 2 * place + 1;
            let child = left + usize::from(self.is_place_before(left + 1, left));
            self.heap.swap(place, child);
            place = child;
        }
        self.rise(place);
    }

    fn rise(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if !self.is_place_before(place, parent) {
                return;
            }
            self.heap.swap(place, parent);
            place = parent;
        }
    }

    fn is_place_before(&self, a: usize, b: usize) -> bool {
        match (self.heap.get(a), self.heap.get(b)) {
            (Some(a), Some(b)) => self.is_before(a, b),
            _ => false,
        }
    }
}
