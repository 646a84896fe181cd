//! What a command came to: what it prints and the exit code that goes with it.
//!
//! Knows bytes and codes; never a server. A plain value is written as the bytes that it is.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use kvsd::{Entry, ServerInfo, TableName, Version};
use serde::Serialize;
use serde_json::json;

use super::admin::Outcome;
use super::bench::{Report, grouped};
use super::import::Imported;
use super::output::{Format, write_json};
use super::show;
use super::stats::{self, TableFigures};
use crate::record_line::ValueFields;

/// What a command came to.
pub(super) enum Answer {
    /// The server answered after this time.
    Pong(Duration),
    /// The value is stored, by this write.
    Stored(Version),
    /// The value.
    Value { table: String, entry: Entry<Bytes>, form: Form },
    /// There is no value at this key.
    Missing(Vec<u8>),
    /// The value is gone; this is what it was, if there was one.
    Deleted(Option<Bytes>),
    /// Whether there is a value.
    Exists(bool),
    /// The server was measured.
    Measured(Box<Report>),
    /// All that there was to print is printed.
    Streamed,
    /// So many records were written.
    Exported(u64),
    /// Records were stored.
    Imported(Imported),
    /// The names of the tables.
    Tables(Vec<TableName>),
    /// There is such a table now.
    Created { name: TableName, is_new: bool },
    /// The table is gone.
    Dropped(TableName),
    /// There is no such table.
    NoTable(TableName),
    /// How much tables hold.
    Figures(Vec<TableFigures>),
    /// What the server says of itself.
    Server { address: String, info: ServerInfo, tables: Vec<TableFigures> },
    /// What an administrator has asked for.
    Administered(Outcome),
    /// A script for a shell.
    Script(Vec<u8>),
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Shown,
    /// As it is and not a byte more.
    Raw,
}

/// What belongs on standard error.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Remark {
    /// Why the exit code is not 0.
    Fault(String),
    /// Something else that is good to know.
    Note(String),
}

impl Answer {
    /// Writes what belongs on standard output.
    pub(super) fn write(&self, out: &mut impl Write, format: Format) -> io::Result<()> {
        match format {
            Format::Text => self.write_text(out)?,
            Format::Json => self.write_json(out)?,
        }
        out.flush()
    }

    fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            // One unit, so that a script can compare.
            Answer::Pong(time) => writeln!(out, "OK {:.3} ms", millis(*time)),
            Answer::Stored(_)
            | Answer::Deleted(None)
            | Answer::Created { .. }
            | Answer::Dropped(_) => out.write_all(b"OK\n"),
            Answer::Value { entry, form: Form::Raw, .. } => out.write_all(&entry.value),
            Answer::Value { entry, form: Form::Shown, .. } => write_value(out, &entry.value),
            Answer::Missing(_) | Answer::NoTable(_) | Answer::Streamed | Answer::Exported(_) => {
                Ok(())
            }
            Answer::Deleted(Some(value)) => {
                out.write_all(b"OK old value: ")?;
                write_value(out, value)
            }
            Answer::Exists(exists) => writeln!(out, "{exists}"),
            Answer::Measured(report) => report.write(out),
            Answer::Imported(imported) => writeln!(out, "OK {} records", grouped(imported.stored)),
            Answer::Tables(names) => names.iter().try_for_each(|name| writeln!(out, "{name}")),
            Answer::Figures(tables) => stats::write_tables(out, tables),
            Answer::Server { address, info, tables } => {
                stats::write_server(out, address, info)?;
                writeln!(out)?;
                stats::write_tables(out, tables)
            }
            Answer::Administered(outcome) => outcome.write(out),
            Answer::Script(script) => out.write_all(script),
        }
    }

    /// Writes the same as objects; a script stays one.
    fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Answer::Pong(time) => write_json(out, &json!({ "round_trip_ms": millis(*time) })),
            Answer::Stored(version) => write_json(out, &json!({ "version": version.get() })),
            Answer::Value { table, entry, .. } => write_json(out, &show::line(table, entry)),
            Answer::Missing(_) | Answer::NoTable(_) | Answer::Streamed | Answer::Exported(_) => {
                Ok(())
            }
            Answer::Deleted(old) => {
                let value = old.as_ref().map(|value| ValueFields::new(value));
                write_json(out, &DeletedLine { deleted: old.is_some(), value })
            }
            Answer::Exists(exists) => write_json(out, &json!({ "exists": exists })),
            Answer::Measured(report) => write_json(out, &report.to_json()),
            Answer::Imported(Imported { stored, ended }) => {
                write_json(out, &json!({ "stored": stored, "ended": ended }))
            }
            Answer::Tables(names) => names
                .iter()
                .try_for_each(|name| write_json(out, &json!({ "table": name.as_str() }))),
            Answer::Created { name, is_new } => {
                write_json(out, &json!({ "table": name.as_str(), "created": is_new }))
            }
            Answer::Dropped(name) => {
                write_json(out, &json!({ "table": name.as_str(), "dropped": true }))
            }
            Answer::Figures(tables) => {
                tables.iter().try_for_each(|table| write_json(out, &stats::table_json(table)))
            }
            Answer::Server { address, info, tables } => {
                write_json(out, &stats::server_json(address, info, tables))
            }
            Answer::Administered(outcome) => outcome.write_json(out),
            Answer::Script(script) => out.write_all(script),
        }
    }

    /// What belongs on standard error.
    pub(super) fn remark(&self) -> Option<Remark> {
        match self {
            // Quoted: a key may hold what a terminal would obey.
            Answer::Missing(key) => {
                Some(Remark::Fault(format!("no value at {:?}", String::from_utf8_lossy(key))))
            }
            Answer::NoTable(name) => Some(Remark::Fault(format!("no table {name}"))),
            Answer::Measured(report) => report.remark().map(Remark::Fault),
            Answer::Exported(records) => {
                Some(Remark::Note(format!("exported {} records", grouped(*records))))
            }
            Answer::Imported(Imported { ended, .. }) if *ended > 0 => {
                Some(Remark::Note(format!("left out {} that had ended", grouped(*ended))))
            }
            Answer::Pong(_)
            | Answer::Stored(_)
            | Answer::Value { .. }
            | Answer::Deleted(_)
            | Answer::Exists(_)
            | Answer::Streamed
            | Answer::Imported(_)
            | Answer::Tables(_)
            | Answer::Created { .. }
            | Answer::Dropped(_)
            | Answer::Figures(_)
            | Answer::Server { .. }
            | Answer::Script(_) => None,
            Answer::Administered(outcome) => outcome.note().map(Remark::Note),
        }
    }

    /// The exit code.
    pub(super) fn code(&self) -> ExitCode {
        match self {
            Answer::Missing(_) | Answer::Exists(false) | Answer::NoTable(_) => ExitCode::from(1),
            Answer::Measured(report) if !report.is_success() => ExitCode::from(3),
            Answer::Pong(_)
            | Answer::Stored(_)
            | Answer::Value { .. }
            | Answer::Deleted(_)
            | Answer::Exists(true)
            | Answer::Measured(_)
            | Answer::Streamed
            | Answer::Exported(_)
            | Answer::Imported(_)
            | Answer::Tables(_)
            | Answer::Created { .. }
            | Answer::Dropped(_)
            | Answer::Figures(_)
            | Answer::Server { .. }
            | Answer::Administered(_)
            | Answer::Script(_) => ExitCode::SUCCESS,
        }
    }
}

/// What was removed, for programs.
#[derive(Serialize)]
struct DeletedLine<'a> {
    deleted: bool,
    #[serde(flatten)]
    value: Option<ValueFields<'a>>,
}

/// A value's bytes, or what a derived one tells of itself.
fn write_value(out: &mut impl Write, value: &[u8]) -> io::Result<()> {
    match show::show_derived(value) {
        Some(shown) => writeln!(out, "{shown}"),
        None => {
            out.write_all(value)?;
            out.write_all(b"\n")
        }
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(answer: &Answer) -> Vec<u8> {
        let mut out = Vec::new();
        answer.write(&mut out, Format::Text).unwrap();
        out
    }

    #[test]
    fn a_round_trip_is_printed_in_milliseconds_whatever_its_length() {
        assert_eq!(written(&Answer::Pong(Duration::from_nanos(1_499))), b"OK 0.001 ms\n");
        assert_eq!(written(&Answer::Pong(Duration::from_micros(142))), b"OK 0.142 ms\n");
        assert_eq!(written(&Answer::Pong(Duration::from_secs(2))), b"OK 2000.000 ms\n");
    }

    #[test]
    fn a_key_in_a_remark_cannot_steer_the_terminal() {
        let remark = Answer::Missing(b"a\x1b[2J\n\xff".to_vec()).remark().unwrap();
        let expected = "no value at \"a\\u{1b}[2J\\n\u{fffd}\"".to_owned();
        assert_eq!(remark, Remark::Fault(expected));
    }
}
