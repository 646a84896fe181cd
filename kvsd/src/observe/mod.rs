//! What the client tells of itself: spans and events through `tracing`, figures through `metrics`.
//!
//! Nothing here ever holds a key, a value, a user name or a password. Next file to read:
//! `operation`, then `meter`.
//!
//! # Spans and events
//!
//! All have the target `kvsd`. An operation is a span named `operation`, at level `debug`, from its
//! first poll to its end or its drop:
//!
//! | field | what |
//! |---|---|
//! | `operation` | its name, such as `get` |
//! | `table` | the table that it acts on; its handle's, if it acts on none |
//! | `address` | the server; of several the one that it was sent to, told anew if it is sent again to another, and all of them if it was sent to none |
//! | `outcome` | `ok`, or of an error `not_sent`, `refused`, `partly`, `unknown`, `done` (see [`Outcome`]); `dropped` if its future was |
//! | `error` | the [kind](crate::ErrorKind) of the error, if it ended with one |
//!
//! | event | level | when |
//! |---|---|---|
//! | `connected` | `debug` | a connection is open and authenticated |
//! | `closed` | `debug` | a connection has ended as it was meant to |
//! | `connection lost` | `info` | one has ended otherwise; `reason` says how |
//! | `cannot connect` | `info` | an attempt has failed; `reason` says why |
//! | `backing off` | `debug` | the next attempt waits for `wait` |
//! | `sent again` | `debug` | an operation that cannot have been carried out, because its connection was lost or the server had no room for it, is asked again |
//!
//! Where nobody subscribes to `kvsd` at these levels, an operation pays for one load of an atomic
//! number and a few comparisons: no span is made, and nothing is formatted or allocated.
//!
//! # Metrics
//!
//! With the feature `metrics`, through the facade of that name: install a recorder, such as an
//! exporter's, before the client connects. Without the feature they are not compiled at all. Each
//! has the label `server`, the server's address; times are in seconds. Of several addresses an
//! operation counts for the one that it was last sent to; for all of them, joined by commas, while
//! it has not been sent.
//!
//! | name | is a | more labels | what |
//! |---|---|---|---|
//! | `kvsd_operation_seconds` | histogram | `operation` | from the first poll to the end, or the drop |
//! | `kvsd_operations_total` | counter | `operation`, `outcome` | operations that ended; `outcome` as in the span |
//! | `kvsd_operations_in_flight` | gauge | | operations that have begun and not ended |
//! | `kvsd_resends_total` | counter | `operation` | operations that were sent again |
//! | `kvsd_connections_open` | gauge | | connections of the pool |
//! | `kvsd_connections_opening` | gauge | | attempts to open one under way |
//! | `kvsd_connections_opened_total` | counter | | attempts that succeeded |
//! | `kvsd_connections_failed_total` | counter | | attempts that failed |
//! | `kvsd_connections_lost_total` | counter | | connections that ended as they were not meant to |
//! | `kvsd_sent_bytes_total` | counter | | bytes written to connections, before encryption |
//! | `kvsd_received_bytes_total` | counter | | bytes read from connections, after decryption |
//!
//! [`Outcome`]: crate::Outcome

#[cfg_attr(not(feature = "metrics"), path = "no_meter.rs")]
mod meter;
mod operation;

use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;

pub(crate) use self::meter::{counted, opening};
pub(crate) use self::operation::Observed;

/// How a connection came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The client let it go.
    Closed,
    /// It was still in use.
    Lost,
}

pub(crate) fn connected(address: &Arc<str>) {
    tracing::debug!(target: "kvsd", %address, "connected");
    meter::connected(address);
}

pub(crate) fn ended(address: &Arc<str>, ending: Ending, reason: &Error) {
    match ending {
        Ending::Closed => tracing::debug!(target: "kvsd", %address, %reason, "closed"),
        Ending::Lost => tracing::info!(target: "kvsd", %address, %reason, "connection lost"),
    }
    meter::ended(address, ending);
}

pub(crate) fn cannot_connect(address: &Arc<str>, reason: &Error) {
    tracing::info!(target: "kvsd", %address, %reason, "cannot connect");
    meter::cannot_connect(address);
}

pub(crate) fn backing_off(address: &Arc<str>, wait: Duration) {
    tracing::debug!(target: "kvsd", %address, ?wait, "backing off");
}

pub(crate) fn sent_again(address: &Arc<str>, operation: &'static str) {
    tracing::debug!(target: "kvsd", %address, operation, "sent again");
    meter::sent_again(address, operation);
}
