//! `kvsd-server dump`: a data folder's records as lines of JSON.

use std::io::{self, BufWriter, Write};

use thiserror::Error;

use super::args::DumpArgs;
use super::exit::Failure;
use super::folder::{beside_results, now};
use crate::log::OpenError;
use crate::log::offline::{Damage, Expired, Hints, Live, NEVER, StorageError};
use crate::record_line::{RecordLine, Text, ValueFields};

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
            serde_json::to_writer(&mut out, &line(table.name.as_str(), &live))
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
fn line<'a>(table: &'a str, live: &Live<'a>) -> RecordLine<'a> {
    RecordLine {
        table,
        key: Text::new(live.key),
        version: live.version,
        expires_at: Some(live.expires).filter(|expires| *expires != NEVER),
        value: Some(ValueFields::new(live.value)),
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
