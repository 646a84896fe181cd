//! Users: who they are, and changing that. What is changed stands in their file, or in etcd, and is
//! in force on this server before it is answered.

use bytes::BytesMut;
use kvsd::protocol::admin::{MAX_PAGE_ROWS, REPLY_LIMITS, Reply, User};
use kvsd::protocol::v2::{FailCode, RequestId};

use super::action::{Administration, Refused, encoded};
use crate::server::reload::ReadAgainError;
use crate::users::{Grant, UserName, UserStoreError, Users, UsersError};

impl Administration {
    /// The next page of users.
    pub(super) async fn users(
        &self,
        id: RequestId,
        after: Option<String>,
    ) -> Result<BytesMut, Refused> {
        let users = self.reload.users().await?;
        let mut known: Vec<_> = users.iter().collect();
        known.sort_unstable_by_key(|user| user.name.as_str());
        let start = known.partition_point(|user| {
            after.as_deref().is_some_and(|after| user.name.as_str() <= after)
        });
        let behind: Vec<(&UserName, Vec<String>)> = known
            .get(start..)
            .unwrap_or_default()
            .iter()
            .take(MAX_PAGE_ROWS + 1)
            .map(|user| (&user.name, user.grants.iter().map(Grant::to_string).collect()))
            .collect();
        let mut rows = Vec::new();
        let (mut frames, mut bytes) = (BESIDE_ROWS_FRAMES, BESIDE_ROWS_BYTES);
        for (name, grants) in &behind {
            let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
            let row = User { name: name.as_str(), grants };
            frames += row.frames();
            bytes += row.max_byte_len();
            let fits = rows.len() < MAX_PAGE_ROWS
                && frames <= REPLY_LIMITS.frames
                && bytes <= REPLY_LIMITS.message_bytes;
            if !fits {
                break;
            }
            rows.push(row);
        }
        let more = rows.len() < behind.len();
        Ok(encoded(id, &Reply::Users { more, rows }))
    }

    /// Changes the users.
    pub(super) async fn edit_users(
        &self,
        id: RequestId,
        change: impl Fn(&mut Users) -> Result<(), UsersError> + Send + Sync + 'static,
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
            ReadAgainError::Users(
                UsersError::Exists { .. }
                | UsersError::Unknown { .. }
                | UsersError::Grant(_)
                | UsersError::NotGranted { .. },
            )
            | ReadAgainError::Kept(_) => FailCode::Invalid,
            ReadAgainError::Shared(UserStoreError::Unknown { .. }) => FailCode::Unknown,
            ReadAgainError::Shared(UserStoreError::Unavailable { .. }) => FailCode::Unavailable,
            ReadAgainError::Users(_) | ReadAgainError::Shared(_) | ReadAgainError::Lost => {
                FailCode::Internal
            }
        };
        Self::new(code, error.with_causes())
    }
}

/// What a page has beside its rows: type, id, and whether there are more.
const BESIDE_ROWS_FRAMES: usize = 3;
const BESIDE_ROWS_BYTES: usize = 64;
