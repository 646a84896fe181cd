//! Tables: how they are, and freeing what is dead in them.

use bytes::BytesMut;
use kvsd::TableName;
use kvsd::protocol::admin::{MAX_PAGE_ROWS, Reply, TableHealth};
use kvsd::protocol::v2::{FailCode, RequestId, Statistics};

use super::action::{Administration, Refused, code_of, encoded};
use crate::engine::{CompactError, CompactSummary};

impl Administration {
    /// The next page of tables.
    pub(super) async fn tables(
        &self,
        id: RequestId,
        after: Option<&str>,
    ) -> Result<BytesMut, Refused> {
        let names = self.engine.tables().await?;
        let start = after.map_or(0, |after| names.partition_point(|name| name.as_str() <= after));
        let behind = names.get(start..).unwrap_or_default();
        let mut tables = Vec::new();
        for name in behind.iter().take(MAX_PAGE_ROWS) {
            // One that was dropped meanwhile is none any more.
            if let Some(statistics) = self.engine.table_statistics(name.as_str()).await? {
                tables.push((name, statistics));
            }
        }
        let rows = tables.iter().map(|(name, statistics)| TableHealth {
            name: name.as_str(),
            statistics: Statistics {
                keys: statistics.keys,
                live_bytes: statistics.live_bytes,
                dead_bytes: statistics.dead_bytes,
                segments: statistics.segments,
                disk_bytes: statistics.disk_bytes,
                last_version: statistics.last_version,
                incarnation: statistics.incarnation,
                stopped: statistics.stopped.as_deref(),
            },
        });
        // Without a row nobody knows where to go on.
        let more = behind.len() > MAX_PAGE_ROWS && !tables.is_empty();
        Ok(encoded(id, &Reply::Tables { more, rows: rows.collect() }))
    }

    /// Frees all of a table's garbage that may go.
    pub(super) async fn compact(
        &self,
        id: RequestId,
        table: &TableName,
    ) -> Result<BytesMut, Refused> {
        match self.engine.compact(table.as_str()).await? {
            Some(CompactSummary { freed_bytes, dead_bytes }) => {
                Ok(encoded(id, &Reply::Compacted { freed_bytes, dead_bytes }))
            }
            None => Err(Refused::new(FailCode::NoTable, format!("there is no table {table}"))),
        }
    }
}

impl From<CompactError> for Refused {
    fn from(error: CompactError) -> Self {
        let code = match &error {
            CompactError::Unsupported => FailCode::Unsupported,
            CompactError::Busy => FailCode::Busy,
            CompactError::DiskFull => FailCode::DiskFull,
            CompactError::Engine(error) => code_of(error),
        };
        Self::new(code, error.to_string())
    }
}
