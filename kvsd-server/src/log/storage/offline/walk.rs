//! A segment's groups in order, and what still verifies behind damage.
//!
//! Tells rot from a torn tail as recovery does ([`crate::log::storage::groups`]); but rot does not
//! end the walk. The header CRC is bound to a record's place, so that behind damage every byte can
//! be tried: what verifies there is a record.
//!
//! Next file to read: [`super::plan`].

use std::ops::Range;

use crate::log::storage::groups::{Damage, Groups, Record};
use crate::log::storage::record::{Commit, Seed};

/// What comes next in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A whole group; these are its records.
    Group(Commit),
    /// Bytes that were durable and do not verify; the records around them that do.
    Damage(Range<u64>),
    /// The rest was written and never synced, and is not whole.
    Torn(u64),
    /// No more bytes.
    End(u64),
}

/// A way through a segment.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    groups: Groups<'a>,
    durable: u64,
    /// No commit of the segment has more to say about `durable`.
    searched: bool,
}

impl<'a> Walk<'a> {
    /// A walk through a whole segment that is durable at least up to `durable`.
    pub(super) fn new(bytes: &'a [u8], seed: Seed, durable: u64) -> Self {
        let searched = durable >= bytes.len() as u64;
        Self { groups: Groups::new(bytes, seed), durable, searched }
    }

    /// Up to where the segment is known to be durable.
    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// Takes a step; the records are in `entries`.
    pub(super) fn next(&mut self, entries: &mut Vec<Record<'a>>) -> Step {
        match self.groups.next(entries) {
            Ok(Some(commit)) => {
                self.durable = self.durable.max(commit.durable);
                Step::Group(commit)
            }
            Ok(None) => Step::End(self.groups.position()),
            Err(damage) => {
                if !self.searched {
                    self.durable = self.durable.max(self.groups.durable_behind(damage.at));
                    self.searched = true;
                }
                self.pass(damage, entries)
            }
        }
    }

    fn pass(&mut self, damage: Damage, entries: &mut Vec<Record<'a>>) -> Step {
        if damage.group >= self.durable {
            entries.clear();
            return Step::Torn(damage.group);
        }
        let end = self.groups.resume(damage, entries);
        Step::Damage(damage.at..end)
    }
}
