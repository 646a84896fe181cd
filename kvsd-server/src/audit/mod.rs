//! Who did what to the server: logins, refusals and the actions of administrators, each an entry.
//!
//! An entry goes to the log, target `kvsd::audit`, and to the audit log where there is one. It names
//! users whom the server knows, addresses, tables and backups; never a password, a key or a value,
//! nor anything that a client has sent and the server does not know. Never decides anything. Next
//! file to read: `file`.

mod file;

use std::fmt::{self, Display};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

pub use self::file::AuditError;
use self::file::AuditFile;

/// Where entries go.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    /// None without an audit log.
    file: Mutex<Option<AuditFile>>,
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
        let file = path.map(AuditFile::open).transpose()?;
        Ok(Self { file: Mutex::new(file) })
    }

    /// An administrator's action, which has ended like that. `of` is what it was done to: a table, a
    /// user, a backup, a connection.
    pub(crate) fn administered<E: Display>(
        &self,
        by: Administrator,
        action: &'static str,
        of: Option<&str>,
        result: Result<(), E>,
    ) {
        let reason = result.err().map(|error| error.to_string());
        self.enter(&Entry {
            action: Some(action),
            of,
            peer: Some(by.to_string()),
            outcome: if reason.is_none() { Outcome::Ok } else { Outcome::Failed },
            reason: reason.as_deref(),
            ..Entry::new("administration")
        });
    }

    fn enter(&self, entry: &Entry<'_>) {
        entry.log();
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &mut *file {
            file.append(entry);
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
    peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<&'e str>,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'e str>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok,
    Failed,
}

impl Entry<'_> {
    fn new(event: &'static str) -> Self {
        Self {
            time: SystemTime::now(),
            event,
            peer: None,
            action: None,
            of: None,
            outcome: Outcome::Ok,
            reason: None,
        }
    }

    fn log(&self) {
        /// The level belongs to the place in the source.
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: "kvsd::audit",
                    event = self.event,
                    peer = self.peer,
                    action = self.action,
                    of = self.of,
                    outcome = %self.outcome,
                    reason = self.reason,
                )
            };
        }
        match self.outcome {
            Outcome::Ok => line!(info),
            Outcome::Failed => line!(warn),
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
            Self::Failed => "failed",
        })
    }
}

fn rfc3339<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}

#[cfg(test)]
mod tests;
