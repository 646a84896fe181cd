//! All that an administrator can do: one function carries it out, and one entry of the audit tells
//! of it.
//!
//! Next file to read: `tables`, then `users`, `connections` and `log_filter`.

use std::fmt;
use std::sync::Arc;

use bytes::BytesMut;
use kvsd::TableName;
use kvsd::protocol::admin::{Reply, Request};
use kvsd::protocol::v2::{FailCode, RequestId};

use crate::audit::{Administrator, Audit};
use crate::auth::access::Operation;
use crate::config::LogFilter;
use crate::engine::{BackupError, BackupName, BackupProgress, BackupSummary, Engine, EngineError};
use crate::server::reload::Reload;
use crate::server::roster::Roster;
use crate::users::{Grant, Grants, StoredHash, UserName};

/// What administrators act on.
#[derive(Debug)]
pub(in crate::server) struct Administration {
    pub(in crate::server) engine: Arc<dyn Engine>,
    pub(in crate::server) audit: Arc<Audit>,
    pub(in crate::server) reload: Reload,
    pub(in crate::server) roster: Arc<Roster>,
    /// None where the program lets nobody change what it logs.
    pub(in crate::server) log_filter: Option<Arc<dyn LogFilter>>,
}

/// Something that an administrator asks for, checked.
#[derive(Debug)]
pub(super) enum Action {
    Backup(BackupName, Arc<BackupProgress>),
    Compact(TableName),
    Tables { after: Option<String> },
    Reload,
    Users { after: Option<String> },
    AddUser(UserName, StoredHash, Grants),
    Grant(UserName, Vec<Grant>),
    Revoke(UserName, Vec<Grant>),
    SetPassword(UserName, StoredHash),
    RemoveUser(UserName),
    Connections { after: u64 },
    Kill { connection: u64 },
    LogFilter,
    SetLogFilter(String),
}

impl Action {
    /// Checks what needs nothing but the request.
    pub(super) fn check(request: Request<'_>) -> Result<Self, Refused> {
        Ok(match request {
            Request::Backup { name } => {
                Self::Backup(BackupName::parse(name).map_err(Refused::invalid)?, Arc::default())
            }
            // The session answers it by itself.
            Request::Progress => return Err(Refused::invalid("progress is no action")),
            Request::Compact { table } => {
                Self::Compact(TableName::parse(table).map_err(Refused::invalid)?)
            }
            Request::Tables { after } => Self::Tables { after: after.map(str::to_owned) },
            Request::Reload => Self::Reload,
            Request::Users { after } => Self::Users { after: after.map(str::to_owned) },
            Request::AddUser { name, hash, grants } => {
                let name = UserName::parse(name).map_err(Refused::invalid)?;
                let hash = StoredHash::parse(hash.0).map_err(Refused::invalid)?;
                let mut all = Grants::default();
                for grant in parse_grants(&grants)? {
                    all.add(grant).map_err(Refused::invalid)?;
                }
                Self::AddUser(name, hash, all)
            }
            Request::Grant { name, grants } => Self::Grant(
                UserName::parse(name).map_err(Refused::invalid)?,
                parse_grants(&grants)?,
            ),
            Request::Revoke { name, grants } => Self::Revoke(
                UserName::parse(name).map_err(Refused::invalid)?,
                parse_grants(&grants)?,
            ),
            Request::SetPassword { name, hash } => Self::SetPassword(
                UserName::parse(name).map_err(Refused::invalid)?,
                StoredHash::parse(hash.0).map_err(Refused::invalid)?,
            ),
            Request::RemoveUser { name } => {
                Self::RemoveUser(UserName::parse(name).map_err(Refused::invalid)?)
            }
            Request::Connections { after } => Self::Connections { after },
            Request::Kill { connection } => Self::Kill { connection },
            Request::LogFilter => Self::LogFilter,
            Request::SetLogFilter { filter } => Self::SetLogFilter(filter.to_owned()),
        })
    }

    /// Which one it is in the table of all operations.
    fn operation(&self) -> Operation {
        match self {
            Self::Backup(..) => Operation::Backup,
            Self::Compact(_) => Operation::Compact,
            Self::Tables { .. } => Operation::TableHealth,
            Self::Reload => Operation::Reload,
            Self::Users { .. } => Operation::ListUsers,
            Self::AddUser(..) => Operation::AddUser,
            Self::SetPassword(..) => Operation::SetPassword,
            Self::RemoveUser(_) => Operation::RemoveUser,
            Self::Grant(..) => Operation::Grant,
            Self::Revoke(..) => Operation::Revoke,
            Self::Connections { .. } => Operation::ListConnections,
            Self::Kill { .. } => Operation::KillConnection,
            Self::LogFilter => Operation::LogFilter,
            Self::SetLogFilter(_) => Operation::SetLogFilter,
        }
    }

    fn only_reads(&self) -> bool {
        matches!(
            self,
            Self::Tables { .. } | Self::Users { .. } | Self::Connections { .. } | Self::LogFilter
        )
    }

    /// What it is done to.
    fn of(&self) -> Option<String> {
        match self {
            Self::Backup(name, _) => Some(name.to_string()),
            Self::Compact(table) => Some(table.to_string()),
            Self::SetPassword(name, _) | Self::RemoveUser(name) => Some(name.to_string()),
            Self::AddUser(name, _, grants) => Some(format!("{name} {grants}")),
            Self::Grant(name, grants) | Self::Revoke(name, grants) => {
                let grants: Vec<_> = grants.iter().map(Grant::to_string).collect();
                Some(format!("{name} {}", grants.join(",")))
            }
            Self::Kill { connection } => Some(connection.to_string()),
            Self::SetLogFilter(filter) => Some(filter.clone()),
            Self::Tables { .. }
            | Self::Reload
            | Self::Users { .. }
            | Self::Connections { .. }
            | Self::LogFilter => None,
        }
    }
}

impl Administration {
    /// Carries out an action of this administrator, and tells the audit how it ended. The answer is
    /// that of the request with this id.
    ///
    /// # Cancel safety
    ///
    /// None: to be run in a task of its own.
    pub(super) async fn carry_out(
        &self,
        by: Administrator,
        id: RequestId,
        action: Action,
    ) -> BytesMut {
        let (operation, of, only_reads) = (action.operation(), action.of(), action.only_reads());
        let result = self.act(id, action).await;
        // Who only looks would fill the audit, page by page.
        if !only_reads || result.is_err() {
            let result = result.as_ref().map(|_| ());
            self.audit.administered(by, operation.name(), of.as_deref(), result);
        }
        result.unwrap_or_else(|refused| refused.encode(id))
    }

    async fn act(&self, id: RequestId, action: Action) -> Result<BytesMut, Refused> {
        match action {
            Action::Backup(name, progress) => {
                let made = self.engine.backup(&name, &progress).await?;
                let BackupSummary { tables, files, bytes } = made;
                Ok(encoded(id, &Reply::Made { tables, files, bytes }))
            }
            Action::Compact(table) => self.compact(id, &table).await,
            Action::Tables { after } => self.tables(id, after.as_deref()).await,
            Action::Reload => self.read_again(id).await,
            Action::Users { after } => self.users(id, after).await,
            Action::AddUser(name, hash, grants) => {
                self.edit_users(id, move |users| {
                    users.add(name.clone(), hash.clone(), grants.clone())
                })
                .await
            }
            Action::Grant(name, grants) => {
                self.edit_users(id, move |users| users.grant(&name, grants.clone())).await
            }
            Action::Revoke(name, grants) => {
                self.edit_users(id, move |users| users.revoke(&name, &grants)).await
            }
            Action::SetPassword(name, hash) => {
                self.edit_users(id, move |users| users.set_password(&name, hash.clone())).await
            }
            Action::RemoveUser(name) => self.edit_users(id, move |users| users.remove(&name)).await,
            Action::Connections { after } => Ok(self.connections(id, after)),
            Action::Kill { connection } => self.kill(id, connection),
            Action::LogFilter => self.log_filter(id),
            Action::SetLogFilter(filter) => self.set_log_filter(id, &filter),
        }
    }
}

fn parse_grants(texts: &[&str]) -> Result<Vec<Grant>, Refused> {
    texts.iter().map(|text| text.parse().map_err(Refused::invalid)).collect()
}

/// A reply as it goes out.
pub(super) fn encoded(id: RequestId, reply: &Reply<'_>) -> BytesMut {
    let mut out = BytesMut::new();
    reply.encode(Some(id), &mut out);
    out
}

/// Why something was not done.
#[derive(Debug)]
pub(super) struct Refused {
    code: FailCode,
    message: String,
}

impl Refused {
    pub(super) fn new(code: FailCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The request is at fault.
    pub(super) fn invalid(reason: impl fmt::Display) -> Self {
        Self::new(FailCode::Invalid, reason.to_string())
    }

    pub(super) fn encode(&self, id: RequestId) -> BytesMut {
        encoded(id, &Reply::Fail { code: self.code, message: &self.message })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<BackupError> for Refused {
    fn from(error: BackupError) -> Self {
        let code = match &error {
            BackupError::Unsupported | BackupError::NotConfigured => FailCode::Unsupported,
            BackupError::Exists { .. } => FailCode::Invalid,
            BackupError::Busy => FailCode::Busy,
            BackupError::DiskFull => FailCode::DiskFull,
            BackupError::Engine(error) => code_of(error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<EngineError> for Refused {
    fn from(error: EngineError) -> Self {
        Self::new(code_of(&error), error.to_string())
    }
}

pub(super) fn code_of(error: &EngineError) -> FailCode {
    match error {
        EngineError::ReadOnly { .. } => FailCode::ReadOnly,
        EngineError::Corrupt { .. } => FailCode::Corrupt,
        EngineError::Closed => FailCode::Closing,
        EngineError::DiskFull | EngineError::StoreFull { .. } => FailCode::DiskFull,
        EngineError::Unavailable { .. } => FailCode::Unavailable,
        EngineError::UnknownOutcome { .. } => FailCode::Unknown,
        _ => FailCode::Internal,
    }
}
