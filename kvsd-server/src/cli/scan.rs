//! `kvsd scan`: the records of a range, page after page, as they come.

use std::ffi::OsString;
use std::io::{self, Write};
use std::ops::Bound;

use bytes::Bytes;
use clap::Args;
use kvsd::stream::Stream;
use kvsd::{Client, Entry, KeyRange};

use super::failure::Failure;
use super::output::{Format, Lines, write_json};
use super::show::{Shown, ShownValue, key_line, line};

/// Which records to print.
#[derive(Debug, Args)]
pub(super) struct ScanArgs {
    /// Print the records whose keys begin so; without it, and without a range, all of them
    #[arg(value_name = "PREFIX", conflicts_with_all = ["from", "to"])]
    prefix: Option<OsString>,
    /// Begin at this key
    #[arg(long, value_name = "KEY")]
    from: Option<OsString>,
    /// End before this key
    #[arg(long, value_name = "KEY")]
    to: Option<OsString>,
    /// End after so many records
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Begin with the last key
    #[arg(long)]
    reverse: bool,
    /// Print the keys alone; the server does not read the values either
    #[arg(long)]
    keys_only: bool,
    /// Be content with what stood some time ago: a cluster may answer without agreeing first
    #[arg(long)]
    stale: bool,
}

impl ScanArgs {
    fn range(&self) -> KeyRange {
        match (&self.prefix, &self.from, &self.to) {
            (Some(prefix), _, _) => KeyRange::prefix(prefix.as_encoded_bytes()),
            (None, from, to) => {
                let from =
                    from.as_ref().map_or(Bound::Unbounded, |key| Bound::Included(bytes(key)));
                let to = to.as_ref().map_or(Bound::Unbounded, |key| Bound::Excluded(bytes(key)));
                KeyRange::between(from, to)
            }
        }
    }
}

/// Prints the records.
pub(super) async fn run(client: &Client, args: &ScanArgs, format: Format) -> Result<(), Failure> {
    let mut scan = client.scan::<Bytes>(args.range());
    if let Some(limit) = args.limit {
        scan = scan.limit(limit);
    }
    if args.reverse {
        scan = scan.reverse();
    }
    if args.stale {
        scan = scan.stale();
    }
    let table = client.table_name();
    match (args.keys_only, format) {
        (false, Format::Text) => {
            let text = |out: &mut dyn Write, entry: &Entry<Bytes>| {
                writeln!(out, "{}\t{}", Shown(&entry.key), ShownValue(&entry.value))
            };
            print(scan, text).await
        }
        (false, Format::Json) => {
            print(scan, |out, entry| write_json(out, &line(table, entry))).await
        }
        (true, Format::Text) => {
            print(scan.keys_only(), |out, entry| writeln!(out, "{}", Shown(&entry.key))).await
        }
        (true, Format::Json) => {
            print(scan.keys_only(), |out, entry| write_json(out, &key_line(table, entry))).await
        }
    }
}

async fn print<T>(
    mut scan: impl Stream<Item = Result<Entry<T>, kvsd::Error>> + Unpin,
    line: impl Fn(&mut dyn Write, &Entry<T>) -> io::Result<()>,
) -> Result<(), Failure> {
    let mut lines = Lines::on_stdout();
    while let Some(entry) = lines.try_next(&mut scan).await? {
        lines.write(|out| line(out, &entry))?;
    }
    lines.flush()
}

fn bytes(key: &OsString) -> &[u8] {
    key.as_encoded_bytes()
}

pub(super) const EXAMPLES: &str = "\
Prints a line for each record: the key, a tab, the value. A key or value with characters that a
terminal would obey stands in quotes, one that is no text as base64; a value of a derived type is
shown by its type, version, codec and size, and in full if the codec is JSON. For programs there is
--output json, the lines of `kvsd export`.

Examples:
  kvsd scan user/
  kvsd scan --from order/2026-01 --to order/2026-02 --keys-only
  kvsd scan --reverse --limit 10 --table visits
  kvsd --output json scan user/ | jq .value";
