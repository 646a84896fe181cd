//! A password, kept out of every log.

use std::fmt;

use thiserror::Error;

/// The longest password, in bytes. The shortest is one byte.
pub const MAX_PASSWORD_BYTES: usize = 512;

/// A password: 1 to 512 bytes of any content. Its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Password(Box<[u8]>);

impl Password {
    /// Checks a password's length.
    ///
    /// # Errors
    ///
    /// [`PasswordError`] says which bound it breaks.
    pub fn new(bytes: Vec<u8>) -> Result<Self, PasswordError> {
        match bytes.len() {
            0 => Err(PasswordError::Empty),
            1..=MAX_PASSWORD_BYTES => Ok(Self(bytes.into_boxed_slice())),
            bytes => Err(PasswordError::TooLong { bytes }),
        }
    }

    /// Makes a password of 32 random letters, digits, `-` and `_`: 192 bits, usable in a URL as it
    /// is.
    ///
    /// # Errors
    ///
    /// [`PasswordError::NoRandomness`] if the system gives none.
    pub fn generate() -> Result<Self, PasswordError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(PasswordError::NoRandomness)?;
        // 64 letters: six bits of each byte choose one, all of them alike.
        let letters = bytes.map(|byte| ALPHABET[usize::from(byte & 63)]);
        Ok(Self(letters.into()))
    }

    /// The password, for the one who must check, send or print it.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Why there is no password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// It is empty.
    #[error("the password must not be empty")]
    Empty,
    /// It is longer than [`MAX_PASSWORD_BYTES`].
    #[error("the password has at most {MAX_PASSWORD_BYTES} bytes, this one has {bytes}")]
    TooLong {
        /// The password's length.
        bytes: usize,
    },
    /// The system has no random bytes to make one from.
    #[error("the system gives no random bytes")]
    NoRandomness(#[source] getrandom::Error),
}

/// The letters of made passwords: those that a URL takes as they are, 64 of them.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_bounded() {
        assert_eq!(Password::new(Vec::new()).unwrap_err(), PasswordError::Empty);
        assert!(Password::new(vec![0; 512]).is_ok());
        let error = Password::new(vec![0; 513]).unwrap_err();
        assert_eq!(error, PasswordError::TooLong { bytes: 513 });
    }

    #[test]
    fn debug_shows_nothing() {
        let password = Password::new(b"canary".to_vec()).unwrap();
        assert_eq!(format!("{password:?}"), "Password(..)");
    }

    #[test]
    fn made_passwords_differ_and_fit_a_url() {
        let one = Password::generate().unwrap();
        let two = Password::generate().unwrap();
        assert_ne!(one.expose(), two.expose());
        assert_eq!(one.expose().len(), 32);
        assert!(one.expose().iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b)));
    }
}
