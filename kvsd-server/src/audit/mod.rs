//! Who did what to the server: logins, refusals and the actions of administrators, each an entry.
//!
//! An entry goes to the log, target `kvsd::audit`, and to the audit log where there is one. It names
//! users whom the server knows, addresses, tables and backups; never a password, a key or a value,
//! nor anything that a client has sent and the server does not know. Never decides anything. Next
//! file to read: `file`.

mod file;
mod flood;

use std::fmt::{self, Display};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use serde::Serialize;

pub use self::file::AuditError;
use self::file::AuditFile;
use self::flood::Flood;
use crate::auth::Changes;

/// Where entries go.
#[derive(Debug)]
pub(crate) struct Audit {
    /// None without an audit log.
    file: Mutex<Option<AuditFile>>,
    logins: Flood,
    refused_logins: Flood,
    refused_connections: Flood,
    refused_operations: Flood,
}

/// How a client has shown who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    Password,
    Certificate,
}

/// Why something was refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reason<'r> {
    /// The word that it is counted by.
    pub(crate) why: &'static str,
    /// What the client, or else the log, is told.
    pub(crate) text: &'r str,
}

/// Who is at the other end of the administrators' socket, as the system says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Administrator {
    pub(crate) uid: u32,
    /// None where the system does not tell.
    pub(crate) pid: Option<i32>,
}

impl Audit {
    /// Writes to this file too, if one is given. It is made if it is not there.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, AuditError> {
        let audit = Self::default();
        audit.reopen(path)?;
        Ok(audit)
    }

    /// Goes on in this file, or in none: the one before was moved away, or is not wanted any more. One
    /// that cannot be opened changes nothing.
    pub(crate) fn reopen(&self, path: Option<&Path>) -> Result<(), AuditError> {
        let file = path.map(AuditFile::open).transpose()?;
        *self.file() = file;
        Ok(())
    }

    /// A client has shown that it is this user.
    pub(crate) fn login(&self, user: &str, peer: &dyn Display, proof: Proof) {
        let entry = Entry {
            user: Some(user),
            peer: Some(peer.to_string()),
            action: Some(match proof {
                Proof::Password => "password",
                Proof::Certificate => "certificate",
            }),
            ..Entry::new("login", Outcome::Ok)
        };
        self.enter_some(&self.logins, &entry);
    }

    /// A client was not let in. The user is one whom the server knows.
    pub(crate) fn login_refused(&self, user: Option<&str>, peer: &dyn Display, reason: Reason<'_>) {
        let entry = Entry {
            user,
            peer: Some(peer.to_string()),
            why: Some(reason.why),
            reason: Some(reason.text),
            ..Entry::new("login", Outcome::Refused)
        };
        self.enter_some(&self.refused_logins, &entry);
    }

    /// A connection was not served any further.
    pub(crate) fn connection_refused(
        &self,
        user: Option<&str>,
        peer: &dyn Display,
        reason: Reason<'_>,
    ) {
        let entry = Entry {
            user,
            peer: Some(peer.to_string()),
            why: Some(reason.why),
            reason: Some(reason.text),
            ..Entry::new("connection", Outcome::Refused)
        };
        self.enter_some(&self.refused_connections, &entry);
    }

    /// A user may not do this, to this table if it has one.
    pub(crate) fn operation_refused(
        &self,
        user: &str,
        peer: &dyn Display,
        (operation, table): (&'static str, Option<&str>),
        reason: Reason<'_>,
    ) {
        let entry = Entry {
            user: Some(user),
            peer: Some(peer.to_string()),
            action: Some(operation),
            of: table,
            why: Some(reason.why),
            reason: Some(reason.text),
            ..Entry::new("operation", Outcome::Refused)
        };
        self.enter_some(&self.refused_operations, &entry);
    }

    /// The users file was read again, and differs in these users.
    pub(crate) fn users_changed(&self, changes: &Changes) {
        for (action, name) in changes.iter().take(MOST_USERS) {
            let (user, action) = (Some(name), Some(action));
            self.enter(&Entry { user, action, ..Entry::new("users", Outcome::Ok) });
        }
        let left_out = changes.len().saturating_sub(MOST_USERS) as u64;
        self.leave_out("users", Outcome::Ok, left_out);
    }

    /// The configuration was read again, and these settings have changed.
    pub(crate) fn settings_changed(&self, keys: &str) {
        self.enter(&Entry { of: Some(keys), ..Entry::new("settings", Outcome::Ok) });
    }

    /// Tells how many entries were left out, once there are no more of them. To be called every now
    /// and then.
    pub(crate) fn settle(&self) {
        let now = Instant::now();
        for (flood, event, outcome) in [
            (&self.logins, "login", Outcome::Ok),
            (&self.refused_logins, "login", Outcome::Refused),
            (&self.refused_connections, "connection", Outcome::Refused),
            (&self.refused_operations, "operation", Outcome::Refused),
        ] {
            self.leave_out(event, outcome, flood.rest(now));
        }
    }

    /// An administrator's action, which has ended like that. `of` is what it was done to: a table, a
    /// user and what it may do, a backup, a connection.
    pub(crate) fn administered<E: Display>(
        &self,
        by: Administrator,
        action: &'static str,
        of: Option<&str>,
        result: Result<(), E>,
    ) {
        let reason = result.err().map(|error| error.to_string());
        let outcome = if reason.is_none() { Outcome::Ok } else { Outcome::Failed };
        self.enter(&Entry {
            action: Some(action),
            of,
            peer: Some(by.to_string()),
            reason: reason.as_deref(),
            ..Entry::new("administration", outcome)
        });
    }

    /// Makes an entry, unless there were too many of its kind.
    fn enter_some(&self, flood: &Flood, entry: &Entry<'_>) {
        if let Some(left_out) = flood.next(Instant::now()) {
            self.leave_out(entry.event, entry.outcome, left_out);
            self.enter(entry);
        }
    }

    fn leave_out(&self, event: &'static str, outcome: Outcome, left_out: u64) {
        if left_out > 0 {
            self.enter(&Entry { left_out: Some(left_out), ..Entry::new(event, outcome) });
        }
    }

    fn enter(&self, entry: &Entry<'_>) {
        entry.log();
        if let Some(file) = &mut *self.file() {
            file.append(entry);
        }
    }

    fn file(&self) -> MutexGuard<'_, Option<AuditFile>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Audit {
    /// Without an audit log.
    fn default() -> Self {
        let refused = || Flood::new(MOST_REFUSALS);
        Self {
            file: Mutex::default(),
            logins: Flood::new(MOST_LOGINS),
            refused_logins: refused(),
            refused_connections: refused(),
            refused_operations: refused(),
        }
    }
}

/// One entry. Fields that do not apply are left out.
#[derive(Debug, Serialize)]
struct Entry<'e> {
    #[serde(serialize_with = "rfc3339")]
    time: SystemTime,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<&'e str>,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'e str>,
    /// How many like this were not told one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<u64>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok,
    Refused,
    Failed,
}

impl Entry<'_> {
    fn new(event: &'static str, outcome: Outcome) -> Self {
        Self {
            time: SystemTime::now(),
            event,
            user: None,
            peer: None,
            action: None,
            of: None,
            outcome,
            why: None,
            reason: None,
            left_out: None,
        }
    }

    fn log(&self) {
        /// The level belongs to the place in the source.
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: "kvsd::audit",
                    event = self.event,
                    user = self.user,
                    peer = self.peer,
                    action = self.action,
                    of = self.of,
                    outcome = %self.outcome,
                    why = self.why,
                    reason = self.reason,
                    left_out = self.left_out,
                )
            };
        }
        match self.outcome {
            Outcome::Ok => line!(info),
            Outcome::Refused | Outcome::Failed => line!(warn),
        }
    }
}

impl Display for Administrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}", self.uid)?;
        match self.pid {
            Some(pid) => write!(f, ", pid {pid}"),
            None => Ok(()),
        }
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
        })
    }
}

fn rfc3339<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}

/// How many logins are told in a second, at most.
const MOST_LOGINS: u32 = 100;
/// How many refusals of each kind are told in a second, at most.
const MOST_REFUSALS: u32 = 10;
/// How many users who have changed are told by name, at most.
const MOST_USERS: usize = 1000;

#[cfg(test)]
mod tests;
