//! `kvsd import`: lines of JSON as records again, in batches, with a bounded part in memory.
//!
//! Each line is checked before anything of its batch is sent; one that is no record ends the import
//! after everything before it is stored. Storing the same lines again changes nothing but versions.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use kvsd::{Client, TableName};

use super::failure::Failure;
use super::progress::{self, Results, Unit};
use crate::record_line::Record;

/// What to import.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// Read this file; without it, or if it is `-`, standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// What an import came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Imported {
    /// Records that were stored.
    pub(super) stored: u64,
    /// Records that had ended.
    pub(super) ended: u64,
}

/// Stores the records of all lines in `table`, or else where the lines say.
pub(super) async fn run(
    client: &Client,
    table: Option<TableName>,
    args: &ImportArgs,
) -> Result<Imported, Failure> {
    let (input, length) = open(args.file.as_deref())?;
    let bar = progress::bar(length, Unit::Bytes, Results::Elsewhere);
    let mut source = Source::new(input, client.max_value_bytes());
    let mut import = Import { client, table, batch: Batch::default(), done: Imported::default() };
    loop {
        let line = source.next();
        bar.inc(u64::try_from(source.line.len()).unwrap_or_default());
        match line {
            Ok(Some((number, record))) => import.take(number, record).await?,
            Ok(None) => break,
            Err(failure) => {
                import.send().await?;
                return Err(failure);
            }
        }
    }
    import.send().await?;
    bar.finish_and_clear();
    Ok(import.done)
}

/// The input, and how many bytes it has if that is known.
fn open(file: Option<&Path>) -> Result<(Box<dyn Read>, Option<u64>), Failure> {
    match file {
        Some(path) if path.as_os_str() != "-" => {
            let refuse = |error| Failure::stream(&format!("read {}", path.display()), &error);
            let file = File::open(path).map_err(refuse)?;
            let length = file.metadata().map_err(refuse)?;
            let length = length.is_file().then_some(length.len());
            Ok((Box::new(file), length))
        }
        _ => Ok((Box::new(io::stdin()), None)),
    }
}

/// The lines of the input, with their numbers.
struct Source {
    input: BufReader<Box<dyn Read>>,
    line: Vec<u8>,
    number: u64,
    max_value_bytes: usize,
}

impl Source {
    fn new(input: Box<dyn Read>, max_value_bytes: usize) -> Self {
        Self { input: BufReader::new(input), line: Vec::new(), number: 0, max_value_bytes }
    }

    /// The next record; empty lines are none.
    fn next(&mut self) -> Result<Option<(u64, Record)>, Failure> {
        // A byte takes at most the six of \u0000, and the rest of a line less than this.
        let limit = self.max_value_bytes.saturating_mul(6).saturating_add(OTHER_BYTES);
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        loop {
            self.line.clear();
            self.number += 1;
            (&mut self.input)
                .take(limit)
                .read_until(b'\n', &mut self.line)
                .map_err(|error| Failure::stream("read the input", &error))?;
            if self.line.is_empty() {
                return Ok(None);
            }
            if self.line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            return match self.parse(limit) {
                Ok(record) => Ok(Some((self.number, record))),
                Err(why) => Err(in_line(self.number, &why)),
            };
        }
    }

    fn parse(&self, limit: u64) -> Result<Record, String> {
        let is_whole = self.line.last() == Some(&b'\n');
        if !is_whole && u64::try_from(self.line.len()).is_ok_and(|length| length >= limit) {
            return Err("it is longer than that of any record".to_owned());
        }
        let record = Record::parse(&self.line).map_err(|error| error.to_string())?;
        if record.value.len() > self.max_value_bytes {
            let most = self.max_value_bytes;
            return Err(format!("value: the server takes at most {most} bytes"));
        }
        Ok(record)
    }
}

/// Records of one table on their way to the server.
#[derive(Default)]
struct Batch {
    table: Option<TableName>,
    records: Vec<(u64, Record)>,
    bytes: usize,
}

struct Import<'c> {
    client: &'c Client,
    /// Where all of them go, whatever the lines say.
    table: Option<TableName>,
    batch: Batch,
    done: Imported,
}

impl Import<'_> {
    /// Takes a record, and sends the batch if it has grown large or this record belongs elsewhere.
    async fn take(&mut self, number: u64, mut record: Record) -> Result<(), Failure> {
        let named = record.table.take();
        let table = self.table.clone().or(named);
        if table != self.batch.table {
            self.send().await?;
            self.batch.table = table;
        }
        self.batch.bytes += record.key.len() + record.value.len();
        self.batch.records.push((number, record));
        if self.batch.bytes >= MOST_BYTES || self.batch.records.len() >= MOST_RECORDS {
            self.send().await?;
        }
        Ok(())
    }

    /// Stores the batch, in the order of its lines.
    async fn send(&mut self) -> Result<(), Failure> {
        let Batch { table, records, .. } = std::mem::take(&mut self.batch);
        let client = match &table {
            Some(table) => self.client.table(table.as_str())?,
            None => self.client.clone(),
        };
        self.batch.table = table;
        let soon = SystemTime::now() + MARGIN;
        let mut pipeline = client.pipeline();
        let mut places = Vec::with_capacity(records.len());
        for (number, record) in records {
            let set = client.set(&record.key, record.value);
            let set = match record.expires_at {
                None => set,
                Some(end) if end > soon => set.expire_at(end),
                Some(_) => {
                    self.done.ended += 1;
                    continue;
                }
            };
            places.push((number, pipeline.add(set)));
        }
        let Some((first, _)) = places.first() else {
            return Ok(());
        };
        let at = |error, place: &str| Failure::from(error).in_place(place);
        let all = pipeline.await.map_err(|error| at(error, &format!("from line {first} on")));
        let mut answers = all?;
        for (number, place) in places {
            let stored = answers.take(place);
            stored.map_err(|error| at(error, &format!("line {number}")))?;
            self.done.stored += 1;
        }
        Ok(())
    }
}

/// A line that cannot be stored.
fn in_line(number: u64, why: &str) -> Failure {
    Failure::other(format!("line {number}: {why}; the lines before it are stored"))
}

/// A batch goes out once its keys and values have so many bytes.
const MOST_BYTES: usize = 1024 * 1024;
const MOST_RECORDS: usize = 1_000;
/// A key in base64 or with every byte escaped, a table, an envelope and the words around them.
const OTHER_BYTES: usize = 64 * 1024;
/// A record that ends so soon has ended before the server hears of it.
const MARGIN: Duration = Duration::from_secs(1);

pub(super) const EXAMPLES: &str = "\
Reads what `kvsd export` and `kvsd-server dump` write: an object in each line, of which only key and
value must be there. A record goes into --table, else into the table that its line names, else into
the URL's. A record whose expiry is past is left out, and counted.

Prints `OK` and how many records were stored. A line that is no record ends the import with its
number, when all lines before it are stored. Running it again does no harm: each record is stored as
its line says.

Examples:
  kvsd import users.jsonl
  kvsd export --table users | kvsd import --table copy
  zcat users.jsonl.gz | kvsd --url kvsds://other.example import";
