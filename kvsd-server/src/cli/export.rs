//! `kvsd export`: the records of a table as lines of JSON, every byte of them.

use std::ffi::OsString;
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use kvsd::Client;

use super::answer::Answer;
use super::failure::Failure;
use super::output::{Lines, Reader};
use super::progress::{self, Results, Unit};
use super::show::line;

/// What to export, and where to.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// Write to this file, in the place of what it held; without it, to standard output
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Export the records whose keys begin so; without it, all of the table
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<OsString>,
}

/// Writes the records.
pub(super) async fn run(client: &Client, args: &ExportArgs) -> Result<Answer, Failure> {
    let prefix = args.prefix.as_ref().map_or(&b""[..], |prefix| prefix.as_encoded_bytes());
    let length = match prefix.is_empty() {
        // Who may not ask this sees a bar without an end.
        true => client.statistics().await.ok().flatten().map(|statistics| statistics.keys),
        false => None,
    };
    let mut scan = client.scan::<Bytes>(prefix);
    // Before the file is emptied: a server that cannot be asked leaves it as it was.
    let mut next = scan.next().await.transpose()?;
    let (mut lines, results) = match &args.file {
        Some(file) => (Lines::in_file(file)?, Results::Elsewhere),
        None => (Lines::on_stdout(), Results::OnStandardOutput),
    };
    let bar = progress::bar(length, Unit::Records, results);
    let mut records = 0;
    while let Some(entry) = next {
        lines.write_json(&line(client.table_name(), &entry))?;
        records += 1;
        bar.inc(1);
        next = lines.try_next(&mut scan).await?;
    }
    lines.flush()?;
    bar.finish_and_clear();
    Ok(match lines.reader() {
        Reader::Reads => Answer::Exported(records),
        // How many of them it has seen is not known.
        Reader::Gone => Answer::Streamed,
    })
}

pub(super) const EXAMPLES: &str = "\
Writes an object in each line: table, key, version, expires_at (milliseconds since 1970, or null)
and value; of a derived value also its type, type_version, fingerprint and codec. Text stands as it
is, other bytes as {\"base64\": \"..\"}. `kvsd import` makes the same keys, values and expiries of it;
versions are not restored. What is written meanwhile may be in it or not; for one moment of all
tables there is `kvsd-server dump` of a backup, which prints the same lines.

Examples:
  kvsd export users.jsonl --table users
  kvsd export --prefix user/ | gzip > users.jsonl.gz";
