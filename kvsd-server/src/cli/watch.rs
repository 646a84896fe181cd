//! `kvsd watch`: what changes, as it does, until somebody has seen enough.

use std::ffi::{OsStr, OsString};
use std::io::Write;

use bytes::Bytes;
use clap::Args;
use kvsd::stream::Watch;
use kvsd::{Client, Event, Version};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failure;
use super::output::{Format, Lines, note, reader_is_gone, write_json};
use super::show::{Shown, ShownValue, line};
use crate::record_line::{RecordLine, Text};

/// What to watch, and from when on.
#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// Watch the keys that begin so; without it, and without --key, all of them
    #[arg(value_name = "PREFIX", conflicts_with = "key")]
    prefix: Option<OsString>,
    /// Watch this key alone
    #[arg(long, value_name = "KEY")]
    key: Option<OsString>,
    /// Begin behind the write with this version; 0 begins at the table's first change. Without it,
    /// only what happens from now on is told
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u64).range(..=Version::MAX))]
    from: Option<u64>,
}

impl WatchArgs {
    pub(super) fn key(&self) -> Option<&OsStr> {
        self.key.as_deref()
    }
}

/// An event for programs.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum EventLine<'a> {
    Set(RecordLine<'a>),
    Deleted { table: &'a str, key: Text<'a>, version: u64 },
    Gap { table: &'a str },
}

/// Prints the changes until a signal comes or nobody reads them any more.
pub(super) async fn run(client: &Client, args: &WatchArgs, format: Format) -> Result<(), Failure> {
    let take = |kind| signal(kind).map_err(|error| Failure::stream("take signals", &error));
    let (mut interrupt, mut terminate) =
        (take(SignalKind::interrupt())?, take(SignalKind::terminate())?);
    tokio::select! {
        result = tell(client, args, format) => result,
        () = reader_is_gone() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

async fn tell(client: &Client, args: &WatchArgs, format: Format) -> Result<(), Failure> {
    let mut watch = open(client, args);
    watch.begin().await?;
    note(format, &format!("watching table {}; Ctrl-C ends it", client.table_name()));
    let mut lines = Lines::on_stdout();
    while let Some(event) = lines.next(&mut watch).await? {
        match event {
            Ok(event) => lines.write(|out| write(out, client.table_name(), &event, format))?,
            // The stream asks again, and goes on where it broke off.
            Err(error) if error.is_retryable() => {
                lines.flush()?;
                note(format, &format!("{error:#}; trying again"));
            }
            Err(error) => {
                lines.flush()?;
                return Err(error.into());
            }
        }
    }
    Ok(())
}

fn open(client: &Client, args: &WatchArgs) -> Watch<Bytes> {
    let watch = match (&args.key, &args.prefix) {
        (Some(key), _) => client.watch_key(key.as_encoded_bytes()),
        (None, prefix) => {
            client.watch(prefix.as_ref().map_or(&b""[..], |prefix| prefix.as_encoded_bytes()))
        }
    };
    match args.from.map(Version::new) {
        None => watch,
        Some(None) => watch.with_history(),
        Some(Some(version)) => watch.from(version),
    }
}

fn write(
    out: &mut dyn Write,
    table: &str,
    event: &Event<Bytes>,
    format: Format,
) -> std::io::Result<()> {
    match (format, event) {
        (Format::Text, Event::Set(entry)) => {
            let (key, value) = (Shown(&entry.key), ShownValue(&entry.value));
            writeln!(out, "{}\tset\t{key}\t{value}", entry.version.get())
        }
        (Format::Text, Event::Deleted { key, version }) => {
            writeln!(out, "{}\tdeleted\t{}", version.get(), Shown(key))
        }
        (Format::Text, Event::Gap { .. }) => writeln!(out, "-\tgap"),
        (Format::Json, Event::Set(entry)) => write_json(out, &EventLine::Set(line(table, entry))),
        (Format::Json, Event::Deleted { key, version }) => {
            let (key, version) = (Text::new(key), version.get());
            write_json(out, &EventLine::Deleted { table, key, version })
        }
        (Format::Json, Event::Gap { .. }) => write_json(out, &EventLine::Gap { table }),
    }
}

pub(super) const EXAMPLES: &str = "\
Prints a line for each change, with tabs in between: its version, `set` or `deleted`, the key and
the value as `kvsd scan` shows them. `gap` means that changes are missing there, since the server
does not have them any more: read the records anew. That a record expires is no change. A connection
that is lost is replaced, and the watch goes on where it broke off. Ctrl-C ends it with code 0.

Examples:
  kvsd watch user/
  kvsd watch --key settings
  kvsd watch --from 1200
  kvsd --output json watch --from 0 | jq .key";
