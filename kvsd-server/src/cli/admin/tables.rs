//! `kvsd admin tables` and `compact`.

use kvsd::TableName;
use kvsd::protocol::admin::{Reply, Request};
use kvsd::protocol::v2::Statistics;

use super::outcome::{CompactedTable, Outcome, TableRow};
use super::socket::{Patience, Socket};
use crate::cli::failure::Failure;

/// All tables, with how they are.
pub(super) fn list(server: &mut Socket) -> Result<Outcome, Failure> {
    all(server).map(Outcome::Tables)
}

/// Compacts these tables, or all.
pub(super) fn compact(server: &mut Socket, tables: Vec<TableName>) -> Result<Outcome, Failure> {
    let is_chosen = !tables.is_empty();
    let names: Vec<String> = match is_chosen {
        true => tables.iter().map(TableName::to_string).collect(),
        false => all(server)?.into_iter().map(|row| row.name).collect(),
    };
    let mut compacted = Vec::new();
    for name in names {
        let read = |reply: Reply<'_>| match reply {
            Reply::Compacted { freed_bytes, dead_bytes } => {
                Some(CompactedTable { name: name.clone(), freed_bytes, dead_bytes })
            }
            _ => None,
        };
        match server.ask(&Request::Compact { table: &name }, Patience::Endless, read) {
            Ok(table) => compacted.push(table),
            // One that was dropped meanwhile is none any more.
            Err(failure) if failure.is_missing() && !is_chosen => {}
            Err(failure) => return Err(failure.in_place(&format!("table {name}"))),
        }
    }
    Ok(Outcome::Compacted(compacted))
}

fn all(server: &mut Socket) -> Result<Vec<TableRow>, Failure> {
    let mut tables: Vec<TableRow> = Vec::new();
    loop {
        let after = tables.last().map(|row| row.name.clone());
        let request = Request::Tables { after: after.as_deref() };
        let (more, page) = server.ask(&request, Patience::Short, |reply| match reply {
            Reply::Tables { more, rows } => {
                let row = |name: &str, statistics: &Statistics<'_>| TableRow {
                    name: name.to_owned(),
                    keys: statistics.keys,
                    live_bytes: statistics.live_bytes,
                    dead_bytes: statistics.dead_bytes,
                    disk_bytes: statistics.disk_bytes,
                    segments: statistics.segments,
                    stopped: statistics.stopped.map(str::to_owned),
                };
                let rows: Vec<_> = rows.iter().map(|it| row(it.name, &it.statistics)).collect();
                Some((more, rows))
            }
            _ => None,
        })?;
        let is_last = !more || page.is_empty();
        tables.extend(page);
        if is_last {
            return Ok(tables);
        }
    }
}
