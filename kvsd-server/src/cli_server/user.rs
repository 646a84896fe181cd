//! `kvsd-server user`: add, remove and list who may log in.

use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;

use thiserror::Error;

use super::args::{UserAction, UsersFile};
use super::exit::Failure;
use super::serve::layers_beside;
use crate::init;
use crate::users::{
    HashError, MAX_PASSWORD_BYTES, Password, PasswordError, StoredHash, UserName, Users, UsersError,
};

/// Carries out one action.
pub(super) fn run(action: UserAction) -> Result<(), Failure> {
    match action {
        UserAction::Add { name, file, generate, password_stdin } => {
            let source = match (generate, password_stdin || !io::stdin().is_terminal()) {
                (true, _) => Source::Random,
                (false, true) => Source::StandardInput,
                (false, false) => Source::Terminal,
            };
            add(name, file.find()?, source).map_err(Failure::other)
        }
        UserAction::Remove { name, file } => remove(&name, file.find()?).map_err(Failure::other),
        UserAction::List { file } => list(file.find()?).map_err(Failure::other),
    }
}

/// Where a new user's password comes from.
#[derive(Debug, Clone, Copy)]
enum Source {
    Random,
    StandardInput,
    Terminal,
}

fn add(name: UserName, file: PathBuf, source: Source) -> Result<(), UserError> {
    if file.exists() && Users::load(&file)?.contains(&name) {
        // Said before a password is asked for; the edit below decides.
        return Err(UsersError::Exists { name }.into());
    }
    let password = match source {
        Source::Random => Password::generate()?,
        Source::StandardInput => Password::new(one_line(io::stdin().lock())?)?,
        Source::Terminal => ask(&name)?,
    };
    let hash = StoredHash::of(&password)?;
    Users::edit(&file, |users| users.add(name.clone(), hash))?;
    if let Source::Random = source {
        let mut line = password.expose().to_vec();
        line.push(b'\n');
        io::stdout().write_all(&line).map_err(UserError::Print)?;
    }
    note(&format!("user {name} added; a running server knows within a second"));
    Ok(())
}

fn remove(name: &UserName, file: PathBuf) -> Result<(), UserError> {
    // A removal makes no file.
    Users::load(&file)?;
    Users::edit(&file, |users| users.remove(name))?;
    note(&format!("user {name} removed; a running server knows within a second"));
    Ok(())
}

fn list(file: PathBuf) -> Result<(), UserError> {
    let mut text = String::new();
    for name in Users::load(&file)?.names() {
        text.push_str(name.as_str());
        text.push('\n');
    }
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(UserError::Print(error)),
        _ => Ok(()),
    }
}

impl UsersFile {
    /// The file that is meant: by flag, else by environment or configuration.
    fn find(self) -> Result<PathBuf, Failure> {
        if let Some(users) = self.users {
            return Ok(users);
        }
        if let Some(folder) = self.data_dir {
            return Ok(folder.join(init::USERS));
        }
        let layers = layers_beside(self.config)?;
        layers.resolve()?.users.ok_or_else(|| Failure::Usage(Box::new(UserError::NoFile)))
    }
}

/// Asks for a password twice.
fn ask(name: &UserName) -> Result<Password, UserError> {
    let first = rpassword::prompt_password(format!("password for {name}: "));
    let first = Password::new(first.map_err(UserError::Ask)?.into_bytes())?;
    let again = rpassword::prompt_password("again: ").map_err(UserError::Ask)?;
    if first.expose() != again.as_bytes() {
        return Err(UserError::Differ);
    }
    Ok(first)
}

/// Reads one line; its end is not part of it.
fn one_line(input: impl Read) -> Result<Vec<u8>, UserError> {
    let mut line = Vec::new();
    // Room for the longest password, its line end, and one byte more that shows it is too long.
    let room = MAX_PASSWORD_BYTES as u64 + 3;
    input.take(room).read_to_end(&mut line).map_err(UserError::Ask)?;
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    if line.contains(&b'\n') {
        return Err(UserError::Lines);
    }
    Ok(line)
}

fn note(text: &str) {
    // Nobody may be reading; the exit code still tells.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Why an action was not carried out.
#[derive(Debug, Error)]
enum UserError {
    #[error(
        "which users file? give --users FILE, --config FILE, or --data-dir DIR for a folder that \
         `kvsd-server init` made"
    )]
    NoFile,
    #[error(transparent)]
    Users(#[from] UsersError),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error("cannot read the password")]
    Ask(#[source] io::Error),
    #[error("the two passwords differ; nothing was changed")]
    Differ,
    #[error("standard input must hold one line, the password")]
    Lines,
    #[error("cannot write to standard output")]
    Print(#[source] io::Error),
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
        assert!(matches!(one_line(&b"one\ntwo\n"[..]), Err(UserError::Lines)));
    }

    #[test]
    fn the_longest_password_is_read_whole_and_a_longer_one_is_noticed() {
        let longest = [vec![b'x'; MAX_PASSWORD_BYTES], b"\r\n".to_vec()].concat();
        assert_eq!(one_line(&longest[..]).unwrap().len(), MAX_PASSWORD_BYTES);
        let longer = vec![b'x'; 10 * MAX_PASSWORD_BYTES];
        assert!(one_line(&longer[..]).unwrap().len() > MAX_PASSWORD_BYTES);
    }
}
