//! Users that several servers share: what such a place has to be able to do.
//!
//! A users file is none: it is one server's, and read again by it. Next file to read:
//! [`crate::auth`].

use std::fmt;

use async_trait::async_trait;
use thiserror::Error;

use super::{InvalidUser, Users, UsersError};

/// Where users are kept for several servers.
#[async_trait]
pub(crate) trait UserStore: fmt::Debug + Send + Sync + 'static {
    /// The users as they are now.
    async fn load(&self) -> Result<StoredUsers, UserStoreError>;

    /// Changes the users as they are now. `change` is called again with what stands there then if
    /// somebody else has changed the same user meanwhile, so that nothing is lost; an error of it
    /// leaves them as they are.
    ///
    /// # Cancel safety
    ///
    /// Once polled, they may be changed even if the future is dropped.
    async fn edit(&self, change: &Change<'_>) -> Result<(), UserStoreError>;

    /// Waits until the users may be others than those that were loaded at this point. Resolves now
    /// and then for nothing, and soon if it cannot tell.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    async fn changed(&self, since: Point);
}

/// A change of users.
pub(crate) type Change<'a> = dyn Fn(&mut Users) -> Result<(), UsersError> + Send + Sync + 'a;

/// Users, and the point of a store's time that they are of.
#[derive(Debug)]
pub(crate) struct StoredUsers {
    pub(crate) users: Users,
    pub(crate) at: Point,
}

/// A point of a store's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point(pub(crate) i64);

/// Why users were not read or not changed.
#[derive(Debug, Error)]
#[cfg_attr(not(feature = "etcd"), expect(dead_code, reason = "only that engine has a store"))]
pub(crate) enum UserStoreError {
    /// They cannot be changed like this.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// Whoever keeps them cannot be asked; nothing was done.
    #[error("the users in etcd cannot be had now, nothing was changed: {reason}")]
    Unavailable { reason: String },
    /// Whoever keeps them has not answered whether they are changed.
    #[error(
        "it is not known whether the users in etcd were changed; look before trying again: {reason}"
    )]
    Unknown { reason: String },
    /// What stands there is not a user.
    #[error(
        "what stands in etcd at {key} is not a user; `etcdctl del {key}` removes it, and then the \
         user can be added again"
    )]
    Invalid { key: String, source: InvalidUser },
}
