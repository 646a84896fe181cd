//! The order of writes to a table that is not there yet.
//!
//! The first of them makes the table, which takes a while, and a later one of the same task must not
//! find it before the first has handed in what it brought. So they take turns, name by name, from
//! the moment that each of them is polled. Next file to read: [`super::backup`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kvsd::TableName;
use tokio::sync::OwnedMutexGuard;

/// Whose turn it is to write to a table that was not there.
#[derive(Debug, Default)]
pub(super) struct Firsts {
    names: Mutex<HashMap<TableName, Place>>,
    /// How many names there are, for who writes to a table that everybody knows.
    count: AtomicUsize,
}

/// Where the writes to a table wait for their turn, in order.
type Place = Arc<tokio::sync::Mutex<()>>;

/// A turn. The next one comes when it is dropped.
#[derive(Debug)]
pub(super) struct FirstTurn<'f> {
    firsts: &'f Firsts,
    name: &'f TableName,
    held: Option<OwnedMutexGuard<()>>,
}

impl Firsts {
    /// Whether somebody waits for his turn at this table, or has it.
    pub(super) fn has(&self, name: &TableName) -> bool {
        // What this task has added it sees; on others it does not depend.
        self.count.load(Ordering::Relaxed) > 0 && self.names().contains_key(name)
    }

    /// Waits for its turn, behind all who were polled before.
    ///
    /// Whoever goes away loses the turn, and leaves nothing behind.
    pub(super) async fn turn<'f>(&'f self, name: &'f TableName) -> FirstTurn<'f> {
        let place = {
            let mut names = self.names();
            let place = Arc::clone(names.entry(name.clone()).or_default());
            self.count.store(names.len(), Ordering::Relaxed);
            place
        };
        // From here on, who goes away takes the name along.
        let mut turn = FirstTurn { firsts: self, name, held: None };
        turn.held = Some(place.lock_owned().await);
        turn
    }

    fn names(&self) -> MutexGuard<'_, HashMap<TableName, Place>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FirstTurn<'_> {
    fn drop(&mut self) {
        let mut names = self.firsts.names();
        self.held = None;
        if names.get(self.name).is_some_and(|place| Arc::strong_count(place) == 1) {
            names.remove(self.name);
            self.firsts.count.store(names.len(), Ordering::Relaxed);
        }
    }
}
