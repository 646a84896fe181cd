//! A user's name, checked.

use std::fmt;

use thiserror::Error;

/// The longest user name, in bytes. The shortest is one byte.
pub const MAX_USER_NAME_BYTES: usize = 128;

/// A user's name: 1 to 128 bytes of UTF-8 without white space, control characters and `:`, not
/// starting with `#`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(Box<str>);

impl UserName {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`UserNameError`] says which rule the name breaks.
    pub fn parse(name: &str) -> Result<Self, UserNameError> {
        if name.is_empty() {
            return Err(UserNameError::Empty);
        }
        if name.len() > MAX_USER_NAME_BYTES {
            return Err(UserNameError::TooLong { bytes: name.len() });
        }
        if name.starts_with('#') {
            return Err(UserNameError::BadStart);
        }
        if name.contains(|c: char| c.is_whitespace() || c.is_control() || c == ':') {
            return Err(UserNameError::BadCharacter);
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no user name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UserNameError {
    /// The name is empty.
    #[error("a user name must not be empty")]
    Empty,
    /// The name is longer than [`MAX_USER_NAME_BYTES`].
    #[error("a user name has at most {MAX_USER_NAME_BYTES} bytes, this one has {bytes}")]
    TooLong {
        /// The name's length.
        bytes: usize,
    },
    /// The first character starts a comment.
    #[error("a user name must not start with '#'")]
    BadStart,
    /// A character that names may not hold.
    #[error("a user name must not hold white space, control characters or ':'")]
    BadCharacter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_up_to_the_longest() {
        for name in ["a", "app", "billing@eu-1", "\u{e4}nne", "a#b", &"x".repeat(128)] {
            assert_eq!(UserName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_that_would_break_the_file_are_refused() {
        assert_eq!(UserName::parse(""), Err(UserNameError::Empty));
        assert_eq!(UserName::parse("#a"), Err(UserNameError::BadStart));
        let long = "x".repeat(129);
        assert_eq!(UserName::parse(&long), Err(UserNameError::TooLong { bytes: 129 }));
        for name in ["a:b", "a b", "a\nb", "a\r", "a\tb", "a\0b", "a\u{a0}b", "\u{2028}", "\u{7f}"]
        {
            assert_eq!(UserName::parse(name), Err(UserNameError::BadCharacter), "{name:?}");
        }
    }
}
