//! `kvsd admin connections`.

use kvsd::protocol::admin::{Reply, Request};

use super::outcome::{ConnectionRow, Outcome};
use super::socket::{Patience, Socket};
use crate::cli::failure::Failure;

/// All connections.
pub(super) fn list(server: &mut Socket) -> Result<Outcome, Failure> {
    let mut connections: Vec<ConnectionRow> = Vec::new();
    loop {
        let after = connections.last().map_or(0, |row| row.id);
        let request = Request::Connections { after };
        let (more, page) = server.ask(&request, Patience::Short, |reply| match reply {
            Reply::Connections { more, rows } => {
                Some((more, rows.iter().map(ConnectionRow::new).collect::<Vec<_>>()))
            }
            _ => None,
        })?;
        let is_last = !more || page.is_empty();
        connections.extend(page);
        if is_last {
            return Ok(Outcome::Connections(connections));
        }
    }
}

/// Ends these connections, up to the first that is not there.
pub(super) fn kill(server: &mut Socket, ids: Vec<u64>) -> Result<Outcome, Failure> {
    for id in &ids {
        server.done(&Request::Kill { connection: *id })?;
    }
    Ok(Outcome::Killed(ids))
}
