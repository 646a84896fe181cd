//! `kvsd-server dump`: a data folder's records as lines of JSON.

use std::io::{self, BufWriter, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kvsd::value::Envelope;
use serde::Serialize;
use thiserror::Error;

use super::args::DumpArgs;
use super::exit::Failure;
use super::folder::{beside_results, now};
use crate::log::OpenError;
use crate::log::offline::{Damage, Expired, Hints, Live, NEVER, StorageError};

/// Prints the records.
pub(super) fn run(args: DumpArgs) -> Result<(), Failure> {
    match dump(args) {
        // Whoever reads has seen enough.
        Err(DumpError::Print(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(DumpError::Failure(failure)) => Err(failure),
        Err(DumpError::Print(error)) => Err(Failure::other(error)),
        Ok(()) => Ok(()),
    }
}

fn dump(args: DumpArgs) -> Result<(), DumpError> {
    let expired = match args.expired {
        true => Expired::Included,
        false => Expired::LeftOut { now: now() },
    };
    let mut folder = args.folder.open()?;
    refuse(folder.tables.damage.as_ref())?;
    folder.tables.tables.retain(|table| args.table.as_ref().is_none_or(|name| *name == table.name));
    if let (Some(name), true) = (&args.table, folder.tables.tables.is_empty()) {
        return Err(Failure::other(format!("there is no table {name}")).into());
    }
    folder.tables.tables.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let bar = folder.progress(beside_results());
    let mut out = BufWriter::new(io::stdout().lock());
    let mut records: u64 = 0;
    for table in &folder.tables.tables {
        let survey = folder.survey(table, Hints::LeftAlone, &bar)?;
        refuse(survey.damages.first())?;
        survey.each_live(expired, |live| {
            records += 1;
            serde_json::to_writer(&mut out, &Line::new(table.name.as_str(), &live))
                .map_err(io::Error::from)?;
            out.write_all(b"\n")?;
            Ok::<(), DumpError>(())
        })?;
    }
    out.flush()?;
    bar.finish_and_clear();
    let tables = folder.tables.tables.len();
    // Nobody may be reading; the exit code still tells.
    let _ = writeln!(io::stderr(), "dumped {records} records of {tables} tables");
    Ok(())
}

/// A damaged table is not dumped: nobody would see what is missing.
fn refuse(damage: Option<&Damage>) -> Result<(), Failure> {
    match damage {
        Some(damage) => Err(Failure::other(format!(
            "{damage}; `kvsd-server salvage` makes a folder that can be dumped"
        ))),
        None => Ok(()),
    }
}

/// A record as it is printed.
#[derive(Debug, Serialize)]
struct Line<'a> {
    table: &'a str,
    key: Text<'a>,
    version: u64,
    /// Milliseconds since 1970.
    expires_at: Option<u64>,
    #[serde(flatten)]
    derived: Option<Derived<'a>>,
    value: Text<'a>,
}

/// What a derived value tells of itself.
#[derive(Debug, Serialize)]
struct Derived<'a> {
    #[serde(rename = "type")]
    name: &'a str,
    type_version: u16,
    fingerprint: String,
    codec: String,
}

/// Bytes, as text if they are.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Text<'a> {
    Utf8(&'a str),
    Binary { base64: String },
}

impl<'a> Line<'a> {
    fn new(table: &'a str, live: &Live<'a>) -> Self {
        // Raw bytes that only begin like an envelope are no derived value.
        let envelope = Envelope::parse(live.value).ok().flatten();
        let derived = envelope.map(|envelope| Derived {
            name: envelope.type_name,
            type_version: envelope.version,
            fingerprint: format!("{:016x}", envelope.fingerprint),
            codec: envelope.codec.to_string(),
        });
        Self {
            table,
            key: Text::new(live.key),
            version: live.version,
            expires_at: Some(live.expires).filter(|expires| *expires != NEVER),
            derived,
            value: Text::new(envelope.map_or(live.value, |envelope| envelope.payload)),
        }
    }
}

impl<'a> Text<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Utf8(text),
            Err(_) => Self::Binary { base64: STANDARD.encode(bytes) },
        }
    }
}

/// Why a dump ended early.
#[derive(Debug, Error)]
enum DumpError {
    #[error("cannot write to standard output")]
    Print(#[from] io::Error),
    #[error("cannot read")]
    Failure(Failure),
}

impl From<Failure> for DumpError {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<StorageError> for DumpError {
    fn from(error: StorageError) -> Self {
        Self::Failure(Failure::other(OpenError::from_storage(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(key: &[u8], value: &[u8], expires: u64) -> String {
        let live = Live { key, value, version: 7, expires };
        serde_json::to_string(&Line::new("t", &live)).unwrap()
    }

    #[test]
    fn text_stands_as_it_is_and_other_bytes_as_base64() {
        assert_eq!(
            line("k\"\u{e4}".as_bytes(), b"", NEVER),
            "{\"table\":\"t\",\"key\":\"k\\\"\u{e4}\",\"version\":7,\"expires_at\":null,\
             \"value\":\"\"}"
        );
        assert_eq!(
            line(b"\xff\x01", b"\xff\x01\x02", 5),
            "{\"table\":\"t\",\"key\":{\"base64\":\"/wE=\"},\"version\":7,\"expires_at\":5,\
             \"value\":{\"base64\":\"/wEC\"}}"
        );
    }
}
