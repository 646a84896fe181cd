//! Checks who a client is.
//!
//! Knows users and passwords; never connections or what a user may do. Hashing is what an attacker
//! would have us do all day, so it runs on a few threads at most, behind a queue with an end, and
//! an unknown name costs what a known one does. Next file to read: [`crate::users`].

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;
use tokio::sync::Semaphore;

use crate::users::{HashMemory, Password, StoredHash, Users};

/// Checks users and passwords. Cheap to clone; all clones share one bounded pool.
#[derive(Clone)]
pub struct Authenticator(Mode);

#[derive(Clone)]
enum Mode {
    /// Development: whoever comes is let in.
    Anyone,
    Listed(Arc<Listed>),
}

impl Authenticator {
    /// Lets in whoever comes: for development, on an address that only this machine reaches.
    pub(crate) fn accept_anyone() -> Self {
        Self(Mode::Anyone)
    }

    /// Lets in these users; `None` if there are none.
    pub(crate) fn from_users(users: &Users) -> Option<Self> {
        Listed::new(users).map(|listed| Self(Mode::Listed(Arc::new(listed))))
    }

    /// Whether a client need not say who it is.
    pub(crate) fn accepts_anyone(&self) -> bool {
        matches!(self.0, Mode::Anyone)
    }

    /// Checks a user and its password. Takes some 20 ms of another thread, and longer when many
    /// ask at once.
    ///
    /// # Errors
    ///
    /// [`Denied::Credentials`] for an unknown user and for a wrong password alike;
    /// [`Denied::Busy`] when too many wait already.
    ///
    /// # Cancel safety
    ///
    /// A dropped future gives up its place in the queue; a check that runs already runs on, and
    /// keeps its share of the pool until it ends.
    pub async fn verify(&self, user: &[u8], password: &[u8]) -> Result<(), Denied> {
        match &self.0 {
            Mode::Anyone => Ok(()),
            Mode::Listed(listed) => listed.verify(user, password).await,
        }
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Mode::Anyone => f.write_str("Authenticator(anyone)"),
            Mode::Listed(listed) => write!(f, "Authenticator({} users)", listed.hashes.len()),
        }
    }
}

/// Why a client is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Denied {
    /// The user is unknown or the password is wrong; which of the two is not told.
    #[error("user or password is wrong")]
    Credentials,
    /// Too many are being checked; nothing was decided, and trying again later may succeed.
    #[error("too many logins at once, try again later")]
    Busy,
}

/// The users and the pool that checks them.
struct Listed {
    places: HashMap<Box<[u8]>, usize>,
    /// At least one.
    hashes: Vec<StoredHash>,
    /// Chooses whose hash an unknown user's password is compared with.
    decoy: RandomState,
    /// Who waits or is being checked.
    queue: Semaphore,
    /// Who is being checked.
    pool: Arc<Semaphore>,
    /// What the checks worked in that have ended.
    memory: Arc<Mutex<Vec<HashMemory>>>,
}

impl Listed {
    fn new(users: &Users) -> Option<Self> {
        let hashes: Vec<StoredHash> = users.iter().map(|(_, hash)| hash.clone()).collect();
        if hashes.is_empty() {
            return None;
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Some(Self {
            places: users.names().map(|name| name.as_str().as_bytes().into()).zip(0..).collect(),
            hashes,
            decoy: RandomState::new(),
            queue: Semaphore::new(MAX_QUEUE),
            pool: Arc::new(Semaphore::new(cores.min(MAX_CHECKS))),
            memory: Arc::default(),
        })
    }

    async fn verify(&self, user: &[u8], password: &[u8]) -> Result<(), Denied> {
        let Ok(password) = Password::new(password.to_vec()) else {
            // No user has such a password; that it cannot be right is no secret.
            return Err(Denied::Credentials);
        };
        let _place = self.queue.try_acquire().map_err(|_| Denied::Busy)?;
        let slot = Arc::clone(&self.pool).acquire_owned().await.map_err(|_| Denied::Busy)?;
        let known = self.places.get(user).copied();
        let hash = self.hashes[known.unwrap_or_else(|| self.decoy_for(user))].clone();
        let all_memory = Arc::clone(&self.memory);
        let check = tokio::task::spawn_blocking(move || {
            let kept = || all_memory.lock().unwrap_or_else(PoisonError::into_inner);
            let mut memory = kept().pop().unwrap_or_default();
            let matches = hash.matches(&password, &mut memory);
            kept().push(memory);
            // The slot goes with the work, not with the one who waits for it.
            drop(slot);
            matches
        });
        match check.await {
            Ok(true) if known.is_some() => Ok(()),
            Ok(_) => Err(Denied::Credentials),
            // The runtime stops, or the check panicked: either way, nobody gets in.
            Err(_) => Err(Denied::Busy),
        }
    }

    /// The same user for the same name, so that repeating a name tells nothing either.
    fn decoy_for(&self, user: &[u8]) -> usize {
        let digest = self.decoy.hash_one(user);
        usize::try_from(digest % self.hashes.len() as u64)
            .expect("a remainder is smaller than the length, a usize")
    }
}

/// How many are checked at once, at most one a core: each takes 19 MiB.
const MAX_CHECKS: usize = 4;
/// How many wait or are being checked, at most: on two cores the last one waits some five seconds.
const MAX_QUEUE: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::UserName;

    fn listed(pairs: &[(&str, &str)]) -> Listed {
        let mut users = Users::default();
        for (name, password) in pairs {
            let password = Password::new(password.as_bytes().to_vec()).unwrap();
            let hash = StoredHash::of(&password).unwrap();
            users.add(UserName::parse(name).unwrap(), hash).unwrap();
        }
        Listed::new(&users).unwrap()
    }

    #[tokio::test]
    async fn each_user_has_its_own_password() {
        let listed = listed(&[("app", "one"), ("ops", "two")]);
        assert_eq!(listed.verify(b"app", b"one").await, Ok(()));
        assert_eq!(listed.verify(b"ops", b"two").await, Ok(()));
        assert_eq!(listed.verify(b"app", b"two").await, Err(Denied::Credentials));
        assert_eq!(listed.verify(b"ops", b"one").await, Err(Denied::Credentials));
        assert_eq!(listed.verify(b"app", b"").await, Err(Denied::Credentials));
        assert_eq!(listed.verify(b"app", &[b'x'; 513]).await, Err(Denied::Credentials));
    }

    #[tokio::test]
    async fn an_unknown_user_is_denied_even_with_the_password_of_its_decoy() {
        let listed = listed(&[("app", "one")]);
        for user in [&b"nobody"[..], b"", b"APP", b"app ", b"\xff"] {
            assert_eq!(listed.verify(user, b"one").await, Err(Denied::Credentials));
        }
    }

    #[tokio::test]
    async fn an_unknown_user_costs_a_check() {
        let listed = listed(&[("app", "one")]);
        let all = u32::try_from(listed.pool.available_permits()).unwrap();
        let taken = listed.pool.acquire_many(all).await.unwrap();
        let mut check = tokio_test::task::spawn(listed.verify(b"nobody", b"one"));
        tokio_test::assert_pending!(check.poll());
        drop(taken);
        assert_eq!(check.await, Err(Denied::Credentials));
    }

    #[tokio::test]
    async fn the_queue_has_an_end_and_recovers() {
        let listed = listed(&[("app", "one")]);
        let full = listed.queue.try_acquire_many(u32::try_from(MAX_QUEUE).unwrap()).unwrap();
        assert_eq!(listed.verify(b"app", b"one").await, Err(Denied::Busy));
        drop(full);
        assert_eq!(listed.verify(b"app", b"one").await, Ok(()));
        assert_eq!(listed.queue.available_permits(), MAX_QUEUE);
    }

    #[tokio::test]
    async fn checks_share_the_memory_that_they_work_in() {
        let listed = listed(&[("app", "one")]);
        for _ in 0..4 {
            assert_eq!(listed.verify(b"app", b"two").await, Err(Denied::Credentials));
        }
        assert_eq!(listed.memory.lock().unwrap().len(), 1, "four checks, one after the other");
    }

    #[test]
    fn a_check_that_nobody_waits_for_keeps_its_slot_until_it_ends() {
        let listed = listed(&[("app", "one")]);
        let all = listed.pool.available_permits();
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build();
        runtime.unwrap().block_on(async {
            // The only thread for checks is held up, so that the check cannot end meanwhile.
            let (go, wait) = std::sync::mpsc::sync_channel::<()>(0);
            tokio::task::spawn_blocking(move || wait.recv());
            let mut check = tokio_test::task::spawn(listed.verify(b"app", b"one"));
            tokio_test::assert_pending!(check.poll());
            drop(check);
            assert_eq!(listed.queue.available_permits(), MAX_QUEUE);
            assert_eq!(listed.pool.available_permits(), all - 1);
            drop(go);
            assert!(listed.pool.acquire_many(u32::try_from(all).unwrap()).await.is_ok());
        });
    }

    #[tokio::test]
    async fn development_lets_anyone_in() {
        let anyone = Authenticator::accept_anyone();
        assert_eq!(anyone.verify(b"", b"").await, Ok(()));
    }

    #[test]
    fn without_users_there_is_no_authenticator() {
        assert!(Authenticator::from_users(&Users::default()).is_none());
    }
}
