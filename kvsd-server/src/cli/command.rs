//! The commands: each one request to the server, but for those with a file of their own.

use std::io::{self, Read};
use std::time::Instant;

use bytes::Bytes;
use kvsd::{Client, Entry, TableName};

use super::answer::{Answer, Form};
use super::args::Command;
use super::failure::Failure;
use super::output::Format;
use super::{bench, export, import, scan, tables, watch};

/// Carries out a command over an open connection. `address` is the server's, for people; `table` is
/// the one that was asked for on the spot.
pub(super) async fn carry_out(
    client: &Client,
    address: &str,
    table: Option<TableName>,
    command: Command,
    format: Format,
) -> Result<Answer, Failure> {
    match command {
        Command::Ping => {
            let start = Instant::now();
            client.ping().await?;
            Ok(Answer::Pong(start.elapsed()))
        }
        Command::Set { key, value } => {
            let key = key.as_encoded_bytes();
            let version = if value == "-" {
                client.set(key, read_input(client.max_value_bytes()).await?).await?
            } else {
                client.set(key, value.as_encoded_bytes()).await?
            };
            Ok(Answer::Stored(version))
        }
        Command::Get { key, raw, stale } => {
            let key = key.into_encoded_bytes();
            let form = if raw { Form::Raw } else { Form::Shown };
            let read = client.get::<Bytes>(&key).versioned();
            let read = if stale { read.stale() } else { read };
            Ok(match read.await? {
                None => Answer::Missing(key),
                Some(found) => {
                    let (version, expires_at) = (found.version, found.expires_at);
                    let entry = Entry { key: key.into(), value: found.value, version, expires_at };
                    Answer::Value { table: client.table_name().to_owned(), entry, form }
                }
            })
        }
        Command::Delete { key } => Ok(Answer::Deleted(client.take(key.as_encoded_bytes()).await?)),
        Command::Exists { key, stale } => {
            let look = client.exists(key.as_encoded_bytes());
            let look = if stale { look.stale() } else { look };
            Ok(Answer::Exists(look.await?))
        }
        Command::Bench(args) => {
            let report = bench::run(client, address, table, args).await?;
            Ok(Answer::Measured(Box::new(report)))
        }
        Command::Scan(args) => {
            scan::run(client, &args, format).await?;
            Ok(Answer::Streamed)
        }
        Command::Watch(args) => {
            watch::run(client, &args, format).await?;
            Ok(Answer::Streamed)
        }
        Command::Export(args) => export::run(client, &args).await,
        Command::Import(args) => Ok(Answer::Imported(import::run(client, table, &args).await?)),
        Command::Tables { command } => tables::run(client, table, command).await,
        Command::Stats => {
            let tables = tables::figures(client).await?;
            let (address, info) = (address.to_owned(), client.server_info());
            Ok(Answer::Server { address, info, tables })
        }
    }
}

/// Reads standard input to its end, or to one byte more than a value may have: the SDK then says
/// that it is too large, and an endless input costs no endless memory.
///
/// On a thread of its own, so that a connection that ends meanwhile is seen to end, and replaced.
async fn read_input(limit: usize) -> Result<Vec<u8>, Failure> {
    let read = tokio::task::spawn_blocking(move || {
        let mut input = Vec::new();
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        io::stdin().lock().take(limit.saturating_add(1)).read_to_end(&mut input)?;
        Ok(input)
    });
    let result: io::Result<_> = read.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    result.map_err(|error| Failure::stream("read standard input", &error))
}
