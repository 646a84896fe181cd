//! What `kvsd admin` prints.
//!
//! What the server sends of names and reasons may hold what a terminal would obey: it is shown as
//! values are.

use std::io::{self, Write};
use std::time::Duration;

use kvsd::protocol::admin::{Connection, User};
use serde::Serialize;
use serde_json::json;

use crate::cli::bench::grouped;
use crate::cli::output::write_json;
use crate::cli::show::Shown;
use crate::users::{Password, UserName};

/// What was done, or found.
#[derive(Debug)]
pub(in crate::cli) enum Outcome {
    BackedUp { name: String, tables: u64, files: u64, bytes: u64 },
    Compacted(Vec<CompactedTable>),
    Tables(Vec<TableRow>),
    Reloaded { users: u64 },
    Users(Vec<UserRow>),
    UserChanged { name: UserName, change: UserChange, generated: Option<Password> },
    Connections(Vec<ConnectionRow>),
    Killed(Vec<u64>),
    LogFilter(String),
    LogFilterSet(String),
}

/// A table that was compacted.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct CompactedTable {
    #[serde(rename = "table")]
    pub(super) name: String,
    pub(super) freed_bytes: u64,
    pub(super) dead_bytes: u64,
}

/// How a table is.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct TableRow {
    #[serde(rename = "table")]
    pub(super) name: String,
    pub(super) keys: u64,
    pub(super) live_bytes: u64,
    pub(super) dead_bytes: u64,
    pub(super) disk_bytes: u64,
    pub(super) segments: u64,
    pub(super) stopped: Option<String>,
}

/// A connection.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct ConnectionRow {
    pub(super) id: u64,
    peer: String,
    tls: bool,
    user: Option<String>,
    age_ms: u64,
    idle_ms: u64,
    read_bytes: u64,
    written_bytes: u64,
    requests: u64,
    memory_bytes: u64,
}

/// A user.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct UserRow {
    #[serde(rename = "user")]
    pub(super) name: String,
    grants: Vec<String>,
}

impl UserRow {
    pub(super) fn new(row: &User<'_>) -> Self {
        let grants = row.grants.iter().map(|grant| (*grant).to_owned()).collect();
        Self { name: row.name.to_owned(), grants }
    }
}

/// What has become of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum UserChange {
    Added,
    /// Added without a grant.
    AddedBare,
    Granted,
    Revoked,
    Password,
    Removed,
}

impl UserChange {
    fn as_str(self) -> &'static str {
        match self {
            Self::Added | Self::AddedBare => "added",
            Self::Granted => "granted",
            Self::Revoked => "revoked",
            Self::Password => "password",
            Self::Removed => "removed",
        }
    }
}

impl ConnectionRow {
    pub(super) fn new(row: &Connection<'_>) -> Self {
        Self {
            id: row.id,
            peer: row.peer.to_owned(),
            tls: row.is_encrypted,
            user: row.user.map(str::to_owned),
            age_ms: row.age_millis,
            idle_ms: row.idle_millis,
            read_bytes: row.read_bytes,
            written_bytes: row.written_bytes,
            requests: row.requests,
            memory_bytes: row.memory_bytes,
        }
    }
}

impl Outcome {
    /// For people.
    pub(in crate::cli) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::BackedUp { name, tables, files, bytes } => {
                writeln!(out, "backed up {tables} tables, {files} files, {bytes} bytes as {name}")
            }
            Self::Compacted(tables) => tables.iter().try_for_each(|table| {
                let (freed, dead) = (grouped(table.freed_bytes), grouped(table.dead_bytes));
                writeln!(out, "{}: freed {freed} bytes, {dead} dead ones stay", table.name)
            }),
            Self::Tables(tables) => {
                let rows = tables.iter().map(|table| {
                    let counts = [
                        table.keys,
                        table.live_bytes,
                        table.dead_bytes,
                        table.disk_bytes,
                        table.segments,
                    ];
                    let health = match &table.stopped {
                        Some(reason) => format!("no writes: {}", Shown(reason.as_bytes())),
                        None => "ok".to_owned(),
                    };
                    let counts = counts.into_iter().map(grouped);
                    std::iter::once(table.name.clone()).chain(counts).chain([health]).collect()
                });
                write_aligned(out, &TABLE_HEADINGS, rows.collect())
            }
            Self::Reloaded { users } => {
                writeln!(out, "OK read again, {users} users changed")
            }
            Self::Users(users) => users.iter().try_for_each(|user| {
                let grants = user.grants.join(",");
                writeln!(out, "{}	{}", Shown(user.name.as_bytes()), Shown(grants.as_bytes()))
            }),
            Self::UserChanged { generated: Some(password), .. } => {
                out.write_all(password.expose())?;
                out.write_all(b"\n")
            }
            Self::UserChanged { .. } | Self::Killed(_) | Self::LogFilterSet(_) => {
                out.write_all(b"OK\n")
            }
            Self::Connections(connections) => {
                let rows = connections.iter().map(|row| {
                    let user = row.user.as_deref().unwrap_or("-");
                    let seconds = |millis: u64| {
                        humantime::format_duration(Duration::from_secs(millis / 1000)).to_string()
                    };
                    vec![
                        Shown(row.peer.as_bytes()).to_string(),
                        row.id.to_string(),
                        Shown(user.as_bytes()).to_string(),
                        if row.tls { "yes" } else { "no" }.to_owned(),
                        seconds(row.age_ms),
                        seconds(row.idle_ms),
                        grouped(row.requests),
                        grouped(row.read_bytes),
                        grouped(row.written_bytes),
                        grouped(row.memory_bytes),
                    ]
                });
                write_aligned(out, &CONNECTION_HEADINGS, rows.collect())
            }
            Self::LogFilter(filter) => writeln!(out, "{}", Shown(filter.as_bytes())),
        }
    }

    /// For programs: an object for each thing.
    pub(in crate::cli) fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::BackedUp { name, tables, files, bytes } => write_json(
                out,
                &json!({ "backup": name, "tables": tables, "files": files, "bytes": bytes }),
            ),
            Self::Compacted(tables) => tables.iter().try_for_each(|it| write_json(out, it)),
            Self::Tables(tables) => tables.iter().try_for_each(|it| write_json(out, it)),
            Self::Reloaded { users } => write_json(out, &json!({ "users_changed": users })),
            Self::Users(users) => users.iter().try_for_each(|it| write_json(out, it)),
            Self::UserChanged { name, change, generated } => {
                let mut object = json!({ "user": name.as_str(), "change": change.as_str() });
                if let Some(password) = generated {
                    // Made ones are letters, digits, `-` and `_`.
                    object["password"] = String::from_utf8_lossy(password.expose()).into();
                }
                write_json(out, &object)
            }
            Self::Connections(rows) => rows.iter().try_for_each(|it| write_json(out, it)),
            Self::Killed(ids) => {
                ids.iter().try_for_each(|id| write_json(out, &json!({ "id": id, "killed": true })))
            }
            Self::LogFilter(filter) | Self::LogFilterSet(filter) => {
                write_json(out, &json!({ "log": filter }))
            }
        }
    }

    /// What is good to know beside it.
    pub(in crate::cli) fn note(&self) -> Option<String> {
        match self {
            Self::BackedUp { .. } => {
                Some("users, certificates and configuration are no part of a backup".to_owned())
            }
            Self::UserChanged { name, change: UserChange::AddedBare, .. } => Some(format!(
                "user {name} may log in and no more: see `kvsd admin user grant {name} write@TABLE`"
            )),
            // Standard output has the password and nothing else.
            Self::UserChanged { name, change, generated: Some(_) } => {
                Some(format!("user {name}: {}", change.as_str()))
            }
            Self::UserChanged { generated: None, .. } => None,
            Self::LogFilterSet(_) => Some(
                "this lasts until the server ends; the setting `log` stays as it is".to_owned(),
            ),
            Self::Compacted(_)
            | Self::Tables(_)
            | Self::Reloaded { .. }
            | Self::Users(_)
            | Self::Connections(_)
            | Self::Killed(_)
            | Self::LogFilter(_) => None,
        }
    }
}

/// Writes rows under their headings: the first column to the left, the others to the right.
fn write_aligned(
    out: &mut impl Write,
    headings: &[&str],
    mut rows: Vec<Vec<String>>,
) -> io::Result<()> {
    rows.insert(0, headings.iter().map(|heading| (*heading).to_owned()).collect());
    let mut widths = vec![0; headings.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in &rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(place, (cell, width))| match place {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  "))?;
    }
    Ok(())
}

const TABLE_HEADINGS: [&str; 7] =
    ["table", "keys", "live bytes", "dead bytes", "disk bytes", "files", "health"];
const CONNECTION_HEADINGS: [&str; 10] =
    ["peer", "id", "user", "tls", "age", "idle", "requests", "read", "written", "memory"];
