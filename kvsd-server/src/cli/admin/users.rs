//! `kvsd admin user`.

use kvsd::protocol::admin::{PasswordHash, Reply, Request};

use super::args::{PasswordFlags, UserCommand};
use super::outcome::{Outcome, UserChange};
use super::socket::{Patience, Socket};
use crate::cli::failure::Failure;
use crate::password_prompt::PasswordSource;
use crate::users::{Password, StoredHash, UserName};

/// All users.
pub(super) fn list(server: &mut Socket) -> Result<Outcome, Failure> {
    let mut users: Vec<String> = Vec::new();
    loop {
        let after = users.last().cloned();
        let request = Request::Users { after: after.as_deref() };
        let (more, page) = server.ask(&request, Patience::Short, |reply| match reply {
            Reply::Users { more, names } => {
                Some((more, names.into_iter().map(str::to_owned).collect::<Vec<_>>()))
            }
            _ => None,
        })?;
        let is_last = !more || page.is_empty();
        users.extend(page);
        if is_last {
            return Ok(Outcome::Users(users));
        }
    }
}

/// Changes one user.
pub(super) fn change(server: &mut Socket, command: UserCommand) -> Result<Outcome, Failure> {
    match command {
        UserCommand::List => list(server),
        UserCommand::Add { name, password } => {
            let (hash, generated) = password.hashed(&name)?;
            let hash = PasswordHash(hash.as_str());
            server.done(&Request::AddUser { name: name.as_str(), hash })?;
            Ok(Outcome::UserChanged { name, change: UserChange::Added, generated })
        }
        UserCommand::Password { name, password } => {
            let (hash, generated) = password.hashed(&name)?;
            let hash = PasswordHash(hash.as_str());
            server.done(&Request::SetPassword { name: name.as_str(), hash })?;
            Ok(Outcome::UserChanged { name, change: UserChange::Password, generated })
        }
        UserCommand::Remove { name } => {
            server.done(&Request::RemoveUser { name: name.as_str() })?;
            Ok(Outcome::UserChanged { name, change: UserChange::Removed, generated: None })
        }
    }
}

impl PasswordFlags {
    /// The new password's hash, and the password itself if it was made here.
    fn hashed(&self, name: &UserName) -> Result<(StoredHash, Option<Password>), Failure> {
        let source = match (self.generate, self.password_stdin) {
            (true, _) => PasswordSource::Random,
            (false, true) => PasswordSource::StandardInput,
            (false, false) => PasswordSource::on_the_spot(),
        };
        let password = source.password(name).map_err(|error| Failure::usage(&error))?;
        let hash = StoredHash::of(&password).map_err(|error| Failure::other(error.to_string()))?;
        let generated = (source == PasswordSource::Random).then_some(password);
        Ok((hash, generated))
    }
}
