//! The users as their file names them, and who of them is logged in.
//!
//! A user whose line changes is another user: its logins end with the old one, and so does what was
//! remembered of its password. Next file to read: `attempts`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::seal::{Memory, Sealed};
use crate::users::{StoredHash, UserName, Users};

/// The users of one reading of their file.
#[derive(Default)]
pub(super) struct List {
    pub(super) users: HashMap<Box<[u8]>, Arc<User>>,
    /// What unknown users' passwords are compared with: the hashes of the known ones, at least one.
    pub(super) decoys: Vec<StoredHash>,
}

/// One user, with one password.
pub(super) struct User {
    pub(super) hash: StoredHash,
    /// True once the user has gone from the list, which ends its logins.
    gone: watch::Sender<bool>,
    /// The password, if it was right lately.
    pub(super) memory: Mutex<Option<Memory>>,
}

impl List {
    /// These users; those of the list before that are the same remain who they are.
    pub(super) fn new(users: &Users, before: &Self) -> Self {
        let entry = |(name, hash): (&UserName, &StoredHash)| {
            let name: Box<[u8]> = name.as_str().as_bytes().into();
            let same = before.users.get(&name).filter(|user| user.hash.as_str() == hash.as_str());
            let user = same.map_or_else(|| Arc::new(User::new(hash)), Arc::clone);
            (name, user)
        };
        let decoys: Vec<_> = users.iter().map(|(_, hash)| hash.clone()).collect();
        Self {
            users: users.iter().map(entry).collect(),
            // Where nobody is known, being unknown costs what it did.
            decoys: if decoys.is_empty() { before.decoys.clone() } else { decoys },
        }
    }

    /// Logs out whoever is not in the list that follows. A check that is under way may hold on to
    /// this list; whom it lets in then is logged out as well.
    pub(super) fn end(&self, next: &Self) {
        for (name, user) in &self.users {
            if next.users.get(name).is_none_or(|same| !Arc::ptr_eq(same, user)) {
                user.gone.send_replace(true);
            }
        }
    }

    /// In what this list differs from the one before.
    pub(super) fn changes(&self, before: &Self) -> Changes {
        let mut changes = Changes::default();
        let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        for (name, user) in &self.users {
            match before.users.get(name) {
                None => changes.added.push(text(name)),
                Some(same) if !Arc::ptr_eq(same, user) => changes.changed.push(text(name)),
                Some(_) => {}
            }
        }
        let gone = before.users.keys().filter(|name| !self.users.contains_key(*name));
        changes.removed.extend(gone.map(|name| text(name)));
        for names in [&mut changes.added, &mut changes.removed, &mut changes.changed] {
            names.sort_unstable();
        }
        changes
    }
}

/// The names of the users in whom two readings of their file differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
    /// Something else than the name is another.
    pub(crate) changed: Vec<String>,
}

impl Changes {
    pub(crate) fn len(&self) -> usize {
        self.added.len() + self.removed.len() + self.changed.len()
    }

    /// What has happened, and to whom.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [("added", &self.added), ("removed", &self.removed), ("changed", &self.changed)]
            .into_iter()
            .flat_map(|(what, names)| names.iter().map(move |name| (what, name.as_str())))
    }
}

impl User {
    fn new(hash: &StoredHash) -> Self {
        Self { hash: hash.clone(), gone: watch::Sender::new(false), memory: Mutex::default() }
    }

    pub(super) fn login(&self) -> Login {
        Login(Some(self.gone.subscribe()))
    }

    pub(super) fn remembers(&self, sealed: &Sealed, now: Instant) -> bool {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.as_ref().is_some_and(|memory| memory.holds(sealed, now))
    }

    pub(super) fn forget(&self, now: Instant) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.take_if(|memory| memory.is_over(now));
    }

    pub(super) fn remember(&self, sealed: Sealed, now: Instant) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        *memory = Some(Memory::new(sealed, now));
    }
}

/// That a client was let in.
#[derive(Debug, Clone)]
pub(crate) struct Login(Option<watch::Receiver<bool>>);

impl Login {
    /// Of a client that need not say who it is: it never ends.
    pub(crate) fn of_anyone() -> Self {
        Self(None)
    }

    /// Waits until the user has gone or has another password.
    pub(crate) async fn revoked(&mut self) {
        match &mut self.0 {
            Some(user) => drop(user.wait_for(|gone| *gone).await),
            None => std::future::pending().await,
        }
    }
}
