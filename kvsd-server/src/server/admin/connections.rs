//! Connections: who is there, and ending one.

use bytes::BytesMut;
use kvsd::protocol::admin::{Connection, MAX_PAGE_ROWS, Reply};
use kvsd::protocol::v2::RequestId;

use super::action::{Administration, Refused, encoded};
use crate::server::roster::Peer;

impl Administration {
    /// The next page of connections.
    pub(super) fn connections(&self, id: RequestId, after: u64) -> BytesMut {
        let mut entries = self.roster.page(after, MAX_PAGE_ROWS + 1);
        let more = entries.len() > MAX_PAGE_ROWS;
        entries.truncate(MAX_PAGE_ROWS);
        let peers: Vec<String> = entries.iter().map(|entry| entry.peer().to_string()).collect();
        let millis =
            |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let rows = entries.iter().zip(&peers).map(|(entry, peer)| {
            let total = entry.total();
            Connection {
                id: entry.id(),
                peer,
                is_encrypted: matches!(entry.peer(), Peer::Tls(_)),
                user: entry.user(),
                age_millis: millis(entry.age()),
                idle_millis: millis(entry.idle()),
                read_bytes: total.read_bytes,
                written_bytes: total.written_bytes,
                requests: total.requests,
                memory_bytes: entry.memory() as u64,
            }
        });
        encoded(id, &Reply::Connections { more, rows: rows.collect() })
    }

    /// Ends a connection.
    pub(super) fn kill(&self, id: RequestId, connection: u64) -> Result<BytesMut, Refused> {
        match self.roster.kill(connection) {
            Some(_) => Ok(encoded(id, &Reply::Done)),
            None => Err(Refused::invalid(format_args!("there is no connection {connection}"))),
        }
    }
}
