//! The stored form of a password: an argon2id hash as a PHC string.

use std::fmt;

use argon2::password_hash::{self, Output, PasswordHash, PasswordHashString, Salt, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, PasswordHasher, Version};
use thiserror::Error;

use super::Password;

/// A password's argon2id hash. Its `Debug` shows nothing of it.
///
/// New ones take 19 MiB of memory and two passes, some 20 ms of one core.
#[derive(Clone)]
pub struct StoredHash(PasswordHashString);

impl StoredHash {
    /// Hashes a password with a random salt. Takes some 20 ms: not for a thread that serves
    /// connections.
    ///
    /// # Errors
    ///
    /// [`HashError`] if the system gives no random bytes.
    pub fn of(password: &Password) -> Result<Self, HashError> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(HashError::NoRandomness)?;
        let salt = SaltString::encode_b64(&salt).map_err(HashError::Malformed)?;
        let hash = hasher()?.hash_password(password.expose(), &salt);
        Ok(Self(hash.map_err(HashError::Malformed)?.serialize()))
    }

    /// Checks a PHC string: argon2id, version 19, with salt and hash, at most 256 MiB, 16 passes
    /// and 16 lanes. (What it says is what a login attempt will cost.)
    ///
    /// # Errors
    ///
    /// [`HashError`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, HashError> {
        let hash = PasswordHash::new(text).map_err(HashError::Malformed)?;
        let algorithm = Algorithm::try_from(hash.algorithm).map_err(HashError::Malformed)?;
        if algorithm != Algorithm::Argon2id || hash.version != Some(Version::V0x13.into()) {
            return Err(HashError::OtherAlgorithm);
        }
        let params = Params::try_from(&hash).map_err(HashError::Malformed)?;
        if params.m_cost() > 256 * 1024 || params.t_cost() > 16 || params.p_cost() > 16 {
            return Err(HashError::TooCostly);
        }
        if hash.salt.is_none() || hash.hash.is_none() {
            return Err(HashError::Incomplete);
        }
        Ok(Self(hash.serialize()))
    }

    /// The PHC string, for the users file.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether this is the password's hash. Takes some 20 ms: not for a thread that serves
    /// connections.
    pub(crate) fn matches(&self, password: &Password, memory: &mut HashMemory) -> bool {
        let stored = self.0.password_hash();
        let Ok(again) = hash_like(&stored, password, memory) else {
            return false;
        };
        // In constant time.
        stored.hash == Some(again)
    }
}

/// Hashes a password with the salt and the parameters of another hash.
fn hash_like(
    stored: &PasswordHash<'_>,
    password: &Password,
    memory: &mut HashMemory,
) -> Result<Output, password_hash::Error> {
    let (Some(salt), Some(hash)) = (stored.salt, stored.hash) else {
        return Err(password_hash::Error::Password);
    };
    let params = Params::try_from(stored)?;
    let mut buffer = [0; Salt::MAX_LENGTH];
    let salt = salt.decode_b64(&mut buffer)?;
    Output::init_with(hash.len(), |out| {
        let blocks = memory.blocks(params.block_count());
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        Ok(argon2.hash_password_into_with_memory(password.expose(), salt, out, blocks)?)
    })
}

/// The memory that a check works in, kept for the next one. Asked anew of the allocator each time,
/// by threads that come and go, it would add up to many times as much.
#[derive(Default)]
pub(crate) struct HashMemory(Vec<Block>);

impl HashMemory {
    fn blocks(&mut self, count: usize) -> &mut [Block] {
        if self.0.len() < count {
            // Nothing of the old is needed: one block more must not copy all of it.
            self.0 = Vec::new();
            self.0.resize(count, Block::default());
        }
        &mut self.0[..count]
    }
}

impl fmt::Debug for StoredHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredHash(..)")
    }
}

/// The parameters of new hashes, spelled out so that an update of the library does not change
/// them unseen.
fn hasher() -> Result<Argon2<'static>, HashError> {
    let params =
        Params::new(19 * 1024, 2, 1, None).map_err(|error| HashError::Malformed(error.into()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Why there is no hash.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HashError {
    /// The text is no PHC string, or its parameters make no sense.
    #[error("not a PHC string of argon2id: {0}")]
    Malformed(password_hash::Error),
    /// Another algorithm or version.
    #[error("the hash must be argon2id, version 19")]
    OtherAlgorithm,
    /// No salt or no hash.
    #[error("the hash is cut short")]
    Incomplete,
    /// A login would cost too much.
    #[error("the hash asks for more than 256 MiB, 16 passes or 16 lanes")]
    TooCostly,
    /// The system has no random bytes for a salt.
    #[error("the system gives no random bytes")]
    NoRandomness(#[source] getrandom::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_hash_matches_its_password_only_and_survives_the_file() {
        let hash = StoredHash::of(&password("right")).unwrap();
        let again = StoredHash::parse(hash.as_str()).unwrap();
        assert_eq!(hash.as_str(), again.as_str());
        let mut memory = HashMemory::default();
        assert!(again.matches(&password("right"), &mut memory));
        assert!(!again.matches(&password("wrong"), &mut memory));
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
    }

    #[test]
    fn a_check_is_not_led_astray_by_what_others_left_in_its_memory() {
        let mut memory = HashMemory::default();
        for (kib, passes, lanes) in [(64, 1, 1), (512, 2, 2), (8, 1, 1)] {
            let params = Params::new(kib, passes, lanes, None).unwrap();
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            let salt = SaltString::from_b64("c2FsdHNhbHRzYWx0").unwrap();
            let hash = argon2.hash_password(b"right", &salt).unwrap().to_string();
            let hash = StoredHash::parse(&hash).unwrap();
            assert!(hash.matches(&password("right"), &mut memory), "{kib} KiB");
            assert!(!hash.matches(&password("wrong"), &mut memory), "{kib} KiB");
        }
    }

    #[test]
    fn the_same_password_hashes_differently_each_time() {
        let one = StoredHash::of(&password("same")).unwrap();
        assert_ne!(one.as_str(), StoredHash::of(&password("same")).unwrap().as_str());
    }

    #[test]
    fn other_algorithms_and_cut_or_costly_hashes_are_refused() {
        let tail = "c2FsdHNhbHRzYWx0$Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm8";
        assert!(StoredHash::parse(&format!("$argon2id$v=19$m=64,t=1,p=1${tail}")).is_ok());
        for (text, reason) in [
            (format!("$argon2i$v=19$m=64,t=1,p=1${tail}"), "argon2id"),
            (format!("$argon2id$v=16$m=64,t=1,p=1${tail}"), "version 19"),
            ("$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0".to_owned(), "cut short"),
            (format!("$argon2id$v=19$m=4194304,t=1,p=1${tail}"), "256 MiB"),
            ("$2b$10$abcdefghijklmnopqrstuv".to_owned(), "PHC"),
            ("plain".to_owned(), "PHC"),
            (String::new(), "PHC"),
        ] {
            let error = StoredHash::parse(&text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        let hash = StoredHash::of(&password("x")).unwrap();
        assert_eq!(format!("{hash:?}"), "StoredHash(..)");
    }
}
