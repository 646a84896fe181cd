//! A command line that keeps its data in a folder: the whole store is in the program, and no server
//! runs before or after it.
//!
//! ```text
//! cargo run --example notes -- FOLDER add buy bread
//! cargo run --example notes -- FOLDER list
//! cargo run --example notes -- FOLDER remove 1
//! ```

use std::error::Error;
use std::process::ExitCode;

use kvsd::{Client, Keyed};
use kvsd_server::Embedded;
use serde::{Deserialize, Serialize};

/// Kept under its number, so that a scan yields the oldest first.
#[derive(Debug, Serialize, Deserialize, kvsd::Value)]
#[kvsd(table = "notes", key = "note/{number}")]
struct Note {
    number: u32,
    text: String,
}

/// What to do.
enum Command {
    Add(String),
    List,
    Remove(u32),
}

const USAGE: &str = "usage: notes FOLDER add TEXT..
       notes FOLDER list
       notes FOLDER remove NUMBER";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((folder, command)) = parse(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(folder, command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With its causes.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Option<(&str, Command)> {
    let (folder, words) = arguments.split_first()?;
    let command = match words.split_first().map(|(verb, rest)| (verb.as_str(), rest))? {
        ("add", words @ [_, ..]) => Command::Add(words.join(" ")),
        ("list", []) => Command::List,
        ("remove", [number]) => Command::Remove(number.parse().ok()?),
        _ => return None,
    };
    Some((folder, command))
}

/// Opens the folder, which is made the first time, and closes it again. While it is open no other
/// program can open it; what was acknowledged is on the disk, whatever happens then.
async fn run(folder: &str, command: Command) -> Result<(), Box<dyn Error>> {
    let server = Embedded::open(folder).await?;
    let client = server.client().await?;
    carry_out(&client, command).await?;
    server.close().await?;
    Ok(())
}

async fn carry_out(client: &Client, command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Add(text) => {
            // Numbers are counted up and never used again.
            let number = client.increment("last-number", 1).await?.try_into()?;
            client.put(&Note { number, text }).if_absent().await?;
            println!("added note {number}");
        }
        Command::List => {
            let mut notes = client.scan_all(Note::prefix());
            let mut count = 0;
            while let Some(entry) = notes.next().await {
                let Note { number, text } = entry?.value;
                println!("{number:>4}  {text}");
                count += 1;
            }
            if count == 0 {
                println!("no notes");
            }
        }
        Command::Remove(number) => {
            if !client.remove(Note::key_of(number)).await? {
                return Err(format!("there is no note {number}").into());
            }
            println!("removed note {number}");
        }
    }
    Ok(())
}
