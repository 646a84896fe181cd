//! Checks who a client is, and what it may do.
//!
//! Knows users, passwords and grants; never connections or how an operation is carried out. Hashing
//! is what an attacker would have us do all day, so it runs on a few threads at most, behind a queue
//! with an end, and an unknown name costs what a known one does. Only failures are limited, for each
//! user from each address; what was right is remembered for ten minutes and then forgotten.
//!
//! ```text
//! turn of user and address --> too many failures? --> remembered? --> place in the pool --> argon2
//! ```
//!
//! The order matters: whoever has failed too often is not told either what would have been right.
//! Next file to read: `listed`, and `access` for what may be done.

pub(crate) mod access;
mod attempts;
mod list;
mod listed;
mod seal;
mod turns;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::time::Instant;

pub(crate) use self::list::{Changes, Forbidden, Login};
use self::listed::Listed;
use crate::users::Users;

/// Checks users and passwords. Cheap to clone; all clones share one bounded pool.
#[derive(Clone)]
pub struct Authenticator(Mode);

#[derive(Clone)]
enum Mode {
    /// Development: whoever comes is let in.
    Anyone,
    Listed(Arc<Listed>),
}

impl Authenticator {
    /// Lets in whoever comes: for development, on an address that only this machine reaches.
    pub(crate) fn accept_anyone() -> Self {
        Self(Mode::Anyone)
    }

    /// Lets in these users; `None` if there are none.
    pub(crate) fn from_users(users: &Users) -> Option<Self> {
        Listed::new(users).map(|listed| Self(Mode::Listed(Arc::new(listed))))
    }

    /// Lets in nobody, until it is told whom.
    pub(crate) fn of_nobody() -> Self {
        Self(Mode::Listed(Arc::new(Listed::of_nobody())))
    }

    /// Whether a client need not say who it is.
    pub(crate) fn accepts_anyone(&self) -> bool {
        matches!(self.0, Mode::Anyone)
    }

    /// Checks a user and its password, said by a client of this address (`None`: of this process).
    /// Takes some 20 ms of another thread, nothing when the same was right lately, and up to ten
    /// seconds when many ask at once.
    ///
    /// # Errors
    ///
    /// [`Denied::Credentials`] for an unknown user and for a wrong password alike;
    /// [`Denied::Failures`] when there were too many of these; [`Denied::Busy`] when too many wait
    /// already, or it took too long.
    ///
    /// # Cancel safety
    ///
    /// A dropped future gives up its place in the queue; a check that runs already runs on, and
    /// keeps its share of the pool until it ends.
    pub(crate) async fn verify(
        &self,
        user: &[u8],
        password: &[u8],
        from: Option<IpAddr>,
    ) -> Result<Login, Denied> {
        match &self.0 {
            Mode::Anyone => Ok(Login::of_anyone()),
            Mode::Listed(listed) => listed.verify(user, password, from).await,
        }
    }

    /// Lets in the user whom a client's certificate names, if there is one of that name.
    pub(crate) fn admit(&self, user: &[u8]) -> Option<Login> {
        match &self.0 {
            Mode::Anyone => Some(Login::of_anyone()),
            Mode::Listed(listed) => listed.list().users.get(user).map(|user| user.login()),
        }
    }

    /// The user's name, if there is a user of this name.
    pub(crate) fn known<'u>(&self, user: &'u [u8]) -> Option<&'u str> {
        match &self.0 {
            Mode::Anyone => None,
            Mode::Listed(listed) if listed.list().users.contains_key(user) => {
                std::str::from_utf8(user).ok()
            }
            Mode::Listed(_) => None,
        }
    }

    /// The users who were granted nothing: they may log in and no more.
    pub(crate) fn ungranted(&self) -> Vec<String> {
        match &self.0 {
            Mode::Anyone => Vec::new(),
            Mode::Listed(listed) => listed.list().ungranted(),
        }
    }

    /// Lets go of what was right too long ago to be taken any more.
    pub(crate) fn forget(&self) {
        if let Mode::Listed(listed) = &self.0 {
            listed.forget(Instant::now());
        }
    }

    /// Lets in these users from now on, who may be none. Whoever is not among them, or has another
    /// password or other grants, has its logins ended; tells who was added, removed and changed.
    pub(crate) fn replace(&self, users: &Users) -> Changes {
        match &self.0 {
            Mode::Anyone => Changes::default(),
            Mode::Listed(listed) => listed.replace(users),
        }
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Mode::Anyone => f.write_str("Authenticator(anyone)"),
            Mode::Listed(listed) => {
                write!(f, "Authenticator({} users)", listed.list().users.len())
            }
        }
    }
}

/// Why a client is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Denied {
    /// The user is unknown or the password is wrong; which of the two is not told.
    #[error("user or password is wrong")]
    Credentials,
    /// This user failed too often from this address lately; nothing was checked, and trying again
    /// after some seconds may succeed.
    #[error("too many failed logins of this user from this address, try again in some seconds")]
    Failures,
    /// Too many are being checked; nothing was decided, and trying again later may succeed.
    #[error("too many logins at once, try again later")]
    Busy,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::{Grants, Password, StoredHash, UserName};

    #[tokio::test]
    async fn development_lets_anyone_in() {
        let anyone = Authenticator::accept_anyone();
        assert!(anyone.verify(b"", b"", None).await.is_ok());
    }

    #[tokio::test]
    async fn nobody_gets_in_before_users_are_known_and_they_do_then() {
        let hash = |password: &str| {
            StoredHash::of(&Password::new(password.as_bytes().to_vec()).unwrap()).unwrap()
        };
        let authenticator = Authenticator::of_nobody();
        let denied = authenticator.verify(b"app", b"one", None).await;
        assert_eq!(denied.unwrap_err(), Denied::Credentials);
        let mut users = Users::default();
        users.add(UserName::parse("app").unwrap(), hash("one"), Grants::all()).unwrap();
        assert_eq!(authenticator.replace(&users).added, ["app"]);
        assert!(authenticator.verify(b"app", b"one", None).await.is_ok());
    }

    #[test]
    fn without_users_there_is_no_authenticator() {
        assert!(Authenticator::from_users(&Users::default()).is_none());
    }
}
