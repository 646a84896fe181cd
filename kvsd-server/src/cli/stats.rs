//! What a server and its tables say of themselves, as a table for people and as objects.

use std::io::{self, Write};

use kvsd::{ServerInfo, TableName, TableStatistics, Version};
use serde_json::{Value, json};

use super::bench::grouped;

/// How much a table holds.
#[derive(Debug)]
pub(super) struct TableFigures {
    pub(super) name: TableName,
    pub(super) statistics: TableStatistics,
}

/// Writes what the server says of itself.
pub(super) fn write_server(
    out: &mut dyn Write,
    address: &str,
    info: &ServerInfo,
) -> io::Result<()> {
    writeln!(out, "address:       {address}")?;
    writeln!(out, "server:        {}", info.server)?;
    writeln!(out, "engine:        {}", info.engine)?;
    writeln!(out, "synced:        {}", info.durability)?;
    let most = u64::try_from(info.max_value_bytes).unwrap_or(u64::MAX);
    writeln!(out, "largest value: {} bytes", grouped(most))
}

/// Writes a row for each table.
pub(super) fn write_tables(out: &mut dyn Write, tables: &[TableFigures]) -> io::Result<()> {
    let rows: Vec<[String; COLUMNS]> =
        std::iter::once(HEADINGS.map(String::from)).chain(tables.iter().map(row)).collect();
    let mut widths = [0; COLUMNS];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    for row in &rows {
        // Names to the left, numbers to the right.
        let cells = row.iter().zip(widths).enumerate().map(|(place, (cell, width))| match place {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  "))?;
    }
    for TableFigures { name, statistics } in tables {
        if let Some(reason) = &statistics.stopped {
            writeln!(out, "{name} takes no writes: {reason}")?;
        }
    }
    Ok(())
}

fn row(table: &TableFigures) -> [String; COLUMNS] {
    let TableFigures { name, statistics } = table;
    let version = statistics.last_version.map_or_else(|| "-".to_owned(), |v| v.get().to_string());
    [
        name.to_string(),
        grouped(statistics.keys),
        grouped(statistics.live_bytes),
        grouped(statistics.dead_bytes),
        grouped(statistics.disk_bytes),
        grouped(statistics.segments),
        version,
    ]
}

/// What the server says of itself, for programs.
pub(super) fn server_json(address: &str, info: &ServerInfo, tables: &[TableFigures]) -> Value {
    json!({
        "address": address,
        "server": info.server,
        "engine": info.engine,
        "durability": info.durability,
        "max_value_bytes": info.max_value_bytes,
        "tables": tables.iter().map(table_json).collect::<Vec<_>>(),
    })
}

/// A table, for programs.
pub(super) fn table_json(table: &TableFigures) -> Value {
    let TableFigures { name, statistics } = table;
    json!({
        "table": name.as_str(),
        "keys": statistics.keys,
        "live_bytes": statistics.live_bytes,
        "dead_bytes": statistics.dead_bytes,
        "disk_bytes": statistics.disk_bytes,
        "segments": statistics.segments,
        "last_version": statistics.last_version.map(Version::get),
        "stopped": statistics.stopped,
    })
}

const COLUMNS: usize = 7;
const HEADINGS: [&str; COLUMNS] =
    ["table", "keys", "live bytes", "dead bytes", "disk bytes", "files", "version"];

pub(super) const EXAMPLES: &str = "\
First what the server says of itself, then a row for each table:
  keys        keys with a record, expired ones included that are not cleared away yet
  live bytes  of the records that keys have now
  dead bytes  of everything else that was written and is not cleared away yet
  disk bytes  of the files, and how many files there are
  version     that of the last write

Examples:
  kvsd stats
  kvsd --output json stats | jq '.tables[].keys'";
