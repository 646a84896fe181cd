//! `kvsd-server user`: who may log in, with which password, and what they may do.

use std::io::{self, Write};
use std::path::PathBuf;

use thiserror::Error;

use super::args::{PasswordFrom, UserAction, UsersFile};
use super::exit::Failure;
use super::serve::layers_beside;
use crate::init;
use crate::password_prompt::{PasswordSource, PromptError};
use crate::users::{Grant, Grants, HashError, Password, StoredHash, UserName, Users, UsersError};

/// Carries out one action.
pub(super) fn run(action: UserAction) -> Result<(), Failure> {
    match action {
        UserAction::Add { name, file, password, grant } => {
            add(&name, file.find()?, password.into(), grant).map_err(Failure::other)
        }
        UserAction::Password { name, file, password } => {
            set_password(&name, file.find()?, password.into()).map_err(Failure::other)
        }
        UserAction::Grant { name, grants, file } => {
            let change = |users: &mut Users| users.grant(&name, grants);
            change_grants(&name, file.find()?, change).map_err(Failure::other)
        }
        UserAction::Revoke { name, grants, file } => {
            let change = |users: &mut Users| users.revoke(&name, &grants);
            change_grants(&name, file.find()?, change).map_err(Failure::other)
        }
        UserAction::Remove { name, file } => remove(&name, file.find()?).map_err(Failure::other),
        UserAction::List { file } => list(file.find()?).map_err(Failure::other),
    }
}

impl From<PasswordFrom> for PasswordSource {
    fn from(PasswordFrom { generate, password_stdin }: PasswordFrom) -> Self {
        match (generate, password_stdin) {
            (true, _) => Self::Random,
            (false, true) => Self::StandardInput,
            (false, false) => Self::on_the_spot(),
        }
    }
}

/// Shows a password that nobody knows yet.
fn show(source: PasswordSource, password: &Password) -> Result<(), UserError> {
    if source == PasswordSource::Random {
        let mut line = password.expose().to_vec();
        line.push(b'\n');
        io::stdout().write_all(&line).map_err(UserError::Print)?;
    }
    Ok(())
}

fn add(
    name: &UserName,
    file: PathBuf,
    source: PasswordSource,
    given: Vec<Grant>,
) -> Result<(), UserError> {
    let mut grants = Grants::default();
    given.into_iter().try_for_each(|grant| grants.add(grant)).map_err(UsersError::from)?;
    if file.exists() && Users::load(&file)?.contains(name) {
        // Said before a password is asked for; the edit below decides.
        return Err(UsersError::Exists { name: name.clone() }.into());
    }
    let password = source.password(name)?;
    let hash = StoredHash::of(&password)?;
    let may_nothing = grants.is_empty();
    Users::edit(&file, |users| users.add(name.clone(), hash, grants))?;
    show(source, &password)?;
    note(&format!("user {name} added; a running server knows within a second"));
    if may_nothing {
        note(&format!(
            "it may log in and no more: see `kvsd-server user grant {name} write@TABLE`, or \
             write@* for all tables"
        ));
    }
    Ok(())
}

fn set_password(name: &UserName, file: PathBuf, source: PasswordSource) -> Result<(), UserError> {
    if !Users::load(&file)?.contains(name) {
        // Said before a password is asked for; the edit below decides.
        return Err(UsersError::Unknown { name: name.clone() }.into());
    }
    let password = source.password(name)?;
    let hash = StoredHash::of(&password)?;
    Users::edit(&file, |users| users.set_password(name, hash))?;
    show(source, &password)?;
    note(&format!("user {name} has another password; a running server knows within a second"));
    Ok(())
}

fn change_grants(
    name: &UserName,
    file: PathBuf,
    change: impl FnOnce(&mut Users) -> Result<(), UsersError>,
) -> Result<(), UserError> {
    // A change makes no file.
    Users::load(&file)?;
    let now = Users::edit(&file, |users| {
        change(users)?;
        Ok(users.grants(name).map(ToString::to_string).unwrap_or_default())
    })?;
    let now = if now.is_empty() { "nothing" } else { &now };
    note(&format!("user {name} may do now: {now}; a running server knows within a second"));
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
    for user in Users::load(&file)?.iter() {
        text.push_str(&format!("{}\t{}\n", user.name, user.grants));
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
