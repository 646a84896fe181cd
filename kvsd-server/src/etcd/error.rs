//! What goes wrong with etcd, told apart by what it means for us.
//!
//! [`Fault`] is one failed call; [`EtcdError`] is why the engine does not open.

use std::time::Duration;

use etcd_client::Error;
use thiserror::Error;
use tonic::Code;

use crate::engine::EngineError;

/// Why a call to etcd brought no answer, or not the one that was hoped for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Fault {
    /// No connection came about: nothing was sent.
    #[error("{endpoint} cannot be reached: {cause}")]
    Unreachable { endpoint: String, cause: String },
    /// The connection broke, or no answer came in time: it may have been done.
    #[error("{endpoint} gave no answer: {cause}")]
    NoAnswer { endpoint: String, cause: String },
    /// The member knows no leader: it is cut off, or the cluster has no quorum. Nothing was done.
    #[error("the member {endpoint} knows no leader: the cluster has no quorum, or it is cut off")]
    NoLeader { endpoint: String },
    /// The store has reached its quota. What was asked was done all the same if it is what has filled
    /// the store: who asked for more than a read has to look.
    #[error(
        "etcd has reached its space quota: compact its history, run `etcdctl defrag`, raise \
         --quota-backend-bytes if need be, then `etcdctl alarm disarm`"
    )]
    SpaceAlarm,
    /// The revision that was asked for is not kept any more.
    #[error("the revision is compacted away")]
    Compacted,
    /// The revision that was asked for has not been reached.
    #[error("the store has not reached that revision")]
    Future,
    /// etcd does not let us.
    #[error("etcd refuses access: {cause}")]
    Denied { cause: String },
    /// We come as a user, and etcd has none.
    #[error("etcd has no access control, and takes no user")]
    NoAccessControl,
    /// More than etcd takes in a request.
    #[error("etcd refuses the request: {cause}")]
    TooLarge { cause: String },
    /// What came back is longer than we take.
    #[error("the answer is too long")]
    LongAnswer,
    /// Something else.
    #[error("{endpoint}: {cause}")]
    Other { endpoint: String, cause: String },
}

impl Fault {
    /// What an error of the client library means.
    pub(crate) fn of(error: Error, endpoint: &str) -> Self {
        let endpoint = endpoint.to_owned();
        let status = match error {
            Error::GRpcStatus(status) => status,
            Error::TransportError(error) => {
                return Self::Unreachable { endpoint, cause: causes(&error) };
            }
            Error::IoError(error) => return Self::NoAnswer { endpoint, cause: error.to_string() },
            other => return Self::Other { endpoint, cause: other.to_string() },
        };
        let message = status.message();
        let cause = || message.strip_prefix("etcdserver: ").unwrap_or(message).to_owned();
        let says = |text: &str| message.contains(text);
        match status.code() {
            Code::Unavailable if says("no leader") => Self::NoLeader { endpoint },
            Code::Unavailable if could_not_connect(&status) => {
                Self::Unreachable { endpoint, cause: causes(&status) }
            }
            Code::ResourceExhausted if says("space exceeded") => Self::SpaceAlarm,
            Code::OutOfRange if says("compacted") => Self::Compacted,
            Code::OutOfRange if says("future revision") => Self::Future,
            Code::OutOfRange if says("message length too large") => Self::LongAnswer,
            Code::InvalidArgument if says("too large") || says("too many operations") => {
                Self::TooLarge { cause: cause() }
            }
            Code::InvalidArgument
                if says("authentication failed") || says("user name is empty") =>
            {
                Self::Denied { cause: cause() }
            }
            Code::FailedPrecondition if says("authentication is not enabled") => {
                Self::NoAccessControl
            }
            Code::PermissionDenied | Code::Unauthenticated => Self::Denied { cause: cause() },
            Code::Unavailable
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Unknown
            | Code::Aborted
            | Code::Internal
            | Code::ResourceExhausted => Self::NoAnswer { endpoint, cause: causes(&status) },
            _ => Self::Other { endpoint, cause: causes(&status) },
        }
    }

    /// Whether what was asked may have been done without our seeing it, or may still be.
    pub(crate) fn leaves_doubt(&self) -> bool {
        match self {
            Self::NoAnswer { .. } | Self::LongAnswer | Self::Other { .. } => true,
            Self::Unreachable { .. }
            | Self::NoLeader { .. }
            | Self::SpaceAlarm
            | Self::Compacted
            | Self::Future
            | Self::Denied { .. }
            | Self::NoAccessControl
            | Self::TooLarge { .. } => false,
        }
    }

    /// Whether another member, or the same one later, may answer.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::NoAnswer { .. }
            | Self::NoLeader { .. }
            | Self::Other { .. } => true,
            Self::SpaceAlarm
            | Self::Compacted
            | Self::Future
            | Self::Denied { .. }
            | Self::NoAccessControl
            | Self::TooLarge { .. }
            | Self::LongAnswer => false,
        }
    }
}

/// What a call that did not change anything, or that changed nothing for certain, ends with.
impl From<Fault> for EngineError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::SpaceAlarm => Self::StoreFull { reason: fault.to_string() },
            Fault::Compacted => Self::ScanExpired,
            Fault::TooLarge { cause } => Self::Refused { reason: cause },
            Fault::Unreachable { .. }
            | Fault::NoAnswer { .. }
            | Fault::NoLeader { .. }
            | Fault::Future
            | Fault::Denied { .. }
            | Fault::NoAccessControl
            | Fault::LongAnswer
            | Fault::Other { .. } => Self::Unavailable { reason: fault.to_string() },
        }
    }
}

/// tonic says of both, a connection that was never made and one that broke, that the service is
/// unavailable; only of the first the cause is a connector's.
fn could_not_connect(status: &tonic::Status) -> bool {
    causes(status).contains("tcp connect error")
}

/// An error and what it stems from, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = error.source();
    }
    text
}

/// Why the etcd engine does not open.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EtcdError {
    /// The system has no random numbers.
    #[error("the system has no random numbers")]
    NoRandomNumbers,
    /// No member is named.
    #[error("the etcd engine needs at least one endpoint")]
    NoEndpoints,
    /// A file of TLS cannot be read.
    #[error("cannot read {}", file.display())]
    File {
        /// The file.
        file: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An endpoint is not one, or does not fit the TLS files.
    #[error("{endpoint} is no endpoint of etcd: {cause}")]
    Endpoint {
        /// The endpoint.
        endpoint: String,
        /// Why.
        cause: String,
    },
    /// etcd's own access control does not let us.
    #[error(
        "etcd refuses access: {cause}; it takes a user of etcd (etcd_user, etcd_password_file) whose \
         role may read and write `{prefix}/` and what follows it"
    )]
    Denied {
        /// The prefix.
        prefix: String,
        /// What etcd said.
        cause: String,
    },
    /// A user is given, and etcd has none.
    #[error(
        "etcd has no access control: leave etcd_user and etcd_password_file out, or have it turned \
         on with `etcdctl auth enable`"
    )]
    NoAccessControl,
    /// No member has answered.
    #[error(
        "no etcd member has answered within {timeout:?}: {cause}; is one running there, and does \
         its endpoint begin with https:// if it has TLS, and with http:// if not?"
    )]
    Unavailable {
        /// How long was tried.
        timeout: Duration,
        /// What the last one said.
        cause: String,
    },
    /// Something below the prefix is not ours, or of a later version.
    #[error("what stands in etcd below the prefix {prefix} was not written by kvsd: {what}")]
    Foreign {
        /// The prefix.
        prefix: String,
        /// What was found.
        what: String,
    },
}
