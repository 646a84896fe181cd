//! The commands: each one request to the server, but for `bench`.

use std::io::{self, Read};
use std::time::Instant;

use kvsd::{Client, TableName};

use super::answer::Answer;
use super::args::Command;
use super::bench;
use super::failure::Failure;

/// Carries out a command over an open connection. `address` is the server's, for people; `table` is
/// the one that was asked for on the spot.
pub(super) async fn carry_out(
    client: &Client,
    address: &str,
    table: Option<TableName>,
    command: Command,
) -> Result<Answer, Failure> {
    match command {
        Command::Ping => {
            let start = Instant::now();
            client.ping().await?;
            Ok(Answer::Pong(start.elapsed()))
        }
        Command::Set { key, value } => {
            let key = key.as_encoded_bytes();
            if value == "-" {
                client.set(key, read_input(client.max_value_bytes()).await?).await?;
            } else {
                client.set(key, value.as_encoded_bytes()).await?;
            }
            Ok(Answer::Stored)
        }
        Command::Get { key, raw } => {
            let key = key.into_encoded_bytes();
            Ok(match client.get(&key).await? {
                None => Answer::Missing(key),
                Some(value) if raw => Answer::RawValue(value),
                Some(value) => Answer::Value(value),
            })
        }
        Command::Delete { key } => Ok(Answer::Deleted(client.take(key.as_encoded_bytes()).await?)),
        Command::Exists { key } => Ok(Answer::Exists(client.exists(key.as_encoded_bytes()).await?)),
        Command::Bench(args) => {
            let report = bench::run(client, address, table, args).await?;
            Ok(Answer::Measured(Box::new(report)))
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
