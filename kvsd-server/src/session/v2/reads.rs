//! Reads of values that came together, gathered so that the engine can look ahead.
//!
//! Holds copies of their keys until they are some dozens, or what one read of the stream has
//! brought is looked at, or for as long as there is no room for the answers. Next file to read:
//! `writes`.

use std::ops::Range;

use super::in_flight::Asked;
use super::points::{Point, PointKind};
use crate::engine::{Engine, Freshness};
use crate::session::tidy;

/// Reads that wait to be answered, first come first served.
#[derive(Debug, Default)]
pub(super) struct Reads {
    reads: Vec<Read>,
    /// How many of them are answered.
    answered: usize,
    /// Tables and keys, one behind the other.
    names: Vec<u8>,
}

#[derive(Debug)]
struct Read {
    asked: Asked,
    freshness: Freshness,
    table: Range<usize>,
    key: Range<usize>,
}

impl Reads {
    /// Adds the read of a value.
    pub(super) fn add(&mut self, asked: Asked, point: &Point<'_>) {
        if self.are_answered() {
            self.reads.clear();
            self.answered = 0;
            self.names.clear();
        }
        let Point { kind: _, table, key, freshness } = *point;
        let last = self.reads.last().map(|last| last.table.clone());
        let table = match last.filter(|last| self.name(last) == table.as_bytes()) {
            Some(same) => same,
            None => self.keep(table.as_bytes()),
        };
        let key = self.keep(key);
        self.reads.push(Read { asked, freshness, table, key });
    }

    /// Whether they are to be answered before there are more.
    pub(super) fn are_full(&self) -> bool {
        self.reads.len() >= MOST_READS && !self.are_answered()
    }

    /// Whether none waits.
    pub(super) fn are_answered(&self) -> bool {
        self.answered == self.reads.len()
    }

    /// Tells the engine what it is going to be asked.
    pub(super) fn look_ahead(&self, engine: &dyn Engine) {
        let waiting = self.reads.get(self.answered..).unwrap_or_default();
        for reads in waiting.chunk_by(|a, b| a.table == b.table) {
            if let Some(first) = reads.first().filter(|_| reads.len() > 1) {
                let mut keys = reads.iter().map(|read| self.name(&read.key));
                engine.look_ahead(self.table(first), &mut keys);
            }
        }
    }

    /// The one that is to be answered now.
    pub(super) fn next(&mut self) -> Option<(Asked, Point<'_>)> {
        let read = self.reads.get(self.answered)?;
        self.answered += 1;
        let (table, key) = (self.table(read), self.name(&read.key));
        let freshness = read.freshness;
        Some((read.asked, Point { kind: PointKind::Value, table, key, freshness }))
    }

    /// Gives back what an idle session need not hold.
    pub(super) fn tidy(&mut self) {
        if self.are_answered() {
            tidy(&mut self.names);
        }
    }

    /// What they hold in memory, in bytes.
    pub(super) fn held(&self) -> usize {
        self.names.capacity()
    }

    fn keep(&mut self, name: &[u8]) -> Range<usize> {
        let start = self.names.len();
        self.names.extend_from_slice(name);
        start..self.names.len()
    }

    fn table(&self, read: &Read) -> &str {
        std::str::from_utf8(self.name(&read.table)).unwrap_or_default()
    }

    fn name(&self, range: &Range<usize>) -> &[u8] {
        self.names.get(range.clone()).unwrap_or_default()
    }
}

/// How many are gathered: more than a processor fetches from memory at a time, and few enough for
/// all that they ask for to stay near it.
pub(super) const MOST_READS: usize = 32;
