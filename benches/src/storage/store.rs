//! A store in this process, and the loops that all of them run in.
//!
//! [`Store`] is the seam, at the grain of a run. What is read is compared with what was written.
//! Next files to read: `kvsd`, `fjall`, `redb`.

use std::time::Instant;

use super::Detail;
use crate::Error;
use crate::data::{Data, Key, key};
use crate::load::Dice;

/// One side of a comparison.
pub(super) trait Store {
    /// What progress calls it.
    fn name(&self) -> &'static str;

    /// Writes all records, durably, and lets the store put itself in order.
    fn load(&self, data: &Data) -> Result<(), Error>;

    /// Reads at random until then. Returns how many reads there were.
    fn get_until(&self, data: &Data, end: Instant) -> Result<u64, Error>;

    /// Has writers write at random until then, each of them with one durable write under way.
    /// Returns how many ended in time.
    fn set_until(
        &self,
        data: &Data,
        writers: usize,
        revision: u32,
        end: Instant,
    ) -> Result<u64, Error>;

    /// Hands all records on, in the order of their keys; without values if only keys are asked for.
    fn scan(&self, detail: Detail, take: &mut Take<'_>) -> Result<(), Error>;
}

/// Takes a key and its value.
pub(super) type Take<'t> = dyn FnMut(&[u8], &[u8]) -> Result<(), Error> + 't;

/// What a scan has seen.
#[derive(Debug)]
pub(super) struct Tally {
    detail: Detail,
    records: usize,
    last: Key,
    mark: u64,
}

impl Tally {
    /// Nothing so far.
    pub(super) fn new(detail: Detail) -> Self {
        Self { detail, records: 0, last: Key::default(), mark: 0 }
    }

    /// Counts a record, and looks at all of its key and the beginning of its value.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let key = Key::try_from(key)?;
        if key <= self.last {
            return Err("a scan does not go by the order of the keys".into());
        }
        (self.last, self.records) = (key, self.records + 1);
        if self.detail == Detail::Values {
            self.mark ^= Data::mark_of(value);
        }
        Ok(())
    }

    /// Checks that every record was there, with its own value.
    pub(super) fn check(&self, data: &Data) -> Result<(), Error> {
        let mark = match self.detail {
            Detail::Keys => 0,
            Detail::Values => data.mark(),
        };
        match self.records == data.keys && self.mark == mark {
            true => Ok(()),
            false => Err(format!("a scan saw {} records, or other values", self.records).into()),
        }
    }
}

/// The loop of a reader. `get` finds the value of a key and hands it to the check.
pub(super) fn get_loop(
    data: &Data,
    end: Instant,
    mut get: impl FnMut(&Key, &dyn Fn(&[u8]) -> Result<(), Error>) -> Result<bool, Error>,
) -> Result<u64, Error> {
    let (mut dice, mut gets) = (Dice::new(0), 0);
    loop {
        let at = dice.below(data.keys);
        if !get(&key(at), &|value| data.check(at, 0, value))? {
            return Err(format!("key {at} is not there").into());
        }
        if Instant::now() >= end {
            return Ok(gets);
        }
        gets += 1;
    }
}

/// The loops of writers, a thread for each. `set` ends when its write is on the disk.
pub(super) fn set_loops(
    data: &Data,
    writers: usize,
    revision: u32,
    end: Instant,
    set: impl Fn(&Key, &[u8]) -> Result<(), Error> + Sync,
) -> Result<u64, Error> {
    let write = |writer: usize| {
        let (mut dice, mut sets) = (Dice::new(writer), 0);
        loop {
            let at = dice.below(data.keys);
            set(&key(at), &data.value(at, revision))?;
            if Instant::now() >= end {
                return Ok::<u64, Error>(sets);
            }
            sets += 1;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..writers).map(|writer| scope.spawn(move || write(writer))).collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| "a writer panicked")?).sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Order;

    const DATA: Data = Data { keys: 100, value_bytes: 100, order: Order::Shuffled };

    fn scan(keys: impl Iterator<Item = usize>, revision: u32) -> Result<(), Error> {
        let mut tally = Tally::new(Detail::Values);
        for at in keys {
            tally.add(&key(at), &DATA.value(at, revision))?;
        }
        tally.check(&DATA)
    }

    #[test]
    fn a_scan_that_skips_repeats_turns_or_answers_with_old_values_is_found_out() {
        assert!(scan(0..100, 0).is_ok());
        assert!(scan(0..99, 0).is_err());
        assert!(scan((0..100).rev(), 0).is_err());
        assert!(scan((0..100).map(|at| at.min(98)), 0).is_err());
        assert!(scan(0..100, 1).is_err());
    }
}
