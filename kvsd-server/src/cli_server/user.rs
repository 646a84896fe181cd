//! `kvsd-server user`: add, remove and list who may log in.

use std::io::{self, Write};
use std::path::PathBuf;

use thiserror::Error;

use super::args::{UserAction, UsersFile};
use super::exit::Failure;
use super::serve::layers_beside;
use crate::init;
use crate::password_prompt::{PasswordSource, PromptError};
use crate::users::{HashError, StoredHash, UserName, Users, UsersError};

/// Carries out one action.
pub(super) fn run(action: UserAction) -> Result<(), Failure> {
    match action {
        UserAction::Add { name, file, generate, password_stdin } => {
            let source = match (generate, password_stdin) {
                (true, _) => PasswordSource::Random,
                (false, true) => PasswordSource::StandardInput,
                (false, false) => PasswordSource::on_the_spot(),
            };
            add(name, file.find()?, source).map_err(Failure::other)
        }
        UserAction::Remove { name, file } => remove(&name, file.find()?).map_err(Failure::other),
        UserAction::List { file } => list(file.find()?).map_err(Failure::other),
    }
}

fn add(name: UserName, file: PathBuf, source: PasswordSource) -> Result<(), UserError> {
    if file.exists() && Users::load(&file)?.contains(&name) {
        // Said before a password is asked for; the edit below decides.
        return Err(UsersError::Exists { name }.into());
    }
    let password = source.password(&name)?;
    let hash = StoredHash::of(&password)?;
    Users::edit(&file, |users| users.add(name.clone(), hash))?;
    if let PasswordSource::Random = source {
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
    Password(#[from] PromptError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error("cannot write to standard output")]
    Print(#[source] io::Error),
}
