//! `kvsd admin user`.

use kvsd::protocol::admin::{PasswordHash, Reply, Request};

use super::args::{PasswordFlags, UserCommand};
use super::outcome::{Outcome, UserChange, UserRow};
use super::socket::{Patience, Socket};
use crate::cli::failure::Failure;
use crate::password_prompt::PasswordSource;
use crate::users::{Grant, Password, StoredHash, UserName};

/// All users.
pub(super) fn list(server: &mut Socket) -> Result<Outcome, Failure> {
    let mut users: Vec<UserRow> = Vec::new();
    loop {
        let after = users.last().map(|row| row.name.clone());
        let request = Request::Users { after: after.as_deref() };
        let (more, page) = server.ask(&request, Patience::Short, |reply| match reply {
            Reply::Users { more, rows } => {
                Some((more, rows.iter().map(UserRow::new).collect::<Vec<_>>()))
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

/// Changes one user. The server is connected to once there is something to say: it waits for nobody
/// who thinks of a password.
pub(super) fn change(
    connect: impl FnOnce() -> Result<Socket, Failure>,
    command: UserCommand,
) -> Result<Outcome, Failure> {
    match command {
        UserCommand::List => list(&mut connect()?),
        UserCommand::Add { name, password, grant } => {
            let change = match grant.is_empty() {
                true => UserChange::AddedBare,
                false => UserChange::Added,
            };
            let grants: Vec<String> = grant.iter().map(Grant::to_string).collect();
            let grants = grants.iter().map(String::as_str).collect();
            let (hash, generated) = password.hashed(&name)?;
            let hash = PasswordHash(hash.as_str());
            connect()?.done(&Request::AddUser { name: name.as_str(), hash, grants })?;
            Ok(Outcome::UserChanged { name, change, generated })
        }
        UserCommand::Password { name, password } => {
            let (hash, generated) = password.hashed(&name)?;
            let hash = PasswordHash(hash.as_str());
            connect()?.done(&Request::SetPassword { name: name.as_str(), hash })?;
            Ok(Outcome::UserChanged { name, change: UserChange::Password, generated })
        }
        UserCommand::Grant { name, grants } => {
            let grants: Vec<String> = grants.iter().map(Grant::to_string).collect();
            let grants = grants.iter().map(String::as_str).collect();
            connect()?.done(&Request::Grant { name: name.as_str(), grants })?;
            Ok(Outcome::UserChanged { name, change: UserChange::Granted, generated: None })
        }
        UserCommand::Revoke { name, grants } => {
            let grants: Vec<String> = grants.iter().map(Grant::to_string).collect();
            let grants = grants.iter().map(String::as_str).collect();
            connect()?.done(&Request::Revoke { name: name.as_str(), grants })?;
            Ok(Outcome::UserChanged { name, change: UserChange::Revoked, generated: None })
        }
        UserCommand::Remove { name } => {
            connect()?.done(&Request::RemoveUser { name: name.as_str() })?;
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
