//! What is noted of an operation that a user may not do: counted, and told to the audit.
//!
//! Never decides; [`crate::auth::access`] does.

use kvsd::TableName;

use super::Service;
use crate::audit::Reason;
use crate::auth::Forbidden;
use crate::metrics::Refusal;
use crate::server::roster::Entry;

/// Notes that a connection's user may not do something to a table.
pub(super) fn note(service: &Service, entry: &Entry, forbidden: Forbidden, table: &str) {
    let why = Refusal::Denied;
    service.metrics.refuse(why);
    // A client that need not say who it is may do everything.
    let Some(user) = entry.user() else { return };
    // What cannot be the name of a table may be anything.
    let table = TableName::parse(table).ok();
    let done = (forbidden.operation(), table.as_ref().map(TableName::as_str));
    let text = forbidden.to_string();
    let reason = Reason { why: why.label(), text: &text };
    service.audit.operation_refused(user, &entry.peer(), done, reason);
}
