//! The users as their file names them, and who of them is logged in.
//!
//! A user whose line changes, its grants included, is another user: its logins end with the old one,
//! and so does what was remembered of its password. Next file to read: `attempts`.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::access::{Need, Operation};
use super::seal::{Memory, Sealed};
use crate::users::{self, Grants, StoredHash, Users};

/// The users of one reading of their file.
#[derive(Default)]
pub(super) struct List {
    pub(super) users: HashMap<Box<[u8]>, Arc<User>>,
    /// What unknown users' passwords are compared with: the hashes of the known ones. At least one,
    /// once anybody was known.
    pub(super) decoys: Vec<StoredHash>,
}

/// One user, with one password and what it may do.
pub(super) struct User {
    pub(super) hash: StoredHash,
    grants: Arc<Grants>,
    /// True once the user has gone from the list, which ends its logins.
    gone: watch::Sender<bool>,
    /// The password, if it was right lately.
    pub(super) memory: Mutex<Option<Memory>>,
}

impl List {
    /// These users; those of the list before that are the same remain who they are.
    pub(super) fn new(users: &Users, before: &Self) -> Self {
        let entry = |listed: &users::User| {
            let name: Box<[u8]> = listed.name.as_str().as_bytes().into();
            let same = before.users.get(&name).filter(|user| user.is(listed));
            let user = same.map_or_else(|| Arc::new(User::new(listed)), Arc::clone);
            (name, user)
        };
        let decoys: Vec<_> = users.iter().map(|user| user.hash.clone()).collect();
        Self {
            users: users.iter().map(entry).collect(),
            // Where nobody is known, being unknown costs what it did.
            decoys: if decoys.is_empty() { before.decoys.clone() } else { decoys },
        }
    }

    /// The names of those who were granted nothing, in their order.
    pub(super) fn ungranted(&self) -> Vec<String> {
        let none = self.users.iter().filter(|(_, user)| user.grants.is_empty());
        let mut names: Vec<_> =
            none.map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
        names.sort_unstable();
        names
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
    fn new(listed: &users::User) -> Self {
        Self {
            hash: listed.hash.clone(),
            grants: Arc::new(listed.grants.clone()),
            gone: watch::Sender::new(false),
            memory: Mutex::default(),
        }
    }

    fn is(&self, listed: &users::User) -> bool {
        self.hash.as_str() == listed.hash.as_str() && *self.grants == listed.grants
    }

    pub(super) fn login(&self) -> Login {
        let (gone, grants) = (self.gone.subscribe(), Arc::clone(&self.grants));
        Login(Some(Known { gone, grants }))
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

/// That a client was let in, and what it may do.
#[derive(Debug, Clone)]
pub(crate) struct Login(Option<Known>);

#[derive(Debug, Clone)]
struct Known {
    gone: watch::Receiver<bool>,
    grants: Arc<Grants>,
}

impl Login {
    /// Of a client that need not say who it is: it never ends, and may do everything.
    pub(crate) fn of_anyone() -> Self {
        Self(None)
    }

    /// Checks that the client may do this with the table.
    pub(crate) fn check(&self, operation: Operation, table: &str) -> Result<(), Forbidden> {
        let may = match operation.need() {
            Need::Nothing | Need::OfEachPart | Need::RoleToSee(_) => true,
            Need::Role(role) => self.0.as_ref().is_none_or(|it| it.grants.allow(role, table)),
            Need::Socket => false,
        };
        if may { Ok(()) } else { Err(Forbidden(operation)) }
    }

    /// Whether the client may be told that there is a table of this name.
    pub(crate) fn may_see(&self, table: &str) -> bool {
        let Need::RoleToSee(role) = Operation::Tables.need() else {
            return false;
        };
        self.0.as_ref().is_none_or(|user| user.grants.allow(role, table))
    }

    /// Waits until the user has gone, or has another password or other grants.
    pub(crate) async fn revoked(&mut self) {
        match &mut self.0 {
            Some(user) => drop(user.gone.wait_for(|gone| *gone).await),
            None => std::future::pending().await,
        }
    }
}

/// That a user may not do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forbidden(Operation);

impl Forbidden {
    /// What it was.
    pub(crate) fn operation(self) -> &'static str {
        self.0.name()
    }
}

/// Names no table: whoever asks knows which one it was.
impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.name();
        match self.0.need() {
            Need::Role(role) => write!(
                f,
                "this user may not do that ({name}): it takes the role {role} on the table, which \
                 `kvsd-server user grant` gives"
            ),
            Need::Nothing | Need::OfEachPart | Need::RoleToSee(_) | Need::Socket => {
                write!(f, "that is for the administrators' socket only ({name})")
            }
        }
    }
}
