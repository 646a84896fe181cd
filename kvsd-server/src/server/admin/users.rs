//! Users: who they are, and changing that. What is changed stands in their file and is in force
//! before it is answered.

use bytes::BytesMut;
use kvsd::protocol::admin::{MAX_PAGE_ROWS, Reply};
use kvsd::protocol::v2::{FailCode, RequestId};

use super::action::{Administration, Refused, encoded};
use crate::server::reload::ReadAgainError;
use crate::users::{Users, UsersError};

impl Administration {
    /// The next page of users.
    pub(super) async fn users(
        &self,
        id: RequestId,
        after: Option<String>,
    ) -> Result<BytesMut, Refused> {
        let users = self.reload.users().await?;
        let mut names: Vec<&str> = users.names().map(|name| name.as_str()).collect();
        names.sort_unstable();
        let is_known = |name: &&str| after.as_deref().is_some_and(|after| *name <= after);
        let start = names.partition_point(is_known);
        let behind = names.get(start..).unwrap_or_default();
        let page = behind.iter().take(MAX_PAGE_ROWS).copied().collect();
        let more = behind.len() > MAX_PAGE_ROWS;
        Ok(encoded(id, &Reply::Users { more, names: page }))
    }

    /// Changes the users.
    pub(super) async fn edit_users(
        &self,
        id: RequestId,
        change: impl FnOnce(&mut Users) -> Result<(), UsersError> + Send + 'static,
    ) -> Result<BytesMut, Refused> {
        self.reload.edit_users(change).await?;
        Ok(encoded(id, &Reply::Done))
    }

    /// Reads again all files that can be.
    pub(super) async fn read_again(&self, id: RequestId) -> Result<BytesMut, Refused> {
        let users = self.reload.now().await?;
        Ok(encoded(id, &Reply::Reloaded { users: users as u64 }))
    }
}

impl From<ReadAgainError> for Refused {
    fn from(error: ReadAgainError) -> Self {
        let code = match &error {
            ReadAgainError::NoUsersFile => FailCode::Unsupported,
            ReadAgainError::Users(UsersError::Exists { .. } | UsersError::Unknown { .. })
            | ReadAgainError::Kept(_) => FailCode::Invalid,
            ReadAgainError::Users(_) | ReadAgainError::Lost => FailCode::Internal,
        };
        Self::new(code, error.with_causes())
    }
}
