//! Where a new password comes from: the terminal, standard input, or chance.
//!
//! Both command lines ask here. A password is never an argument, and never printed but when it was
//! made. Next file to read: [`crate::users`].

use std::io::{self, IsTerminal, Read};

use thiserror::Error;

use crate::users::{MAX_PASSWORD_BYTES, Password, PasswordError, UserName};

/// Where a new password comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PasswordSource {
    /// It is made.
    Random,
    /// It is the one line of standard input.
    StandardInput,
    /// It is asked for, twice and without echo.
    Terminal,
}

impl PasswordSource {
    /// The terminal, if somebody may be sitting there, else standard input.
    pub(crate) fn on_the_spot() -> Self {
        match io::stdin().is_terminal() {
            true => Self::Terminal,
            false => Self::StandardInput,
        }
    }

    /// The password for this user.
    ///
    /// # Errors
    ///
    /// [`PromptError`] if there is none, or none that can be one.
    pub(crate) fn password(self, name: &UserName) -> Result<Password, PromptError> {
        match self {
            Self::Random => Ok(Password::generate()?),
            Self::StandardInput => Ok(Password::new(one_line(io::stdin().lock())?)?),
            Self::Terminal => ask(name),
        }
    }
}

/// Asks for a password twice.
fn ask(name: &UserName) -> Result<Password, PromptError> {
    let first = rpassword::prompt_password(format!("password for {name}: "));
    let first = Password::new(first.map_err(PromptError::Ask)?.into_bytes())?;
    let again = rpassword::prompt_password("again: ").map_err(PromptError::Ask)?;
    if first.expose() != again.as_bytes() {
        return Err(PromptError::Differ);
    }
    Ok(first)
}

/// Reads one line; its end is not part of it.
fn one_line(input: impl Read) -> Result<Vec<u8>, PromptError> {
    let mut line = Vec::new();
    // Room for the longest password, its line end, and one byte more that shows it is too long.
    let room = MAX_PASSWORD_BYTES as u64 + 3;
    input.take(room).read_to_end(&mut line).map_err(PromptError::Ask)?;
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    if line.contains(&b'\n') {
        return Err(PromptError::Lines);
    }
    Ok(line)
}

/// Why there is no password.
#[derive(Debug, Error)]
pub(crate) enum PromptError {
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("cannot read the password")]
    Ask(#[source] io::Error),
    #[error("the two passwords differ; nothing was changed")]
    Differ,
    #[error("standard input must hold one line, the password")]
    Lines,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_end_is_no_part_of_a_password() {
        for (input, password) in [
            (&b"secret"[..], &b"secret"[..]),
            (b"secret\n", b"secret"),
            (b"secret\r\n", b"secret"),
            (b" sec ret ", b" sec ret "),
            (b"", b""),
        ] {
            assert_eq!(one_line(input).unwrap(), password);
        }
        assert!(matches!(one_line(&b"one\ntwo\n"[..]), Err(PromptError::Lines)));
    }

    #[test]
    fn the_longest_password_is_read_whole_and_a_longer_one_is_noticed() {
        let longest = [vec![b'x'; MAX_PASSWORD_BYTES], b"\r\n".to_vec()].concat();
        assert_eq!(one_line(&longest[..]).unwrap().len(), MAX_PASSWORD_BYTES);
        let longer = vec![b'x'; 10 * MAX_PASSWORD_BYTES];
        assert!(one_line(&longer[..]).unwrap().len() > MAX_PASSWORD_BYTES);
    }
}
