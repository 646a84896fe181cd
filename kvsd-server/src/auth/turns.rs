//! One check at a time for the same user from the same address.
//!
//! A pool that opens ten connections has its password checked once, and nine are let in by what is
//! remembered of it; ten guesses at a time are ten failures, counted one by one. Next file to read:
//! `seal`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Line, OwnedMutexGuard};

use super::attempts::Who;

/// Who has its turn and who waits for it. Nothing is kept of those who have left.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<Who, Arc<Line<()>>>>);

/// The right to be checked. Gone, the next one has it.
#[derive(Debug)]
pub(super) struct Turn<'t> {
    // Before the place: whoever leaves last takes the line away.
    _head: OwnedMutexGuard<()>,
    _place: Place<'t>,
}

impl Turns {
    /// Waits for a turn, first come, first served.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the line.
    pub(super) async fn take(&self, who: Who) -> Turn<'_> {
        let line = {
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(lines.entry(who).or_default())
        };
        let waits = Arc::clone(&line).lock_owned();
        let place = Place { turns: self, who, line: Some(line) };
        let head = waits.await;
        Turn { _head: head, _place: place }
    }
}

/// A place in a line.
#[derive(Debug)]
struct Place<'t> {
    turns: &'t Turns,
    who: Who,
    line: Option<Arc<Line<()>>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut lines = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.line.take());
        // The table's alone: nobody else is in this line, and nobody comes while we look.
        if lines.get(&self.who).is_some_and(|line| Arc::strong_count(line) == 1) {
            lines.remove(&self.who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::attempts::Attempts;
    use super::*;

    #[tokio::test]
    async fn the_same_wait_for_each_other_and_nothing_is_left_of_them() {
        let (turns, attempts) = (Turns::default(), Attempts::new());
        let (app, ops) = (attempts.who(None, b"app"), attempts.who(None, b"ops"));
        let first = turns.take(app).await;
        let mut second = tokio_test::task::spawn(turns.take(app));
        let mut third = tokio_test::task::spawn(turns.take(app));
        tokio_test::assert_pending!(second.poll());
        tokio_test::assert_pending!(third.poll());
        drop(turns.take(ops).await);
        drop(second);
        drop(first);
        drop(tokio_test::assert_ready!(third.poll()));
        drop(third);
        assert!(turns.0.lock().unwrap().is_empty());
    }
}
