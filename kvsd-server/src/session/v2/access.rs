//! Whether a client may do what it asks for.
//!
//! Says which operation a request is, and on which table; what that takes stands in
//! [`crate::auth::access`]. Next file to read: `rules`.

use kvsd::protocol::v2::{FailCode, Request};

use super::answer::Answer;
use crate::auth::access::Operation;
use crate::auth::{Forbidden, Login};

/// Checks a request; those in a pipeline are checked one by one when it is theirs.
pub(super) fn check(login: &Login, request: &Request<'_>) -> Result<(), Forbidden> {
    let (operation, table) = operation_of(request);
    login.check(operation, table)
}

/// The answer to what a client may not do.
pub(super) fn refusal(forbidden: Forbidden) -> Answer {
    Answer::Fail { code: FailCode::Denied, message: forbidden.to_string() }
}

/// What a request asks for, and of which table; of none, the table is empty.
fn operation_of<'a>(request: &Request<'a>) -> (Operation, &'a str) {
    match *request {
        Request::Ping => (Operation::Ping, ""),
        Request::Get { table, .. } => (Operation::Get, table),
        Request::Exists { table, .. } => (Operation::Exists, table),
        Request::Lifetime { table, .. } => (Operation::Lifetime, table),
        Request::Set { table, .. } => (Operation::Set, table),
        Request::Delete { table, .. } => (Operation::Delete, table),
        Request::Increment { table, .. } => (Operation::Increment, table),
        Request::Expire { table, .. } => (Operation::Expire, table),
        Request::Batch { table, .. } => (Operation::Batch, table),
        Request::Pipeline(_) => (Operation::Pipeline, ""),
        Request::Scan(ref scan) => (Operation::Scan, scan.table),
        Request::Watch(ref watch) => (Operation::Watch, watch.table),
        Request::Cancel => (Operation::Cancel, ""),
        Request::CreateTable { table } => (Operation::CreateTable, table),
        Request::DropTable { table } => (Operation::DropTable, table),
        Request::Tables { .. } => (Operation::Tables, ""),
        Request::Statistics { table } => (Operation::Statistics, table),
    }
}
