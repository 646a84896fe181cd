//! What is kept of a password that was right: a keyed hash, in memory only, for ten minutes.
//!
//! A client that reconnects is known by it without another 20 ms of argon2. The key is random and
//! this process's own, so that what is kept tells nothing without it, and nothing after it. Next
//! file to read: [`crate::users`].

use std::fmt;
use std::time::Duration;

use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{CtOutput, KeyInit, Mac};
use tokio::time::Instant;

use crate::users::Password;

/// Makes the keyed hashes of one process.
pub(super) struct Seal([u8; 32]);

/// The keyed hash of a user and a password. Compared in constant time.
#[derive(Clone)]
pub(super) struct Sealed(CtOutput<Blake2bMac<U32>>);

/// What was right lately.
pub(super) struct Memory {
    sealed: Sealed,
    until: Instant,
}

impl Seal {
    /// None if the system gives no random bytes; then nothing can be remembered.
    pub(super) fn new() -> Option<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).ok().map(|()| Self(key))
    }

    pub(super) fn seal(&self, user: &[u8], password: &Password) -> Sealed {
        let mac = <Blake2bMac<U32> as KeyInit>::new_from_slice(&self.0);
        let mac = mac.expect("32 bytes are no more than the longest key, 64");
        // No user's name holds a zero byte: what stands before the first one is the name.
        Sealed(mac.chain_update(user).chain_update([0]).chain_update(password.expose()).finalize())
    }
}

impl Memory {
    /// Keeps what was right at this time.
    pub(super) fn new(sealed: Sealed, now: Instant) -> Self {
        Self { sealed, until: now + LIFETIME }
    }

    /// Whether this is what was right, and that not long ago.
    pub(super) fn holds(&self, sealed: &Sealed, now: Instant) -> bool {
        !self.is_over(now) && self.sealed.0 == sealed.0
    }

    /// Whether it is to be forgotten.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.until
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(..)")
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory(..)")
    }
}

/// How long a password need not be hashed again.
const LIFETIME: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(seal: &Seal, user: &str, password: &str) -> Sealed {
        seal.seal(user.as_bytes(), &Password::new(password.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn only_the_same_user_and_password_of_the_same_process_are_known_and_not_for_long() {
        let (seal, now) = (Seal::new().unwrap(), Instant::now());
        let memory = Memory::new(sealed(&seal, "app", "one"), now);
        let short = Duration::from_millis(1);
        assert!(memory.holds(&sealed(&seal, "app", "one"), now + LIFETIME - short));
        assert!(!memory.holds(&sealed(&seal, "app", "one"), now + LIFETIME));
        for (user, password) in [("app", "two"), ("ops", "one"), ("ap", "pone"), ("appo", "ne")] {
            assert!(!memory.holds(&sealed(&seal, user, password), now), "{user} {password}");
        }
        let other = Seal::new().unwrap();
        assert!(!memory.holds(&sealed(&other, "app", "one"), now));
    }

    #[test]
    fn debug_shows_nothing() {
        let seal = Seal::new().unwrap();
        let memory = Memory::new(sealed(&seal, "app", "one"), Instant::now());
        assert_eq!(format!("{seal:?} {memory:?}"), "Seal(..) Memory(..)");
    }
}
