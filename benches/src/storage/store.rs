//! A store in this process, and the loops that all of them run in.
//!
//! [`Store`] is the seam, at the grain of a run. What is read is compared with what was written.
//! Next files to read: `kvsd`, `fjall`, `redb`.

use std::time::Instant;

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
