//! What is known of one table name: whether there is a table, and what has changed in it lately.
//!
//! A task keeps it up to date by a watch, which it opens again from the last revision seen whenever
//! it breaks; nothing comes twice, and what cannot be had any more is forgotten as a whole. It ends
//! when nobody has asked for some time. Next file to read: [`super::catch_up`].

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::directory::TableRef;
use super::ring::{Answer, News, Ring, Room};
use crate::engine::{PageLimits, Position};

/// What is known of one table name.
pub(super) struct Follower {
    pub(super) name: String,
    state: Mutex<State>,
    /// Whenever the state changes.
    moved: Notify,
    /// Asks the task to look at the table's key again.
    pub(super) look: Notify,
    /// Who waits for a change.
    waiting: AtomicUsize,
    asked: Mutex<Instant>,
    /// Held while the past is read, so that many who ask for the same read it once.
    pub(super) past: tokio::sync::Mutex<()>,
    /// Held while it is made sure that nothing is missing.
    pub(super) making_sure: tokio::sync::Mutex<()>,
    pub(super) begun: AtomicU64,
    pub(super) sure: AtomicU64,
}

/// What a name stands for.
pub(super) enum State {
    /// That has to be seen; why it was not.
    Unknown(Option<String>),
    /// There was no table at a revision.
    Absent(u64),
    /// A table.
    Table(Ring),
}

/// What is known about what comes behind a position.
pub(super) enum Known {
    /// There is no table.
    Absent,
    /// There is one.
    Table(TableRef, Answer),
}

/// Counts who waits.
pub(super) struct Waiting<'f>(&'f Follower);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.touch();
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Follower {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            state: Mutex::new(State::Unknown(None)),
            moved: Notify::new(),
            look: Notify::new(),
            waiting: AtomicUsize::new(0),
            asked: Mutex::new(Instant::now()),
            past: tokio::sync::Mutex::default(),
            making_sure: tokio::sync::Mutex::default(),
            begun: AtomicU64::new(0),
            sure: AtomicU64::new(0),
        }
    }

    /// Somebody asks.
    pub(super) fn touch(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    pub(super) fn waits(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }

    /// Since when nobody has asked; `None` while somebody waits.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        (self.waiting.load(Ordering::Relaxed) == 0).then_some(asked)
    }

    /// Waits until what is known answers.
    pub(super) async fn when<T>(&self, mut answers: impl FnMut(&State) -> Option<T>) -> T {
        loop {
            let moved = self.moved.notified();
            // After the line above, so that nothing happens unseen between the look and the wait.
            let answer = answers(&self.state());
            if let Some(answer) = answer {
                return answer;
            }
            moved.await;
        }
    }

    /// Why nothing is known.
    pub(super) fn failure(&self) -> Option<String> {
        match &*self.state() {
            State::Unknown(failure) => failure.clone(),
            State::Absent(_) | State::Table(_) => None,
        }
    }

    /// The table's key was looked at: from which revision on its records have to be watched.
    pub(super) fn looked(
        &self,
        found: Option<TableRef>,
        revision: u64,
        room: &Arc<Room>,
    ) -> Option<u64> {
        let mut state = self.state();
        let Some(table) = found else {
            *state = State::Absent(revision);
            drop(state);
            self.moved.notify_waiters();
            return None;
        };
        let created = u64::try_from(table.created).unwrap_or_default();
        match &mut *state {
            // A store that was set back has another past.
            State::Table(ring) if ring.table == table && ring.seen() <= revision => {
                ring.reached(revision);
            }
            State::Absent(absent) if *absent < created => {
                let made = created.saturating_sub(1);
                *state = State::Table(Ring::new(table, made, revision, Arc::clone(room)));
            }
            State::Unknown(_) | State::Absent(_) | State::Table(_) => {
                *state = State::Table(Ring::new(table, revision, revision, Arc::clone(room)));
            }
        }
        let from = match &*state {
            State::Table(ring) => Some(ring.seen() + 1),
            State::Unknown(_) | State::Absent(_) => None,
        };
        drop(state);
        self.moved.notify_waiters();
        from
    }

    /// Where a watcher is who is to begin again.
    pub(super) fn now(&self) -> Position {
        match &*self.state() {
            State::Unknown(_) | State::Absent(_) => super::NOTHING,
            State::Table(ring) => ring.now(),
        }
    }

    /// Where the table's ring begins.
    pub(super) fn begin(&self, table: TableRef) -> Option<u64> {
        match &*self.state() {
            State::Table(ring) if ring.table == table => Some(ring.begin()),
            State::Unknown(_) | State::Absent(_) | State::Table(_) => None,
        }
    }

    /// Whether the table is known to have an event at this revision or later.
    pub(super) fn has_event_from(&self, table: TableRef, revision: u64) -> bool {
        match &*self.state() {
            State::Table(ring) => ring.table == table && ring.event() >= revision,
            State::Unknown(_) | State::Absent(_) => false,
        }
    }

    /// Changes the ring, if it is still that of the table.
    pub(super) fn update(&self, table: TableRef, update: impl FnOnce(&mut Ring)) {
        if let State::Table(ring) = &mut *self.state()
            && ring.table == table
        {
            update(ring);
        }
        self.moved.notify_waiters();
    }

    /// etcd was at a revision.
    pub(super) fn reached(&self, revision: u64) {
        if let State::Table(ring) = &mut *self.state() {
            ring.reached(revision);
        }
    }

    /// Forgets everything.
    pub(super) fn forget(&self) {
        *self.state() = State::Unknown(None);
    }

    /// Takes note of why nothing is known.
    pub(super) fn failed(&self, why: String) {
        if let State::Unknown(failure) = &mut *self.state() {
            *failure = Some(why);
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What is known about what comes behind a position; `None` if it has to be seen.
    pub(super) fn known(&self, since: Position, limits: PageLimits) -> Option<Known> {
        match self {
            Self::Unknown(_) => None,
            Self::Absent(_) => Some(Known::Absent),
            Self::Table(ring) => Some(Known::Table(ring.table, ring.look(since, limits))),
        }
    }

    /// Whether there may be something behind a position.
    pub(super) fn news(&self, since: Position) -> News {
        match self {
            Self::Unknown(_) => News::None,
            Self::Absent(_) if since == super::NOTHING => News::None,
            Self::Absent(_) => News::Some,
            Self::Table(ring) => ring.news(since),
        }
    }

    /// Whether it is this table, or that there is none.
    pub(super) fn is(&self, table: Option<TableRef>) -> bool {
        match self {
            Self::Unknown(_) => false,
            Self::Absent(_) => table.is_none(),
            Self::Table(ring) => table == Some(ring.table),
        }
    }

    /// Up to which revision everything was seen.
    pub(super) fn seen(&self) -> u64 {
        match self {
            Self::Unknown(_) => 0,
            Self::Absent(revision) => *revision,
            Self::Table(ring) => ring.seen(),
        }
    }
}
