//! `kvsd-server user`: who may log in, with which password, and what they may do. In a users file,
//! or in etcd for all servers of a cluster.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;
use tokio::runtime::Runtime;

use super::args::{PasswordFrom, UserAction, UsersFile};
use super::exit::Failure;
use super::serve::layers_beside;
use crate::config::{Config, EtcdSettings};
use crate::init;
use crate::password_prompt::{PasswordSource, PromptError};
use crate::server::open_users;
use crate::users::{
    Grant, Grants, HashError, Password, StoredHash, UserName, UserStore, UserStoreError, Users,
    UsersError,
};

/// Carries out one action.
pub(super) fn run(action: UserAction) -> Result<(), Failure> {
    match action {
        UserAction::Add { name, file, password, grant } => {
            add(&name, &file.find()?, password.into(), grant).map_err(Failure::other)
        }
        UserAction::Password { name, file, password } => {
            set_password(&name, &file.find()?, password.into()).map_err(Failure::other)
        }
        UserAction::Grant { name, grants, file } => {
            let change = |users: &mut Users| users.grant(&name, grants.clone());
            change_grants(&name, &file.find()?, change).map_err(Failure::other)
        }
        UserAction::Revoke { name, grants, file } => {
            let change = |users: &mut Users| users.revoke(&name, &grants);
            change_grants(&name, &file.find()?, change).map_err(Failure::other)
        }
        UserAction::Remove { name, file } => remove(&name, &file.find()?).map_err(Failure::other),
        UserAction::List { file } => list(&file.find()?).map_err(Failure::other),
    }
}

/// Where the users are that a command is about.
enum Place {
    File(PathBuf),
    /// What all servers of a cluster share.
    Shared {
        runtime: Runtime,
        store: Arc<dyn UserStore>,
    },
}

impl Place {
    fn shared(etcd: &EtcdSettings) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Failure::other)?;
        let store = runtime.block_on(open_users(etcd)).map_err(Failure::other)?;
        Ok(Self::Shared { runtime, store })
    }

    /// The users as they are. A file that is not there is an error.
    fn load(&self) -> Result<Users, UserError> {
        match self {
            Self::File(file) => Ok(Users::load(file)?),
            Self::Shared { runtime, store } => Ok(runtime.block_on(store.load())?.users),
        }
    }

    /// The users, none where no file has been made yet.
    fn load_if_any(&self) -> Result<Users, UserError> {
        match self {
            Self::File(file) if !file.exists() => Ok(Users::default()),
            _ => self.load(),
        }
    }

    /// Changes the users, and makes the file if need be.
    fn edit(
        &self,
        change: impl Fn(&mut Users) -> Result<(), UsersError> + Send + Sync,
    ) -> Result<(), UserError> {
        match self {
            Self::File(file) => Users::edit(file, change)?,
            Self::Shared { runtime, store } => runtime.block_on(store.edit(&change))?,
        }
        Ok(())
    }

    /// Who learns of a change, and when.
    fn hint(&self) -> &'static str {
        match self {
            Self::File(_) => "a running server knows within a second",
            Self::Shared { .. } => "all servers of the cluster know within a second",
        }
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
    place: &Place,
    source: PasswordSource,
    given: Vec<Grant>,
) -> Result<(), UserError> {
    let mut grants = Grants::default();
    given.into_iter().try_for_each(|grant| grants.add(grant)).map_err(UsersError::from)?;
    if place.load_if_any()?.contains(name) {
        // Said before a password is asked for; the edit below decides.
        return Err(UsersError::Exists { name: name.clone() }.into());
    }
    let password = source.password(name)?;
    let hash = StoredHash::of(&password)?;
    place.edit(|users| users.add(name.clone(), hash.clone(), grants.clone()))?;
    show(source, &password)?;
    note(&format!("user {name} added; {}", place.hint()));
    if grants.is_empty() {
        note(&format!(
            "it may log in and no more: see `kvsd-server user grant {name} write@TABLE`, or \
             write@* for all tables"
        ));
    }
    Ok(())
}

fn set_password(name: &UserName, place: &Place, source: PasswordSource) -> Result<(), UserError> {
    if !place.load()?.contains(name) {
        // Said before a password is asked for; the edit below decides.
        return Err(UsersError::Unknown { name: name.clone() }.into());
    }
    let password = source.password(name)?;
    let hash = StoredHash::of(&password)?;
    place.edit(|users| users.set_password(name, hash.clone()))?;
    show(source, &password)?;
    note(&format!("user {name} has another password; {}", place.hint()));
    Ok(())
}

fn change_grants(
    name: &UserName,
    place: &Place,
    change: impl Fn(&mut Users) -> Result<(), UsersError> + Send + Sync,
) -> Result<(), UserError> {
    // A change makes no file.
    place.load()?;
    let now = Mutex::new(String::new());
    place.edit(|users| {
        change(users)?;
        let mut now = now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = users.grants(name).map(ToString::to_string).unwrap_or_default();
        Ok(())
    })?;
    let now = now.into_inner().unwrap_or_else(PoisonError::into_inner);
    let now = if now.is_empty() { "nothing" } else { &now };
    note(&format!("user {name} may do now: {now}; {}", place.hint()));
    Ok(())
}

fn remove(name: &UserName, place: &Place) -> Result<(), UserError> {
    // A removal makes no file.
    place.load()?;
    place.edit(|users| users.remove(name))?;
    note(&format!("user {name} removed; {}", place.hint()));
    Ok(())
}

fn list(place: &Place) -> Result<(), UserError> {
    let mut text = String::new();
    for user in place.load()?.iter() {
        text.push_str(&format!("{}\t{}\n", user.name, user.grants));
    }
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(UserError::Print(error)),
        _ => Ok(()),
    }
}

impl UsersFile {
    /// The place that is meant: by flag, else by environment or configuration.
    fn find(self) -> Result<Place, Failure> {
        if let Some(users) = self.users {
            return Ok(Place::File(users));
        }
        if let Some(folder) = self.data_dir {
            // The configuration that `init` has made there may say that the users are in etcd.
            let file = folder.join(init::CONFIG);
            let etcd = if file.exists() { config(Some(file))?.check_engine()? } else { None };
            return match etcd {
                Some(etcd) => Place::shared(&etcd),
                None => Ok(Place::File(folder.join(init::USERS))),
            };
        }
        let config = config(self.config)?;
        match (config.check_engine()?, config.users) {
            (Some(etcd), _) => Place::shared(&etcd),
            (None, Some(users)) => Ok(Place::File(users)),
            (None, None) => Err(Failure::Usage(Box::new(UserError::NoFile))),
        }
    }
}

fn config(file: Option<PathBuf>) -> Result<Config, Failure> {
    Ok(layers_beside(file)?.resolve()?)
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
    Shared(#[from] UserStoreError),
    #[error(transparent)]
    Password(#[from] PromptError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error("cannot write to standard output")]
    Print(#[source] io::Error),
}
