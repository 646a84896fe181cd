//! The descriptors that the process may have open, shared out between clients and files.
//!
//! Whoever can connect can hold a descriptor, before he has said who he is. Were there none left
//! for files, a table could not begin its next segment and would take no more writes, or a server
//! with many tables could not start again. Next file to read: `serve`.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::config::{EngineKind, Settings};

/// Raises the limit as far as the system allows, and lowers what was configured to what there is
/// room for.
pub(super) fn fit(settings: &mut Settings) {
    let limit = raise();
    lower("max_connections", &mut settings.max_connections, limit / CONNECTIONS_PART, limit);
    // Other engines have no file for a table.
    if settings.engine() == EngineKind::Log {
        lower("max_tables", &mut settings.max_tables, limit / TABLES_PART, limit);
    }
    // Nobody has asked for a number: there is nothing to tell.
    settings.open_files = settings.open_files.min((limit / OPEN_FILES_PART).max(1));
}

/// Raises the soft limit to the hard one; tells what it is now.
fn raise() -> usize {
    let before = getrlimit(Resource::Nofile);
    // A system may refuse its own hard limit; then it stays as it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, ..before });
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

fn lower(setting: &'static str, value: &mut usize, room: usize, limit: usize) {
    let room = room.max(1);
    if *value > room {
        warn!(
            "{setting} is {room} instead of {value}: this process may open {limit} files and \
             connections; raise its limit (LimitNOFILE, ulimit -n)"
        );
        *value = room;
    }
}

/// One descriptor of so many is for a connection.
const CONNECTIONS_PART: usize = 2;
/// One of so many is for a table's active segment; a table that is repaired has two for a moment.
const TABLES_PART: usize = 4;
/// One of so many is for files that stay open though nobody uses them. As many are left for what
/// is open for a moment, and for what the process itself needs.
const OPEN_FILES_PART: usize = 8;
